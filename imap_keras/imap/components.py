"""What is computed of the cells between the networks: their scale, their order, their components."""

import keras
import numpy as np
from sklearn.decomposition import PCA

from .agreement import unit_length
from .hyperparameters import Hyperparameters
from .seeds import seed_of


def scale_factor(cells: np.ndarray, hp: Hyperparameters) -> float:
    """Number the cells are multiplied by before training, see `hp.spread`."""
    if hp.spread is None:
        return 1.0
    mean_deviation = float(cells.std(axis=0).mean())
    return hp.spread / mean_deviation if mean_deviation > 0 else 1.0


def total_variance(cells: np.ndarray) -> float:
    """Sum over genes of the standard deviation: what the merge order goes by."""
    return float(cells.std(axis=0).sum())


def merge_order(cells: np.ndarray, labels: np.ndarray) -> list[str]:
    """Batches in decreasing total variance, the anchor first."""
    variance = {str(name): total_variance(cells[labels == name]) for name in np.unique(labels)}
    return sorted(variance, key=variance.get, reverse=True)


def scaled_components(points: np.ndarray, hp: Hyperparameters) -> np.ndarray:
    """The 30 first principal components, at a mean squared norm of 1."""
    pca = PCA(min(30, *points.shape), random_state=seed_of("pair_space", hp))
    part = pca.fit_transform(points)
    return part / np.sqrt(np.mean(np.sum(part**2, axis=1)))


def pair_space(content: np.ndarray, components: np.ndarray | None, hp: Hyperparameters) -> np.ndarray:
    """Space in which neighbours are searched, by `hp.pair_space`.

    Content forgets the batch and, trained briefly, some of the cell; principal components of the
    expression remember both. Side by side, each at a mean squared norm of 1, they make fewer wrong
    pairs than either.

    Parameters
    ----------
    content
        Cells x latent_dim.
    components
        :func:`scaled_components` of the expression; not used where `hp.pair_space` is "content".
    hp
        Hyperparameters.

    Returns
    -------
    numpy.ndarray
        Cells x dimensions.
    """
    if hp.pair_space == "content":
        return content
    if hp.pair_space == "pca":
        return components
    return np.hstack([scaled_components(content, hp), components])


def principal_components(corrected: np.ndarray, hp: Hyperparameters) -> keras.Model:
    """Principal components of the corrected expression as a Keras model, so that Keras saves them."""
    corrected = unit_length(corrected) if hp.unit_length else corrected
    n = min(hp.n_components, *corrected.shape)
    solver = "arpack" if n < min(corrected.shape) else "full"
    pca = PCA(n, svd_solver=solver, random_state=seed_of("components", hp)).fit(corrected)
    cells = keras.Input((corrected.shape[1],), name="corrected_cells")
    layer = keras.layers.Dense(n, name="components")
    rows = keras.layers.UnitNormalization(name="unit_length")(cells) if hp.unit_length else cells
    model = keras.Model(cells, layer(rows), name="pca")
    layer.set_weights([pca.components_.T, -pca.components_ @ pca.mean_])
    return model
