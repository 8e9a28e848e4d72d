"""Rows for training: drawn step by step, or epoch by epoch in a shuffled order."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from .parameters import check_count


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


def gathered(table, index):
    """Rows of a table, also of one that is no tensor: its rows are then fetched as NumPy arrays.

    Parameters
    ----------
    table
        A tensor, or whatever has a `shape` and gives rows x columns, float32, for indices in brackets.
    index
        Which rows, a tensor.

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> from imap_keras.nn.rows import gathered
    >>> gathered(np.float32([[1], [2], [5]]), tf.constant([2, 0])).numpy().tolist()
    [[5.0], [1.0]]
    """
    if tf.is_tensor(table):
        return tf.gather(table, index)
    rows = tf.numpy_function(lambda some: table[some], [index], tf.float32)
    return tf.ensure_shape(rows, (*index.shape, table.shape[1]))


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


def minibatches(*arrays: np.ndarray, batch_size: int = 128, seed: int = 0) -> tf.data.Dataset:
    """Endless minibatches of the same rows of some arrays; each row once an epoch, in a new order.

    The last step of an epoch is filled up with rows of the first.

    Parameters
    ----------
    arrays
        Of the same length. One alone is input and target at once.
    batch_size, seed
        Rows a step; the same seed gives the same order, whatever TensorFlow's global seed is.

    Raises
    ------
    ValueError
        `batch_size` is no whole number of at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.nn.rows import minibatches
    >>> rows, target = next(iter(minibatches(np.ones((9, 2), "float32"), np.arange(9), batch_size=4)))
    >>> tuple(rows.shape), tuple(target.shape)
    ((4, 2), (4,))
    """
    tables, n = [tf.constant(array) for array in arrays], len(arrays[0])
    size = min(check_count("batch_size", batch_size), n)

    def draw(step):
        index = shuffled_rows(step, n, size, seed)
        rows = tuple(tf.gather(table, index) for table in tables)
        return rows if len(rows) > 1 else rows * 2

    return drawn_rows(draw)


def draw_from_groups(members, sizes: np.ndarray, shape: tuple[int, ...], seeds):
    """Random rows, the same number from every group, with replacement.

    Parameters
    ----------
    members
        Indices of the rows, group after group (a tensor).
    sizes
        Number of rows of each group.
    shape
        What is drawn of each group, for example ``(64,)``.
    seeds
        A stateless seed (shape 2).

    Returns
    -------
    tf.Tensor
        Indices of rows, groups x `shape`.

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> from imap_keras.nn.rows import draw_from_groups
    >>> rows = draw_from_groups(tf.constant([4, 7]), np.array([1, 1]), (2,), (0, 0))
    >>> rows.numpy().tolist()
    [[4, 4], [7, 7]]
    """
    each = (-1,) + (1,) * len(shape)
    first, size = (np.cumsum(sizes) - sizes).reshape(each), np.reshape(sizes, each)
    # Drawn within the group and moved as whole numbers: exact, however many rows there are.
    within = tf.random.stateless_uniform((len(sizes), *shape), seeds) * size.astype("float32")
    within = tf.minimum(
        tf.cast(within, tf.int32), (size - 1).astype("int32")
    )  # rounding may reach size
    return tf.gather(members, within + first.astype("int32"))


def hold_out(
    n: int, share: float, seed: int, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into those trained on and those held out, the same share of every group.

    Parameters
    ----------
    n, share
        Number of rows, and share of them to hold out: at least one of each group, never all.
    seed
        The same seed holds out the same rows.
    groups
        Group of each row, its batch for example; None: all are one.

    Returns
    -------
    inside, held_out
        Indices, in order.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.nn.rows import hold_out
    >>> inside, held_out = hold_out(30, 0.1, seed=0, groups=np.repeat([0, 1], [20, 10]))
    >>> len(inside), len(held_out)
    (27, 3)
    """
    rng, groups = np.random.default_rng((seed, 1)), np.zeros(n) if groups is None else groups
    chosen = []
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        n_held_out = min(max(round(share * len(rows)), 1), len(rows) - 1)
        chosen.append(rng.choice(rows, n_held_out, replace=False))
    held_out = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(n), held_out), held_out
