"""A Bayesian classifier behind one class: fit, then draws and predict."""

from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd

from ..nn.estimator import Estimator
from ..nn.fitting import fit_network
from ..nn.optimizer import adam
from ..nn.rows import minibatches, steps_of
from .hyperparameters import Hyperparameters
from .layers import AnnealDivergence
from .network import build_classifier, posterior_draws
from .uncertainty import entropy, mutual_information


class BayesianClassifier(Estimator):
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

    kind = "bayes"
    how_to_fit = "fit(values, labels)"

    def __init__(self, **hyperparameters):
        self.hyperparameters = Hyperparameters.of(**hyperparameters)
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
        codes = pd.Categorical(names.map(str), classes).codes.astype("int32")
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
        scaled = ((values - mean) / scale).astype("float32")
        annealing = AnnealDivergence(hp.kl_epochs)
        history = fit_network(
            network,
            minibatches(scaled, codes, batch_size=hp.batch_size, seed=hp.seed),
            hp.epochs,
            "the Bayesian classifier",
            steps=steps_of(len(values), hp.batch_size),
            verbose=verbose,
            callbacks=[annealing],
            some=(scaled[:2], codes[:2]),
        )
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
        self.check_fitted()
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

    def _networks(self) -> dict[str, keras.Model]:
        return {} if self.network is None else {"network": self.network}

    def _state(self) -> dict:
        return {
            "hyperparameters": self.hyperparameters.as_dict(),
            "classes": self.classes,
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "history": self.history.to_dict("list"),
        }

    @classmethod
    def _restored(cls, networks: dict[str, keras.Model], state: dict) -> "BayesianClassifier":
        model = cls(**state["hyperparameters"])
        model.network, model.history = networks["network"], pd.DataFrame(state["history"])
        model.classes = state["classes"]
        model.mean, model.scale = np.array(state["mean"]), np.array(state["scale"])
        return model


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
