"""Results written block by block into an .h5ad file or a zarr store, whole or not at all."""

import glob
import os
import shutil
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import write_elem
from scipy import sparse

from .cells import BLOCK, SUFFIXES
from .files import path_of

CHUNK_BYTES = 1e6  # of an .h5ad file; a zarr chunk is a file of its own, and holds a block
FEW_ENTRIES = 2**18  # non-zero entries of a sparse matrix in one chunk
BEHIND = 3  # results of a block that wait to be written
MOST_INT32 = 2**31 - 1
A_DAY = 86_400  # seconds; what a killed write left may go then: nobody is at work on it


def check_out(out: str | Path) -> Path:
    """Return the path of a result, if one can be written there.

    Raises
    ------
    ValueError
        It ends neither in .zarr nor in .h5ad.
    FileExistsError, FileNotFoundError
        It is there already; its folder is not.

    Examples
    --------
    >>> from imap_keras.inputs.writing import check_out
    >>> check_out("result.txt")
    Traceback (most recent call last):
    ValueError: out='result.txt' must end in .h5ad or .zarr.
    """
    path = path_of(out)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"out={str(out)!r} must end in {' or '.join(SUFFIXES)}.")
    if path.exists():
        raise FileExistsError(f"out={str(out)!r} exists already; remove it, or give another name.")
    if not path.parent.exists():
        raise FileNotFoundError(f"There is no folder {path.parent} to write {path.name} into; make it.")
    return path


def check_room(path: Path, needed: float) -> None:
    """Raise if so many bytes do not fit onto the disk.

    Raises
    ------
    OSError
        Says how many are needed, and how many are free.

    Examples
    --------
    >>> from pathlib import Path
    >>> from imap_keras.inputs.writing import check_room
    >>> check_room(Path("result.zarr"), 1000)
    """
    free = shutil.disk_usage(path.absolute().parent).free
    if needed > free:
        raise OSError(
            f"{path} needs up to {needed / 1e9:.2f} GB, and {free / 1e9:.2f} GB are free on that disk. "
            "Make room, write elsewhere, or keep less."
        )


def check_described(obs: pd.DataFrame, var: pd.DataFrame) -> None:
    """Raise if a file cannot hold what is known of cells and genes: before any work.

    Raises
    ------
    ValueError
        Names the column, and how to mend it.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.inputs.writing import check_described
    >>> names = pd.DataFrame(index=["a", "b"])
    >>> check_described(names.assign(age=["45", None]), names)
    >>> check_described(names.assign(age=[45, "unknown"]), names)
    Traceback (most recent call last):
    ValueError: obs['age'] holds int and str, which no file can keep. Make it text: adata.obs['age'] =
    adata.obs['age'].astype(str).
    """
    for what, table in (("obs", obs), ("var", var)):
        _check_column_names(what, table)
        for name in table:
            column = table[[name]]
            dtype = column.dtypes.iloc[0]
            if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
                continue
            try:
                write_on_trial("/", _as_kept(column, table.iloc[:0, :0], {}))
            except Exception as error:
                if pd.api.types.is_float_dtype(dtype):
                    raise ValueError(
                        f"{what}[{name!r}] has the type {dtype}, which no file can keep. Make it plain "
                        f"numbers: adata.{what}[{name!r}] = adata.{what}[{name!r}].astype(float)."
                    ) from error
                kinds = sorted({type(value).__name__ for value in column[name].dropna()})
                raise ValueError(
                    f"{what}[{name!r}] holds {' and '.join(kinds)}, which no file can keep. Make it "
                    f"text: adata.{what}[{name!r}] = adata.{what}[{name!r}].astype(str)."
                ) from error


def _check_column_names(what: str, table: pd.DataFrame) -> None:
    for name in table.columns[table.columns.duplicated()]:
        raise ValueError(
            f"{what} has several columns named {name!r}; a file keeps one of a name: leave the others "
            f"out, adata.{what} = adata.{what}.loc[:, ~adata.{what}.columns.duplicated()]."
        )
    for name in table:
        if not isinstance(name, str):
            raise ValueError(
                f"{what} has a column named {name!r} ({type(name).__name__}); a file takes text alone: "
                f"adata.{what}.columns = adata.{what}.columns.astype(str)."
            )
        if name == "_index":
            raise ValueError(
                f"A file keeps the names of {what} as '_index'; rename it: adata.{what} = "
                f"adata.{what}.rename(columns={{'_index': 'another'}})."
            )
    name = table.index.name
    if name in table and not np.array_equal(table[name].astype(str), table.index.astype(str)):
        raise ValueError(
            f"{what} has a column {name!r}, and an index of this name with other entries; a file keeps "
            f"one of a name: adata.{what}.index.name = None."
        )


def write_on_trial(key: str, entry: object) -> None:
    """Write into memory alone, to raise whatever a file would.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.writing import write_on_trial
    >>> write_on_trial("numbers", np.ones(2))
    """
    with h5py.File(uuid.uuid4().hex, "w", driver="core", backing_store=False) as file:
        write_elem(file, key, entry)


def _as_kept(obs: pd.DataFrame, var: pd.DataFrame, uns: Mapping) -> AnnData:
    """What is known of cells and genes as anndata writes it: text as categories, so some may lack."""
    told = AnnData(obs=obs.copy(), var=var.copy(), uns=dict(uns))
    told.strings_to_categoricals()
    return told


class Store:
    """An AnnData on disk that grows block by block; made by :func:`result_store`.

    Parameters
    ----------
    group
        Root of an h5py file or a zarr store.
    n_cells
        Rows of every matrix.
    path
        Where it lies while it grows.
    """

    def __init__(self, group, n_cells: int, path: Path):
        self.group, self.n_cells, self.path, self.ends = group, n_cells, path, {}

    def describe(self, obs: pd.DataFrame, var: pd.DataFrame, uns: Mapping) -> None:
        """Write what is known of cells and genes, before any block."""
        write_elem(self.group, "/", _as_kept(obs, var, uns))

    def put(self, key: str, start: int, block: np.ndarray | sparse.csr_matrix) -> None:
        """Rows from `start` on of the matrix at `key`; each comes after those before it."""
        if sparse.issparse(block):
            self._append(key, block)
            return
        if key not in self.group:
            self.make(key, block.shape[1], block.dtype)
        self.group[key][start : start + len(block)] = block

    def make(self, key: str, width: int, dtype) -> None:
        """A dense matrix without rows yet; a chunk of a zarr store holds `BLOCK` of them."""
        self._make(key, (self.n_cells, width), dtype)
        self._mark(self.group[key], "array", "0.2.0")

    def _append(self, key: str, block: sparse.csr_matrix) -> None:
        """More rows of a CSR matrix: their entries go to the end of the arrays."""
        arrays = {"data": block.data, "indices": block.indices.astype("int32")}
        if key not in self.ends:
            self._mark(self.group.create_group(key), "csr_matrix", "0.1.0")
            self.group[key].attrs["shape"] = np.array([self.n_cells, block.shape[1]]).tolist()
            for name, values in arrays.items():
                self._make(f"{key}/{name}", (0,), values.dtype)
            self.ends[key] = [np.zeros(1, "int64")]
        done = int(self.ends[key][-1][-1])
        for name, values in arrays.items():
            array = self.group[f"{key}/{name}"]
            array.resize((done + len(values),))
            if len(values):
                array[done:] = values
        self.ends[key].append(done + block.indptr[1:].astype("int64"))

    def _make(self, key: str, shape: tuple[int, ...], dtype) -> None:
        width = int(np.prod(shape[1:]))
        if isinstance(self.group, h5py.Group):
            rows = max(int(CHUNK_BYTES / (width * np.dtype(dtype).itemsize)), 1)
            rows = FEW_ENTRIES if len(shape) == 1 else min(rows, max(shape[0], 1))
            most = (None,) if len(shape) == 1 else shape
            self.group.create_dataset(key, shape, dtype, chunks=(rows, *shape[1:]), maxshape=most)
        else:
            rows = FEW_ENTRIES if len(shape) == 1 else min(BLOCK, max(shape[0], 1))
            self.group.create_array(key, shape=shape, dtype=dtype, chunks=(rows, *shape[1:]))

    @staticmethod
    def _mark(node, kind: str, version: str) -> None:
        node.attrs["encoding-type"], node.attrs["encoding-version"] = kind, version

    def finish(self) -> None:
        """Write where the rows of each CSR matrix end."""
        for key, parts in self.ends.items():
            ends = np.concatenate(parts)
            # scanpy cannot read columns in 32 bits beside ends in 64, so 64 only where they must be.
            write_elem(
                self.group[key], "indptr", ends.astype("int32") if ends[-1] <= MOST_INT32 else ends
            )


@contextmanager
def written_behind(put: Callable) -> Iterator[Callable]:
    """The same `put` in a thread of its own, in the same order, while the next is computed.

    Parameters
    ----------
    put
        Writes; what it raises comes out at a later call, or at the end.

    Examples
    --------
    >>> from imap_keras.inputs.writing import written_behind
    >>> written = []
    >>> with written_behind(written.append) as put:
    ...     put("first")
    ...     put("second")
    >>> written
    ['first', 'second']
    """
    waiting, writer = deque(), ThreadPoolExecutor(1)

    def put_later(*given) -> None:
        while len(waiting) >= BEHIND:
            waiting.popleft().result()
        waiting.append(writer.submit(put, *given))

    try:
        yield put_later
        while waiting:
            waiting.popleft().result()
    finally:
        writer.shutdown(cancel_futures=True)  # an error: what waits is for nothing


def put_rows(store: str | Path, key: str, start: int, block: np.ndarray) -> None:
    """Rows of a matrix that :meth:`Store.make` made, into a zarr store opened by its path.

    Several processes may do so at once, each with chunks of its own.
    """
    import zarr

    zarr.open_group(store, mode="r+")[key][start : start + len(block)] = block


@contextmanager
def result_store(out: str | Path, n_cells: int, needed: float) -> Iterator[Store]:
    """Open a result for writing under a temporary name; it gets its own when all is written.

    Parameters
    ----------
    out
        An .h5ad or .zarr path that does not exist yet.
    n_cells
        Rows of every matrix.
    needed
        Bytes that it may take.

    Raises
    ------
    ValueError, OSError
        As :func:`check_out` and :func:`check_room`.

    Examples
    --------
    >>> import tempfile
    >>> import anndata, numpy as np, pandas as pd
    >>> from imap_keras.inputs.writing import result_store
    >>> names = pd.DataFrame(index=["a", "b"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with result_store(f"{folder}/result.h5ad", 2, needed=100) as store:
    ...         store.describe(names, names, {})
    ...         store.put("obsm/X_imap", 0, np.ones((2, 3), "float32"))
    ...     anndata.read_h5ad(f"{folder}/result.h5ad").obsm["X_imap"].shape
    (2, 3)
    """
    path = check_out(out)
    check_room(path, needed)
    temporary = path.with_name(f"writing-{uuid.uuid4().hex[:8]}-{path.name}.part")
    try:
        if path.suffix == ".zarr":
            import zarr

            group = zarr.open_group(temporary, mode="w", zarr_format=anndata.settings.zarr_write_format)
        else:
            group = h5py.File(temporary, "w")
        try:
            store = Store(group, n_cells, temporary)
            yield store
            store.finish()
        finally:
            if isinstance(group, h5py.File):
                group.close()
        os.rename(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)
    _remove_left_overs(path)


def _remove_left_overs(path: Path) -> None:
    """What killed writes of this result left behind, a day ago or longer."""
    for left in path.parent.glob(f"writing-*-{glob.escape(path.name)}.part"):
        with suppress(OSError):  # somebody else's, perhaps; the result is whole by now
            written = [left, *left.rglob("*")] if left.is_dir() else [left]
            if time.time() - max(part.stat().st_mtime for part in written) > A_DAY:
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
