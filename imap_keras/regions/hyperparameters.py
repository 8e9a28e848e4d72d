"""Every number a region classifier can be tuned by, with the defaults of the paper."""

from dataclasses import dataclass
from typing import ClassVar

from ..nn.parameters import Parameters, choice, count, flag, number, seed, widths

DROPPED = ("units", "rows")


@dataclass(frozen=True)
class Hyperparameters(Parameters):
    """Hyperparameters of :class:`imap_keras.regions.RegionClassifier`.

    The preset ``"reference"`` follows the published code where it is not what the paper's text says:
    ``dropped="rows"`` and ``corrected_epsilon=True``. Layers, losses, gradients, a step, the learning
    rates and the split by donor are then held to numbers that the published code computed. Two things
    stay this kit's: starting weights (Glorot), and the last minibatch of an epoch, which is filled up
    with rows of the first (there it is left out).

    Parameters
    ----------
    hidden
        Widths of the hidden layers; the last one is the embedding.
    dropout
        Share dropped in training.
    dropped
        ``"units"``: single units after every hidden layer. ``"rows"``: all units of whole rows, after
        the last hidden layer only; such a row teaches the output biases alone. The published code does
        this: PyTorch's `Dropout1d` reads rows x units as one sample of channels x length.
    learning_rate, decay, decay_every
        AdamW's learning rate, times `decay` every `decay_every` epochs.
    weight_decay, corrected_epsilon
        AdamW's decay; whether its epsilon stands where PyTorch has it, see
        :class:`imap_keras.nn.optimizer.FusedAdam`.
    batch_size, epochs
        Rows a step and most epochs.
    patience
        Epochs without a lower validation loss after which training stops.
    keep_best
        Keep the weights of the epoch with the lowest validation loss; False keeps those of the last.
    validation_share
        Share of each region's donors that validate.
    seed
        Of the split, the starting weights, the order of rows and the dropout.

    Raises
    ------
    ValueError
        A value is out of range; the message names it.

    References
    ----------
    TransBrain, https://doi.org/10.1038/s41592-025-02961-3, Methods.

    Examples
    --------
    >>> from imap_keras.regions import Hyperparameters
    >>> Hyperparameters().hidden, Hyperparameters.of("reference").dropped
    ((500, 500, 500), 'rows')
    """

    METHOD = "RegionClassifier"
    PRESETS: ClassVar = {
        "default": {},
        "reference": {"dropped": "rows", "corrected_epsilon": True},
    }

    hidden: tuple[int, ...] = widths((500, 500, 500))
    dropout: float = number(0.1, "0 or more and below 1")
    dropped: str = choice("units", DROPPED)
    learning_rate: float = number(6e-5, "above 0")
    decay: float = number(0.8, "above 0 and at most 1")
    decay_every: int = count(20)
    weight_decay: float = number(1e-6)
    corrected_epsilon: bool = flag(False)
    batch_size: int = count(256)
    epochs: int = count(50)
    patience: int = count(5)
    keep_best: bool = flag(True)
    validation_share: float = number(0.1, "above 0 and below 1")
    seed: int = seed()
