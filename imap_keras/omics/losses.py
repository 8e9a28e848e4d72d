"""Losses over the entries that were measured, and which output fits which loss.

A target that was not measured is NaN: it adds nothing to the loss, and no gradient flows from it.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

SMALLEST = 1e-7


def mean_over_measured(loss, measured):
    """Mean of the entries that were measured, 0 without any.

    Parameters
    ----------
    loss, measured
        Rows x features: finite values everywhere, and True where there is a measurement.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics.losses import mean_over_measured
    >>> float(mean_over_measured(np.array([[4.0, 9.0]]), np.array([[True, False]])))
    4.0
    """
    kept = tf.cast(measured, loss.dtype)
    return tf.reduce_sum(loss * kept) / tf.maximum(tf.reduce_sum(kept), 1.0)


def squared_error(target, output):
    """``(x - x_hat)^2``, mean over the measured entries.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics.losses import squared_error
    >>> float(squared_error(np.array([[1.0, np.nan]]), np.array([[3.0, 8.0]])))
    4.0
    """
    measured = tf.math.is_finite(target)
    x = tf.where(measured, target, output)
    return mean_over_measured((x - output) ** 2, measured)


def binary_cross_entropy(target, output):
    """``-x log p - (1 - x) log(1 - p)``, mean over the measured entries; 0 or more for x in [0, 1].

    For x above 1 the second term changes its sign, and the loss falls without end.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics.losses import binary_cross_entropy
    >>> round(float(binary_cross_entropy(np.array([[1.0, np.nan]]), np.array([[0.5, 0.1]]))), 4)
    0.6931
    """
    measured = tf.math.is_finite(target)
    p = tf.clip_by_value(output, SMALLEST, 1 - SMALLEST)
    x = tf.where(measured, target, p)
    return mean_over_measured(-x * tf.math.log(p) - (1 - x) * tf.math.log(1 - p), measured)


def poisson_deviance(target, output):
    """``rate - x + x log(x / rate)``, mean over the measured entries; 0 where the rate is the count.

    The negative log-likelihood of Poisson counts but for a term of the counts alone, so its gradient
    is the same; half the deviance.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics.losses import poisson_deviance
    >>> float(poisson_deviance(np.array([[2.0, 0.0]]), np.array([[2.0, 3.0]])))
    1.5
    """
    measured = tf.math.is_finite(target)
    rate = tf.maximum(output, SMALLEST)
    x = tf.where(measured, target, rate)
    return mean_over_measured(rate - x + tf.math.xlogy(x, x / rate), measured)


@dataclass(frozen=True)
class Loss:
    """A loss: its function, the range of its targets, the output activations that fit, best first."""

    function: object
    lowest: float
    highest: float
    activations: tuple[str, ...]
    mend: str


LOSSES = {
    "mse": Loss(
        squared_error,
        -np.inf,
        np.inf,
        ("linear", "relu", "sigmoid", "softplus", "exponential"),
        "Leave out infinite values",
    ),
    "bce": Loss(
        binary_cross_entropy,
        0.0,
        1.0,
        ("sigmoid",),
        "Scale them to [0, 1] (percentages divided by 100, no logarithm)",
    ),
    "poisson": Loss(
        poisson_deviance,
        0.0,
        np.inf,
        ("exponential", "softplus"),
        "Hand in counts, not centred or scaled",
    ),
}

# Lowest and highest value each activation can put out, and its inverse: where a decoder starts.
RANGES = {
    "linear": (-np.inf, np.inf),
    "relu": (0.0, np.inf),
    "softplus": (0.0, np.inf),
    "exponential": (0.0, np.inf),
    "sigmoid": (0.0, 1.0),
}
LEAST_START = 0.01  # a feature that is nearly always 0 starts a little above


def before_activation(mean: np.ndarray, activation: str) -> np.ndarray:
    """What must go into an activation for the mean to come out.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics.losses import before_activation
    >>> before_activation(np.array([0.5]), "sigmoid").tolist()
    [0.0]
    """
    if activation == "linear":
        return mean
    mean = np.maximum(mean, LEAST_START)
    if activation == "sigmoid":
        mean = np.minimum(mean, 1 - LEAST_START)
        return np.log(mean / (1 - mean))
    if activation == "exponential":
        return np.log(mean)
    return np.log(np.expm1(mean)) if activation == "softplus" else mean
