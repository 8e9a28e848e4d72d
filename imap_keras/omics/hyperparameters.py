"""What an autoencoder of several modalities can be tuned by."""

from dataclasses import asdict, dataclass

from ..hyperparameters import _count, _number
from .losses import LOSSES


@dataclass(frozen=True)
class Modality:
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

    loss: str = "mse"
    width: int = 30
    weight: float = 1.0
    activation: str | None = None

    def __post_init__(self):
        if self.loss not in LOSSES:
            raise ValueError(f"loss={self.loss!r} is unknown; choose one of {tuple(LOSSES)}.")
        fitting = LOSSES[self.loss].activations
        if self.activation is None:
            object.__setattr__(self, "activation", fitting[0])
        elif self.activation not in fitting:
            raise ValueError(
                f"activation={self.activation!r} does not fit the loss {self.loss!r}; "
                f"choose one of {fitting}."
            )
        object.__setattr__(self, "width", _count("width", self.width, 1, False))
        positive = _number("weight", self.weight, "above 0", lambda value: value > 0)
        object.__setattr__(self, "weight", positive)


@dataclass(frozen=True)
class Hyperparameters:
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
        Adam's; cells a step; passes over all training cells.
    validation, patience
        Share of the cells held out; stop when their loss has not fallen for so many epochs. The best
        weights come back.
    seed
        Of everything random, 0 to 2**31 - 1.

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

    latent_dim: int = 50
    hide_entries: float = 0.1
    hide_modality: float = 0.1
    learning_rate: float = 1e-3
    batch_size: int = 128
    epochs: int = 100
    validation: float = 0.2
    patience: int = 20
    seed: int = 0

    def __post_init__(self):
        for name in ("hide_entries", "hide_modality"):
            self._set(name, _number(name, getattr(self, name), "0 to below 1", lambda v: 0 <= v < 1))
        share = _number("validation", self.validation, "between 0 and 1", lambda v: 0 < v < 1)
        self._set("validation", share)
        rate = _number("learning_rate", self.learning_rate, "above 0", lambda value: value > 0)
        self._set("learning_rate", rate)
        counts = {"latent_dim": 1, "batch_size": 1, "epochs": 1, "patience": 1, "seed": 0}
        for name, least in counts.items():
            self._set(name, _count(name, getattr(self, name), least, False))
        if self.seed >= 2**31:
            raise ValueError(f"seed={self.seed} must be below 2**31.")

    def _set(self, name: str, value) -> None:
        object.__setattr__(self, name, value)  # the dataclass is frozen

    def as_dict(self) -> dict:
        """All names and values, ready for JSON."""
        return asdict(self)
