"""What inClust+ can be tuned by; the defaults are the paper's."""

from dataclasses import asdict, dataclass

from ..hyperparameters import _count, _number, _widths
from .network import OUTPUTS


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of inClust+.

    Parameters
    ----------
    latent_dim, hidden, decoder_hidden
        Width of the latent, and of the hidden ReLU layers before and after it.
    output
        ``"relu"``, or ``"sigmoid"`` for values in [0, 1].
    n_clusters
        Gaussian clusters; None: one a label. Rows without any label need a number.
    reconstruction_weight
        Of half the squared error, summed over features: 1 / (variance of the noise that is assumed
        in the data).
    divergence_weight
        Of the divergence from the clusters.
    entropy_weight
        Of the negative entropy of the classifier; not used if every row has a label.
    label_weight
        Of the cross-entropy of the labels that exist.
    recalibrate
        Set yh to the minimum of the divergence after training; False leaves it where Adam stopped,
        as the paper does.
    learning_rate, epochs, rows_per_step
        Adam's, passes over all rows, rows a step.
    seed
        Of everything random, 0 to 2**31 - 1.

    Raises
    ------
    ValueError
        A value is out of range; the message names it.

    References
    ----------
    Wang et al., BMC Bioinformatics 25:41 (2024), Methods.

    Examples
    --------
    >>> from imap_keras.inclust import Hyperparameters
    >>> Hyperparameters().hidden
    (200, 50)
    """

    latent_dim: int = 50
    hidden: tuple[int, ...] = (200, 50)
    decoder_hidden: tuple[int, ...] = (200,)
    output: str = "relu"
    n_clusters: int | None = None
    reconstruction_weight: float = 5.0
    divergence_weight: float = 1.0
    entropy_weight: float = 1.0
    label_weight: float = 50.0
    recalibrate: bool = True
    learning_rate: float = 1e-3
    epochs: int = 50
    rows_per_step: int = 500
    seed: int = 0

    def __post_init__(self):
        for name in ("hidden", "decoder_hidden"):
            self._set(name, _widths(name, getattr(self, name)))
        for name in ("reconstruction_weight", "divergence_weight", "entropy_weight", "label_weight"):
            self._set(name, _number(name, getattr(self, name), "0 or more", lambda value: value >= 0))
        rate = _number("learning_rate", self.learning_rate, "above 0", lambda value: value > 0)
        self._set("learning_rate", rate)
        counts = {"latent_dim": 1, "n_clusters": 1, "epochs": 1, "rows_per_step": 1, "seed": 0}
        for name, least in counts.items():
            self._set(name, _count(name, getattr(self, name), least, name == "n_clusters"))
        if not isinstance(self.recalibrate, bool):
            raise ValueError(f"recalibrate={self.recalibrate!r} must be True or False.")
        if self.output not in OUTPUTS:
            raise ValueError(f"output={self.output!r} is unknown; choose one of {OUTPUTS}.")
        if self.seed >= 2**31:
            raise ValueError(f"seed={self.seed} must be below 2**31.")

    def _set(self, name: str, value) -> None:
        object.__setattr__(self, name, value)  # the dataclass is frozen

    def as_dict(self) -> dict:
        """All names and values, ready for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
