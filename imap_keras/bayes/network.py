"""Bayesian classifiers: softmax regression, or a network with hidden layers, and their draws."""

from collections.abc import Sequence

import keras
import numpy as np

from ..nn.blocks import LayerSeeds
from .layers import VariationalDense, variational_layers

FIRST_DRAW = 10**9  # training numbers its draws from 0, so those of the posterior are others


def build_classifier(
    n_features: int,
    n_classes: int,
    hidden: Sequence[int] = (),
    n_rows: int = 1,
    prior_scale: float = 1.0,
    seed: int = 0,
) -> keras.Model:
    """Build a classifier of variational dense layers; without hidden ones it is softmax regression.

    Parameters
    ----------
    n_features, n_classes, hidden
        Widths of the input, of the output and of the hidden ELU layers.
    n_rows
        Number of training rows.
    prior_scale
        Standard deviation of the prior of every weight.
    seed
        Of starting weights and noise.

    Examples
    --------
    >>> from imap_keras.bayes import build_classifier
    >>> build_classifier(64, 10).output_shape
    (None, 10)
    """
    seeds = LayerSeeds(seed)
    widths = [*hidden, n_classes]
    x = inputs = keras.Input((n_features,), name="inputs")
    for i, width in enumerate(widths):
        activation = "softmax" if i == len(hidden) else "elu"
        name = "classes" if i == len(hidden) else f"hidden_{i + 1}"
        x = VariationalDense(width, activation, n_rows, prior_scale, seed=seeds.draw(), name=name)(x)
    return keras.Model(inputs, x, name="bayesian_classifier")


def posterior_draws(network: keras.Model, inputs: np.ndarray, n_draws: int = 100) -> np.ndarray:
    """Class probabilities under weights drawn from the posterior, the same weights for all rows.

    Parameters
    ----------
    network
        From :func:`build_classifier`, trained; unchanged.
    inputs
        Rows x features.
    n_draws
        Number of draws: the same ones every time, and the first of many are those of few.

    Returns
    -------
    numpy.ndarray
        Draws x rows x classes.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.bayes import build_classifier, posterior_draws
    >>> posterior_draws(build_classifier(4, 3), np.ones((5, 4), "float32"), 2).shape
    (2, 5, 3)
    """
    layers = variational_layers(network)
    before, draws = [int(layer.draw) for layer in layers], []
    inputs = np.asarray(inputs, "float32")
    for number in range(n_draws):
        parts = []
        for i in range(0, max(len(inputs), 1), 4096):
            for layer in layers:
                layer.draw.assign(FIRST_DRAW + number)
            parts.append(network(inputs[i : i + 4096], training=True).numpy())
        draws.append(np.concatenate(parts))
    for layer, number in zip(layers, before):
        layer.draw.assign(number)
    return np.stack(draws)
