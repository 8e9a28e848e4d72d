"""Notebook 17: what few shuffles can find among many tests; Benjamini and Hochberg's adjustment."""

import numpy as np

from .against import against, value
from .trial import Exercise


def look(answer, rng: np.random.Generator) -> tuple:
    """Twelve p, some of them equal and most of them small enough that the running minimum matters."""
    p = np.round(rng.beta(0.5, 1.5, 12), 2) + 0.001
    p[:2] = p[2], 0.9
    return np.asarray(answer(rng.permutation(p))), np.asarray(answer(np.array([0.04, 0.03, 0.05])))


def by_rank(p: np.ndarray) -> np.ndarray:
    """p n / k, in the order of the ranks."""
    return np.sort(p) * len(p) / np.arange(1, len(p) + 1)


def back(p: np.ndarray, sorted_values: np.ndarray) -> np.ndarray:
    """Sorted values, where their p came from."""
    result = np.empty(len(p))
    result[np.argsort(p)] = sorted_values
    return result


def adjusted(p: np.ndarray) -> np.ndarray:
    """What the student writes."""
    return back(p, np.minimum.accumulate(by_rank(p)[::-1])[::-1])


def in_sorted_order(p: np.ndarray) -> np.ndarray:
    """The adjusted p are not put back."""
    return np.minimum.accumulate(by_rank(p)[::-1])[::-1]


EXERCISES = {
    "nb17_few_shuffles": Exercise(
        1,
        value(
            (1 / 20, 1.0),
            {
                (0.0, 0.0): "No p is 0: the data count as one more shuffle.",
                (1 / 19, 1.0): "The adjusted p is right. 19 shuffles and the data: how many in all?",
                (1 / 20, 1 / 20): "p is right. Of 2,160 tests its rank is 1: what is p n / k?",
                (
                    1 / 20,
                    108.0,
                ): "p n / k is right, but it is never more than the largest p, which is 1.",
            },
            "Two numbers: (b + 1) / (n + 1) with b = 0, and that times the tests over its rank, or 1.",
        ),
    ),
    "nb17_adjusted": Exercise(
        2,
        against(
            look,
            adjusted,
            {
                lambda p: np.minimum(p * len(p), 1): (
                    "This is Bonferroni's: divide by the rank, which is 1 for the smallest only."
                ),
                lambda p: back(p, by_rank(p)): (
                    "p n / k is right. Now no adjusted p may be more than that of a larger p."
                ),
                lambda p: back(p, np.maximum.accumulate(by_rank(p))): (
                    "A running maximum from the smallest p up makes them larger; take the running "
                    "minimum from the largest p down."
                ),
                in_sorted_order: "The values are right, but sorted: put each where its p came from.",
            },
            "As many values as p; compare with scipy.stats.false_discovery_control.",
        ),
    ),
}
