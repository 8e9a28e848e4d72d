"""What an autoencoder of several modalities can be tuned by."""

from dataclasses import dataclass

from ..nn.parameters import Parameters, choice, count, number, seed
from .losses import LOSSES


@dataclass(frozen=True)
class Modality(Parameters):
    """How one modality is read and judged.

    Parameters
    ----------
    loss
        ``"mse"`` for values of either sign (log expression), ``"bce"`` for values in [0, 1]
        (methylation), ``"poisson"`` for counts.
    width
        Units of its own encoder layer.
    weight
        Of its loss in the sum.
    activation
        Of its output layer; None: what fits the loss, ``"linear"``, ``"sigmoid"`` or
        ``"exponential"``.
    encoder
        Activation of its encoder layer, ``"elu"`` or ``"linear"`` (as for the few proteins of
        CITE-seq).

    Raises
    ------
    ValueError
        Unknown loss, an activation that does not fit it, or a number out of range.

    Examples
    --------
    >>> from imap_keras.omics import Modality
    >>> Modality("bce", width=10).activation
    'sigmoid'
    """

    METHOD = "a modality"

    loss: str = choice("mse", tuple(LOSSES))
    width: int = count(30)
    weight: float = number(1.0, "above 0")
    activation: str | None = None
    encoder: str = choice("elu", ("elu", "linear"))

    def __post_init__(self):
        super().__post_init__()
        fitting = LOSSES[self.loss].activations
        if self.activation is None:
            object.__setattr__(self, "activation", fitting[0])
        elif self.activation not in fitting:
            raise ValueError(
                f"activation={self.activation!r} does not fit the loss {self.loss!r}; "
                f"choose one of {fitting}."
            )


@dataclass(frozen=True)
class Hyperparameters(Parameters):
    """Hyperparameters of :class:`imap_keras.omics.MultiOmics`.

    Parameters
    ----------
    latent_dim
        Width of the joint code.
    hide_entries, hide_modality
        In training, share of the entries hidden from the encoders, and share of the cells one whole
        modality of which is hidden; the decoders are judged by them all the same. So the network
        learns to do without, and to predict one modality from the others.
    learning_rate, batch_size, epochs
        Adam's; cells per step; passes over all training cells.
    validation, patience
        Share of the cells held out; stop when their loss has not fallen for so many epochs. The best
        weights come back.
    seed
        Of everything random, 0 to 2**32 - 1.

    Raises
    ------
    ValueError
        A value is out of range; the message names it.

    Examples
    --------
    >>> from imap_keras.omics import Hyperparameters
    >>> Hyperparameters().batch_size
    128
    """

    METHOD = "MultiOmics"

    latent_dim: int = count(50)
    hide_entries: float = number(0.1, "0 or more and below 1")
    hide_modality: float = number(0.1, "0 or more and below 1")
    learning_rate: float = number(1e-3, "above 0")
    batch_size: int = count(128)
    epochs: int = count(100)
    validation: float = number(0.2, "above 0 and below 1")
    patience: int = count(20)
    seed: int = seed()
