"""A Bayesian classifier behind one class: fit, then draws and predict."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from ..nn.callbacks import ProgressBar
from ..nn.fitting import history_table, make_variables
from ..nn.optimizer import adam
from ..nn.parameters import Parameters, check_count, check_number, check_seed, check_widths
from ..nn.persistence import load_models, save_models
from ..nn.rows import minibatches, steps_of
from .layers import AnnealDivergence
from .network import build_classifier, posterior_draws
from .uncertainty import entropy, mutual_information


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
        Adam's; cells a step; seed of everything random.

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

    hidden: tuple[int, ...] = ()
    prior_scale: float = 1.0
    epochs: int = 100
    kl_epochs: int = 50
    learning_rate: float = 1e-2
    batch_size: int = 128
    seed: int = 0

    def __post_init__(self):
        self.check(check_widths, "hidden", least=0)
        self.check(check_number, "prior_scale", "learning_rate", within="above 0")
        self.check(check_count, "epochs", "kl_epochs", "batch_size")
        self.check(check_seed, "seed", bits=31)


class BayesianClassifier:
    """Classify cells and say how sure that is, by variational inference over every weight.

    Parameters
    ----------
    hyperparameters
        Any of :class:`imap_keras.bayes.Hyperparameters` by name.

    Attributes
    ----------
    network
        The Keras model, on standardised inputs.
    classes
        Names of the classes, sorted.
    history
        Table of loss, divergence and its weight, epoch by epoch.

    Raises
    ------
    ValueError, TypeError
        A hyperparameter is out of range or unknown.

    References
    ----------
    Blundell et al., ICML 2015.

    Examples
    --------
    >>> model = BayesianClassifier(epochs=100).fit(pixels, digits)  # doctest: +SKIP
    >>> model.predict(others)["mutual_information"]  # doctest: +SKIP
    """

    def __init__(self, **hyperparameters):
        self.hyperparameters = Hyperparameters(**hyperparameters)
        self.network: keras.Model | None = None

    def fit(self, values: np.ndarray, labels: Sequence[str], verbose: int = 1) -> "BayesianClassifier":
        """Train on labelled cells.

        Parameters
        ----------
        values, labels
            Cells x features, and the class of each cell.
        verbose
            0 shows no progress bar.

        Returns
        -------
        BayesianClassifier
            Itself.

        Raises
        ------
        ValueError
            Lengths differ, a value is not finite, a label is empty, or there is one class only.
        FloatingPointError
            Training diverged.
        """
        values, hp = _checked(values), self.hyperparameters
        names = pd.Series(list(labels))
        if len(names) != len(values):
            raise ValueError(f"There are {len(values)} cells and {len(names)} labels; they must agree.")
        if names.isna().any():
            raise ValueError(
                f"{int(names.isna().sum())} cells have no label. Leave those cells out of the training."
            )
        classes = sorted({str(name) for name in names})
        codes = pd.Categorical(names.map(str), classes).codes
        if len(classes) < 2:
            raise ValueError(f"All cells are of one class, {classes[0]!r}; at least two are needed.")
        mean, scale = values.mean(axis=0), values.std(axis=0)
        scale = np.where(scale > 1e-6, scale, 1.0)
        network = build_classifier(
            values.shape[1], len(classes), hp.hidden, len(values), hp.prior_scale, hp.seed
        )
        network.compile(
            optimizer=adam(hp.learning_rate, "bayes_adam"), loss="sparse_categorical_crossentropy"
        )
        table = np.column_stack([(values - mean) / scale, codes]).astype("float32")
        rows = minibatches(table, hp.batch_size, hp.seed).map(lambda x, _: (x[:, :-1], x[:, -1]))
        make_variables(network, table[:2, :-1], table[:2, -1])
        annealing = AnnealDivergence(hp.kl_epochs)
        fitted = network.fit(
            rows,
            shuffle=False,
            steps_per_epoch=steps_of(len(values), hp.batch_size),
            epochs=hp.epochs,
            verbose=0,
            callbacks=[ProgressBar("Bayesian classifier", verbose), annealing],
        )
        history = history_table(fitted, "the Bayesian classifier", "learning_rate")
        # Nothing of an earlier fit is replaced before this one has succeeded.
        self.history = history.assign(
            divergence=annealing.divergence, divergence_weight=annealing.weight
        )
        self.network, self.classes = network, classes
        self.mean, self.scale = mean, scale
        return self

    def draws(self, values: np.ndarray, n_draws: int = 100) -> np.ndarray:
        """Class probabilities under weights drawn from the posterior.

        Parameters
        ----------
        values
            Cells x features, as in :meth:`fit`.
        n_draws
            Number of draws.

        Returns
        -------
        numpy.ndarray
            Draws x cells x classes.

        Raises
        ------
        RuntimeError
            :meth:`fit` has not been called.
        ValueError
            Another number of features, or a value that is not finite.
        """
        self._check_fitted()
        values = _checked(values)
        if values.shape[1] != len(self.mean):
            raise ValueError(
                f"Cells have {values.shape[1]} features; fit() saw {len(self.mean)}. "
                "Hand in the same features in the same order."
            )
        return posterior_draws(self.network, (values - self.mean) / self.scale, n_draws)

    def predict(self, values: np.ndarray, n_draws: int = 100) -> pd.DataFrame:
        """Label of each cell by the mean of the draws, and how sure it is.

        Parameters
        ----------
        values, n_draws
            As for :meth:`draws`.

        Returns
        -------
        pandas.DataFrame
            Cells x (``label``, ``probability``, ``entropy``, ``mutual_information``). Labels are text,
            also where :meth:`fit` was given numbers.

        Raises
        ------
        RuntimeError, ValueError
            As for :meth:`draws`.
        """
        draws = self.draws(values, n_draws)
        mean = draws.mean(axis=0)
        return pd.DataFrame(
            {
                "label": np.array(self.classes)[mean.argmax(axis=1)],
                "probability": mean.max(axis=1),
                "entropy": entropy(mean),
                "mutual_information": mutual_information(draws),
            }
        )

    def save(self, folder: str | Path) -> None:
        """Write the fitted model as a Keras file and one JSON; an interruption keeps an older one.

        Raises
        ------
        RuntimeError
            :meth:`fit` has not been called.
        """
        self._check_fitted()
        info = {
            "hyperparameters": self.hyperparameters.as_dict(),
            "classes": self.classes,
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "history": self.history.to_dict("list"),
        }
        save_models(folder, "bayes", {"network": self.network}, info)

    @classmethod
    def load(cls, folder: str | Path) -> "BayesianClassifier":
        """Read a model that :meth:`save` wrote.

        Raises
        ------
        FileNotFoundError, ValueError
            The folder is not a saved Bayesian classifier, or a file of it is missing or damaged.
        """
        models, info = load_models(folder, "bayes")
        model = cls(**info["hyperparameters"])
        model.network, model.history = models["network"], pd.DataFrame(info["history"])
        model.classes = info["classes"]
        model.mean, model.scale = np.array(info["mean"]), np.array(info["scale"])
        return model

    def _check_fitted(self) -> None:
        if self.network is None:
            raise RuntimeError(
                "This BayesianClassifier is not fitted yet; call fit(values, labels) first."
            )


def _checked(values) -> np.ndarray:
    values = np.asarray(values, "float64")
    if values.ndim != 2:
        raise ValueError(f"values have the shape {values.shape}; expected cells x features.")
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise ValueError(
            f"values hold {bad} NaN or infinite numbers; fill them in or leave those cells out."
        )
    return values
