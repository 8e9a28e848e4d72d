"""Notebook 09: what a mixed neighbourhood holds; cells that a method takes away from their type."""

import numpy as np

from .against import against, value
from .trial import Exercise


def look(answer, rng: np.random.Generator) -> tuple:
    """Shares for cells of three types, of six and of nine neighbours each, before and after."""
    types = rng.permutation(np.repeat(["T cell", "B cell", "NK cell"], rng.integers(15, 25)))
    return tuple(answer(types, neighbours(types, n, rng), neighbours(types, n, rng)) for n in (6, 9))


def neighbours(types: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Cells x n: about half of them of the cell's own type."""
    own = np.stack([rng.choice(np.flatnonzero(types == kind), n) for kind in types])
    anyone = rng.integers(0, len(types), own.shape)
    return np.where(rng.random(own.shape) < 0.3, own, anyone)


def at_home(types: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Whether half of a cell's neighbours or more are of its own type."""
    return (types[near] == types[:, None]).mean(axis=1) >= 0.5


def moved_share(types: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """What the student writes."""
    return np.mean(at_home(types, before) & ~at_home(types, after))


def only_after(types: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """Before is not asked."""
    return np.mean(~at_home(types, after))


def difference_of_shares(types: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """Cells that come home make up for those that leave."""
    return np.mean(at_home(types, before)) - np.mean(at_home(types, after))


def of_neighbours(types: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """Neighbours are counted, not cells."""
    was, is_now = (types[near] == types[:, None] for near in (before, after))
    return np.mean(was & ~is_now)


def of_those_at_home(types: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """Another denominator."""
    return np.mean(~at_home(types, after)[at_home(types, before)])


EXERCISES = {
    "nb09_expect": Exercise(
        1,
        value(
            (1 / 3, 1.0),
            {
                (0.0, 1.0): (
                    "The first: in a perfect mixture a neighbour may come from any batch, its "
                    "own among them."
                ),
                (0.5, 1.0): "The first: count the batches.",
                (1 / 3, 0.5): (
                    "The second: without a common type each neighbour from the other batch is "
                    "of a foreign type. How many of them do you want?"
                ),
                (1 / 3, 0.0): "The second is the share of the *own* batch.",
            },
            "Two shares from 0 to 1, such as (0.5, 0.5).",
        ),
    ),
    "nb09_moved": Exercise(
        2,
        against(
            look,
            moved_share,
            {
                only_after: (
                    "Cells that were not at home before were not moved by the method: ask for "
                    "before as well."
                ),
                difference_of_shares: (
                    "Cells that come home make up for cells that leave when shares are "
                    "subtracted. Ask cell by cell, then take the mean."
                ),
                of_neighbours: (
                    "These are neighbours; asked is a share of cells. Take the mean over each "
                    "cell's neighbours first."
                ),
                of_those_at_home: (
                    "This is a share of the cells that were at home; asked is a share of all cells."
                ),
            },
            (
                "`types[before]` has the type of each neighbour. At home: half of them or more; "
                "one number."
            ),
        ),
    ),
}
