"""Shuffled epochs as arithmetic: which rows a step draws, without a list of them all."""

import tensorflow as tf


def steps_of(n_rows: int, rows_per_step: int) -> int:
    """Steps that an epoch of so many rows takes.

    Examples
    --------
    >>> from imap_keras.epochs import steps_of
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
    >>> from imap_keras.epochs import shuffled_rows
    >>> epoch = [shuffled_rows(tf.constant(step, tf.int64), 6, 3).numpy() for step in (0, 1)]
    >>> sorted(int(row) for rows in epoch for row in rows)
    [0, 1, 2, 3, 4, 5]
    """
    steps = steps_of(n_rows, rows_per_step)
    place = (step % steps * rows_per_step + tf.range(rows_per_step, dtype=tf.int64)) % n_rows
    order = tf.stack([tf.constant(seed, tf.int64), step // steps])
    return tf.random.experimental.index_shuffle(place, order, n_rows - 1)
