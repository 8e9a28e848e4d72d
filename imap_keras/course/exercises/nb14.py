"""Notebook 14: where a cross-entropy ends; a cross-entropy of what was measured."""

import numpy as np
import tensorflow as tf

from .against import against, value
from .trial import Exercise

FIRST, SECOND = -0.3 * np.log(0.3), -0.7 * np.log(0.7)


def look(answer, rng: np.random.Generator) -> tuple:
    """Loss and gradient for five cells of six shares, a third missing; the loss at p = 0 and 1."""
    x = rng.random((5, 6)).astype("float32")
    x[rng.random(x.shape) < 0.3] = np.nan
    p = tf.constant(rng.uniform(0.1, 0.9, x.shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(p)
        loss = tf.convert_to_tensor(answer(tf.constant(x), p))
    gradient = tape.gradient(loss, p)
    edge = answer(tf.constant([[0.0, 1.0, np.nan]]), tf.constant([[0.0, 1.0, 0.5]]))
    gradient = np.nan if gradient is None else gradient.numpy()
    return loss.numpy(), gradient, np.round(np.asarray(edge), 2)


def entropy_of(x, p):
    """The loss of each entry."""
    return -x * tf.math.log(p) - (1 - x) * tf.math.log(1 - p)


def clipped(p):
    """Kept a little off 0 and 1."""
    return tf.clip_by_value(p, 1e-7, 1 - 1e-7)


def mean_of(loss, x):
    """Mean over the measured entries; what is left out is chosen, not multiplied."""
    measured = tf.math.is_finite(x)
    kept = tf.reduce_sum(tf.where(measured, loss, 0.0))
    return kept / tf.reduce_sum(tf.cast(measured, loss.dtype))


def filled(x, p):
    """Numbers in place of NaN: a share of 0, an output of one half."""
    measured = tf.math.is_finite(x)
    return tf.where(measured, x, 0.0), tf.where(measured, p, 0.5)


def masked_cross_entropy(x, p):
    """What the student writes."""
    known, output = filled(x, p)
    return mean_of(entropy_of(known, clipped(output)), x)


def product(x, p):
    """NaN times 0 is NaN."""
    measured = tf.cast(tf.math.is_finite(x), p.dtype)
    return tf.reduce_sum(measured * entropy_of(x, clipped(p))) / tf.reduce_sum(measured)


def chosen_late(x, p):
    """The gradient meets the NaN on its way back."""
    return mean_of(entropy_of(x, clipped(p)), x)


def over_all_entries(x, p):
    """Divided by the missing ones too."""
    return masked_cross_entropy(x, p) * tf.reduce_mean(tf.cast(tf.math.is_finite(x), p.dtype))


def missing_is_zero(x, p):
    """What was not measured is judged as a 0."""
    return tf.reduce_mean(entropy_of(filled(x, p)[0], clipped(p)))


def not_clipped(x, p):
    """0 log 0."""
    return mean_of(entropy_of(*filled(x, p)), x)


EXERCISES = {
    "nb14_floor": Exercise(
        1,
        value(
            (0.3, FIRST + SECOND),
            {
                (0.3, 0.0): "The output is right. Put x = p = 0.3 into the formula: is that 0?",
                (0.3, FIRST): "The output is right. The formula has a second term, with 1 - x.",
                (0.3, (FIRST + SECOND) / np.log(2)): "The output is right; the loss is in bits.",
            },
            ("Two numbers: set the slope with respect to p to 0, then put that p into the formula."),
        ),
    ),
    "nb14_masked": Exercise(
        2,
        against(
            look,
            masked_cross_entropy,
            {
                product: "The loss is NaN: a product with 0 hides no NaN. Choose with `tf.where`.",
                chosen_late: (
                    "The loss is right and its gradient is NaN: `tf.where` chose after the "
                    "logarithms. Put a number in place of each NaN first."
                ),
                over_all_entries: "Divide by the number of entries that were measured, not by all.",
                missing_is_zero: "What was not measured counts as a 0 here; it must add nothing.",
                not_clipped: (
                    "Where p is exactly 0 or 1, 0 * log 0 is NaN: keep p a little off both ends."
                ),
            },
            (
                "One number: fill the NaNs, clip p, take the loss of each entry, sum what was "
                "measured, divide."
            ),
        ),
    ),
}
