"""Notebook 10: how many weights a mapping trains; surgery on one layer."""

import keras
import numpy as np

from .against import against, value
from .trial import Exercise


def look(answer, rng: np.random.Generator) -> tuple:
    """Weights of layers that have grown by one, two and three inputs, and of those they grew from."""
    found = []
    for further in (1, 2, 3):
        known, units = (int(n) for n in rng.integers(3, 6, size=2))
        old, new = keras.layers.Dense(units, name="old"), keras.layers.Dense(units, name="new")
        for layer, inputs in ((old, known), (new, known + further)):
            layer.build((None, inputs))
            layer.set_weights([rng.normal(size=(inputs, units)), rng.normal(size=units)])
        if answer(old, new) is not new:
            raise ValueError("grow must return the layer `new`.")
        found += [*new.get_weights(), *old.get_weights()]
    return tuple(found)


def given(old, new, kernel, bias):
    """Set the weights of the new layer."""
    new.set_weights([kernel, bias])
    return new


def grow(old, new):
    """What the student writes."""
    kernel, (known, bias) = new.get_weights()[0], old.get_weights()
    kernel[: len(known)] = known
    return given(old, new, kernel, bias)


def further_rows_zero(old, new):
    """New batches start with rows of zeros."""
    kernel, (known, bias) = 0 * new.get_weights()[0], old.get_weights()
    kernel[: len(known)] = known
    return given(old, new, kernel, bias)


def old_rows_behind(old, new):
    """The old rows land on other inputs."""
    kernel, (known, bias) = new.get_weights()[0], old.get_weights()
    kernel[-len(known) :] = known
    return given(old, new, kernel, bias)


def without_bias(old, new):
    """The bias stays as it was drawn."""
    kernel, bias = new.get_weights()
    kernel[: len(old.get_weights()[0])] = old.get_weights()[0]
    return given(old, new, kernel, bias)


def copies_changed(old, new):
    """What `get_weights` hands out is changed, and the layer is not."""
    return new


EXERCISES = {
    "nb10_weights": Exercise(
        1,
        value(
            1884,
            {
                1692: (
                    "Two networks read the batch in their first layer, the encoder and the decoder."
                ),
                384: "The negative binomial has a dispersion for each gene and batch.",
                628: "This is one batch; how many are mapped?",
            },
            (
                "For one batch: a row in each table (how many tables, how long?), and what the "
                "likelihood needs."
            ),
        ),
    ),
    "nb10_grow": Exercise(
        2,
        against(
            look,
            grow,
            {
                copies_changed: (
                    "`get_weights` hands out copies: what you change in them gets into the "
                    "layer by `set_weights`."
                ),
                further_rows_zero: (
                    "The further rows are to stay as they were drawn, and they are 0. Begin "
                    "with the weights of `new`."
                ),
                old_rows_behind: "The old inputs come first in `new`: where do their rows belong?",
                without_bias: "The kernel is right. What else has `old` learnt?",
            },
            (
                "`new` has the old rows in front and its own rows behind, the old bias, and "
                "`old` is as before."
            ),
        ),
    ),
}
