"""Cells as AnnData in memory: all of few, a number of each batch of many, or block after block."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from anndata import AnnData
from anndata.io import read_elem
from scipy import sparse

from .cells import AT_ONCE, BLOCK, Cells, open_cells, read_rows
from .files import opened, path_of
from .labels import labels_of
from .values import in_memory


def some_of_each(
    source: AnnData | str | Path, batch_key: str, most: int, seed: int = 0, layer: str | None = None
) -> AnnData:
    """Cells to train on: all of at most 20,000, and of more at most `most` of each batch.

    Parameters
    ----------
    source
        AnnData in memory, backed or with Dask in ``X``; path of an .h5ad or .zarr; of
        :func:`as_they_lie`.
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
    cells = as_they_lie(source, layer)
    if isinstance(cells, AnnData):
        return cells
    index = drawn_of_each(labels_of(cells, batch_key), most, seed)
    return with_names(cells, read_rows(cells, index), index)


def drawn_of_each(groups: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """Numbers of cells, in increasing order: all of a small group, and `most` drawn of a larger one.

    Parameters
    ----------
    groups
        Group of each cell, its batch for example.
    most, seed
        Cells kept of a larger group, drawn by this seed.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.parts import drawn_of_each
    >>> index = drawn_of_each(np.array(["a", "b", "a", "a"]), most=2)
    >>> len(index), 1 in index
    (3, True)
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == name) for name in np.unique(groups)]
    kept = [m if len(m) <= most else rng.choice(m, most, replace=False) for m in members]
    return np.sort(np.concatenate(kept))


def blocks_of(source: AnnData | str | Path | Cells, layer: str | None = None) -> Iterator[AnnData]:
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
    cells = as_they_lie(source, layer)
    if isinstance(cells, AnnData):
        yield cells
        return
    for start, block in cells.blocks(BLOCK):
        yield with_names(cells, block, np.arange(start, start + block.shape[0]))


def as_they_lie(source: AnnData | str | Path | Cells, layer: str | None = None) -> AnnData | Cells:
    """At most 20,000 cells as an AnnData in memory, more where they are; names and labels of all.

    Parameters
    ----------
    source, layer
        As for :func:`some_of_each`; what this gave before is given back.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`imap_keras.inputs.cells.open_cells`.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.parts import as_they_lie
    >>> adata = imap_keras.datasets.simulate(n_cells=30)
    >>> as_they_lie(adata, "counts") is adata
    True
    """
    few = isinstance(source, AnnData) and source.n_obs <= AT_ONCE
    if isinstance(source, str | Path) and path_of(source).exists():
        few = len(read_elem(opened(path_of(source))["obs"])) <= AT_ONCE
    return in_memory(source) if few else open_cells(source, layer)


def with_names(cells: Cells, matrix: np.ndarray | sparse.csr_matrix, index: np.ndarray) -> AnnData:
    """Some rows with their annotation, as an AnnData of their own."""
    part = AnnData(matrix, obs=cells.obs.iloc[index].copy(), var=cells.var.copy(), uns=dict(cells.uns))
    if cells.layer is not None:
        part.layers[cells.layer] = part.X
    return part
