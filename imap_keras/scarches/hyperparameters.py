"""Every number a reference can be tuned by, with the defaults of the paper's trVAE tutorials."""

from dataclasses import dataclass

from ..nn.parameters import Parameters, check_choice, check_count, check_number, check_widths

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
        self.check(check_choice, "likelihood", allowed=LIKELIHOODS)
        self.check(check_widths, "hidden")
        counts = ("latent_dim", "kl_epochs", "batch_size", "epochs", "patience", "plateau")
        self.check(check_count, *counts)
        self.check(check_count, "seed", least=0)
        self.check(check_number, "kl_weight", "mmd_weight")
        self.check(check_number, "learning_rate", within="above 0")
        self.check(check_number, "dropout", within="0 or more and below 0.9")
        self.check(check_number, "validation", within="above 0 and below 0.9")
