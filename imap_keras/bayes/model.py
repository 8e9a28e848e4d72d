"""A Bayesian classifier behind one class: fit, then draws and predict."""

from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from ..inputs.cells import Cells
from ..inputs.labels import coded
from ..inputs.values import check_finite
from ..nn.estimator import Estimator, Widths, finite
from ..nn.fitting import fit_network
from ..nn.optimizer import adam
from ..nn.parameters import check_count
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
    features
        Names of the features, where :meth:`fit` was given a DataFrame; else None.
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
    >>> import numpy as np
    >>> from imap_keras.bayes import BayesianClassifier
    >>> labels = np.repeat(["B", "T"], 20)
    >>> values = np.random.default_rng(0).normal(3.0 * (labels == "B")[:, None], size=(40, 2))
    >>> model = BayesianClassifier(epochs=50, kl_epochs=10).fit(values, labels, verbose=0)
    >>> model.predict(np.array([[3.0, 3.0], [0.0, 0.0]]), names=["cell_1", "cell_2"])["label"].to_dict()
    {'cell_1': 'B', 'cell_2': 'T'}
    """

    kind = "bayes"
    how_to_fit = "fit(values, labels)"

    def __init__(self, **hyperparameters):
        self.hyperparameters = Hyperparameters.of(**hyperparameters)
        self.network: keras.Model | None = None

    def fit(
        self,
        values: np.ndarray | sparse.spmatrix | pd.DataFrame,
        labels: Sequence[str],
        verbose: int = 1,
    ) -> "BayesianClassifier":
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
            Lengths differ, a value is not finite, a label is missing, there is one class only, two
            features have one name, or `labels` are a Series with the names of `values` otherwise
            ordered.
        TypeError
            `values` are an AnnData.
        FloatingPointError
            Training diverged.
        """
        check_order(values, labels)
        known = _names_of(values)
        _check_once(known or [])
        values, hp = _checked(values), self.hyperparameters
        names = pd.Series(list(labels))
        if len(names) != len(values):
            raise ValueError(f"There are {len(values)} cells and {len(names)} labels; they must agree.")
        if names.isna().any():
            raise ValueError(
                f"{int(names.isna().sum())} cells have no label. Leave those cells out of the training."
            )
        if not len(names):
            raise ValueError("There are no cells to train on.")
        classes, codes = coded(names.map(str))
        codes = codes.astype("int32")
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
        self.mean, self.scale, self.features = mean, scale, known
        return self

    def draws(
        self, values: np.ndarray | sparse.spmatrix | pd.DataFrame, n_draws: int = 100
    ) -> np.ndarray:
        """Class probabilities under weights drawn from the posterior.

        Parameters
        ----------
        values
            Cells x features, as in :meth:`fit`. Those of a DataFrame are found by their names if
            :meth:`fit` was given one too.
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
            Another number of features or others, a value that is not finite (as float32, standardised),
            or `n_draws` is not 1 or more.
        TypeError
            `values` are an AnnData.
        """
        self.check_fitted()
        check_count("n_draws", n_draws)
        values = _checked(self._in_order(values))
        self._check_features(values.shape[1])
        scaled = (values - self.mean) / self.scale
        if scaled.size and np.abs(scaled).max() > np.finfo("float32").max:
            raise ValueError(
                f"values reach {np.abs(values).max():.3g}, too large for float32; the means that fit() "
                f"saw reach {np.abs(self.mean).max():.3g}. Hand in values prepared alike."
            )
        return posterior_draws(self.network, scaled, n_draws)

    def predict(
        self,
        values: np.ndarray | sparse.spmatrix | pd.DataFrame,
        n_draws: int = 100,
        names: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Label of each cell by the mean of the draws, and how sure it is.

        Parameters
        ----------
        values, n_draws
            As for :meth:`draws`. Also a matrix on disk (``adata.X`` of a backed AnnData) or of Dask
            arrays: rows are read 4,096 at a time.
        names
            Names of the cells, for example ``adata.obs_names``; None: those of a DataFrame, or numbers.

        Returns
        -------
        pandas.DataFrame
            Cells x (``label``, ``probability``, ``entropy``, ``mutual_information``), by the cells'
            names, so that its columns can be put into ``adata.obs``. Labels are text, also where
            :meth:`fit` was given numbers.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As for :meth:`draws`; another number of names than of cells.
        """
        if names is None and isinstance(values, pd.DataFrame):
            names = values.index
        self.check_fitted()
        check_count("n_draws", n_draws)
        values = self._in_order(values)
        cells = _rows_of(values)
        self._check_features(cells.shape[1])
        if names is not None and len(names) != len(cells):
            raise ValueError(f"There are {len(cells)} cells and {len(names)} names; they must agree.")
        if cells.in_memory:
            check_finite(cells.matrix, "values")
        # The weights of a draw are the same in every block.
        draws = (self.draws(block, n_draws) for _, block in cells.blocks())
        tables = [self._table(some) for some in draws] or [self._table(self.draws(values, n_draws))]
        table = pd.concat(tables, ignore_index=True)
        return table if names is None else table.set_axis(names, axis="index")

    def _table(self, draws: np.ndarray) -> pd.DataFrame:
        mean = draws.mean(axis=0)
        return pd.DataFrame(
            {
                "label": np.array(self.classes)[mean.argmax(axis=1)],
                "probability": mean.max(axis=1),
                "entropy": entropy(mean),
                "mutual_information": mutual_information(draws),
            }
        )

    def _in_order(self, values):
        """The columns of a DataFrame by the names that fit() saw; anything else as it is."""
        if self.features is None or not isinstance(values, pd.DataFrame):
            return values
        named = values.set_axis(_names_of(values), axis="columns")
        lost = [name for name in self.features if name not in named]
        if lost:
            raise ValueError(
                f"{len(lost)} of the {len(self.features)} features that fit() saw are missing, the "
                f"first is {lost[0]!r}; values have {list(named.columns[:3])} .... Name them as in "
                "fit(), or hand in an array of them in the same order, values.to_numpy()."
            )
        found = named.loc[:, named.columns.isin(self.features)]  # others may have any names
        _check_once(list(found))
        return found[self.features]

    def _check_features(self, n_features: int) -> None:
        if n_features != len(self.mean):
            raise ValueError(
                f"Cells have {n_features} features; fit() saw {len(self.mean)}. "
                "Hand in the same features in the same order."
            )

    def _networks(self) -> dict[str, keras.Model]:
        return {} if self.network is None else {"network": self.network}

    def _state(self) -> dict:
        return {
            "hyperparameters": self.hyperparameters.as_dict(),
            "classes": self.classes,
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "features": self.features,
            "history": self.history.to_dict("list"),
        }

    @classmethod
    def _expected(cls, state: dict) -> dict[str, Widths]:
        return {"network": ([len(state["mean"])], [len(state["classes"])])}

    @classmethod
    def _restored(cls, networks: dict[str, keras.Model], state: dict) -> "BayesianClassifier":
        model = cls(**state["hyperparameters"])
        model.network, model.history = networks["network"], pd.DataFrame(state["history"])
        model.classes = state["classes"]
        model.features = state.get("features")  # older files lack it
        n_features = len(state["mean"])
        model.mean, model.scale = (finite(state, name, n_features) for name in ("mean", "scale"))
        return model


def check_order(values, labels) -> None:
    """Raise if labels are in another order than the cells, by their names.

    Raises
    ------
    ValueError
        Both are of pandas, with the same names in different orders.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.bayes.model import check_order
    >>> check_order(pd.DataFrame({"g": [1, 2]}, ["a", "b"]), pd.Series(["T", "B"], ["a", "b"]))
    """
    if not isinstance(values, pd.DataFrame) or not isinstance(labels, pd.Series):
        return
    cells, named = values.index, labels.index
    if len(cells) == len(named) and not cells.equals(named) and set(cells) == set(named):
        raise ValueError(
            f"labels are in another order than the cells of values (first {named[0]!r}, values "
            f"{cells[0]!r}); labels.loc[values.index] puts them in order."
        )


def _names_of(values) -> list[str] | None:
    """Names of the features of a DataFrame; those that differ only as number and text are the same."""
    return [str(name) for name in values.columns] if isinstance(values, pd.DataFrame) else None


def _check_once(names: list[str]) -> None:
    """Raise if a feature that is found by its name shares it with another one."""
    twice = pd.Index(names)[pd.Index(names).duplicated()].unique().tolist()
    if twice:
        raise ValueError(
            f"values have several columns called {twice[0]!r} ({len(twice)} names are used twice). "
            "Each feature needs a name of its own, compared as text, by which predict() finds it. "
            "Rename them, or hand in arrays, in which features are told by their order."
        )


def _rows_of(values) -> Cells:
    """A matrix of any kind as rows that are read block by block."""
    if isinstance(values, AnnData):
        raise TypeError(
            "values are an AnnData; hand in a matrix of it: adata.X, adata.obsm[...] or adata.to_df() "
            "(which keeps the cells' names)."
        )
    values = values if hasattr(values, "shape") and hasattr(values, "dtype") else np.asarray(values)
    if len(values.shape) != 2:
        raise ValueError(f"values have the shape {values.shape}; expected cells x features.")
    return Cells.of(values)


def _checked(values) -> np.ndarray:
    cells = _rows_of(values)
    whole = cells.block(0, len(cells))
    whole = np.asarray(whole.toarray() if sparse.issparse(whole) else whole, "float64")
    check_finite(whole, "values")
    return whole
