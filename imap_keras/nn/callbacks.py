"""What steers a Keras `fit` from epoch to epoch: when to stop, and which weights to keep."""

import sys
import time

import keras
import numpy as np
from tqdm import tqdm


class BestEpoch(keras.callbacks.Callback):
    """Stop when the validation loss has not fallen for `patience` epochs, and keep the best weights.

    They come back however training ends. Keras' own EarlyStopping gives them back only after an early
    stop in Keras 2, always in Keras 3.

    Parameters
    ----------
    patience
        Epochs to wait for a lower loss.
    """

    def __init__(self, patience: int = 5):
        super().__init__()
        self.patience = patience
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.best, self.epoch, self.weights = np.inf, -1, None

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_loss"] < self.best:
            self.best, self.epoch, self.weights = logs["val_loss"], epoch, self.model.get_weights()
        elif epoch - self.epoch >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.weights is not None:  # None: no loss was finite, history_table says so
            self.model.set_weights(self.weights)


class StopWhenSettled(keras.callbacks.Callback):
    """Stop when the loss has not fallen by 1 % of its best value for `patience` epochs.

    Parameters
    ----------
    patience
        Epochs to wait for such a fall.
    """

    def __init__(self, patience: int):
        super().__init__()
        self.patience = patience
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.best, self.waited = np.inf, 0

    def on_epoch_end(self, epoch, logs=None):
        if logs["loss"] < 0.99 * self.best:
            self.best, self.waited = logs["loss"], 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.model.stop_training = True


class AverageWeights(keras.callbacks.Callback):
    """At the end of training a network gets the mean of its weights after each of the last epochs.

    Two networks that chase each other circle round their goal; the mean lies nearer to it than the
    last point of the circle.

    Parameters
    ----------
    network
        The network whose weights are averaged, a part of what is trained.
    last_epochs
        Over so many of the epochs planned; 1 leaves the weights as the last epoch left them. Of a
        training that stops before, those of them that were trained count.

    References
    ----------
    Izmailov et al., UAI 2018.
    """

    def __init__(self, network: keras.Model, last_epochs: int):
        super().__init__()
        self.network, self.last_epochs = network, last_epochs
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.sums, self.summed = None, 0

    def on_epoch_end(self, epoch, logs=None):
        if epoch < self.params["epochs"] - self.last_epochs:
            return
        weights = self.network.get_weights()
        self.sums = [a + b for a, b in zip(self.sums, weights)] if self.sums else weights
        self.summed += 1

    def on_train_end(self, logs=None):
        if self.sums:
            self.network.set_weights([total / self.summed for total in self.sums])


class Clock(keras.callbacks.Callback):
    """Note the processor seconds passed at the end of every epoch; other programs do not count.

    The first epoch holds the building of graphs.
    """

    def on_train_begin(self, logs=None):
        self.start, self.seconds = time.process_time(), []

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.process_time() - self.start)


class ProgressBar(keras.callbacks.Callback):
    """Show epochs and losses of a Keras `fit` as one text line (no notebook widget).

    Parameters
    ----------
    title
        What is trained.
    verbose
        0 shows nothing.
    """

    def __init__(self, title: str, verbose: int = 1):
        super().__init__()
        self.title, self.verbose = title, verbose

    def on_train_begin(self, logs=None):
        self.bar = tqdm(
            total=self.params["epochs"],
            desc=self.title,
            unit="epoch",
            disable=not self.verbose,
            file=sys.stdout,
            mininterval=0.5,
        )

    def on_epoch_end(self, epoch, logs=None):
        losses = {name: f"{float(value):.3g}" for name, value in (logs or {}).items()}
        self.bar.set_postfix(losses, refresh=False)
        self.bar.update()

    def on_train_end(self, logs=None):
        self.bar.close()
