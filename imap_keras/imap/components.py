"""What is computed of the cells between the networks: their scale, their order, their components."""

from collections.abc import Sequence

import keras
import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from ..inputs.moments import Moments
from .agreement import unit_length
from .hyperparameters import Hyperparameters
from .seeds import sample_cells, seed_of

BLOCK = 1024
LOOKED_AT = 5000  # cells that weights are found among: of more, a sample
OF_LEAST = 6  # of so many components one, of the least variance, tells what noise has in common
POWER, LEAST = 0.75, 1e-4  # none vanishes: who standardises components divides by their length


def scale_factor(cells: np.ndarray | Moments, hp: Hyperparameters) -> float:
    """Number the cells are multiplied by before training, see `hp.spread`."""
    if hp.spread is None:
        return 1.0
    mean_deviation = float(deviations(cells).mean())
    return hp.spread / mean_deviation if mean_deviation > 0 else 1.0


def deviations(cells: np.ndarray | Moments, rows: np.ndarray | None = None) -> np.ndarray:
    """Standard deviation of each gene, in one pass and with sums in float64.

    Sums in float32 down a million cells lose digits that the scale and the merge order depend on. Only
    a block of cells at a time is made float64 (Chan, Golub and LeVeque, The American Statistician
    37:242, 1983, add the moments up).

    Parameters
    ----------
    cells
        Cells x genes, or their moments by batch where a pass has added them up already.
    rows
        Indices of the cells that count; None: all.

    Returns
    -------
    numpy.ndarray
        One number a gene, float64, in the unit of the cells.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.components import deviations
    >>> deviations(np.array([[0.0, 5.0], [2.0, 5.0]], "float32")).tolist()
    [1.0, 0.0]
    """
    if isinstance(cells, Moments):
        return cells.whole().deviations()[0]
    n, mean, squares = 0, np.zeros(cells.shape[1]), np.zeros(cells.shape[1])
    total = len(cells) if rows is None else len(rows)
    for start in range(0, total, BLOCK):
        part = slice(start, start + BLOCK)
        block = np.asarray(cells[part if rows is None else rows[part]], float)
        of_block = block.mean(axis=0)
        off, share = of_block - mean, len(block) / (n + len(block))
        squares += ((block - of_block) ** 2).sum(axis=0) + n * share * off**2
        mean, n = mean + share * off, n + len(block)
    return np.sqrt(squares / n)


def total_deviation(cells: np.ndarray, rows: np.ndarray | None = None) -> float:
    """Sum over genes of the standard deviation: what the merge order goes by."""
    return float(deviations(cells, rows).sum())


def merge_order(cells: np.ndarray, labels: np.ndarray) -> list[str]:
    """Batches in decreasing total deviation, the anchor first."""
    deviation = {
        str(name): total_deviation(cells, np.flatnonzero(labels == name)) for name in np.unique(labels)
    }
    return decreasing(deviation)


def decreasing(deviation: dict[str, float]) -> list[str]:
    """Names by their number, the largest first."""
    return sorted(deviation, key=deviation.get, reverse=True)


def variable_first(moments: Moments, batches: Sequence[str]) -> list[str]:
    """:func:`merge_order` of batches whose moments are known."""
    return decreasing(dict(zip(batches, moments.deviations().sum(axis=1), strict=True)))


def scaled_components(points: np.ndarray, hp: Hyperparameters) -> np.ndarray:
    """The 30 first principal components, at a mean squared norm of 1."""
    pca = PCA(min(30, *points.shape), random_state=seed_of("pair_space", hp))
    part = pca.fit_transform(points)
    return part / np.sqrt(np.mean(np.sum(part**2, axis=1)))


def content_components(content: np.ndarray, hp: Hyperparameters) -> np.ndarray | None:
    """The part of the space that `hp.pair_space` names which is the same for all batches.

    Parameters
    ----------
    content
        E(x), or the embedding that `hp.pair_space` names: cells x dimensions.
    hp
        Hyperparameters.
    """
    if hp.pair_space == "pca":
        return None
    return content if hp.pair_space != "both" else scaled_components(content, hp)


def pair_space(
    content: np.ndarray | None, components: np.ndarray | None, hp: Hyperparameters
) -> np.ndarray:
    """Space in which neighbours are searched, by `hp.pair_space`.

    Content forgets the batch and, trained briefly, some of the cell; principal components of the
    expression remember both. Side by side, each at a mean squared norm of 1, they make fewer wrong
    pairs than either.

    Parameters
    ----------
    content
        :func:`content_components`; not used where `hp.pair_space` is "pca".
    components
        :func:`scaled_components` of the expression; not used where `hp.pair_space` is "content".
    hp
        Hyperparameters.

    Returns
    -------
    numpy.ndarray
        Cells x dimensions.
    """
    if hp.pair_space == "pca":
        return components
    return np.hstack([content, components]) if hp.pair_space == "both" else content


def principal_components(
    corrected: np.ndarray, hp: Hyperparameters, overwrite: bool = False
) -> keras.Model:
    """Principal components of the corrected expression as a Keras model, so that Keras saves them.

    With `hp.component_neighbors` each is multiplied by its :func:`component_weights`, found among at
    most 5,000 of the cells: what a cell has in common with the cells near it stays, and the noise of
    single cells goes.

    Parameters
    ----------
    corrected
        Cells x genes.
    hp
        Hyperparameters.
    overwrite
        The array is not needed any more, and may be changed: of many cells each copy counts.
    """
    corrected = corrected if overwrite else corrected.copy()
    if hp.unit_length:
        for start in range(0, len(corrected), BLOCK):
            rows = slice(start, start + BLOCK)
            corrected[rows] = unit_length(corrected[rows])
    n = min(hp.n_components, *corrected.shape)
    solver = "arpack" if n < min(corrected.shape) else "full"
    pca = PCA(n, copy=False, svd_solver=solver, random_state=seed_of("components", hp))
    found = pca.fit_transform(corrected)
    weights = np.ones(n)
    if hp.component_neighbors:
        some = sample_cells(np.arange(len(found)), "components", hp, most=LOOKED_AT)
        weights = component_weights(found[some], hp.component_neighbors, seed_of("component_signs", hp))
    cells = keras.Input((corrected.shape[1],), name="corrected_cells")
    # Keras' own start would draw from Python's global random state.
    layer = keras.layers.Dense(n, kernel_initializer="zeros", name="components")
    rows = keras.layers.UnitNormalization(name="unit_length")(cells) if hp.unit_length else cells
    model = keras.Model(cells, layer(rows), name="pca")
    kernel = pca.components_.T * weights
    layer.set_weights([kernel, -pca.mean_ @ kernel])
    return model


def component_weights(points: np.ndarray, n_neighbors: int, seed: int = 0) -> np.ndarray:
    """How long to make each principal component: by how much more neighbours share of it than of noise.

    Noise of single cells has a Moran's I above 0, for it, too, decides who is near whom, the more so
    the denser cells lie. So it is measured: the components of least variance get a random sign in each
    cell. Every cell stays as far from the middle as it was, and what neighbours had in common is gone.
    What is shared beyond that counts, to the power 3/4: the power 1 is the best guess of a cell by its
    neighbours and shortens fine differences most, 1/2 leaves as much variance as is shared, and more
    noise.

    Parameters
    ----------
    points
        Cells x components.
    n_neighbors
        As for :func:`morans_i`.
    seed
        Of the signs.

    Returns
    -------
    numpy.ndarray
        One number a component, 0.001 to 1. Where none has more than noise, all are 1.

    References
    ----------
    Not in the iMAP paper. What the signs and the power do: benchmarks/README.md.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.components import component_weights
    >>> rng = np.random.default_rng(0)
    >>> two_types = np.repeat([0.0, 9.0], 100)[:, None]
    >>> component_weights(np.hstack([two_types, rng.normal(size=(200, 4))]), 20).round().tolist()
    [1.0, 0.0, 0.0, 0.0, 0.0]
    """
    noise = points - points.mean(axis=0)
    least = np.argsort(noise.var(axis=0))[: max(points.shape[1] // OF_LEAST, 1)]
    noise[:, least] *= np.random.default_rng(seed).choice([-1, 1], (len(noise), len(least)))
    floor = morans_i(noise, n_neighbors)[least].mean()
    above = np.clip((morans_i(points, n_neighbors) - floor) / max(1 - floor, 1e-12), LEAST, 1)
    return above**POWER if above.max() > LEAST else np.ones(len(above))


def morans_i(points: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Moran's I of each column among nearest neighbours: the share of it that they have in common.

    Near 1 for a component that tells types or states apart. The less, the more of it is noise that each
    cell has for itself. All cells count alike, of whatever batch.

    Parameters
    ----------
    points
        Cells x components; neighbours are searched among these, by the euclidean distance.
    n_neighbors
        Of each cell, at most; all others if there are fewer.

    Returns
    -------
    numpy.ndarray
        One number a component, 0 to 1; a negative one (neighbours unlike each other) is 0, and so is
        that of a column that does not vary.

    References
    ----------
    Moran, Biometrika 37:17 (1950), on the graph of nearest neighbours. Not in the iMAP paper.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.components import morans_i
    >>> two_types = np.repeat([0.0, 9.0], 10)
    >>> noise = np.tile([0.1, -0.1], 10)
    >>> morans_i(np.stack([two_types, noise], axis=1), 9).round(1).tolist()
    [1.0, 0.0]
    """
    n = min(n_neighbors, len(points) - 1)
    near = NearestNeighbors(n_neighbors=n).fit(points).kneighbors_graph()
    centred = points - points.mean(axis=0)
    shared = (centred * (near @ centred)).mean(axis=0) / n
    variance = np.maximum((centred**2).mean(axis=0), np.finfo(np.float32).tiny)
    return np.clip(shared / variance, 0, 1)
