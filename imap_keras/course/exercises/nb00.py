"""Notebook 00: what passes a threshold; which cells are negative."""

import numpy as np

from .trial import Exercise, Trial, unlike


def negative(own: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Whether at least half of the neighbours are of another type."""
    return (near != own[:, None]).sum(axis=1) * 2 >= near.shape[1]


def neighbourhoods(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Types of 60 cells and of some 20 neighbours each; ten cells have half of another type."""
    own, n = rng.choice(["B", "T", "NK"], 60), int(rng.choice([16, 21, 24]))
    near = np.where(rng.random((60, n)) < rng.random((60, 1)), own[:, None], "Mono")
    near[:10] = np.where(np.arange(n) < (n + 1) // 2, own[:10, None], "Mono")
    return own, rng.permuted(near, axis=1)


def is_not(wrong, hint: str) -> Trial:
    """Not this typical wrong answer for such neighbourhoods."""

    def behaves(answer, rng):
        own, near = neighbourhoods(rng)
        return not np.array_equal(answer(own, near), wrong(own, near))

    return Trial(behaves, hint, once=True)


EXERCISES = {
    "nb00_threshold_three": Exercise(
        1,
        (
            unlike(68.3, "That is what passes at threshold 1, as the text says."),
            unlike(95.4, "That is for two standard deviations. The threshold is three.", 1e-2 / 9),
            unlike(0.997, "As a share that is right. Asked is per cent."),
            Trial(
                lambda answer, _: abs(answer - 99.7) < 0.06,
                "Look up, or compute with scipy.stats.norm, how much of a normal lies within -3 and 3.",
            ),
        ),
    ),
    "nb00_negative": Exercise(
        2,
        (
            Trial(
                lambda answer, rng: np.shape(answer(*neighbourhoods(rng))) == (60,),
                "Give one answer for each cell: count along a row of `near`.",
            ),
            is_not(
                lambda own, near: ~negative(own, near), "These are the positive cells: turn it round."
            ),
            is_not(
                lambda own, near: (near != own[:, None]).mean(axis=1) > 0.5,
                "Nearly: what of a cell with exactly half of its neighbours of another type?",
            ),
            is_not(
                lambda own, near: (near != own[:, None]).any(axis=1),
                "One foreign neighbour is not enough. It must be half of them.",
            ),
            Trial(
                lambda answer, rng: np.array_equal(answer(*(d := neighbourhoods(rng))), negative(*d)),
                "Compare each row of `near` with the own type of its cell; what share differs?",
            ),
        ),
    ),
}
