"""Notebook 15: two draws that contradict one another; the divergence from the prior."""

import numpy as np

from .against import against, value
from .trial import Exercise

OF_MEAN, OF_EACH = np.log(2), -0.9 * np.log(0.9) - 0.1 * np.log(0.1)


def look(answer, rng: np.random.Generator) -> tuple:
    """The divergence of twelve weights from three priors."""
    mean, scale = rng.normal(size=(3, 4)), rng.uniform(0.1, 2, (3, 4))
    return tuple(np.asarray(answer(mean, scale, prior)) for prior in (1.0, 0.5, 2.0))


def divergence(mean: np.ndarray, scale: np.ndarray, prior_scale: float) -> float:
    """What the student writes."""
    spread = (scale / prior_scale) ** 2
    return 0.5 * np.sum(spread + (mean / prior_scale) ** 2 - 1 - np.log(spread))


def other_way_round(mean: np.ndarray, scale: np.ndarray, prior_scale: float) -> float:
    """The divergence of the prior from what was learnt."""
    spread = (prior_scale / scale) ** 2
    return 0.5 * np.sum(spread + (mean / scale) ** 2 - 1 - np.log(spread))


def logarithm_not_squared(mean: np.ndarray, scale: np.ndarray, prior_scale: float) -> float:
    """Half of the last term is missing."""
    return divergence(mean, scale, prior_scale) + 0.5 * np.sum(np.log(scale / prior_scale))


EXERCISES = {
    "nb15_doubt": Exercise(
        1,
        value(
            (OF_MEAN, OF_MEAN - OF_EACH),
            {
                (
                    OF_MEAN,
                    OF_MEAN,
                ): "The entropy is right. Each draw hesitates a little by itself: that goes off.",
                (OF_MEAN, OF_EACH): (
                    "The entropy is right. This is what each draw has; what is left of the "
                    "whole doubt without it?"
                ),
                (
                    OF_EACH,
                    OF_MEAN - OF_EACH,
                ): "The first is the entropy of the *mean*: take the mean of the draws first.",
                (1.0, 1 - OF_EACH / OF_MEAN): "Right in bits. Nats come with the natural logarithm.",
            },
            "Two numbers: H of the mean of the two draws, and that less the mean of their H.",
        ),
    ),
    "nb15_kl": Exercise(
        2,
        against(
            look,
            divergence,
            {
                other_way_round: (
                    "This is the divergence of the prior from what was learnt; it is not the "
                    "same the other way round. What is divided by what?"
                ),
                lambda m, s, p: divergence(m, s, p) / m.size: "Each weight costs: a sum, not a mean.",
                lambda m, s, p: 2 * divergence(m, s, p): (
                    "Twice too much: what stands before the sum?"
                ),
                logarithm_not_squared: "The logarithm is of the squares' quotient.",
                lambda m, s, p: divergence(m, s, 1.0): "Right for a prior of width 1 only.",
            },
            "One number; compare each of the four terms with the formula above `kl_to_prior`.",
        ),
    ),
}
