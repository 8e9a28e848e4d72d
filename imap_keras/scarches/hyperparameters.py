"""Every number a reference can be tuned by, with the defaults of the paper's trVAE tutorials."""

from dataclasses import asdict, dataclass

from ..hyperparameters import _count, _number, _widths

LIKELIHOODS = ("nb", "zinb", "mse")


@dataclass(frozen=True)
class ReferenceHyperparameters:
    """Hyperparameters of the conditional VAE and of its training.

    Parameters
    ----------
    likelihood
        ``"nb"`` (negative binomial) or ``"zinb"`` (zero-inflated) on counts, ``"mse"`` (mean squared
        error) on log-normalised values.
    latent_dim, hidden
        Width of the latent space; widths of the encoder's hidden layers, which the decoder mirrors.
    dropout
        Share of hidden units left out in training of a reference; a query is trained without.
    kl_weight, kl_epochs
        Weight of the KL term (alpha), and epochs over which it grows from 0 to that weight.
    mmd_weight
        Weight of the maximum mean discrepancy between batches (beta); 0 leaves it out.
    learning_rate, batch_size, epochs
        Adam's; rows a step, the same number from every batch; most epochs.
    patience
        Stop when the validation loss has not fallen for so many epochs; the best weights come back.
    plateau
        Cut the learning rate to a tenth after so many epochs without a fall.
    validation
        Share of every batch that is held out to watch the loss on.
    seed
        Seed of everything random.

    Raises
    ------
    ValueError
        A value is out of range; the message names it.

    References
    ----------
    Lotfollahi et al., Nature Biotechnology 40:121 (2022), Methods; trVAE: Lotfollahi et al.,
    Bioinformatics 36:i610 (2020).

    Examples
    --------
    >>> from imap_keras.scarches import ReferenceHyperparameters
    >>> ReferenceHyperparameters(latent_dim=5).hidden
    (128, 128)
    """

    likelihood: str = "nb"
    latent_dim: int = 10
    hidden: tuple[int, ...] = (128, 128)
    dropout: float = 0.05
    kl_weight: float = 1.0
    kl_epochs: int = 200
    mmd_weight: float = 1.0
    learning_rate: float = 1e-3
    batch_size: int = 128
    epochs: int = 500
    patience: int = 20
    plateau: int = 13
    validation: float = 0.1
    seed: int = 0

    def __post_init__(self):
        if self.likelihood not in LIKELIHOODS:
            raise ValueError(f"likelihood={self.likelihood!r} is unknown; choose one of {LIKELIHOODS}.")
        checked = {"hidden": _widths("hidden", self.hidden)}
        for name in ("latent_dim", "kl_epochs", "batch_size", "epochs", "patience", "plateau"):
            checked[name] = _count(name, getattr(self, name), 1, optional=False)
        checked["seed"] = _count("seed", self.seed, 0, optional=False)
        for name in ("kl_weight", "mmd_weight"):
            checked[name] = _number(name, getattr(self, name), "0 or more", lambda value: value >= 0)
        rate = self.learning_rate
        checked["learning_rate"] = _number("learning_rate", rate, "above 0", lambda value: value > 0)
        for name, least in (("dropout", "0 or more"), ("validation", "above 0")):
            value = getattr(self, name)
            checked[name] = _number(
                name,
                value,
                f"{least} and below 0.9",
                lambda value, least=least: (value > 0 or least == "0 or more") and 0 <= value < 0.9,
            )
        for name, value in checked.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen

    def as_dict(self) -> dict:
        """All names and values, ready for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
