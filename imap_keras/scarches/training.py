"""Training of the conditional VAE: rows from every batch, held-out cells, stopping at the best."""

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from ..nn.callbacks import BestEpoch, Clock
from ..nn.fitting import fit_network
from ..nn.optimizer import adam
from ..nn.replicas import check_strategy, on_replicas, shared_rows
from ..nn.rows import draw_from_groups, drawn_rows, hold_out, steps_of, untuned
from .classifier import CLASSIFIER
from .cvae import CVAE
from .hyperparameters import ReferenceHyperparameters
from .losses import WIDTHS


def training_rows(
    cells: np.ndarray,
    codes: np.ndarray,
    n_batches: int,
    rows_per_batch: int,
    seed: int,
    index: np.ndarray | None = None,
    labels: np.ndarray | None = None,
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
    index
        Cells to draw from; all unless given.
    labels
        Number of each cell's label, where labels are trained on; they come third.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches import training_rows
    >>> rows = training_rows(np.ones((5, 2), "float32"), np.array([1, 2, 2, 1, 1]), 3, 4, seed=0)
    >>> cells, batch = next(iter(rows))
    >>> cells.shape[0], batch.numpy().argmax(1).tolist()
    (8, [1, 1, 1, 1, 2, 2, 2, 2])
    """
    index = np.arange(len(codes)) if index is None else index
    present, sizes = np.unique(codes[index], return_counts=True)
    members = tf.constant(index[np.argsort(codes[index], kind="stable")], tf.int32)
    table = tf.constant(cells, tf.float32)
    one_hot = tf.one_hot(np.repeat(present, rows_per_batch), n_batches)

    def draw(step):
        seeds = tf.stack([tf.constant(seed, tf.int64), step])
        rows = tf.reshape(draw_from_groups(members, sizes, (rows_per_batch,), seeds), [-1])
        return with_labels(tf.gather(table, rows), one_hot, rows, labels)

    return drawn_rows(draw)


def validation_rows(
    cells: np.ndarray,
    codes: np.ndarray,
    n_batches: int,
    rows_per_batch: int,
    index: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Cells in minibatches of the same make; batches of fewer cells repeat theirs to keep pace.

    Only the numbers of the cells are repeated; the cells are gathered step by step.

    Parameters
    ----------
    cells, codes, n_batches, rows_per_batch, index, labels
        As for :func:`training_rows`.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches.training import validation_rows
    >>> cells = np.arange(4, dtype="float32")[:, None]
    >>> rows = validation_rows(cells, np.array([0, 0, 0, 1]), 2, rows_per_batch=2)
    >>> [step[:, 0].tolist() for step, _ in rows.as_numpy_iterator()]
    [[0.0, 1.0, 3.0, 3.0], [2.0, 0.0, 3.0, 3.0]]
    """
    index = np.arange(len(codes)) if index is None else index
    present = np.unique(codes[index])
    groups = [index[codes[index] == code] for code in present]
    width = rows_per_batch * steps_of(max(map(len, groups)), rows_per_batch)
    steps = np.stack([np.resize(group, width).reshape(-1, rows_per_batch) for group in groups], axis=1)
    table = tf.constant(cells, tf.float32)
    one_hot = tf.one_hot(np.repeat(present, rows_per_batch), n_batches)
    rows = tf.data.Dataset.from_tensor_slices(steps.reshape(len(steps), -1))
    return untuned(rows.map(lambda some: with_labels(tf.gather(table, some), one_hot, some, labels)))


def with_labels(cells, batch, rows, labels) -> tuple:
    """A minibatch: cells and batch, and where there are `labels` those of its rows."""
    return (cells, batch) if labels is None else (cells, batch, tf.gather(labels, rows))


def build_cvae(
    encoder: keras.Model,
    decoder: keras.Model,
    hp: ReferenceHyperparameters,
    n_groups: int = 1,
    steps: int = 1,
    classifier: keras.Model | None = None,
) -> CVAE:
    """The compiled conditional VAE of some hyperparameters.

    Parameters
    ----------
    encoder, decoder, hp
        As for :func:`train`.
    n_groups, steps
        Batches in each minibatch; steps per epoch.
    classifier
        Of the latent code, where labels are trained on.

    Examples
    --------
    >>> from imap_keras.scarches import ReferenceHyperparameters
    >>> from imap_keras.scarches.surgery import build_networks
    >>> from imap_keras.scarches.training import build_cvae
    >>> hp = ReferenceHyperparameters(hidden=(8,), kl_epochs=4)
    >>> cvae = build_cvae(**build_networks(20, 3, hp), hp=hp, steps=5)
    >>> float(cvae.kl_weight_at(10))
    0.5
    """
    cvae = CVAE(
        encoder,
        decoder,
        likelihood=hp.likelihood,
        kl_weight=hp.kl_weight,
        kl_steps=hp.kl_epochs * steps,
        kl_stair=steps if hp.kl_stairs else 1,
        mmd_weight=hp.mmd_weight,
        mmd_widths=WIDTHS[hp.mmd_widths],
        least_variance=hp.least_variance,
        weight_decay=hp.weight_decay,
        classifier=classifier,
        label_weight=hp.label_weight,
        n_groups=n_groups,
        seed=hp.seed,
    )
    optimizer = adam(
        hp.learning_rate,
        "scarches_adam",
        epsilon=hp.adam_epsilon,
        corrected_epsilon=hp.corrected_epsilon,
    )
    cvae.compile(optimizer=optimizer)
    optimizer.build(cvae.trainable_variables)  # made inside the step, it would be traced twice
    return cvae


def train(
    encoder: keras.Model,
    decoder: keras.Model,
    cells: np.ndarray,
    codes: np.ndarray,
    hp: ReferenceHyperparameters,
    title: str,
    verbose: int = 0,
    classifier: keras.Model | None = None,
    labels: np.ndarray | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> pd.DataFrame:
    """Train what is trainable of encoder and decoder, and of the classifier by labels, in place.

    Parameters
    ----------
    encoder, decoder
        Built for all batches of the model, frozen where surgery froze them.
    cells, codes
        Cells x genes and their batches, counted in the columns of the model.
    hp, title, verbose
        Hyperparameters; title of the progress bar; 0 hides it.
    classifier, labels
        Number of each cell's label, -1 for none; without labels (a query) no classifier is trained.
    strategy
        Of `tf.distribute`: each step's rows are shared out among its replicas.

    Returns
    -------
    pandas.DataFrame
        Losses by epoch, of training and (``val_``) of held-out cells; processor seconds.

    Raises
    ------
    FloatingPointError
        Training diverged.
    TypeError, ValueError
        As :func:`imap_keras.nn.replicas.check_strategy`.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches import ReferenceHyperparameters
    >>> from imap_keras.scarches.surgery import build_networks
    >>> from imap_keras.scarches.training import train
    >>> hp = ReferenceHyperparameters(hidden=(4,), latent_dim=2, epochs=1)
    >>> cells, codes = np.ones((20, 5), "float32"), np.repeat([0, 1], 10)
    >>> history = train(**build_networks(5, 2, hp), cells=cells, codes=codes, hp=hp, title="tiny")
    >>> history["epoch"].tolist()
    [1]
    """
    n_batches, n_groups = encoder.input_shape[1][-1], len(np.unique(codes))
    per_batch = max(hp.batch_size // n_groups, 1)
    check_strategy(strategy, per_batch, f"batch_size={hp.batch_size} for {n_groups} batches")
    inside, held_out = hold_out(len(codes), hp.validation, hp.seed, codes)
    steps = steps_of(len(inside), per_batch * n_groups)
    networks = {"encoder": encoder, "decoder": decoder}
    if labels is not None:
        networks[CLASSIFIER] = classifier
    table, clock = tf.constant(cells, tf.float32), Clock()  # one table for both kinds of rows
    plateau = keras.callbacks.ReduceLROnPlateau(factor=0.1, patience=hp.plateau, min_delta=0)
    rows = training_rows(table, codes, n_batches, per_batch, hp.seed, inside, labels)
    held = validation_rows(table, codes, n_batches, per_batch, held_out, labels)
    with on_replicas(networks, strategy, n_groups) as trained:
        history = fit_network(
            build_cvae(**trained, hp=hp, n_groups=n_groups, steps=steps),
            shared_rows(rows, n_groups),
            hp.epochs,
            title,
            steps=steps,
            verbose=verbose,
            callbacks=[BestEpoch(hp.patience), plateau, clock],
            validation=shared_rows(held, n_groups),
        )
    return history.assign(seconds=clock.seconds)
