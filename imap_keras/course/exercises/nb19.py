"""Notebook 19: bytes of a table and of CSR; moments of rows that come block by block."""

import numpy as np

from .against import against, value
from .trial import Exercise


def look(answer, rng: np.random.Generator) -> tuple:
    """Moments of two blocks of four genes, of some rows each."""
    n, m = rng.integers(4, 8), rng.integers(9, 15)
    first, block = rng.normal(3, 1, (n, 4)), rng.normal(1, 2, (m, 4))
    mean = first.mean(axis=0)
    found = answer(len(first), mean, ((first - mean) ** 2).sum(axis=0), block)
    return tuple(np.asarray(part) for part in found)


def joined(n, mean, squares, block):
    """What the student writes."""
    m, own = len(block), block.mean(axis=0)
    off, share = own - mean, m / (n + m)
    squares = squares + ((block - own) ** 2).sum(axis=0) + n * share * off**2
    return n + m, mean + share * off, squares


def mean_of_means(n, mean, squares, block):
    """Both means weigh the same."""
    return n + len(block), (mean + block.mean(axis=0)) / 2, joined(n, mean, squares, block)[2]


def without_the_move(n, mean, squares, block):
    """The distance between the two means is forgotten."""
    own = ((block - block.mean(axis=0)) ** 2).sum(axis=0)
    return *joined(n, mean, squares, block)[:2], squares + own


def from_the_old_mean(n, mean, squares, block):
    """Distances of the new rows from the mean of the old ones."""
    return *joined(n, mean, squares, block)[:2], squares + ((block - mean) ** 2).sum(axis=0)


def variance(n, mean, squares, block):
    """Divided by the rows."""
    rows, mean, squares = joined(n, mean, squares, block)
    return rows, mean, squares / rows


EXERCISES = {
    "nb19_bytes": Exercise(
        1,
        value(
            (8.0, 1.28),
            {
                (16.0, 1.92): "A float32 takes four bytes, not eight.",
                (8.0, 0.64): "The table is right. CSR keeps a column beside each value.",
                (2.0, 0.32): "These are numbers of values. How many bytes is each?",
                (8.0, 14.72): "8 % of the values are *not* 0: these CSR keeps.",
            },
            "Two numbers: cells x genes x 4 bytes; and the share that is not 0 x (4 + 4) bytes each.",
        ),
    ),
    "nb19_moments": Exercise(
        2,
        against(
            look,
            joined,
            {
                mean_of_means: "The mean is of rows, not of blocks: weigh each by its rows.",
                without_the_move: "The two blocks have different means: what does that add?",
                from_the_old_mean: "These are distances from the old mean, which is not that of all.",
                variance: "`squares` is a sum; leave the division to whoever wants a variance.",
            },
            "Three things: rows, mean and squares. Try two blocks of one row each by hand.",
        ),
    ),
}
