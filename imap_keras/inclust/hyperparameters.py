"""What inClust+ can be tuned by; the defaults are the paper's."""

from dataclasses import dataclass

from ..nn.parameters import Parameters, choice, count, flag, number, seed, widths
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
        Of everything random, 0 to 2**32 - 1.

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

    METHOD = "inClust+"

    latent_dim: int = count(50)
    hidden: tuple[int, ...] = widths((200, 50))
    decoder_hidden: tuple[int, ...] = widths((200,))
    output: str = choice("relu", OUTPUTS)
    n_clusters: int | None = count(None, optional=True)
    reconstruction_weight: float = number(5.0)
    divergence_weight: float = number(1.0)
    entropy_weight: float = number(1.0)
    label_weight: float = number(50.0)
    recalibrate: bool = flag(True)
    learning_rate: float = number(1e-3, "above 0")
    epochs: int = count(50)
    rows_per_step: int = count(500)
    seed: int = seed()
