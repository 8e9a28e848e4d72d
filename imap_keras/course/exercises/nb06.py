"""Notebook 06: the deviation of one cell, and the ceiling of its type."""

import numpy as np

from .trial import Exercise, Trial, agrees, unlike


def deviation(near: np.ndarray, share: np.ndarray) -> float:
    """Greatest deviation over the batches, in standard deviations."""
    return np.max(np.abs(_gap(near, share)) / _spread(near, share))


def _gap(near, share):
    return np.bincount(near, minlength=len(share)) - len(near) * share


def _spread(near, share):
    return np.sqrt(len(near) * share * (1 - share))


def cell(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours from three batches or four, one of them too rare, and the shares they should have."""
    n_batches, n = int(rng.integers(3, 5)), int(rng.integers(80, 120))
    rare = np.append(np.full(n_batches - 1, 0.9 / (n_batches - 1)), 0.1)
    share = rng.uniform(0.9, 1.1, n_batches)
    return rng.choice(n_batches, n, p=rng.permutation(rare)), share / share.sum()


def deviation_is_not(wrong, hint: str) -> Trial:
    """Not this typical wrong deviation."""

    def behaves(answer, rng):
        near, share = cell(rng)
        return not agrees(answer(near, share), wrong(near, share))

    return Trial(behaves, hint, once=True)


def unseen_batch_counts(answer, rng) -> bool:
    """A batch of which no neighbour is seen, though it should be."""
    near, share = rng.choice(2, 50), np.array([0.25, 0.25, 0.2, 0.3])
    return agrees(answer(near, share), deviation(near, share))


def kind(rng: np.random.Generator) -> tuple[np.ndarray, int, float]:
    """A small type: most of its cells are in a neighbourhood, which can hardly deviate."""
    return rng.permutation(np.repeat([0, 1], [30, 20])), 40, 0.7


def passing(batches, n, threshold, rng, replace=False) -> float:
    """Share of random neighbourhoods that pass."""
    share = np.bincount(batches) / len(batches)
    drawn = (rng.choice(batches, n, replace=replace) for _ in range(3000))
    return np.mean([deviation(some, share) <= threshold for some in drawn])


def ceiling_is(wanted: bool, replace: bool, turned: bool):
    """Whether an answer is, or is not, near a share got by drawing."""

    def behaves(answer, rng):
        expected = passing(*kind(rng), rng, replace)
        found = answer(deviation, *kind(rng), rng)
        return (abs(found - (1 - expected if turned else expected)) < 0.06) == wanted

    return behaves


EXERCISES = {
    "nb06_one_deviation": Exercise(
        1,
        (
            unlike(6, "Six fewer than expected. How many standard deviations is that?"),
            unlike(-1.2, "A deviation has no sign: fewer is as far as more."),
            unlike(0.24, "You divided by the variance. Take its root."),
            Trial(
                lambda answer, _: agrees(answer, 1.2),
                "Expected is n times p; its standard deviation is the root of n p (1 - p).",
            ),
        ),
    ),
    "nb06_deviation": Exercise(
        2,
        (
            Trial(
                lambda answer, rng: np.shape(answer(*cell(rng))) == (),
                "One number for a cell: the greatest over the batches.",
            ),
            deviation_is_not(
                lambda near, share: np.max(_gap(near, share) / _spread(near, share)),
                "Too few cells of a batch deviate as well: take the absolute value first.",
            ),
            deviation_is_not(
                lambda near, share: np.max(np.abs(_gap(near, share)) / _spread(near, share) ** 2),
                "You divided by the variance. Take its root.",
            ),
            deviation_is_not(
                lambda near, share: np.mean(np.abs(_gap(near, share)) / _spread(near, share)),
                "This is the mean over the batches. The index asks for the greatest.",
            ),
            Trial(
                lambda answer, rng: agrees(answer(*(given := cell(rng))), deviation(*given)),
                "Count each batch, subtract n times its share, divide by the root of n p (1 - p).",
            ),
            Trial(
                unseen_batch_counts,
                "Right but where a batch is not seen at all: it must count as zero (minlength).",
            ),
        ),
    ),
    "nb06_ceiling": Exercise(
        2,
        (
            Trial(
                ceiling_is(False, replace=False, turned=True),
                "This is the share that fails. The ceiling is the share that passes.",
                once=True,
            ),
            Trial(
                ceiling_is(False, replace=True, turned=False),
                "You put cells back: no cell can be among the neighbours twice (replace=False).",
                once=True,
            ),
            Trial(
                ceiling_is(True, replace=False, turned=False),
                "Draw n cells, take their deviation from the shares of the type, count how many pass.",
            ),
        ),
    ),
}
