"""Compile and train a region classifier."""

from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd

from ..nn.callbacks import BestEpoch
from ..nn.fitting import fit_network
from ..nn.optimizer import adam
from ..nn.rows import minibatches, steps_of
from .hyperparameters import Hyperparameters
from .network import build_region_classifier, step_schedule


class StopWithoutReturn(BestEpoch):
    """Stop as :class:`imap_keras.nn.callbacks.BestEpoch` does, but leave the last epoch's weights."""

    def on_train_end(self, logs=None):
        self.epoch = self.last

    def on_epoch_end(self, epoch, logs=None):
        self.last = epoch
        super().on_epoch_end(epoch, logs)


def build_and_compile(n_genes: int, n_regions: int, hp: Hyperparameters) -> keras.Model:
    """The classifier with AdamW and its loss, cross-entropy.

    Examples
    --------
    >>> from imap_keras.regions import Hyperparameters
    >>> from imap_keras.regions.training import build_and_compile
    >>> network = build_and_compile(30, 4, Hyperparameters(hidden=(8,), weight_decay=0.25))
    >>> network.optimizer.weight_decay
    0.25
    """
    network = build_region_classifier(n_genes, n_regions, hp.hidden, hp.dropout, hp.seed, hp.dropped)
    network.compile(
        adam(
            hp.learning_rate,
            "regions_adamw",
            corrected_epsilon=hp.corrected_epsilon,
            weight_decay=hp.weight_decay,
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy"),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    return network


def train(
    network: keras.Model,
    scaled: np.ndarray,
    codes: Sequence[int],
    held_out: np.ndarray,
    hp: Hyperparameters,
    verbose: int = 0,
) -> tuple[pd.DataFrame, int]:
    """Train a compiled classifier on the rows that are not held out; the history, and the epoch kept.

    Raises
    ------
    FloatingPointError
        Training diverged.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.regions import Hyperparameters
    >>> from imap_keras.regions.training import build_and_compile, train
    >>> hp = Hyperparameters(hidden=(4,), epochs=2)
    >>> held_out, codes = np.array([True, False, False]), np.array([0, 1, 0], "int32")
    >>> network = build_and_compile(2, 2, hp)
    >>> history, kept = train(network, np.eye(3, 2, dtype="float32"), codes, held_out, hp)
    >>> history["epoch"].tolist()
    [1, 2]
    """
    rates = [step_schedule(i, hp.learning_rate, hp.decay, hp.decay_every) for i in range(hp.epochs)]
    best = BestEpoch(hp.patience) if hp.keep_best else StopWithoutReturn(hp.patience)
    inside = scaled[~held_out], codes[~held_out]
    history = fit_network(
        network,
        minibatches(*inside, batch_size=hp.batch_size, seed=hp.seed),
        hp.epochs,
        "the region classifier",
        steps=steps_of(len(inside[0]), hp.batch_size),
        verbose=verbose,
        callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch: rates[epoch]), best],
        validation=(scaled[held_out], codes[held_out]),
        validation_batch_size=1024,
        some=(scaled[:1], codes[:1]),
    )
    history["learning_rate"] = rates[: len(history)]
    return history, best.epoch + 1
