"""One progress bar for every training run."""

import sys

import keras
from tqdm import tqdm


class ProgressBar(keras.callbacks.Callback):
    """Show epochs and losses of a Keras `fit` as one text line (no notebook widget).

    Parameters
    ----------
    title
        What is trained.
    verbose
        0 shows nothing.

    Examples
    --------
    >>> model.fit(data, verbose=0, callbacks=[ProgressBar("stage I", verbose=1)])  # doctest: +SKIP
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
