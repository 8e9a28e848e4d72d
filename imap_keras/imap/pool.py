"""The cells that training sees: a pool of at most so many of each batch, dense only where looked at."""

from collections.abc import Mapping
from typing import NamedTuple

import keras
import numpy as np
from anndata import AnnData
from scipy import sparse

from ..inputs.cells import AT_ONCE, Cells, read_rows, rows_of, stacked
from ..inputs.expression import check_expression
from ..inputs.moments import Moments
from ..inputs.values import check_varied, dense
from ..nn.fitting import run
from .hyperparameters import Hyperparameters
from .seeds import sample_cells, seed_of

FOR_COMPONENTS = 10_000  # cells that those of the result are computed of, at most
SLICE = 1024  # cells that are carried at once, as many as `run` takes


class Pool:
    """Rows of cells x genes by number, dense and multiplied by the scale when they are asked for.

    Parameters
    ----------
    matrix
        Cells x genes, dense or CSR, as measured.
    index
        Which row of the data each one is.
    scale
        See `Hyperparameters.spread`.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.pool import Pool
    >>> pool = Pool(np.array([[1.0], [2.0]]), np.array([3, 8]), scale=2.0)
    >>> len(pool), pool.shape, pool[[1]].tolist()
    (2, (2, 1), [[4.0]])
    """

    def __init__(self, matrix: np.ndarray | sparse.csr_matrix, index: np.ndarray, scale: float = 1.0):
        self.matrix, self.index, self.scale = matrix, index, scale
        self.shape = matrix.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        found = dense(self.matrix[rows])
        # What was sparse is ours now: of many cells one more copy counts.
        own = found if sparse.issparse(self.matrix) else None
        return np.multiply(found, np.float32(self.scale), out=own)

    def some(self, rows: np.ndarray) -> "Pool":
        """A pool of these rows."""
        return Pool(self.matrix[rows], self.index[rows], self.scale)


class Read(NamedTuple):
    """What one pass over all cells gives.

    Parameters
    ----------
    pool
        Cells to train on.
    codes
        Batch of each cell of the pool.
    moments
        Of all cells, by batch.
    """

    pool: Pool
    codes: np.ndarray
    moments: Moments


def read_pool(cells: Cells, codes: np.ndarray, hp: Hyperparameters, source=None) -> Read:
    """Check all cells, add up their moments and keep a pool of them, in one pass.

    Parameters
    ----------
    cells, codes
        All cells, and the batch of each, 0 ... n_batches - 1.
    hp
        At most `hp.pool_size` cells of a batch are kept, in the order of the data.
    source
        What they come from; an AnnData is looked through for the advice of errors.

    Raises
    ------
    ValueError
        Values are missing, not finite, negative, or not logged; no gene varies.
    RuntimeError
        The file changed while it was read.
    """
    batches = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    chosen = np.sort(
        np.concatenate(
            [sample_cells(batch, "pool", hp, i, hp.pool_size) for i, batch in enumerate(batches)]
        )
    )
    moments, parts = Moments(int(codes.max()) + 1, cells.shape[1]), []
    source = source if isinstance(source, AnnData) else None
    if cells.in_memory:
        check_expression(cells.everything, source)
        matrix = read_rows(cells, chosen)
        check_varied(matrix)
    for start, block in cells.blocks():
        if not cells.in_memory:
            check_expression(block, source, f"X, cells from {start} on,")
            parts.append(rows_of(block, start, chosen))
        moments.add(block, codes[start : start + block.shape[0]])
    if not cells.in_memory:
        matrix = stacked(parts)
        check_varied(matrix)
    return Read(Pool(matrix, chosen), codes[chosen], moments)


def check_cells(cells: Cells, source=None) -> None:
    """Raise unless all cells hold log-normalised expression; a file is read once, block by block.

    Parameters
    ----------
    cells, source
        As for :func:`read_pool`.

    Raises
    ------
    ValueError, RuntimeError
        As :func:`read_pool`.
    """
    source = source if isinstance(source, AnnData) else None
    if cells.in_memory:
        return check_expression(cells.everything, source)
    for start, block in cells.blocks():
        check_expression(block, source, f"X, cells from {start} on,")


def searched(read: Read, hp: Hyperparameters) -> np.ndarray:
    """Cells of the pool that pairs are searched among: all, or, of many, `hp.n_samples` of a batch."""
    if len(read.pool) <= AT_ONCE:
        return np.arange(len(read.pool))
    groups = [np.flatnonzero(read.codes == code) for code in range(read.codes.max() + 1)]
    return np.sort(
        np.concatenate([sample_cells(group, "searched", hp, i) for i, group in enumerate(groups)])
    )


class Carried:
    """Cells as carried so far: as measured, and those of merged batches through their generators.

    While there are few, all lie in one table, and a batch is carried over once; of many only the rows
    that are asked for are computed, each time anew.

    Parameters
    ----------
    cells
        Cells x genes: an array, which is changed in place, or a pool.
    labels
        Batch of each cell.
    """

    def __init__(self, cells: np.ndarray | Pool, labels: np.ndarray):
        self.cells, self.labels, self.generators = cells, labels, {}
        few = isinstance(cells, np.ndarray) or len(cells) <= AT_ONCE
        self.table = (cells if isinstance(cells, np.ndarray) else cells[:]) if few else None

    def rows(self, query: np.ndarray, anchor: np.ndarray, hp: Hyperparameters, number: int):
        """Cells to look at for a query batch, and where its own and the anchor's are among them.

        Returns
        -------
        rows, query, anchor
            All, if they are few; else those of the query batch and of the anchor that pairs are
            searched among.
        """
        if self.table is not None:
            return np.arange(len(self.labels)), query, anchor
        query = sample_cells(query, "pair_sample_query", hp, number)
        anchor = sample_cells(anchor, "pair_sample_anchor", hp, number)
        rows = np.sort(np.concatenate([query, anchor]))
        return rows, np.searchsorted(rows, query), np.searchsorted(rows, anchor)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        if self.table is not None:
            return self.table if len(rows) == len(self.table) else self.table[rows]
        return carry(self.cells[rows], self.labels[rows], self.generators)

    def carry(self, name: str, generator: keras.Model) -> None:
        """A batch joins the merged ones."""
        self.generators[name] = generator
        if self.table is not None:
            carry(self.table, self.labels, {name: generator})


def carry(cells: np.ndarray, labels: np.ndarray, generators: Mapping[str, keras.Model]) -> np.ndarray:
    """Carry the cells of each batch that has a generator, in place.

    Examples
    --------
    >>> import keras
    >>> import numpy as np
    >>> from imap_keras.imap.pool import carry
    >>> twice = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(2.0)])
    >>> carry(np.ones((2, 1), "float32"), np.array(["a", "b"]), {"b": twice}).tolist()
    [[1.0], [2.0]]
    """
    for name, generator in generators.items():
        of_batch = np.flatnonzero(labels == name)
        for start in range(0, len(of_batch), SLICE):
            rows = of_batch[start : start + SLICE]
            cells[rows] = run(generator, cells[rows])
    return cells


def for_components(read: Read, carried: Carried, batches: list[str], hp: Hyperparameters) -> np.ndarray:
    """Carried cells, as long as measured ones, for the components of the result.

    All of at most 10,000; of more a sample in which each batch has the share that it has of all cells.
    Components of ever more cells show ever finer differences, for neighbours share those, too: batches
    would lie less mixed the more cells there are (benchmarks/README.md, "Many cells").
    """
    n_cells = read.moments.n.sum()
    whole = carried.table is not None and len(carried.labels) == n_cells
    if whole and n_cells <= FOR_COMPONENTS:
        return carried.table / read.pool.scale
    shares = np.ravel(read.moments.n) / n_cells
    groups = [np.flatnonzero(read.codes == code) for code in range(len(shares))]
    # The pool may be too small for some share.
    most = min(FOR_COMPONENTS, *(len(members) / share for members, share in zip(groups, shares)))
    rng, rows = np.random.default_rng(seed_of("pool", hp, len(batches))), []
    for members, share in zip(groups, shares):
        n = min(max(round(share * most), 1), len(members))
        rows.append(rng.choice(members, n, replace=False))
    rows = np.sort(np.concatenate(rows))
    labels = np.asarray(batches)[read.codes[rows]]
    cells = carry(read.pool[rows], labels, carried.generators)
    cells /= np.float32(read.pool.scale)
    return cells
