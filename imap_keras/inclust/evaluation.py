"""How good a latent and an imputation are, and the plain methods they are measured against."""

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV

from ..inputs.values import check_finite
from ..metrics.labels import dense_array

RIDGE_PENALTIES = np.logspace(-2, 4, 7)
SHOWN = 3  # names in an error


def feature_correlations(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Pearson correlation of each feature over the cells; 0 where either side is constant.

    Parameters
    ----------
    truth, predicted
        Cells x features.

    Raises
    ------
    ValueError
        The shapes differ, or, of two tables, the names of cells or features; there are no cells; a
        value is not finite, or a matrix sparse.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inclust.evaluation import feature_correlations
    >>> truth = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])
    >>> feature_correlations(truth, np.array([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0]])).tolist()
    [1.0, 0.0]
    """
    tables = truth, predicted
    truth = dense_array(truth, "truth").astype(float, copy=False)
    predicted = dense_array(predicted, "predicted").astype(float, copy=False)
    if truth.shape != predicted.shape:
        raise ValueError(f"truth is {truth.shape}, predicted {predicted.shape}; they must agree.")
    if not len(truth):
        raise ValueError("There are no cells; a correlation takes two or more.")
    if all(isinstance(table, pd.DataFrame) for table in tables):
        own, other = tables
        _check_names("cells", own.index, other.index, "truth.loc[predicted.index]")
        _check_names("features", own.columns, other.columns, "truth.loc[:, predicted.columns]")
    for what, values in (("truth", truth), ("predicted", predicted)):
        check_finite(values, what, "leave those features out.")
    a, b = truth - truth.mean(axis=0), predicted - predicted.mean(axis=0)
    size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    product = (a * b).sum(axis=0)
    return np.divide(product, size, out=np.zeros_like(product), where=size > 1e-9)


def _check_names(what: str, truth: pd.Index, predicted: pd.Index, in_order: str) -> None:
    """Raise if two tables do not name the same cells, or features, in the same order."""
    if truth.equals(predicted):
        return
    as_arrays = (
        "If rows and columns mean the same all the same, hand in arrays: truth.to_numpy(), "
        "predicted.to_numpy()."
    )
    lone = [own[~own.isin(other)].tolist() for own, other in ((truth, predicted), (predicted, truth))]
    if any(lone):
        only = [
            f"only {table} has {_first(names)}"
            for table, names in zip(("truth", "predicted"), lone, strict=True)
            if names
        ]
        raise ValueError(f"truth and predicted name other {what}: {'; '.join(only)}. {as_arrays}")
    twice = truth[truth.duplicated()].append(predicted[predicted.duplicated()]).unique().tolist()
    if twice:
        raise ValueError(
            f"Several {what} of truth or predicted are called {_first(twice)}, and not at the same "
            f"places, so that names do not tell which belong together. Make them unique. {as_arrays}"
        )
    raise ValueError(
        f"truth and predicted name their {what} in another order; take that of one: {in_order}."
    )


def _first(names: list) -> str:
    return ", ".join(map(repr, names[:SHOWN])) + (" ..." if len(names) > SHOWN else "")


def ridge_prediction(known: np.ndarray, wanted: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Predict features by ridge regression, its penalty chosen by leaving cells out.

    Parameters
    ----------
    known, wanted
        Reference cells x features to predict from, and x features to predict.
    query
        Query cells x features to predict from.

    Raises
    ------
    ValueError
        A matrix is sparse.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inclust.evaluation import ridge_prediction
    >>> x = np.arange(20.0)[:, None]
    >>> float(ridge_prediction(x, 2 * x, np.array([[50.0]]))[0, 0].round(1))
    100.0
    """
    for what, values in (("known", known), ("wanted", wanted), ("query", query)):
        dense_array(values, what)  # tables go on with their names, which scikit-learn compares
    predicted = RidgeCV(RIDGE_PENALTIES).fit(known, wanted).predict(query)
    return predicted.reshape(len(query), wanted.shape[1])  # scikit-learn drops a single column


def type_mean_prediction(wanted: np.ndarray, types, query_types) -> np.ndarray:
    """Predict features as the mean of the reference cells of the same type.

    Parameters
    ----------
    wanted, types
        Reference cells x features, and their types.
    query_types
        Types of the query cells.

    Raises
    ------
    KeyError
        The reference lacks a type.
    ValueError
        `wanted` is sparse, or has another number of cells than `types`.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inclust.evaluation import type_mean_prediction
    >>> type_mean_prediction(np.array([[1.0], [3.0], [7.0]]), ["T", "T", "B"], ["B", "T"]).tolist()
    [[7.0], [2.0]]
    """
    wanted, types = dense_array(wanted, "wanted"), np.asarray(types)
    if len(wanted) != len(types):
        raise ValueError(
            f"wanted has {len(wanted)} cells, types {len(types)}; both must describe the same cells."
        )
    means = pd.DataFrame(wanted).groupby(types).mean()
    lost = pd.Index(list(query_types)).unique().difference(means.index).tolist()
    if lost:
        raise KeyError(
            f"The reference has no cells of the type {lost[0]!r} ({len(lost)} such types); it has "
            f"{means.index.tolist()}. Leave those query cells out."
        )
    return means.loc[list(query_types)].to_numpy()
