"""Cells that stay where they are: in memory, in an .h5ad file, in a zarr store, or in Dask chunks.

Two verbs are enough to read them: some rows, and all rows block by block in the order of the file.
Mean and variance come of one pass over the blocks, see :mod:`imap_keras.inputs.moments`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem, sparse_dataset
from scipy import sparse

from .files import opened, path_of, stamp_of
from .genes import features, table_with_text_names
from .recipe import RECIPE
from .values import check_finite

BLOCK = 4096  # cells read at once
AT_ONCE = 20_000  # cells that may be dense in memory at one time
NEAR = 32  # rows so close together are read in one go: to jump costs more
SUFFIXES = (".h5ad", ".zarr")


class Cells:
    """Rows of a matrix that need not be in memory, with the names that belong to them.

    Parameters
    ----------
    matrix
        Cells x genes: an array, a scipy matrix, a Dask array, an h5py or zarr dataset, or anndata's
        sparse dataset.
    obs, var
        Annotation of cells and genes.
    path
        File or store the matrix lies in; None: in memory.
    columns
        Columns to read, by default all.
    uns
        What is recorded of how the cells were prepared.
    obsm
        Embeddings of the cells by name.
    layer
        The layer that the matrix is; None: ``X``.

    Raises
    ------
    ValueError
        The matrix is missing; it is kept gene by gene (CSC) on disk; a Dask chunk does not fit into
        memory.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.cells import open_cells
    >>> cells = open_cells(imap_keras.datasets.simulate(n_cells=30, n_genes=50))
    >>> cells.shape, cells.rows([4, 2]).shape, [len(x.toarray()) for _, x in cells.blocks(20)]
    ((30, 50), (2, 50), [20, 10])
    """

    def __init__(
        self,
        matrix,
        obs: pd.DataFrame,
        var: pd.DataFrame,
        path=None,
        columns=None,
        uns=None,
        obsm: Mapping | None = None,
        layer: str | None = None,
    ):
        self.layer = layer
        if matrix is None:
            check_finite(matrix)
        if sparse.issparse(matrix) and matrix.format != "csr":
            matrix = sparse.csr_matrix(matrix)
        if getattr(matrix, "format", "csr") != "csr":
            where = self.where
            raise ValueError(
                f"{where} of {path} is kept gene by gene (CSC): each block of cells would read all of "
                f"it. Convert it once: adata = anndata.read_h5ad({str(path)!r}) (or read_zarr); "
                f"adata.{where} = adata.{where}.tocsr(); adata.write_h5ad('by_cells.h5ad')."
            )
        if hasattr(matrix, "dask"):
            matrix = matrix.rechunk({1: -1}) if len(matrix.chunks[1]) > 1 else matrix
            _check_chunks(matrix)
        self.matrix, self.obs, self.var = matrix, obs, var
        self.path, self.columns, self.uns, self.obsm = path, columns, uns or {}, obsm or {}
        self.stamp = stamp_of(path)

    @property
    def where(self) -> str:
        """What the matrix is called in its AnnData."""
        return "X" if self.layer is None else f"layers[{self.layer!r}]"

    @classmethod
    def of(cls, matrix) -> "Cells":
        """Cells of a matrix without names."""
        return cls(matrix, *(pd.DataFrame(index=pd.RangeIndex(n)) for n in matrix.shape))

    @property
    def obs_names(self) -> pd.Index:
        """Names of the cells."""
        return self.obs.index

    @property
    def var_names(self) -> pd.Index:
        """Names of the genes."""
        return self.var.index

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return self.shape[0]

    @property
    def n_vars(self) -> int:
        """Number of genes."""
        return self.shape[1]

    @property
    def in_memory(self) -> bool:
        """True where the whole matrix is in memory anyway."""
        return isinstance(self.matrix, np.ndarray) or sparse.issparse(self.matrix)

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        return self.matrix.shape[0], len(self.var)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def everything(self) -> np.ndarray | sparse.csr_matrix:
        """The whole matrix in the columns asked for; a copy only where these are not all."""
        return self.matrix if self.columns is None else self.block(0, len(self))

    def with_genes(self, names: Sequence[str]) -> "Cells":
        """The same cells in these genes, in this order.

        Raises
        ------
        ValueError
            A gene is missing, or names are used twice.
        """
        found, _ = features(AnnData(shape=(0, len(self.var)), var=self.var), names)
        if found.n_vars == self.shape[1] and found.var_names.equals(self.var.index):
            return self
        place = self.var.index.get_indexer(found.var_names)
        columns = place if self.columns is None else self.columns[place]
        var = self.var.iloc[place]
        return Cells(self.matrix, self.obs, var, self.path, columns, self.uns, self.obsm, self.layer)

    def block(self, start: int, stop: int) -> np.ndarray | sparse.csr_matrix:
        """Neighbouring rows in one read, CSR where the matrix is sparse."""
        return self._read(slice(start, stop))

    def _read(self, rows) -> np.ndarray | sparse.csr_matrix:
        part = self.matrix[rows]
        if hasattr(part, "dask"):
            part = part.compute(scheduler="synchronous")
        part = sparse.csr_matrix(part) if sparse.issparse(part) else np.asarray(part)
        return part if self.columns is None else part[:, self.columns]

    def rows(self, index: Sequence[int]) -> np.ndarray | sparse.csr_matrix:
        """These rows, in this order; from a file rows near together are read in one go."""
        index = np.asarray(index, int)
        if self.in_memory or not len(index):
            return self._read(index)
        wanted, back = np.unique(index, return_inverse=True)
        if hasattr(self.matrix, "dask"):
            return self._read(wanted)[back]
        parts, first = [], 0
        for last in range(1, len(wanted) + 1):
            if (
                last == len(wanted)
                or wanted[last] - wanted[last - 1] > NEAR
                or wanted[last] - wanted[first] >= BLOCK
            ):
                run = wanted[first:last]
                parts.append(self.block(run[0], run[-1] + 1)[run - run[0]])
                first = last
        return stacked(parts)[back]

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[int, np.ndarray | sparse.csr_matrix]]:
        """All rows in the order of the file: the number of the first row, and a block of `size`.

        Dask chunks are computed once each, and cut into blocks.

        Raises
        ------
        RuntimeError
            The file has changed since it was opened.
        """
        chunks = getattr(self.matrix, "chunks", None) if hasattr(self.matrix, "dask") else None
        ends = np.cumsum(chunks[0]) if chunks else range(size, len(self) + size, size)
        start = 0
        for end in ends:
            self.check_unchanged()
            chunk = self.block(start, min(int(end), len(self)))
            for first in range(0, chunk.shape[0], size):
                yield start + first, chunk[first : first + size]
            start = int(end)
        self.check_unchanged()

    def check_unchanged(self) -> None:
        """Raise if the file is not what it was when it was opened.

        Raises
        ------
        RuntimeError
            Names the file.
        """
        if stamp_of(self.path) != self.stamp:
            raise RuntimeError(
                f"{self.path} changed while it was read, so what was read does not belong together. "
                "Nothing was kept; wait until it is written and call again."
            )


def open_cells(source: AnnData | str | Path | Cells, layer: str | None = None) -> Cells:
    """The cells of an AnnData (in memory, backed, or with Dask in X) or of an .h5ad or .zarr path.

    Parameters
    ----------
    source
        Where the cells are.
    layer
        The layer to read; by default, and where there is none of this name, ``X``.

    Raises
    ------
    TypeError
        Neither an AnnData nor a path.
    FileNotFoundError, ValueError
        There is no such file; it is no .h5ad file or zarr store; see :class:`Cells`.

    Examples
    --------
    >>> import tempfile
    >>> from imap_keras.datasets import simulate_file
    >>> from imap_keras.inputs.cells import open_cells
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cells = open_cells(simulate_file(f"{folder}/cells.h5ad", 30, 20))
    ...     cells.shape, cells.in_memory
    ((30, 20), False)
    """
    if isinstance(source, Cells):
        return source
    if isinstance(source, AnnData):
        if source.isbacked and source.is_view:  # anndata would read all of it at each look
            source = source.to_memory()
        obs, var = (x.to_memory() if hasattr(x, "to_memory") else x for x in (source.obs, source.var))
        obs, var = table_with_text_names(obs), table_with_text_names(var)
        layer = layer if layer in source.layers else None
        matrix = source.X if layer is None else source.layers[layer]
        path = source.filename if source.isbacked else None
        return Cells(matrix, obs, var, path, uns=source.uns, obsm=source.obsm, layer=layer)
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            f"adata={type(source).__name__} holds no cells; give an AnnData, or the path of an .h5ad "
            "file or a .zarr store."
        )
    path = path_of(source)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}; give an .h5ad file or a .zarr store.")
    group = opened(path)
    layer = layer if f"layers/{layer}" in group else None
    key = "X" if layer is None else f"layers/{layer}"
    if key not in group:
        check_finite(None, f"X of {path}")
    matrix = matrix_in(group, key)
    told = group.get("uns", {})
    uns = {name: read_elem(told[name]) for name in (RECIPE, "log1p") if name in told}
    obs, var = (table_with_text_names(read_elem(group[name])) for name in ("obs", "var"))
    return Cells(matrix, obs, var, path, uns=uns, obsm=group.get("obsm"), layer=layer)


def read_rows(cells: Cells, index: np.ndarray) -> np.ndarray | sparse.csr_matrix:
    """Rows in increasing order: from memory at once, from a file in one pass over its blocks."""
    if cells.in_memory:
        return cells.everything if len(index) == len(cells) else cells.rows(index)
    return stacked([rows_of(block, start, index) for start, block in cells.blocks()])


def rows_of(
    block: np.ndarray | sparse.csr_matrix, start: int, index: np.ndarray
) -> np.ndarray | sparse.csr_matrix:
    """Those of some rows, numbered in increasing order, that lie in a block whose first is `start`."""
    first, last = np.searchsorted(index, [start, start + block.shape[0]])
    return block[index[first:last] - start].astype("float32")


def stacked(parts: Sequence[np.ndarray | sparse.csr_matrix]) -> np.ndarray | sparse.csr_matrix:
    """Blocks on top of each other."""
    return sparse.vstack(parts, format="csr") if sparse.issparse(parts[0]) else np.concatenate(parts)


def matrix_in(group, key: str):
    """A matrix of an opened file or store, dense or sparse, read where it is looked at."""
    matrix = group[key]
    return sparse_dataset(matrix) if "data" in getattr(matrix, "keys", list)() else matrix


def memory_left() -> float:
    """Bytes of memory that may still be taken; where the system does not say, without end."""
    told = Path("/proc/meminfo")
    if not told.exists():
        return float("inf")
    (line,) = [line for line in told.read_text().splitlines() if line.startswith("MemAvailable:")]
    return 1024 * int(line.split()[1])


def _check_chunks(matrix) -> None:
    """Raise if one Dask chunk, made dense, does not fit into the memory that is left."""
    needed, left = 4 * max(matrix.chunks[0]) * matrix.shape[1], memory_left()
    if needed > left:
        raise ValueError(
            f"A Dask chunk of adata.X has {max(matrix.chunks[0])} cells: {needed / 1e9:.1f} GB, and "
            f"{left / 1e9:.1f} GB of memory are left. Cut it: adata.X = adata.X.rechunk(({BLOCK}, -1))."
        )
