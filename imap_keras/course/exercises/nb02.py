"""Notebook 02: parameters of a layer; Mish and its slope."""

import numpy as np

from .trial import Exercise, Trial, agrees, unlike


def mish(x: np.ndarray) -> np.ndarray:
    """Mish of numbers."""
    return x * np.tanh(np.logaddexp(0, x))


def mish_slope(x: np.ndarray) -> np.ndarray:
    """Its slope, by central differences: what a student writes by the product rule."""
    return (mish(x + 1e-5) - mish(x - 1e-5)) / 2e-5


def drawn(rng: np.random.Generator) -> np.ndarray:
    """Numbers as a layer may give them."""
    return rng.normal(0, 2, size=20)


def slope_is_not(wrong, hint: str) -> Trial:
    """A typical wrong slope."""

    def behaves(answer, rng):
        x = drawn(rng)
        return not agrees(answer(x), wrong(x), atol=1e-4)

    return Trial(behaves, hint, once=True)


def bend(x):
    """tanh of softplus, and the slope of softplus."""
    return np.tanh(np.logaddexp(0, x)), 1 / (1 + np.exp(-x))


EXERCISES = {
    "nb02_parameters": Exercise(
        2,
        (
            unlike(764 * 256, "These are the weights alone. What else does a dense layer learn?"),
            unlike(764 * 256 + 764, "One bias for each unit that the layer gives, not for each input."),
            unlike(764 + 256, "Each unit has a weight for each gene: how many lines connect them?"),
            Trial(
                lambda answer, _: agrees(answer, 764 * 256 + 256, 1e-9),
                "Count the weights (each gene with each unit), then the biases, and add them.",
            ),
        ),
    ),
    "nb02_mish_slope": Exercise(
        2,
        (
            Trial(lambda answer, rng: np.shape(answer(drawn(rng))) == (20,), "One slope for each x."),
            slope_is_not(mish, "This is Mish itself. Asked is its slope: derive it."),
            slope_is_not(
                lambda x: bend(x)[0],
                "x is a factor, and so depends on x: the product rule has a second term.",
            ),
            slope_is_not(
                lambda x: bend(x)[0] + x * (1 - bend(x)[0] ** 2),
                "The chain rule goes one step further: softplus has a slope too.",
            ),
            Trial(
                lambda answer, rng: agrees(answer(x := drawn(rng)), mish_slope(x), atol=1e-4),
                "Compare with (Mish(x + h) - Mish(x - h)) / 2h for a small h: where do they part?",
            ),
        ),
    ),
}
