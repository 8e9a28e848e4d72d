"""What neighbours tell of a cell: its label, and itself as another modality sees it."""

import warnings

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from ..inputs.labels import coded
from ..inputs.values import check_finite
from ..nn.parameters import check_count

FOLDS = 5


def typed_cells(labels: np.ndarray) -> np.ndarray:
    """True for the cells that have a label; warns how many have none (None, NaN).

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics.labels import typed_cells
    >>> typed_cells(np.array(["T", "B"])).tolist()
    [True, True]
    """
    typed = ~pd.isna(np.asarray(labels))
    if not typed.all():
        warnings.warn(
            f"{np.sum(~typed)} of {len(typed)} cells have no type and are left out.", stacklevel=3
        )
    return typed


def named_batches(batch: np.ndarray) -> np.ndarray:
    """The batch of each cell as an array, if every cell has one.

    Raises
    ------
    ValueError
        Says how many cells have none (None, NaN): as text they would be one more batch, "nan".

    Examples
    --------
    >>> from imap_keras.metrics.labels import named_batches
    >>> named_batches(["a", "b"]).tolist()
    ['a', 'b']
    """
    batch = np.asarray(batch)
    missing = int(np.sum(pd.isna(batch)))
    if missing:
        raise ValueError(
            f"{missing} of {len(batch)} cells have no batch; fill it in or leave those cells out."
        )
    return batch


def finite_rows(values: np.ndarray, what: str = "space") -> np.ndarray:
    """Cells x dimensions as an array (of a DataFrame too), if all values are finite numbers.

    Raises
    ------
    ValueError
        Another shape, or a value that is NaN or infinite: distances to it would mean nothing.

    Examples
    --------
    >>> from imap_keras.metrics.labels import finite_rows
    >>> finite_rows([[1.0, 2.0]]).shape
    (1, 2)
    """
    values = dense_array(values, what)
    check_finite(values, what, "leave those cells out.")
    return values


def dense_array(values: np.ndarray, what: str = "space") -> np.ndarray:
    """Cells x dimensions as an array of numbers (of a DataFrame too).

    Raises
    ------
    ValueError
        A sparse matrix, another shape, or no numbers.

    Examples
    --------
    >>> from imap_keras.metrics.labels import dense_array
    >>> dense_array([[1.0, 2.0]]).shape
    (1, 2)
    """
    if sparse.issparse(values):
        raise ValueError(f"{what} is sparse; hand in a dense array of it, {what}.toarray().")
    values = np.asarray(values)
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        raise ValueError(
            f"{what} has the shape {values.shape} and the type {values.dtype}; expected is a dense "
            "array of numbers, cells x dimensions."
        )
    return values


def predictability(
    space: np.ndarray, labels, neighbors: int = 15, max_cells: int = 3000, seed: int = 0
) -> float:
    """How well nearest neighbours tell the label of a cell: balanced accuracy in five folds.

    One over the number of labels is chance. Distances as they are, nothing is scaled: a direction in
    which cells differ by next to nothing counts next to nothing.

    Parameters
    ----------
    space, labels
        Cells x dimensions, and what is to be told; cells without a label are left out.
    neighbors, max_cells, seed
        Neighbours asked; most cells used, chosen by the seed.

    Raises
    ------
    ValueError
        Lengths differ, a value is not finite, fewer than two labels, too few cells for so many
        neighbours, no label with a cell for each fold, or a number out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics import predictability
    >>> predictability(np.repeat([[0.0], [9.0]], 50, axis=0), np.repeat(["a", "b"], 50))
    1.0
    """
    neighbors, max_cells = check_count("neighbors", neighbors), check_count("max_cells", max_cells)
    space, labels = finite_rows(space), np.asarray(labels)
    if len(space) != len(labels):
        raise ValueError(
            f"space has {len(space)} cells and there are {len(labels)} labels; they must agree."
        )
    typed = np.flatnonzero(typed_cells(labels))
    some = typed[np.random.default_rng(seed).permutation(len(typed))[:max_cells]]
    try:
        names, codes = np.unique(labels[some], return_inverse=True)
    except TypeError:  # of several types, such as 1 and "unknown"
        names, codes = coded(labels[some])
    if len(names) < 2:
        raise ValueError(
            f"Of {len(some)} labelled cells all are {list(map(str, names))}; two labels are needed."
        )
    in_training = len(some) - -(-len(some) // FOLDS)
    if len(some) < FOLDS or neighbors > in_training:
        raise ValueError(
            f"{len(some)} labelled cells in {FOLDS} folds leave {in_training} to be neighbours; "
            f"neighbors={neighbors} are wanted. Lower it, or give more cells."
        )
    most = np.bincount(codes).max()
    if most < FOLDS:
        raise ValueError(
            f"The {len(names)} labels of {len(some)} labelled cells are too rare: the most frequent "
            f"one has {most} cells, and in {FOLDS} folds one needs at least {FOLDS}. Join labels to "
            "broader ones, or give more cells (or a larger max_cells). Are these types, not names?"
        )
    vote = KNeighborsClassifier(neighbors)
    # By number: labels that are fractions would be taken for measurements.
    scores = cross_val_score(vote, space[some], codes, scoring="balanced_accuracy", cv=FOLDS)
    return float(scores.mean())


def partner_rank(first: np.ndarray, second: np.ndarray, max_cells: int = 1000, seed: int = 0) -> float:
    """Share of the cells that are nearer than a cell's own partner in the other modality.

    0: each cell lies nearest to itself as seen by the other modality; 0.5: chance. Known as FOSCTTM,
    the fraction of samples closer than the true match, the mean of both directions. A cell exactly as
    near as the partner counts half, so that a space in which all cells coincide is chance.

    Parameters
    ----------
    first, second
        Cells x dimensions, row i of both being the same cell.
    max_cells, seed
        Most cells used, chosen by the seed.

    Raises
    ------
    ValueError
        The shapes differ, a value is not finite, there are no cells, or a number is out of range.

    References
    ----------
    Liu et al., WABI 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics import partner_rank
    >>> partner_rank(np.arange(5.0)[:, None], np.arange(5.0)[:, None] + 0.1)
    0.0
    """
    max_cells = check_count("max_cells", max_cells)
    first, second = finite_rows(first, "first"), finite_rows(second, "second")
    if first.shape != second.shape or not len(first):
        raise ValueError(
            f"first is {first.shape[0]} x {first.shape[1]} and second {second.shape[0]} x "
            f"{second.shape[1]}; both must be of the same cells and dimensions, and not empty."
        )
    some = np.random.default_rng(seed).permutation(len(first))[:max_cells]
    # Whole numbers of few bits would overflow when squared.
    a, b = (x[some] if x.dtype.kind == "f" else x[some].astype(float) for x in (first, second))
    distance = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    own = np.diag(distance)
    nearer = (distance < own[:, None]).mean() + (distance < own).mean()
    # Each partner is as near as itself, which is no tie.
    ties = (distance == own[:, None]).sum() + (distance == own).sum() - 2 * len(a)
    return float((nearer + ties / 2 / distance.size) / 2)
