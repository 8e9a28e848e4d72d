"""How sure a classifier is, and whether it is right to be: entropy, information, calibration."""

import numpy as np
import pandas as pd

from ..nn.parameters import check_count


def entropy(probability: np.ndarray) -> np.ndarray:
    """``-sum_c p_c log p_c`` over the last axis, in nats: 0 when sure, log(classes) when clueless.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.bayes import entropy
    >>> entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).round(3).tolist()
    [0.0, 0.693]
    """
    p = np.asarray(probability, float)
    return -np.sum(p * np.log(np.maximum(p, 1e-12)), axis=-1) + 0.0


def mutual_information(draws: np.ndarray) -> np.ndarray:
    """How much knowing the weights would tell about the class: entropy of the mean less mean entropy.

    Large where the draws contradict each other, each sure of itself: the model has not learnt what such
    a cell is. Small where every draw hesitates alike: the cell lies between classes, and no further
    training helps.

    Parameters
    ----------
    draws
        Draws x cells x classes.

    Returns
    -------
    numpy.ndarray
        Of each cell, in nats, 0 or more.

    References
    ----------
    Houlsby et al., arXiv 1112.5745 (2011); Depeweg et al., ICML 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.bayes import mutual_information
    >>> sure_of_different = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    >>> mutual_information(sure_of_different).round(3).tolist()
    [0.693]
    """
    draws = np.asarray(draws, float)
    return np.maximum(entropy(draws.mean(axis=0)) - entropy(draws).mean(axis=0), 0.0)


def rejection_curve(uncertainty: np.ndarray, correct: np.ndarray) -> pd.DataFrame:
    """Accuracy on the most certain cells, for every number of cells kept.

    Parameters
    ----------
    uncertainty, correct
        Of each cell: the higher the sooner it is left out; whether its label is right.

    Returns
    -------
    pandas.DataFrame
        ``kept`` (share of the cells, from the most certain one to all) and ``accuracy``.

    Raises
    ------
    ValueError
        The lengths differ, there are no cells, or a value is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.bayes import rejection_curve
    >>> rejection_curve(np.array([0.9, 0.1]), np.array([False, True]))["accuracy"].tolist()
    [1.0, 0.5]
    """
    uncertainty, correct = np.asarray(uncertainty), _told(correct)
    if len(uncertainty) != len(correct) or not len(correct):
        raise ValueError(
            f"uncertainty is of {len(uncertainty)} cells, correct of {len(correct)}; both must be of "
            "the same cells, at least one."
        )
    missing = int(np.sum(pd.isna(uncertainty)))
    if missing:
        raise ValueError(f"The uncertainty of {missing} cells is NaN; leave those cells out.")
    right = correct[np.argsort(uncertainty, kind="stable")]
    n = np.arange(1, len(right) + 1)
    return pd.DataFrame({"kept": n / len(right), "accuracy": np.cumsum(right) / n})


def accuracy_of_certain(uncertainty: np.ndarray, correct: np.ndarray, kept: float = 0.5) -> float:
    """Accuracy on the share of the cells that is most certain.

    Raises
    ------
    ValueError
        As :func:`rejection_curve`; `kept` is not a share.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.bayes import accuracy_of_certain
    >>> accuracy_of_certain(np.array([0.9, 0.1]), np.array([False, True]))
    1.0
    """
    if not 0 <= kept <= 1:
        raise ValueError(f"kept={kept!r} must be a share of the cells, from 0 to 1.")
    curve = rejection_curve(uncertainty, correct)
    return float(curve["accuracy"].iloc[max(round(kept * len(curve)), 1) - 1])


def reliability(probability: np.ndarray, correct: np.ndarray, n_bins: int = 10) -> pd.DataFrame:
    """Claimed and true accuracy, by bins of the probability of the predicted class.

    Parameters
    ----------
    probability, correct
        Of each cell: the probability of the class it was given, and whether that is right.
    n_bins
        Bins of equal width between 0 and 1.

    Returns
    -------
    pandas.DataFrame
        ``claimed`` (mean probability), ``true`` (share that is right) and ``cells`` of each bin with
        cells.

    Raises
    ------
    ValueError
        A probability outside [0, 1], lengths that differ, no cells, a value that is missing, or
        `n_bins` below 1.

    References
    ----------
    Guo et al., ICML 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.bayes import reliability
    >>> reliability(np.array([0.95, 0.95, 0.55]), np.array([True, False, True]))["true"].tolist()
    [1.0, 0.5]
    """
    n_bins = check_count("n_bins", n_bins)
    probability, correct = np.asarray(probability, float), _told(correct)
    if len(probability) != len(correct):
        raise ValueError(f"{len(probability)} probabilities and {len(correct)} cells; they must agree.")
    if not len(correct):
        raise ValueError("There are no cells, so nothing was claimed.")
    outside = probability[~((probability >= 0) & (probability <= 1))]
    if len(outside):
        raise ValueError(f"probability holds {outside[0]}; expected values from 0 to 1.")
    number = np.minimum((probability * n_bins).astype(int), n_bins - 1)
    groups = pd.DataFrame({"claimed": probability, "true": correct}).groupby(number)
    return groups.mean().assign(cells=groups.size())


def _told(correct) -> np.ndarray:
    """Whether each label is right. NumPy would take what is not known, NaN, for right."""
    missing = int(np.sum(pd.isna(np.asarray(correct))))
    if missing:
        raise ValueError(
            f"correct is missing (None, NaN) for {missing} cells; leave out cells of unknown class."
        )
    return np.asarray(correct, bool)


def calibration_error(table: pd.DataFrame) -> float:
    """Expected calibration error: ``|claimed - true|`` of the bins, weighted by their cells.

    Parameters
    ----------
    table
        From :func:`reliability`.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.bayes import calibration_error
    >>> table = pd.DataFrame({"claimed": [0.9, 0.6], "true": [0.7, 0.6], "cells": [50, 50]})
    >>> round(calibration_error(table), 3)
    0.1
    """
    return float(np.average((table["claimed"] - table["true"]).abs(), weights=table["cells"]))
