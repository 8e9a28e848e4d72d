"""Values of cells that stay where they are: data sets on top of each other, modalities side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..inputs.cells import Cells, read_rows
from ..inputs.values import dense


@dataclass(frozen=True)
class Part:
    """One modality of one data set: where its values lie, and where they belong.

    Parameters
    ----------
    cells
        The cells, in memory or not.
    order
        Row of `cells` for each cell of the data set.
    column
        For each feature of the whole, its column in `cells`; -1 where it has none.
    first
        Number of the data set's first cell.
    """

    cells: Cells
    order: np.ndarray
    column: np.ndarray
    first: int = 0

    def lines(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of some rows of the whole this part has values of, and their rows of `cells`."""
        place = rows - self.first
        inside = np.flatnonzero((place >= 0) & (place < len(self.order)))
        return inside, self.order[place[inside]]

    def there(self) -> np.ndarray:
        """Features of the whole that this part has values of."""
        return np.flatnonzero(self.column >= 0)


class Measured:
    """Cells x features, read where they lie when rows are asked for; 0 where nothing was measured.

    Parameters
    ----------
    parts
        What it is made of; no two parts say where the same feature of the same cell is.
    shape
        Cells and features.

    Examples
    --------
    >>> import imap_keras
    >>> import numpy as np
    >>> from imap_keras.inclust.measured import Measured, Part
    >>> from imap_keras.inputs.cells import open_cells
    >>> cells = open_cells(imap_keras.datasets.simulate(n_cells=30, n_genes=50))
    >>> values = Measured([Part(cells, np.arange(30), np.array([7, -1]))], (30, 2))
    >>> values[np.array([3, 1])].shape, values.features(np.array([1])).shape
    ((2, 2), (30, 1))
    """

    def __init__(self, parts: Sequence[Part], shape: tuple[int, int]):
        self.parts, self.shape = list(parts), shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        rows = np.arange(len(self))[rows]
        found = np.zeros((len(rows), self.shape[1]), "float32")
        for part in self.parts:
            (inside, lines), there = part.lines(rows), part.there()
            if len(inside) and len(there):
                values = columns_of(part.cells.rows(lines), part.column[there])
                found[np.ix_(inside, there)] = dense(values)
        return found

    def features(self, column: np.ndarray) -> "Measured":
        """The same cells in other features: the number of each here, -1 for one that is not here."""
        places = [np.where(column >= 0, part.column[column], -1) for part in self.parts]
        parts = [replace(part, column=place) for part, place in zip(self.parts, places, strict=True)]
        return Measured(parts, (self.shape[0], len(column)))

    def read(self, rows: np.ndarray) -> "Measured":
        """Some of the cells, in increasing order, read into memory in one pass over each part.

        Raises
        ------
        RuntimeError
            A file changed while it was read.
        """
        parts = []
        for part in self.parts:
            (inside, lines), there = part.lines(rows), part.there()
            if not len(inside):
                continue
            wanted, order = np.unique(lines, return_inverse=True)
            column = np.full(len(part.column), -1)
            column[there] = np.arange(len(there))
            matrix = columns_of(read_rows(part.cells, wanted), part.column[there])
            parts.append(Part(Cells.of(matrix), order.ravel(), column, int(inside[0])))
        return Measured(parts, (len(rows), self.shape[1]))


def columns_of(matrix, column: np.ndarray):
    """Columns of a matrix; the matrix itself where these are all, in their order."""
    return matrix if np.array_equal(column, np.arange(matrix.shape[1])) else matrix[:, column]


def features_of(values: np.ndarray | Measured, column: np.ndarray) -> np.ndarray | Measured:
    """The same cells in other features, by the number of each; 0 throughout for one that is -1.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inclust.measured import features_of
    >>> features_of(np.array([[1.0, 2.0]]), np.array([1, -1])).tolist()
    [[2.0, 0.0]]
    """
    if isinstance(values, Measured):
        return values.features(column)
    found, there = np.zeros((len(values), len(column)), "float32"), column >= 0
    found[:, there] = values[:, column[there]]
    return found


def of_cells(cells: Cells) -> Measured:
    """One modality of one data set, as it lies."""
    part = Part(cells, np.arange(len(cells)), np.arange(cells.n_vars))
    return Measured([part], (len(cells), cells.n_vars))


def beside(
    tables: Sequence[np.ndarray | Measured], orders: Sequence[np.ndarray]
) -> np.ndarray | Measured:
    """Modalities of the same cells side by side, and which row each cell is in each of them.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inclust.measured import beside
    >>> beside([np.array([[1], [2]]), np.array([[8], [9]])], [[0, 1], [1, 0]]).tolist()
    [[1, 9], [2, 8]]
    """
    if all(isinstance(table, np.ndarray) for table in tables):
        return np.hstack([table[order] for table, order in zip(tables, orders, strict=True)])
    n_features, before, parts = sum(table.shape[1] for table in tables), 0, []
    for table, order in zip(map(measured, tables), orders, strict=True):
        place = np.arange(n_features) - before
        inside = (place >= 0) & (place < table.shape[1])
        parts += [
            replace(part, order=part.order[order])
            for part in table.features(np.where(inside, place, -1)).parts
        ]
        before += table.shape[1]
    return Measured(parts, (len(orders[0]), n_features))


def stacked(tables: Sequence[np.ndarray | Measured]) -> np.ndarray | Measured:
    """Data sets of the same features on top of each other: an array where all of them are.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inclust.measured import stacked
    >>> stacked([np.array([[1]]), np.array([[2]])]).tolist()
    [[1], [2]]
    """
    if all(isinstance(table, np.ndarray) for table in tables):
        return np.concatenate(tables)
    parts, first = [], 0
    for table in map(measured, tables):
        parts += [replace(part, first=part.first + first) for part in table.parts]
        first += len(table)
    return Measured(parts, (first, tables[0].shape[1]))


def measured(table: np.ndarray | Measured) -> Measured:
    """An array as values that stay where they are, in memory."""
    return table if isinstance(table, Measured) else of_cells(Cells.of(table))
