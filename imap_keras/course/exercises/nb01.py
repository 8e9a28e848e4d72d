"""Notebook 01: one value after preprocessing, and the whole table."""

import numpy as np

from .trial import ROUNDED, Exercise, Trial, agrees, dense, rounded, unlike


def normalised(counts: np.ndarray) -> np.ndarray:
    """log(1 + molecules of ten thousand); a cell without molecules stays at zero."""
    depth = counts.sum(axis=1, keepdims=True)
    return np.log1p(np.divide(counts * 1e4, depth, out=np.zeros(counts.shape), where=depth > 0))


def drawn(rng: np.random.Generator) -> np.ndarray:
    """Counts of 7 cells and 7 genes, each cell with a depth of its own, three above 20,000."""
    counts = rng.poisson(rng.uniform(1, 9, size=(7, 1)), size=(7, 7)) + np.eye(7, dtype=int)
    counts[rng.permutation(7)[:3], rng.integers(7, size=3)] += rng.integers(20_000, 60_000, size=3)
    return counts


def is_not(wrong, hint: str) -> Trial:
    """Not this typical wrong answer for such counts."""

    def behaves(answer, rng):
        counts = drawn(rng)
        return not agrees(answer(counts.copy()), wrong(counts))

    return Trial(behaves, hint, once=True)


def not_without_the_one(answer, rng) -> bool:
    """Not log(x), whatever is made of zeros."""
    counts = drawn(rng)
    of_ten_thousand, seen = np.expm1(normalised(counts)), counts > 0
    with np.errstate(all="ignore"):
        found = dense(answer(counts.copy()))
    return found.shape != counts.shape or not agrees(found[seen], np.log(of_ten_thousand[seen]))


def empty_cell_stays_zero(answer, rng) -> bool:
    """A row of zeros among others."""
    counts = drawn(rng)
    counts[2] = 0
    with np.errstate(all="ignore"):
        return agrees(answer(counts), normalised(counts))


EXERCISES = {
    "nb01_one_value": Exercise(
        1,
        (
            unlike(15, "That is before the logarithm."),
            unlike(np.log(15), "preprocess takes log(1 + x), so that a zero stays a zero."),
            unlike(np.log1p(3), "First divide by the depth of the cell and multiply by 10,000."),
            unlike(np.log10(16), "Take the natural logarithm."),
            Trial(lambda answer, _: not rounded(answer, np.log(16)), ROUNDED),
            Trial(
                lambda answer, _: agrees(answer, np.log(16), 2e-3),
                "Three steps: divide by the depth, times 10,000, log(1 + x).",
            ),
        ),
    ),
    "nb01_normalised": Exercise(
        2,
        (
            is_not(
                lambda counts: np.log1p(counts / counts.sum(axis=0) * 1e4),
                "You divided by the sum of each gene. The depth belongs to the cell, which is a row.",
            ),
            is_not(
                lambda counts: np.log1p(counts / counts.sum() * 1e4),
                "You divided by the sum of the whole table. Each cell has a depth of its own.",
            ),
            is_not(
                lambda counts: counts / counts.sum(axis=1, keepdims=True) * 1e4, "And the logarithm?"
            ),
            Trial(
                not_without_the_one,
                "preprocess takes log(1 + x): without the 1 a value below one becomes negative.",
                once=True,
            ),
            is_not(
                lambda counts: np.log1p(counts * 10_000 // counts.sum(axis=1, keepdims=True)),
                "// drops what is behind the point, and deep cells have values below one. Divide by /.",
            ),
            Trial(
                lambda answer, rng: agrees(answer(counts := drawn(rng)), normalised(counts)),
                "Compare with the lines for the first cell, further up.",
            ),
            Trial(
                empty_cell_stays_zero,
                "Right but for a cell without any molecule: 0 / 0 is not a number.",
            ),
        ),
    ),
}
