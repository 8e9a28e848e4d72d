"""Training of the conditional VAE: rows from every batch, held-out cells, stopping at the best."""

import math

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from ..nn.callbacks import BestEpoch, Clock
from ..nn.fitting import fit_network
from ..nn.rows import drawn_rows, untuned
from .cvae import CVAE
from .hyperparameters import ReferenceHyperparameters


def split_by_batch(codes: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Hold out the same share of every batch, at least one cell of each.

    Returns
    -------
    training, validation
        Indices of cells, in order.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches import split_by_batch
    >>> training, validation = split_by_batch(np.repeat([0, 1], [20, 10]), 0.1, seed=0)
    >>> len(training), len(validation)
    (27, 3)
    """
    rng, held_out = np.random.default_rng((seed, 1)), []
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        n_held_out = max(round(share * len(members)), 1)
        held_out.append(rng.choice(members, n_held_out, replace=False))
    validation = np.sort(np.concatenate(held_out))
    return np.setdiff1d(np.arange(len(codes)), validation), validation


def training_rows(
    cells: np.ndarray, codes: np.ndarray, n_batches: int, rows_per_batch: int, seed: int
) -> tf.data.Dataset:
    """Endless minibatches, the same number of random cells from every batch, grouped by batch.

    Parameters
    ----------
    cells, codes
        Cells x genes and the batch of each cell; only batches that occur are drawn from.
    n_batches
        Width of the one-hot batch: all batches of the model.
    rows_per_batch, seed
        Rows drawn from each batch; the same seed gives the same rows.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches import training_rows
    >>> rows = training_rows(np.ones((5, 2), "float32"), np.array([1, 2, 2, 1, 1]), 3, 4, seed=0)
    >>> cells, batch = next(iter(rows))
    >>> cells.shape[0], batch.numpy().argmax(1).tolist()
    (8, [1, 1, 1, 1, 2, 2, 2, 2])
    """
    present, sizes = np.unique(codes, return_counts=True)
    table = tf.constant(cells, tf.float32)
    members = tf.constant(np.argsort(codes, kind="stable"), tf.int32)
    first = tf.constant((np.cumsum(sizes) - sizes)[:, None], tf.int32)
    size = tf.constant(sizes[:, None], tf.float32)
    one_hot = tf.one_hot(np.repeat(present, rows_per_batch), n_batches)

    def draw(step):
        shape, seeds = (len(present), rows_per_batch), tf.stack([tf.constant(seed, tf.int64), step])
        within = tf.cast(tf.random.stateless_uniform(shape, seeds) * size, tf.int32)
        index = first + tf.minimum(within, tf.cast(size, tf.int32) - 1)  # rounding may reach the end
        return tf.gather(table, tf.gather(members, tf.reshape(index, [-1]))), one_hot

    return drawn_rows(draw)


def validation_rows(
    cells: np.ndarray, codes: np.ndarray, n_batches: int, rows_per_batch: int
) -> tf.data.Dataset:
    """The held-out cells in minibatches of the same make; small batches repeat theirs to keep pace."""
    groups = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    width = rows_per_batch * math.ceil(max(map(len, groups)) / rows_per_batch)
    index = np.stack([np.resize(group, width) for group in groups])
    index = np.concatenate(np.split(index, width // rows_per_batch, axis=1)).ravel()
    one_hot = np.eye(n_batches, dtype="float32")[codes[index]]
    rows = tf.data.Dataset.from_tensor_slices((cells[index], one_hot))
    return untuned(rows.batch(rows_per_batch * len(groups)).cache())


def train(
    encoder: keras.Model,
    decoder: keras.Model,
    cells: np.ndarray,
    codes: np.ndarray,
    hp: ReferenceHyperparameters,
    title: str,
    verbose: int = 0,
) -> pd.DataFrame:
    """Train what is trainable of encoder and decoder, in place.

    Parameters
    ----------
    encoder, decoder
        Built for all batches of the model, frozen where surgery froze them.
    cells, codes
        Cells x genes and their batches, counted in the columns of the model.
    hp, title, verbose
        Hyperparameters; title of the progress bar; 0 hides it.

    Returns
    -------
    pandas.DataFrame
        Losses by epoch, of training and (``val_``) of held-out cells; processor seconds.

    Raises
    ------
    FloatingPointError
        Training diverged.

    Examples
    --------
    >>> history = train(encoder, decoder, cells, codes, hp, "reference")  # doctest: +SKIP
    """
    n_batches, n_groups = encoder.input_shape[1][-1], len(np.unique(codes))
    per_batch = max(hp.batch_size // n_groups, 1)
    inside, held_out = split_by_batch(codes, hp.validation, hp.seed)
    steps = math.ceil(len(inside) / (per_batch * n_groups))
    cvae = CVAE(
        encoder,
        decoder,
        hp.likelihood,
        hp.kl_weight,
        hp.kl_epochs * steps,
        hp.mmd_weight,
        n_groups,
        hp.seed,
    )
    # No weight decay: old columns would shrink although their gradient is zero.
    adam = keras.optimizers.Adam(hp.learning_rate, epsilon=0.01, name="scarches_adam")
    cvae.compile(optimizer=adam, jit_compile=False)
    adam.build(cvae.trainable_variables)  # made inside the step, it would be traced twice
    clock = Clock()
    plateau = keras.callbacks.ReduceLROnPlateau(factor=0.1, patience=hp.plateau, min_delta=0)
    history = fit_network(
        cvae,
        training_rows(cells[inside], codes[inside], n_batches, per_batch, hp.seed),
        hp.epochs,
        title,
        steps=steps,
        verbose=verbose,
        callbacks=[BestEpoch(hp.patience), plateau, clock],
        validation=validation_rows(cells[held_out], codes[held_out], n_batches, per_batch),
    )
    return history.assign(seconds=clock.seconds)
