"""Notebook 18: a cell far out whose neighbours agree; the distance in the reference's own units."""

import numpy as np

from .against import against, value
from .trial import Exercise


def look(answer, rng: np.random.Generator) -> tuple:
    """Novelty of seven cells, by four points and 201 reference cells, one of which is the quantile."""
    cells, points, home = (rng.normal(size=(rows, 3)) for rows in (7, 4, 201))
    return (np.asarray(answer(cells, points, home)),)


def distance(rows, points):
    """Rows x points."""
    return np.sqrt(((rows[:, None] - points[None]) ** 2).sum(axis=2))


def novelty_of(cells, points, home, quantile=0.99):
    """What the student writes."""
    radius = np.quantile(distance(home, points).min(axis=1), quantile)
    return distance(cells, points).min(axis=1) / radius


def not_in_units(cells, points, home):
    """A bare distance."""
    return distance(cells, points).min(axis=1)


def of_the_query(cells, points, home):
    """The query's own quantile: one of a hundred cells is always new."""
    return novelty_of(cells, points, cells)


def mean_of_all(cells, points, home):
    """The mean over points instead of the nearest one."""
    return distance(cells, points).mean(axis=1) / np.quantile(distance(home, points).mean(axis=1), 0.99)


def squared(cells, points, home):
    """Squared distances."""
    near = [distance(rows, points).min(axis=1) ** 2 for rows in (cells, home)]
    return near[0] / np.quantile(near[1], 0.99)


EXERCISES = {
    "nb18_far": Exercise(
        1,
        value(
            (1.5, 0.0),
            {
                (1.5, 1.0): "Uncertainty is 1 minus the share of the vote that the best label got.",
                (6.0, 0.0): "The uncertainty is right. In which unit is novelty counted?",
                (2 / 3, 0.0): "The other way round: a cell farther out has the larger novelty.",
                (2.0, 0.0): "Not how much farther, but how many times as far.",
            },
            "Two numbers: distance over the reference's own, and what the neighbours disagree.",
        ),
    ),
    "nb18_novelty": Exercise(
        2,
        against(
            look,
            novelty_of,
            {
                not_in_units: "These are distances. Divide by what 99 % of the reference's cells keep.",
                of_the_query: "Whose own distance is the unit? With the query's, 1 % is always new.",
                mean_of_all: "The distance to the *nearest* point, not to all of them.",
                squared: "This is squared; a distance is its root.",
                lambda c, p, h: novelty_of(
                    c, p, h, 1.0
                ): "One stray cell sets the largest: 99 %, not all.",
            },
            "One number for each row of `cells`; two steps: the nearest point, then the unit.",
        ),
    ),
}
