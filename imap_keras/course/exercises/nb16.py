"""Notebook 16: the importance of a straight line's genes; importance along one line."""

import numpy as np

from .against import against, value
from .trial import Exercise


def look(answer, rng: np.random.Generator) -> tuple:
    """Importance of five genes, from two background cells, of a curved function."""
    weights, x = rng.normal(size=(2, 5))

    def gradient(point):
        return 3 * weights * np.asarray(point) ** 2

    return tuple(np.asarray(answer(gradient, x, rng.normal(size=5), steps)) for steps in (3, 8))


def gradients(gradient, x: np.ndarray, other: np.ndarray, places) -> list:
    """Gradients at places of the line."""
    return [gradient(other + a * (x - other)) for a in places]


def middles(steps: int) -> np.ndarray:
    """The middle of each step."""
    return (np.arange(steps) + 0.5) / steps


def along(gradient, x: np.ndarray, other: np.ndarray, steps: int) -> np.ndarray:
    """What the student writes."""
    return (x - other) * np.mean(gradients(gradient, x, other, middles(steps)), axis=0)


def without_the_way(gradient, x: np.ndarray, other: np.ndarray, steps: int) -> np.ndarray:
    """The mean gradient alone."""
    return np.mean(gradients(gradient, x, other, middles(steps)), axis=0)


def from_zero(gradient, x: np.ndarray, other: np.ndarray, steps: int) -> np.ndarray:
    """The line begins at 0."""
    return (x - other) * np.mean([gradient(a * x) for a in middles(steps)], axis=0)


def with_both_ends(gradient, x: np.ndarray, other: np.ndarray, steps: int) -> np.ndarray:
    """Places from 0 to 1."""
    return (x - other) * np.mean(gradients(gradient, x, other, np.linspace(0, 1, steps)), axis=0)


def at_one_end(gradient, x: np.ndarray, other: np.ndarray, steps: int, end: int) -> np.ndarray:
    """The beginning or the end of each step."""
    places = (np.arange(steps) + end) / steps
    return (x - other) * np.mean(gradients(gradient, x, other, places), axis=0)


EXERCISES = {
    "nb16_line": Exercise(
        1,
        value(
            (2, 1),
            {
                (0.4, 1.8): (
                    "This weighs each *cell* of the background alike. Stratified, each group does."
                ),
                (6, -1): "This is how far f is from 0. How far is the cell from the background?",
                (2, -1): "These are the gradients. Times which way of each gene?",
                (-2, -1): "The way goes from the background to the cell: x less x'.",
            },
            "Two numbers: each weight times the gene's value less its mean in the background.",
        ),
    ),
    "nb16_along": Exercise(
        2,
        against(
            look,
            along,
            {
                without_the_way: "This is the mean gradient. Times how far each gene goes?",
                lambda g, x, other, steps: (x - other) * g(x): (
                    "This looks at the cell itself only; walk, and take the mean over the steps."
                ),
                lambda g, x, other, steps: steps * along(g, x, other, steps): (
                    "A mean over the steps, not a sum."
                ),
                lambda g, x, other, steps: -along(g, x, other, steps): (
                    "The sign: the way goes from the background to the cell."
                ),
                from_zero: "The line begins at the background cell, not at 0.",
                with_both_ends: "Take the middle of each step: (k + 1/2) / steps.",
                lambda *given: at_one_end(
                    *given, 0
                ): "Not its beginning: take the middle of each step.",
                lambda *given: at_one_end(*given, 1): "Not its end: take the middle of each step.",
            },
            "One number a gene: (x - other) times the mean of gradient(other + a * (x - other)).",
        ),
    ),
}
