"""Rows for training: drawn step by step, or epoch by epoch in a shuffled order."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def drawn_rows(draw: Callable) -> tf.data.Dataset:
    """Endless rows, ``draw(step)`` for step 0, 1, 2 ..., drawn while the step before is trained.

    Parameters
    ----------
    draw
        Gets the number of the step, int64, and returns tensors or structures of them.

    Examples
    --------
    >>> from imap_keras.nn.rows import drawn_rows
    >>> [int(row) for row in drawn_rows(lambda step: 10 * step).take(3)]
    [0, 10, 20]
    """
    return untuned(tf.data.Dataset.counter().map(draw).prefetch(2))


def untuned(rows: tf.data.Dataset) -> tf.data.Dataset:
    """The same rows without TensorFlow's tuning of the pipeline.

    There is nothing to tune here, and it costs: when `fit` ends, TensorFlow often waits until the
    thread that tunes wakes up again, and that sleeps 10, 20, 40 ... ms, each time twice as long. So a
    training of 3 s may take 5.1, one of 45 s 82.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from imap_keras.nn.rows import untuned
    >>> untuned(tf.data.Dataset.range(2)).options().autotune.enabled
    False
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return rows.with_options(options)


def steps_of(n_rows: int, rows_per_step: int) -> int:
    """Steps that an epoch of so many rows takes.

    Examples
    --------
    >>> from imap_keras.nn.rows import steps_of
    >>> steps_of(9, 4)
    3
    """
    return -(-n_rows // rows_per_step)


def shuffled_rows(step, n_rows: int, rows_per_step: int, seed: int = 0):
    """Rows of one step: every row once an epoch, each epoch in a new order.

    ``index_shuffle`` says which row stands at a place. The last step is filled up with rows of the
    first.

    Parameters
    ----------
    step
        Number of the step, from 0, int64.
    n_rows, rows_per_step
        Rows in all, and in a step.
    seed
        The same seed gives the same order.

    Returns
    -------
    tf.Tensor
        `rows_per_step` indices, int64.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from imap_keras.nn.rows import shuffled_rows
    >>> epoch = [shuffled_rows(tf.constant(step, tf.int64), 6, 3).numpy() for step in (0, 1)]
    >>> sorted(int(row) for rows in epoch for row in rows)
    [0, 1, 2, 3, 4, 5]
    """
    steps = steps_of(n_rows, rows_per_step)
    place = (step % steps * rows_per_step + tf.range(rows_per_step, dtype=tf.int64)) % n_rows
    order = tf.stack([tf.constant(seed, tf.int64), step // steps])
    return tf.random.experimental.index_shuffle(place, order, n_rows - 1)


def minibatches(cells: np.ndarray, batch_size: int = 128, seed: int = 0) -> tf.data.Dataset:
    """Endless minibatches of cells in memory, as input and as target; each cell once an epoch.

    Parameters
    ----------
    cells
        Cells x features.
    batch_size, seed
        Cells a step; the same seed gives the same order.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics import minibatches
    >>> rows, target = next(iter(minibatches(np.ones((9, 2)), 4)))
    >>> tuple(rows.shape)
    (4, 2)
    """
    table, size = tf.constant(cells, tf.float32), min(batch_size, len(cells))

    def draw(step):
        rows = tf.gather(table, shuffled_rows(step, len(cells), size, seed))
        return rows, rows

    return drawn_rows(draw)
