"""How far a cell lies from all that the reference holds: what neighbours that agree cannot tell."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin_min

N_LANDMARKS = 100
QUANTILE = 0.99
TINY = 1e-12  # cells that are all the same lie no distance apart


def landmarks(latent: np.ndarray, seed: int = 0) -> tuple[np.ndarray, float]:
    """Points that stand for the reference, and the distance within which its own cells lie.

    Points are centres of k-means: no cell is kept.

    Parameters
    ----------
    latent
        Latent means of the reference, cells x dimensions.
    seed
        Seed of k-means.

    Returns
    -------
    points, radius
        At most 100 points x dimensions, one per five cells; the distance to the nearest point that
        99 % of the reference's cells keep.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches.novelty import landmarks
    >>> points, radius = landmarks(np.repeat([[0.0], [9.0]], 5, axis=0))
    >>> sorted(points.ravel().tolist()), radius
    ([0.0, 9.0], 1e-12)
    """
    n_points = min(N_LANDMARKS, max(len(latent) // 5, 1))
    means = KMeans(n_points, n_init=1, random_state=seed).fit(latent)
    points = means.cluster_centers_
    radius = float(np.quantile(distances(latent, points), QUANTILE))
    return points, max(radius, TINY)


def distances(latent: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance of each cell to the nearest point.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches.novelty import distances
    >>> distances(np.array([[1.0], [7.0]]), np.array([[0.0], [9.0]])).tolist()
    [1.0, 2.0]
    """
    return pairwise_distances_argmin_min(latent, points)[1]
