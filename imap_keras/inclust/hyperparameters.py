"""What inClust+ can be tuned by; the defaults are the paper's."""

from dataclasses import dataclass

from ..nn.parameters import (
    Parameters,
    check_choice,
    check_count,
    check_flag,
    check_number,
    check_seed,
    check_widths,
)
from .network import OUTPUTS


@dataclass(frozen=True)
class Hyperparameters(Parameters):
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
        self.check(check_widths, "hidden", "decoder_hidden")
        weights = ("reconstruction_weight", "divergence_weight", "entropy_weight", "label_weight")
        self.check(check_number, *weights)
        self.check(check_number, "learning_rate", within="above 0")
        self.check(check_count, "latent_dim", "epochs", "rows_per_step")
        self.check(check_count, "n_clusters", optional=True)
        self.check(check_seed, "seed", bits=31)
        self.check(check_flag, "recalibrate")
        self.check(check_choice, "output", allowed=OUTPUTS)
