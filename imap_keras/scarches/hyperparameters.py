"""Every number a reference can be tuned by, with the defaults of the paper's trVAE tutorials."""

from dataclasses import dataclass

from ..nn.parameters import Parameters, choice, count, number, seed, widths

LIKELIHOODS = ("nb", "zinb", "mse")


@dataclass(frozen=True)
class ReferenceHyperparameters(Parameters):
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

    METHOD = "scArches"

    likelihood: str = choice("nb", LIKELIHOODS)
    latent_dim: int = count(10)
    hidden: tuple[int, ...] = widths((128, 128))
    dropout: float = number(0.05, "0 or more and below 0.9")
    kl_weight: float = number(1.0)
    kl_epochs: int = count(200)
    mmd_weight: float = number(1.0)
    learning_rate: float = number(1e-3, "above 0")
    batch_size: int = count(128)
    epochs: int = count(500)
    patience: int = count(20)
    plateau: int = count(13)
    validation: float = number(0.1, "above 0 and below 0.9")
    seed: int = seed()
