"""Notebook 11: what a product with a mask lets through; an error that is right, gradient and all."""

import numpy as np
import tensorflow as tf

from .against import against, value
from .trial import Exercise

NAN = float("nan")


def look(answer, rng: np.random.Generator) -> tuple:
    """Error and gradient for four rows of some features; what is not measured is NaN."""
    mask = (rng.random((4, rng.integers(5, 9))) < 0.6).astype("float32")
    x = np.where(mask == 1, rng.normal(size=mask.shape), np.nan).astype("float32")
    output = tf.constant(rng.normal(size=mask.shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(output)
        error = tf.convert_to_tensor(answer(tf.constant(x), output, tf.constant(mask)))
    gradient = tape.gradient(error, output)
    return error.numpy(), np.nan if gradient is None else gradient.numpy()


def half_square(gap):
    """Half the sum of squares of each row."""
    return 0.5 * tf.reduce_sum(gap**2, axis=1)


def judged_error(x, output, mask):
    """What the student writes."""
    return half_square(tf.where(mask == 1, x, 0.0) - tf.where(mask == 1, output, 0.0))


def product(x, output, mask):
    """0 times NaN is NaN."""
    return half_square(mask * (x - output))


def chosen_late(x, output, mask):
    """The error is right; going back, 0 is multiplied by NaN."""
    return 0.5 * tf.reduce_sum(tf.where(mask == 1, (x - output) ** 2, 0.0), axis=1)


def output_unmasked(x, output, mask):
    """The output is compared with 0 where nothing was measured."""
    return half_square(tf.where(mask == 1, x, 0.0) - output)


EXERCISES = {
    "nb11_nan": Exercise(
        1,
        value(
            (NAN, 4.0),
            {
                (4.0, 4.0): "The first: what is 0 * NaN? Try it in a cell.",
                (NAN, NAN): (
                    "The second: `masked` does not multiply, it chooses. What is left to add?"
                ),
                (NAN, 2.0): "The second: a sum, not a mean.",
            },
            'Two numbers; NaN is written float("nan").',
        ),
    ),
    "nb11_mask": Exercise(
        2,
        against(
            look,
            judged_error,
            {
                product: "The error is NaN: a product with 0 hides no NaN. Choose with `tf.where`.",
                chosen_late: (
                    "The error is right and its gradient is NaN: `tf.where` chose after the "
                    "square, and on the way back 0 is multiplied by NaN. Choose before you "
                    "subtract."
                ),
                output_unmasked: (
                    "Where the mask is 0 the output is compared with 0; it must not be judged there."
                ),
                lambda *rows: 2 * judged_error(*rows): (
                    "Twice too large: half the squared error is asked for."
                ),
                lambda *rows: tf.reduce_sum(judged_error(*rows)): (
                    "One error for each row: sum over the features only."
                ),
            },
            (
                "Put a number in place of each NaN with `tf.where`, in `x` and in `output`; "
                "then subtract, square, sum."
            ),
        ),
    ),
}
