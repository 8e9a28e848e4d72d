"""Training of inClust+: build the network that fits the rows, and fit it."""

import keras
import numpy as np
import pandas as pd

from ..nn.fitting import fit_network, run
from ..nn.rows import steps_of
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
    drawn = draw_rows(rows, clusters, hp.latent_dim, hp.rows_per_step, hp.seed)
    history = fit_network(
        network,
        drawn,
        hp.epochs,
        "inClust+",
        steps=steps_of(len(rows), hp.rows_per_step),
        verbose=verbose,
        some=next(iter(drawn)),
    )
    if hp.recalibrate:
        recalibrate_covariates(network, rows)
    return network, history


def recalibrate_covariates(network: keras.Model, rows: Rows) -> None:
    """Set each covariate's yh to what makes the divergence smallest, all else as trained.

    The divergence is quadratic in yh, so that is a mean: of ``z_mean - sum_c y_c mu_c`` over the rows
    of the covariate. Adam stops a few hundredths beside it in each of the 50 directions; z would then
    say by this offset alone, the same in all cells of a batch, which batch a cell is from.

    Parameters
    ----------
    network, rows
        The trained model and its rows.

    Examples
    --------
    >>> recalibrate_covariates(network, rows)  # doctest: +SKIP
    """
    encoder, covariates, classifier, clusters = (
        network.get_layer(name) for name in ("encoder", "covariates", "classifier", "clusters")
    )
    n, means = len(rows.covariates), clusters.means.numpy()
    yh = run(covariates, np.eye(n, dtype="float32"))
    total, count = np.zeros_like(yh), np.zeros((n, 1))
    for name, mask in zip(rows.blocks, rows.input_masks):
        cells = rows.of_block(name)
        z_mean, code = encode(encoder, rows.values[cells], mask), rows.covariate[cells]
        rest = z_mean - run(classifier, z_mean - yh[code]) @ means
        np.add.at(total, code, rest)
        np.add.at(count, code, 1)
    layer = covariates.layers[-1]
    layer.set_weights([np.where(count > 0, total / np.maximum(count, 1), yh), 0 * yh[0]])


def encode(encoder: keras.Model, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """z_mean of cells read through one mask.

    Parameters
    ----------
    encoder
        From :func:`imap_keras.inclust.network.build_parts`.
    values, mask
        Cells x features; features.

    Examples
    --------
    >>> encode(model.encoder, rows.values, rows.input_masks[0]).shape  # doctest: +SKIP
    (8540, 50)
    """
    return run(encoder, [values, np.broadcast_to(mask, values.shape)])[0]


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
