"""Which pairs to trust: two cells of one type see the cells of either batch alike.

Mutual nearest neighbours always exist, also between batches without a common cell type. A batch effect
moves all cells of a type together, at right angles to what tells types apart (Haghverdi et al. 2018:
the assumption under every MNN method). So seen from either cell of a true pair, the types of a batch
lie equally far apart: the squared distances from one cell rise with those from the other, at a slope
of 1. Seen from a cell of a foreign type all are about equally far, and the slope is near 0. A shift
that the batch adds to all distances leaves the slope as it is.
"""

import numpy as np


def pair_agreement(left: np.ndarray, right: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """How alike the two cells of each pair see both batches: about 1 for one type, near 0 for two.

    For a pair (q, a), the squared distances from q to all cells of a's batch are regressed on those
    from a; the same the other way round; the smaller of the two slopes counts.

    Parameters
    ----------
    left, right
        Cells x dimensions of two batches in one space; rows are brought to unit length, as for the
        angular distance.
    pairs
        Pairs x 2: (index in `left`, index in `right`).

    Returns
    -------
    numpy.ndarray
        One slope a pair. In a batch of a single type there is nothing to tell types apart by, and the
        slope says little.

    References
    ----------
    Not in the paper; the assumption is that of Haghverdi et al., Nature Biotechnology 36:421 (2018).

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.agreement import pair_agreement
    >>> types = np.repeat([[1.0, 0, 0, 0], [0, 1.0, 0, 0]], 5, axis=0)
    >>> batch_effect = np.array([0, 0, 0, 0.5])
    >>> pair_agreement(types, types + batch_effect, np.array([[0, 0], [0, 9]])).round(1).tolist()
    [0.9, -1.1]
    """
    left, right = unit_length(left), unit_length(right)
    across = squared_distances(left, right)
    slopes = [
        regression_slopes(across, squared_distances(right, right), pairs),
        regression_slopes(across.T, squared_distances(left, left), pairs[:, ::-1]),
    ]
    return np.minimum(*slopes)


def regression_slopes(across: np.ndarray, within: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Slope of row ``pairs[:, 0]`` of `across` on row ``pairs[:, 1]`` of `within`, pair by pair."""
    across = across - across.mean(axis=1, keepdims=True)
    within = within - within.mean(axis=1, keepdims=True)
    products = (across @ within.T)[pairs[:, 0], pairs[:, 1]]
    spread = np.maximum(np.sum(within**2, axis=1), np.finfo(np.float32).tiny)
    return products / spread[pairs[:, 1]]


def squared_distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Squared distances between all rows of the two, each of unit length."""
    return 2 - 2 * left @ right.T


def unit_length(points: np.ndarray) -> np.ndarray:
    """Rows brought to unit length; a row of zeros stays."""
    length = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.maximum(length, np.finfo(np.float32).tiny)
