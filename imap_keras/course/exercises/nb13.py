"""Notebook 13: an autoencoder without activations; principal components by hand."""

import numpy as np

from .against import against, value
from .trial import Exercise


def look(answer, rng: np.random.Generator) -> tuple:
    """Errors from one and three components; the new cells lie a little apart."""
    weights = rng.normal(size=(3, 8))
    cells, new = (
        place + rng.normal(size=(n, 3)) @ weights + 0.1 * rng.normal(size=(n, 8))
        for place, n in ((5, 40), (6, 15))
    )
    return answer(cells, new, 1), answer(cells, new, 3)


def rebuilt(cells: np.ndarray, new: np.ndarray, n: int, mean) -> np.ndarray:
    """New cells from the components of others, through a point of one's choice."""
    axes = np.linalg.svd(cells - mean, full_matrices=False)[2][:n]
    return mean + (new - mean) @ axes.T @ axes


def rebuild_error(cells: np.ndarray, new: np.ndarray, n: int) -> float:
    """What the student writes."""
    return np.mean((rebuilt(cells, new, n, cells.mean(axis=0)) - new) ** 2)


def not_centred(cells: np.ndarray, new: np.ndarray, n: int) -> float:
    """Components through the origin."""
    return np.mean((rebuilt(cells, new, n, 0.0) - new) ** 2)


def new_by_their_own_mean(cells: np.ndarray, new: np.ndarray, n: int) -> float:
    """The difference of the two means is never seen."""
    return rebuild_error(cells, new - new.mean(axis=0) + cells.mean(axis=0), n)


EXERCISES = {
    "nb13_linear": Exercise(
        1,
        value(
            ("b", "y"),
            {
                (
                    "a",
                    "x",
                ): (
                    "Six matrices in a row, and nothing that bends between them: what are they "
                    "together?"
                ),
                (
                    "c",
                    "z",
                ): (
                    "A linear layer has a gradient as well, so it learns. The best of what can "
                    "it learn?"
                ),
                ("b", "x"): "The error is right. Is the reason true? Multiply six matrices.",
            },
            'Two letters, such as ("a", "x"): the error and the reason.',
        ),
    ),
    "nb13_pca": Exercise(
        2,
        against(
            look,
            rebuild_error,
            {
                not_centred: (
                    "Components go through the mean of the cells: subtract it first, add it "
                    "again at the end."
                ),
                new_by_their_own_mean: (
                    "New cells are centred by the mean of `cells`, as nothing may be learnt from them."
                ),
                lambda cells, new, n: rebuild_error(new, new, n): (
                    "The components come from the new cells themselves, and so they flatter. "
                    "Find them in `cells`."
                ),
                lambda *given: rebuild_error(*given) * given[1].shape[1]: (
                    "This is a sum over features. Asked is the mean over all entries."
                ),
            },
            (
                "Centre; the first n rows of the third part of `np.linalg.svd` are the axes; "
                "project and come back."
            ),
        ),
    ),
}
