"""Training of inClust+: build the network that fits the rows, and fit it."""

import keras
import numpy as np
import pandas as pd

from ..progress import ProgressBar
from ..training import history_table
from .hyperparameters import Hyperparameters
from .network import build_network, build_parts, compile_network
from .rows import Rows, draw_rows

LEAST_START = 0.01  # a feature that is nearly always 0 starts a little above, where gradient flows


def train(rows: Rows, hp: Hyperparameters, verbose: int = 0) -> tuple[keras.Model, pd.DataFrame]:
    """Build the network for the rows and train it.

    Parameters
    ----------
    rows
        From a task function.
    hp, verbose
        Hyperparameters; 0 shows no progress bar.

    Returns
    -------
    network, history
        The trained model of :func:`imap_keras.inclust.network.build_network`; losses by epoch.

    Raises
    ------
    ValueError
        No labels and no `n_clusters`, or fewer clusters than labels; values above 1 for a sigmoid.
    FloatingPointError
        Training diverged.

    Examples
    --------
    >>> network, history = train(rows, Hyperparameters())  # doctest: +SKIP
    """
    clusters = n_clusters(rows, hp)
    parts = build_parts(
        rows.values.shape[1],
        len(rows.covariates),
        clusters,
        hp.latent_dim,
        hp.hidden,
        hp.decoder_hidden,
        hp.output,
        hp.seed,
        first_output(rows, hp),
    )
    network = build_network(**parts, seed=hp.seed)
    compile_network(
        network,
        hp.reconstruction_weight,
        hp.divergence_weight,
        0.0 if rows.supervision == "supervised" else hp.entropy_weight,
        hp.label_weight,
        hp.learning_rate,
    )
    fitted = network.fit(
        draw_rows(rows, clusters, hp.latent_dim, hp.rows_per_step, hp.seed),
        shuffle=False,
        steps_per_epoch=-(-len(rows) // hp.rows_per_step),
        epochs=hp.epochs,
        verbose=0,
        callbacks=[ProgressBar("inClust+", verbose)],
    )
    return network, history_table(fitted, "inClust+", "learning_rate")


def n_clusters(rows: Rows, hp: Hyperparameters) -> int:
    """Number of clusters: as asked for, else one a label.

    Raises
    ------
    ValueError
        Neither labels nor a number, or a number below that of the labels.
    """
    n_labels = len(rows.labels)
    if hp.n_clusters is None and not n_labels:
        raise ValueError("The rows have no labels: say how many clusters, InClust(n_clusters=...).")
    if hp.n_clusters is not None and hp.n_clusters < n_labels:
        raise ValueError(
            f"n_clusters={hp.n_clusters} is fewer than the {n_labels} labels; leave it out or raise it."
        )
    return hp.n_clusters or n_labels


def first_output(rows: Rows, hp: Hyperparameters) -> np.ndarray:
    """What the decoder starts from: the mean of each feature, inside the range of its activation.

    Raises
    ------
    ValueError
        Values above 1 for a sigmoid.
    """
    start = np.maximum(rows.judged_mean(), LEAST_START)
    if hp.output == "relu":
        return start
    largest = rows.values.max()
    if largest > 1:
        raise ValueError(
            f"Values reach {largest:.4g} and a sigmoid at most 1: take output='relu', or scale every "
            "feature to [0, 1]."
        )
    return np.minimum(start, 1 - LEAST_START)
