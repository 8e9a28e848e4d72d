"""scIB's table of measures, by scib-metrics."""

import warnings

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.neighbors import NearestNeighbors

from ..inputs.labels import labels_of


def scib_table(
    adata: AnnData, spaces: list[str], batch_key: str = "batch", label_key: str = "cell_type"
) -> pd.DataFrame:
    """scIB's measures (scib-metrics) for several embeddings: one row each, totals last.

    Parameters
    ----------
    adata
        Cells with the embeddings in ``obsm``.
    spaces
        Keys of ``adata.obsm``.
    batch_key, label_key
        Columns of ``adata.obs``.

    Returns
    -------
    pandas.DataFrame
        One row a space; the columns are scib-metrics' own, unscaled: 0 worst, 1 best. "Total" is
        0.6 x bio conservation + 0.4 x batch correction.

    Raises
    ------
    KeyError
        A space is not in ``adata.obsm``, or a column not in ``adata.obs``.
    ValueError
        A cell has no batch or no type.
    ImportError
        scib-metrics is not installed (it is part of the `course` extra).

    References
    ----------
    Luecken et al., Nature Methods 19:41 (2022).

    Examples
    --------
    >>> scib_table(adata, ["X_pca", "X_imap"])  # doctest: +SKIP
    """
    for space in spaces:
        if space not in adata.obsm:
            raise KeyError(f"{space!r} is not in adata.obsm; there are {list(adata.obsm)}.")
    labels = {
        batch_key: labels_of(adata, batch_key),
        label_key: labels_of(adata, label_key, "label_key"),
    }
    obs = pd.DataFrame(labels, index=adata.obs_names, dtype="category")
    from scib_metrics.benchmark import Benchmarker  # imports JAX: seconds that others need not wait

    light = AnnData(
        obs=obs,
        obsm={space: np.asarray(adata.obsm[space], dtype="float32") for space in spaces},
    )
    benchmark = Benchmarker(
        light,
        batch_key,
        label_key,
        embedding_obsm_keys=spaces,
        pre_integrated_embedding_obsm_key=spaces[0],
        n_jobs=1,
        progress_bar=False,
    )
    benchmark.prepare(scib_neighbors)
    with warnings.catch_warnings():  # its approximate search inside small types, once for each of them
        warnings.filterwarnings("ignore", "Failed to correctly find n_neighbors")
        benchmark.benchmark()
    table = benchmark.get_results(min_max_scale=False)
    return table.loc[spaces].astype(float)


def scib_neighbors(space: np.ndarray, k: int):
    """Nearest neighbours as scib-metrics takes them; exact, and without a minute's compiling.

    Parameters
    ----------
    space
        Cells x dimensions.
    k
        Neighbours of a cell, itself the first of them; at most all cells.

    Returns
    -------
    scib_metrics.nearest_neighbors.NeighborsResults
        Indices and euclidean distances, cells x k.

    Raises
    ------
    ImportError
        scib-metrics is not installed (it is part of the `course` extra).

    Examples
    --------
    >>> from imap_keras.metrics import scib_neighbors
    >>> scib_neighbors(adata.obsm["X_imap"], 90)  # doctest: +SKIP
    """
    from scib_metrics.nearest_neighbors import NeighborsResults

    found = NearestNeighbors(n_neighbors=min(k, len(space))).fit(space)
    distances, indices = found.kneighbors(space)
    return NeighborsResults(indices=indices, distances=distances)
