"""What a Bayesian classifier can be tuned by."""

from dataclasses import dataclass

from ..nn.parameters import Parameters, count, number, seed, widths


@dataclass(frozen=True)
class Hyperparameters(Parameters):
    """Hyperparameters of :class:`imap_keras.bayes.BayesianClassifier`.

    Parameters
    ----------
    hidden
        Widths of the hidden layers; none for softmax regression.
    prior_scale
        Standard deviation of the prior of every weight; inputs are standardised.
    epochs, kl_epochs
        Epochs, and those over which the weight of the divergence grows to 1.
    learning_rate, batch_size, seed
        Adam's; cells per step; seed of everything random.

    Raises
    ------
    ValueError
        A value is out of range; the message names it.

    Examples
    --------
    >>> from imap_keras.bayes import Hyperparameters
    >>> Hyperparameters().hidden
    ()
    """

    METHOD = "BayesianClassifier"

    hidden: tuple[int, ...] = widths((), least=0)
    prior_scale: float = number(1.0, "above 0")
    epochs: int = count(100)
    kl_epochs: int = count(50)
    learning_rate: float = number(1e-2, "above 0")
    batch_size: int = count(128)
    seed: int = seed()
