"""Notebook 12: the best mean rank there is; a rank by hand."""

import numpy as np

from .against import against, value
from .trial import Exercise


def look(answer, rng: np.random.Generator) -> tuple:
    """Ranks of some of a dozen regions; two tie, three others too, one is at the far negative end."""
    correlations = np.round(rng.uniform(-0.8, 0.8, rng.integers(11, 16)), 3)
    correlations[3], correlations[5:7], correlations[10] = correlations[7], correlations[8], -0.9
    return tuple(answer(correlations.copy(), place) for place in (0, 3, 5, 7, 8, 10))


def rank_of(correlations: np.ndarray, homologue: int) -> float:
    """What the student writes."""
    own = correlations[homologue]
    return 1 + (correlations > own).sum() + ((correlations == own).sum() - 1) / 2


EXERCISES = {
    "nb12_best": Exercise(
        1,
        value(
            86 / 41,
            {
                1.0: "Some mouse regions have several homologues: can all of them have rank 1?",
                53.0: "This is the middle of the ranks, which chance gives. Asked is the best.",
                29 / 17: "This is a mean over mouse regions. The score is a mean over *pairs*.",
            },
            (
                "A mouse region with n homologues: which ranks do they take at best, and what "
                "is their sum?"
            ),
        ),
    ),
    "nb12_rank": Exercise(
        2,
        against(
            look,
            rank_of,
            {
                lambda c, h: rank_of(-c, h): (
                    "Your ranks grow with the correlation; the highest one has the rank 1."
                ),
                lambda c, h: rank_of(c, h) - 1: (
                    "Your ranks begin at 0; the highest correlation has the rank 1."
                ),
                lambda c, h: 1 + (c > c[h]).sum(): (
                    "Right without ties. Two regions that share the ranks 3 and 4 have 3.5 each."
                ),
                lambda c, h: rank_of(abs(c), h): (
                    "A correlation near -1 is no likeness: do not take its size."
                ),
            },
            "Count the regions with a higher correlation, and those that tie with this one.",
        ),
    ),
}
