"""What inClust+ can be tuned by."""

from dataclasses import dataclass
from typing import ClassVar

from ..nn.parameters import Parameters, choice, count, flag, number, seed, widths
from .network import ACTIVATIONS, OUTPUTS, STARTS

# How far labels supervise the training, from not at all to every row.
SUPERVISION = ("unsupervised", "semi-supervised", "supervised")


@dataclass(frozen=True)
class Hyperparameters(Parameters):
    """Hyperparameters of inClust+.

    Widths, weights of the losses, rates and lengths are those of the published code. Six things are
    not, and ``preset="reference"`` undoes them: `entropy_until`, `cluster_start`, `covariate_start`,
    `decoder_start`, `recalibrate`, `pool_size`.

    Parameters
    ----------
    latent_dim, hidden, decoder_hidden
        Width of the latent, and of the hidden layers before and after it.
    activation
        Of the hidden layers, ``"relu"`` or ``"tanh"``.
    output
        Of the last layer: ``"relu"``, or ``"sigmoid"`` or ``"tanh"`` for values in [0, 1].
    n_clusters
        Gaussian clusters; None: one per label. Rows without any label need a number.
    reconstruction_weight
        Of half the squared error, summed over features: 1 / (variance of the noise that is assumed
        in the data).
    divergence_weight
        Of the divergence from the clusters.
    entropy_weight
        Of the negative entropy of the classifier.
    entropy_until
        The most supervision at which the entropy counts: ``"unsupervised"`` (no row has a label; the
        named modes of the published code), ``"semi-supervised"`` (some may have one) or
        ``"supervised"`` (always; what the commands in its documentation run, by a misspelt mode).
    label_weight
        Of the cross-entropy of the labels that exist.
    cluster_start, covariate_start
        Where the cluster means and yh start, ``"zero"`` or ``"random"``.
    decoder_start
        ``"mean"``: the decoder puts out the mean of each feature before training; ``"random"``: its
        last layer starts as any other.
    recalibrate
        Set yh to the minimum of the divergence after training; False leaves it where Adam stopped,
        as the published code does.
    pool_size
        Of more than 20,000 cells at most so many of each covariate (batch) are trained on, all others
        only encoded.
    learning_rate, epochs, rows_per_step
        Adam's, passes over all rows, rows per step.
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
    >>> Hyperparameters.of("reference").entropy_until
    'unsupervised'
    """

    METHOD = "inClust+"
    PRESETS: ClassVar[dict[str, dict]] = {
        "default": {},
        "reference": {
            "entropy_until": "unsupervised",
            "cluster_start": "zero",
            "covariate_start": "random",
            "decoder_start": "random",
            "recalibrate": False,
            "pool_size": 100_000,  # the published code trains on all cells
        },
    }

    latent_dim: int = count(50)
    hidden: tuple[int, ...] = widths((200, 50))
    decoder_hidden: tuple[int, ...] = widths((200,))
    activation: str = choice("relu", ACTIVATIONS)
    output: str = choice("relu", tuple(OUTPUTS))
    n_clusters: int | None = count(None, optional=True)
    reconstruction_weight: float = number(5.0)
    divergence_weight: float = number(1.0)
    entropy_weight: float = number(1.0)
    entropy_until: str = choice("semi-supervised", SUPERVISION)
    label_weight: float = number(50.0)
    cluster_start: str = choice("random", STARTS)
    covariate_start: str = choice("zero", STARTS)
    decoder_start: str = choice("mean", ("mean", "random"))
    recalibrate: bool = flag(True)
    pool_size: int = count(10_000, least=10)
    learning_rate: float = number(1e-3, "above 0")
    epochs: int = count(50)
    rows_per_step: int = count(500)
    seed: int = seed()
