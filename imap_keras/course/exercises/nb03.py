"""Notebook 03: a code that is the same for every cell; the content loss of each cell."""

import numpy as np
import tensorflow as tf

from .trial import Exercise, Trial, agrees, unlike


def drawn(rng: np.random.Generator) -> tuple:
    """An encoder and a decoder of one layer each, cells, and two of three batches for each cell."""
    n_code = int(rng.integers(3, 6))
    into, out, shift = (
        tf.constant(rng.normal(size=size), tf.float32) for size in ((6, n_code), (n_code, 6), (3, 6))
    )
    x = tf.constant(rng.normal(size=(8, 6)), tf.float32)
    batch, random_batch = (tf.one_hot(rng.integers(3, size=8), 3) for _ in range(2))

    def encode(cells):
        return tf.tanh(tf.matmul(tf.convert_to_tensor(cells, tf.float32), into))

    def decode(content, batch):
        return tf.matmul(content, out) + tf.matmul(tf.convert_to_tensor(batch, tf.float32), shift)

    return encode, decode, x, batch, random_batch


def content_loss(encode, decode, x, batch, random_batch):
    """Mean square of what a code changes by when its cell is decoded into another batch."""
    content = encode(x)
    return np.mean((encode(decode(content, random_batch)) - content) ** 2, axis=1)


def into_own_batch(encode, decode, x, batch, random_batch):
    """The wrong batch."""
    return content_loss(encode, decode, x, batch, batch)


def of_cells(encode, decode, x, batch, random_batch):
    """Cells compared instead of codes."""
    return np.mean((decode(encode(x), random_batch) - x) ** 2, axis=1)


def is_not(wrong, hint: str) -> Trial:
    """Not this typical wrong loss."""

    def behaves(answer, rng):
        given = drawn(rng)
        return not agrees(answer(*given), wrong(*given))

    return Trial(behaves, hint, once=True)


EXERCISES = {
    "nb03_constant_code": Exercise(
        1,
        (
            unlike(3, "3 is the weight of this loss. What is it multiplied with?"),
            Trial(lambda answer, *_, **__: answer >= 0, "A mean of squares cannot be negative."),
            Trial(
                lambda answer, _, happened: agrees(answer, happened),
                "Compare with what happened: which code has the cell before, and which after?",
            ),
        ),
    ),
    "nb03_content_loss": Exercise(
        2,
        (
            Trial(
                lambda answer, rng: np.shape(answer(*drawn(rng))) == (8,),
                "One number for each cell: the mean goes over axis 1, the numbers of the code.",
            ),
            is_not(
                into_own_batch, "Decoded into its own batch a cell tests nothing. Take the random one."
            ),
            is_not(of_cells, "You compare cells. The content loss compares codes: encode once more."),
            is_not(
                lambda *given: np.sqrt(content_loss(*given)),
                "The mean of the squares, without the root.",
            ),
            is_not(
                lambda *given: given[0](given[2]).shape[1] * content_loss(*given),
                "The sum of squares; asked is their mean.",
            ),
            Trial(
                lambda answer, rng: agrees(answer(*(given := drawn(rng))), content_loss(*given)),
                "Encode, decode into the random batch, encode again, and compare both codes.",
            ),
        ),
    ),
}
