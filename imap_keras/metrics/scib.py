"""scIB's table of measures, by scib-metrics."""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.neighbors import NearestNeighbors

from ..inputs.labels import labels_of
from ..nn.parameters import check_count
from .labels import finite_rows

LEAST_CELLS = 90  # scib-metrics looks at so many neighbours of a cell
LEFT_BY_PYTHON = 1000  # objects at most: Python 3.12 begins with 375 that are never collected


def scib_table(
    adata: AnnData, spaces: list[str], batch_key: str = "batch", label_key: str = "cell_type"
) -> pd.DataFrame:
    """scIB's measures (scib-metrics) for several embeddings: one row each, totals last.

    Parameters
    ----------
    adata
        Cells with the embeddings in ``obsm``.
    spaces
        Keys of ``adata.obsm``, the cells before integration first: "PCR comparison" says how much less
        of the variance batches explain than there, and is 0 for the first itself.
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
        A cell has no batch or no type; there is one space only, and nothing to compare it with; a
        space is named twice, or holds NaN or infinite values; there are fewer than 90 cells, or no type
        with cells of two batches.
    ImportError
        scib-metrics is not installed (it is part of the `course` extra).

    References
    ----------
    Luecken et al., Nature Methods 19:41 (2022).

    Examples
    --------
    >>> scib_table(adata, ["X_pca", "X_imap"])  # doctest: +SKIP
    """
    spaces = list(spaces)
    for space in spaces:
        if space not in adata.obsm:
            raise KeyError(f"{space!r} is not in adata.obsm; there are {list(adata.obsm)}.")
    labels = {
        batch_key: labels_of(adata, batch_key),
        label_key: labels_of(adata, label_key, "label_key"),
    }
    if len(spaces) < 2:
        raise ValueError(
            f"spaces={list(spaces)} has nothing to compare with: scIB's PCR comparison needs the cells "
            "before integration as the first space, e.g. ['X_pca', 'X_imap']."
        )
    twice = [space for space in spaces if spaces.count(space) > 1]
    if twice:
        raise ValueError(f"spaces={list(spaces)} names {twice[0]!r} twice; name each space once.")
    if adata.n_obs < LEAST_CELLS:
        raise ValueError(
            f"scIB's table needs at least {LEAST_CELLS} cells, for it looks at as many neighbours of "
            f"each; adata has {adata.n_obs}. imap_index takes fewer."
        )
    obs = pd.DataFrame(labels, index=adata.obs_names, dtype="category")
    of_type = obs.groupby(label_key, observed=True)[batch_key].agg(["nunique", "size"])
    if not of_type["nunique"].between(2, of_type["size"] - 1).any():
        raise ValueError(
            f"scIB's table needs a type with several cells in two batches: each type of {label_key!r} "
            f"lies in one batch of {batch_key!r}, or has one cell of each, so there is no mixing to "
            "measure. Are the types named alike in all batches?"
        )
    tables = {space: finite_rows(adata.obsm[space], f"adata.obsm[{space!r}]") for space in spaces}
    from scib_metrics.benchmark import Benchmarker  # imports JAX: seconds that others need not wait

    light = AnnData(
        obs=obs,
        obsm={space: np.asarray(table, dtype="float32") for space, table in tables.items()},
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
    with objects_left_alone(), notes_left_out(), exact_search():
        benchmark.benchmark()
    table = benchmark.get_results(min_max_scale=False)
    return table.loc[spaces].astype(float)


@contextmanager
def objects_left_alone() -> Iterator[None]:
    """Let collections of garbage pass over all objects that exist by now.

    scib-metrics collects garbage before each of its ten measures of each space, and every time looks at
    all that TensorFlow and Keras have loaded: 25 seconds of a table of three spaces, without it 5. It
    has collected once before, in `prepare`, so that nothing is left alone that nobody holds.
    """
    before = gc.get_freeze_count()
    gc.freeze()
    try:
        yield
    finally:
        if before <= LEFT_BY_PYTHON:  # else somebody wants them left alone for longer
            gc.unfreeze()


@contextmanager
def notes_left_out() -> Iterator[None]:
    """Without scib-metrics' own lines, such as those on types too small for one of its measures."""
    logger = logging.getLogger("scib_metrics")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def exact_search() -> Iterator[None]:
    """Let scib-metrics' kBET, too, find the neighbours inside a type by :func:`scib_neighbors`.

    Its own search is approximate, compiles for 40 seconds in each program, and finds too few neighbours
    in small types.
    """
    from scib_metrics import nearest_neighbors

    own = nearest_neighbors.pynndescent
    nearest_neighbors.pynndescent = lambda space, n_neighbors: scib_neighbors(space, n_neighbors)
    try:
        yield
    finally:
        nearest_neighbors.pynndescent = own


def scib_neighbors(space: np.ndarray, k: int):
    """Nearest neighbours as scib-metrics takes them; exact, and without a minute's compiling.

    Parameters
    ----------
    space
        Cells x dimensions, dense.
    k
        Neighbours of a cell, itself the first of them; at most all cells.

    Returns
    -------
    scib_metrics.nearest_neighbors.NeighborsResults
        Indices and euclidean distances, cells x k.

    Raises
    ------
    ValueError
        The space is sparse, of another shape, or holds NaN or infinite values; `k` is below 1.
    ImportError
        scib-metrics is not installed (it is part of the `course` extra).

    Examples
    --------
    >>> from imap_keras.metrics import scib_neighbors
    >>> scib_neighbors(adata.obsm["X_imap"], 90)  # doctest: +SKIP
    """
    space, k = finite_rows(space), check_count("k", k)
    from scib_metrics.nearest_neighbors import NeighborsResults  # imports JAX

    found = NearestNeighbors(n_neighbors=min(k, len(space))).fit(space)
    distances, indices = found.kneighbors(space)
    return NeighborsResults(indices=indices, distances=distances)
