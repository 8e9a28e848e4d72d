"""A Dask cluster: where it is, cells that its workers open by path, and results in order.

Dask itself is imported only where a cluster is asked for.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from scipy import sparse

from .cells import Cells
from .files import opened, path_of

TIMEOUT = 5  # seconds to wait for a scheduler, and for its first worker
PATIENCE = 60  # seconds without any worker before we give up; a cluster may be starting new ones
AHEAD = 2  # tasks under way for each thread of the cluster: one is computed, one waits


@contextmanager
def connected(client) -> Iterator:
    """A Dask client: the one given, or one of our own for an address, closed at the end.

    Parameters
    ----------
    client
        A ``distributed.Client``, or the address of a scheduler such as ``"tcp://10.0.0.1:8786"``.

    Raises
    ------
    ImportError
        ``distributed`` is not installed.
    TypeError
        Neither a client nor an address.
    ConnectionError
        There is no scheduler, or it has no worker.

    Examples
    --------
    >>> from imap_keras.inputs.cluster import connected
    >>> with connected(8786):
    ...     pass
    Traceback (most recent call last):
    TypeError: client=8786 is neither a distributed.Client nor the address of a scheduler, such as
    'tcp://10.0.0.1:8786'.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ImportError("client= needs Dask's distributed: pip install distributed.") from None
    if not isinstance(client, str | Client):
        raise TypeError(
            f"client={client!r} is neither a distributed.Client nor the address of a scheduler, such "
            "as 'tcp://10.0.0.1:8786'."
        )
    own = isinstance(client, str)
    address = client if own else getattr(client.scheduler, "address", "the address of a closed client")
    try:
        if own:
            client = Client(address, timeout=TIMEOUT)
        elif client.status != "running":
            raise OSError(client.status)
    except (OSError, ValueError):
        raise ConnectionError(
            f"There is no Dask scheduler at {address}. Start one with `dask scheduler`, and workers "
            "with `dask worker ADDRESS --nthreads 1`, ADDRESS being the one that the scheduler prints."
        ) from None
    try:
        try:
            client.wait_for_workers(1, timeout=TIMEOUT)
        except TimeoutError:
            raise ConnectionError(
                f"The Dask scheduler at {address} has no worker. Start some with `dask worker "
                f"{address} --nthreads 1`."
            ) from None
        yield client
    finally:
        if own:
            client.close()


def in_order(client, task: Callable, calls: Iterable[tuple]) -> Iterator:
    """What a task gives for each call, in the order of the calls; few are under way at a time.

    A task whose worker dies is done again by another. Close the iterator (``contextlib.closing``):
    it then waits for what is under way, so that nothing writes any more where it is left early.

    Parameters
    ----------
    client
        As for :func:`connected`.
    task
        A function of a module that workers can import.
    calls
        Arguments of each call; looked at when its turn comes.

    Raises
    ------
    ConnectionError
        All workers have gone, and none came for a minute.

    Examples
    --------
    >>> from contextlib import closing
    >>> import distributed
    >>> from imap_keras.inputs.cluster import in_order
    >>> with distributed.Client(processes=False, n_workers=1, dashboard_address=None) as client:
    ...     with closing(in_order(client, pow, [(2, 3), (3, 2)])) as found:
    ...         list(found)
    [8, 9]
    """
    import dask

    under_way = deque()
    with (
        connected(client) as client,
        # Arguments are the cells themselves, of one task at a time, and not a graph to be kept small.
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}),
    ):
        from distributed import wait

        try:
            for call in calls:
                under_way.append(client.submit(task, *call, pure=False))
                if len(under_way) >= AHEAD * max(sum(client.nthreads().values()), 1):
                    yield _awaited(client, under_way)
            while under_way:
                yield _awaited(client, under_way)
        finally:
            if client.nthreads():
                wait(list(under_way))
            else:  # nobody writes
                client.cancel(list(under_way))


def _awaited(client, under_way: deque):
    """The result of the first task under way, which then is not any more."""
    alone_since = None
    while True:
        try:
            found = under_way[0].result(timeout=TIMEOUT)
        except TimeoutError:
            if under_way[0].done():  # an error of the task itself
                raise
            alone_since = None if client.nthreads() else alone_since or time.monotonic()
            if alone_since and time.monotonic() - alone_since > PATIENCE:
                raise ConnectionError(
                    f"All workers of the Dask scheduler at {client.scheduler.address} have gone, and "
                    f"none came for {PATIENCE} seconds. Nothing was kept; start some with `dask worker "
                    f"{client.scheduler.address} --nthreads 1` and call again."
                ) from None
        else:
            under_way.popleft()
            return found


class Place(NamedTuple):
    """Where cells lie, for a process that opens them itself: handles of files stay where they are.

    Parameters
    ----------
    path, key
        Of the file or store, and of the matrix in it.
    columns
        Columns to read; None: all.
    stamp
        What the file was when its names and labels were read.
    """

    path: str
    key: str
    columns: np.ndarray | None
    stamp: tuple

    def block(self, start: int, stop: int) -> np.ndarray | sparse.csr_matrix:
        """Neighbouring rows, as :meth:`imap_keras.inputs.cells.Cells.block` reads them.

        Raises
        ------
        FileNotFoundError
            This machine does not see the path.
        RuntimeError
            The file has changed since.
        """
        if not Path(self.path).exists():
            raise FileNotFoundError(
                f"A worker finds no {self.path}: every worker must see the cells by this path."
            )
        group = opened(Path(self.path))
        try:
            cells = Cells(RowsOf(group[self.key]), None, None, self.path, self.columns)
            cells.stamp = self.stamp
            cells.check_unchanged()
            return cells.block(start, stop)
        finally:
            if isinstance(group, h5py.File):
                group.close()


class RowsOf:
    """Rows of a matrix of an opened file or store, dense or CSR, for a process that wants a block.

    Of a sparse matrix anndata reads where every row begins, 8 bytes a cell; here only the places of the
    rows that are asked for are read.

    Parameters
    ----------
    matrix
        As it lies in the file.
    """

    def __init__(self, matrix):
        self.matrix, self.sparse = matrix, "indptr" in getattr(matrix, "keys", list)()
        self.shape = tuple(matrix.attrs["shape"]) if self.sparse else matrix.shape

    def __getitem__(self, rows: slice) -> np.ndarray | sparse.csr_matrix:
        if not self.sparse:
            return self.matrix[rows]
        begins = self.matrix["indptr"][rows.start : rows.stop + 1].astype(np.int64)
        part = slice(int(begins[0]), int(begins[-1]))
        values, columns = self.matrix["data"][part], self.matrix["indices"][part]
        shape = len(begins) - 1, self.shape[1]
        return sparse.csr_matrix((values, columns, begins - begins[0]), shape=shape)


def place_of(cells: Cells) -> Place:
    """Where cells lie, if workers can open them.

    Raises
    ------
    TypeError
        They are in memory, or in Dask chunks.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.cells import open_cells
    >>> from imap_keras.inputs.cluster import place_of
    >>> place_of(open_cells(imap_keras.datasets.simulate(n_cells=30, n_genes=20)))
    Traceback (most recent call last):
    TypeError: client= needs cells on disk, which workers open themselves: write them with
    adata.write_zarr('cells.zarr') and give that path.
    """
    if cells.path is None:
        raise TypeError(
            "client= needs cells on disk, which workers open themselves: write them with "
            "adata.write_zarr('cells.zarr') and give that path."
        )
    key = getattr(cells.matrix, "group", cells.matrix).name
    return Place(str(path_of(cells.path).absolute()), key, cells.columns, cells.stamp)


def check_written(client, out) -> None:
    """Raise if workers are to help with a result that is not written.

    Raises
    ------
    ValueError
        `client` without `out`.

    Examples
    --------
    >>> from imap_keras.inputs.cluster import check_written
    >>> check_written("tcp://10.0.0.1:8786", None)
    Traceback (most recent call last):
    ValueError: client= needs out='result.zarr': what workers make is written, not brought into memory.
    """
    if client is not None and out is None:
        raise ValueError(
            "client= needs out='result.zarr': what workers make is written, not brought into memory."
        )
