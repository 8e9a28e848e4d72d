"""Cells as AnnData in memory: all of few, a number of each batch of many, or block after block."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from anndata import AnnData
from scipy import sparse

from .cells import BLOCK, Cells, open_cells, opened, stacked
from .files import path_of
from .labels import labels_of
from .values import in_memory

AT_ONCE = 20_000  # cells that may be dense in memory at one time


def some_of_each(
    source: AnnData | str | Path, batch_key: str, most: int, seed: int = 0, layer: str | None = None
) -> AnnData:
    """Cells to train on: all of at most 20,000, and of more at most `most` of each batch.

    Parameters
    ----------
    source
        AnnData in memory, backed or with Dask in ``X``; path of an .h5ad or .zarr.
    batch_key
        Column of ``obs`` that names the batch.
    most, seed
        Cells kept of a larger batch, drawn by this seed, in the order of the data.
    layer
        The layer that is read, where there is one of this name; else ``X``.

    Returns
    -------
    anndata.AnnData
        `source` itself where it is small and in memory. Of many cells ``X`` is what was read, and so is
        the layer, where there is one.

    Raises
    ------
    KeyError
        `batch_key` is not a column.
    FileNotFoundError, ValueError, RuntimeError
        As :func:`imap_keras.inputs.cells.open_cells`; the file changed while it was read.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.parts import some_of_each
    >>> adata = imap_keras.datasets.simulate(n_cells=30)
    >>> some_of_each(adata, "batch", most=5) is adata
    True
    """
    cells = of_many(source, layer)
    if cells is None:
        return in_memory(source)
    labels, rng = labels_of(cells, batch_key), np.random.default_rng(seed)
    members = [np.flatnonzero(labels == name) for name in np.unique(labels)]
    kept = [m if len(m) <= most else rng.choice(m, most, replace=False) for m in members]
    index = np.sort(np.concatenate(kept))
    if cells.in_memory:
        return with_names(cells, cells.rows(index), index, layer, source)
    parts = []
    for start, block in cells.blocks():
        first, last = np.searchsorted(index, [start, start + block.shape[0]])
        parts.append(block[index[first:last] - start])
    return with_names(cells, stacked(parts), index, layer, source)


def blocks_of(source: AnnData | str | Path, layer: str | None = None) -> Iterator[AnnData]:
    """The cells in their order: few at once, many in blocks of 4,096.

    Parameters
    ----------
    source, layer
        As for :func:`some_of_each`.

    Raises
    ------
    FileNotFoundError, ValueError, RuntimeError
        As :func:`some_of_each`.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.parts import blocks_of
    >>> [part.n_obs for part in blocks_of(imap_keras.datasets.simulate(n_cells=30))]
    [30]
    """
    cells = of_many(source, layer)
    if cells is None:
        yield in_memory(source)
        return
    for start, block in cells.blocks(BLOCK):
        rows = np.arange(start, start + block.shape[0])
        yield with_names(cells, block, rows, layer, source)


def of_many(source: AnnData | str | Path, layer: str | None) -> Cells | None:
    """The cells where they are, if they are more than can be dense at one time."""
    if isinstance(source, AnnData) and source.n_obs <= AT_ONCE:
        return None
    cells = open_cells(source, layer)
    return cells if len(cells) > AT_ONCE else None


def has_layer(source: AnnData | str | Path, layer: str) -> bool:
    """Whether there is a layer of this name."""
    if isinstance(source, AnnData):
        return layer in source.layers
    return f"layers/{layer}" in opened(path_of(source))


def with_names(
    cells: Cells, matrix: np.ndarray | sparse.csr_matrix, index: np.ndarray, layer, source
) -> AnnData:
    """Some rows with their annotation, as an AnnData of their own."""
    part = AnnData(matrix, obs=cells.obs.iloc[index].copy(), var=cells.var.copy(), uns=dict(cells.uns))
    if layer is not None and has_layer(source, layer):
        part.layers[layer] = part.X
    return part
