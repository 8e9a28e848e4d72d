"""Training of an autoencoder of several modalities: shuffled cells, some of what they hold hidden."""

from collections.abc import Mapping

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from ..nn.callbacks import BestEpoch
from ..nn.fitting import fit_network
from ..nn.rows import drawn_rows, shuffled_rows, steps_of, untuned
from .hyperparameters import Hyperparameters, Modality
from .network import build_joint_network, compile_network, start_from


def hide(tables: Mapping, seeds, hide_entries: float, hide_modality: float) -> dict:
    """Put NaN, as if not measured, into random entries and over one modality of random rows.

    Parameters
    ----------
    tables
        By modality, rows x features.
    seeds
        A stateless seed (shape 2).
    hide_entries, hide_modality
        Share of the entries, and share of the rows one modality of which is hidden.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics.training import hide
    >>> rows = {"rna": np.ones((100, 3), "float32"), "atac": np.ones((100, 5), "float32")}
    >>> hidden = hide(rows, [0, 0], hide_entries=0.0, hide_modality=0.5)
    >>> bool(np.isnan(hidden["rna"]).all(1).sum() + np.isnan(hidden["atac"]).all(1).sum() > 30)
    True
    """
    n_rows, n = tf.shape(next(iter(tables.values())))[0], len(tables)
    draw = tf.random.stateless_uniform((n_rows, 1), seeds)
    # One draw a row says whether a modality is hidden, and which: each has its part of the interval.
    share = hide_modality / n if n > 1 else 0.0
    hidden = {}
    for number, (name, x) in enumerate(tables.items()):
        whole = (draw >= share * number) & (draw < share * (number + 1))
        entry_seeds = tf.stack([seeds[0] + number + 1, seeds[1]])
        entry = tf.random.stateless_uniform(tf.shape(x), entry_seeds) < hide_entries
        hidden[name] = tf.where(whole | entry, np.float32(np.nan), x)
    return hidden


def draw_cells(values: Mapping[str, np.ndarray], hp: Hyperparameters) -> tf.data.Dataset:
    """Endless training steps: every cell once an epoch, in a new order, some of it hidden.

    Parameters
    ----------
    values
        By modality, cells x features, NaN where not measured.
    hp
        Batch size, what is hidden, seed.

    Returns
    -------
    tf.data.Dataset
        ``(inputs, targets)``, both by modality; the targets hide nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics import Hyperparameters
    >>> from imap_keras.omics.training import draw_cells
    >>> cells = draw_cells({"rna": np.ones((9, 2), "float32")}, Hyperparameters(batch_size=4))
    >>> inputs, targets = next(iter(cells))
    >>> tuple(targets["rna"].shape)
    (4, 2)
    """
    tables = {name: tf.constant(table, tf.float32) for name, table in values.items()}
    n = len(next(iter(values.values())))

    def draw(step):
        row = shuffled_rows(step, n, min(hp.batch_size, n), hp.seed)
        targets = {name: tf.gather(table, row) for name, table in tables.items()}
        seeds = tf.stack([tf.constant(hp.seed, tf.int64), step])
        return hide(targets, seeds, hp.hide_entries, hp.hide_modality), targets

    return drawn_rows(draw)


def check_trained_on(training: Mapping[str, np.ndarray], features: Mapping[str, list[str]]) -> None:
    """Raise if a feature is measured in none of the cells trained on: nothing could be learnt of it.

    Raises
    ------
    ValueError
        Names the modality and the first such feature.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics.training import check_trained_on
    >>> check_trained_on({"rna": np.ones((3, 2))}, {"rna": ["gene_1", "gene_2"]})
    """
    for name, table in training.items():
        never = ~np.isfinite(table).any(axis=0)
        if never.any():
            raise ValueError(
                f"Feature {features[name][never.argmax()]!r} of modality {name!r} was measured in "
                f"cells held out only ({int(never.sum())} such features). Leave out features measured "
                "in so few cells, or lower `validation`."
            )


def train(
    training: Mapping[str, np.ndarray],
    watched: Mapping[str, np.ndarray],
    specs: Mapping[str, Modality],
    hp: Hyperparameters,
    verbose: int = 0,
) -> tuple[keras.Model, pd.DataFrame]:
    """Build the network for the cells and train it.

    Parameters
    ----------
    training, watched
        By modality, cells x features to train on and to hold out, NaN where not measured. Modalities
        are named as Keras names layers, see :func:`imap_keras.omics.network.layer_names`.
    specs
        By modality, how it is judged.
    hp, verbose
        Hyperparameters; 0 shows no progress bar.

    Returns
    -------
    network, history
        The trained network; losses by epoch, ``val_`` on cells held out.

    Raises
    ------
    FloatingPointError
        Training diverged.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics import Hyperparameters, Modality
    >>> from imap_keras.omics.training import train
    >>> cells = {"rna": np.random.default_rng(0).normal(size=(20, 3)).astype("float32")}
    >>> hp = Hyperparameters(latent_dim=2, epochs=1)
    >>> network, history = train(cells, cells, {"rna": Modality("mse", 4)}, hp)
    >>> list(history)
    ['epoch', 'loss', 'rna_loss', 'val_loss', 'val_rna_loss']
    """
    sizes = {name: table.shape[1] for name, table in training.items()}
    network = build_joint_network(sizes, specs, hp.latent_dim, hp.seed)
    start_from(network, specs, training)
    compile_network(network, specs, hp.learning_rate)
    history = fit_network(
        network,
        draw_cells(training, hp),
        hp.epochs,
        "the autoencoder",
        steps=steps_of(len(next(iter(training.values()))), hp.batch_size),
        verbose=verbose,
        callbacks=[BestEpoch(hp.patience)],
        validation=untuned(tf.data.Dataset.from_tensors((watched, watched))),
        some=(watched, watched),
    )
    # Any Keras calls the loss of a single output "loss", weighted.
    columns = ["epoch"]
    for part in ("", "val_"):
        if len(specs) == 1:
            ((name, spec),) = specs.items()
            history[f"{part}{name}_loss"] = history[f"{part}loss"] / spec.weight
        columns += [f"{part}loss", *(f"{part}{name}_loss" for name in specs)]
    return network, history[columns]
