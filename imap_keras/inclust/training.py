"""Training of inClust+: build the network that fits the rows, and fit it."""

import keras
import numpy as np
import pandas as pd

from ..nn.fitting import fit_network, run
from ..nn.rows import steps_of
from .hyperparameters import SUPERVISION, Hyperparameters
from .network import build_network, build_parts, compile_network
from .rows import Rows, draw_rows

LEAST_START = 0.01  # a feature that is nearly always 0 starts a little above, where gradient flows


def train(rows: Rows, hp: Hyperparameters, verbose: int = 0) -> tuple[keras.Model, pd.DataFrame]:
    """Build the network for the rows and train it.

    Parameters
    ----------
    rows
        From a task function; of more than 20,000 cells at most `hp.pool_size` of each covariate.
    hp, verbose
        Hyperparameters; 0 shows no progress bar.

    Returns
    -------
    network, history
        The trained model of :func:`imap_keras.inclust.network.build_network`; losses by epoch.

    Raises
    ------
    ValueError
        No labels and no `n_clusters`, or fewer clusters than labels; values above 1 for a sigmoid or
        tanh.
    FloatingPointError
        Training diverged.

    Examples
    --------
    >>> from imap_keras.datasets import simulate_modalities
    >>> from imap_keras.inclust import Hyperparameters, paired
    >>> from imap_keras.inclust.training import train
    >>> rows = paired(simulate_modalities(30, {"rna": 6, "protein": 4}), "cell_type")
    >>> network, history = train(rows, Hyperparameters(latent_dim=3, hidden=(4,), epochs=2))
    >>> history["epoch"].tolist()
    [1, 2]
    """
    clusters = n_clusters(rows, hp)
    rows = rows.in_training(hp.pool_size, hp.seed)
    start = first_output(rows, hp)  # also refuses values that the last activation cannot reach
    parts = build_parts(
        rows.values.shape[1],
        len(rows.covariates),
        clusters,
        hp.latent_dim,
        hp.hidden,
        hp.decoder_hidden,
        hp.output,
        hp.seed,
        start if hp.decoder_start == "mean" else None,
        hp.activation,
        hp.covariate_start,
    )
    network = build_network(**parts, seed=hp.seed, cluster_start=hp.cluster_start)
    compile_network(network, **loss_weights(rows.supervision, hp), learning_rate=hp.learning_rate)
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
    # Keras 2 calls a loss after its last layer, here a whole model.
    return network, history.rename(columns={"classifier_loss": "label_loss"})


def loss_weights(supervision: str, hp: Hyperparameters) -> dict[str, float]:
    """Weights of the four losses, as :func:`imap_keras.inclust.network.compile_network` takes them.

    Parameters
    ----------
    supervision
        How far labels supervise the training, see :attr:`imap_keras.inclust.Rows.supervision`.
    hp
        Hyperparameters; `entropy_until` decides whether the entropy counts.

    Examples
    --------
    >>> from imap_keras.inclust import Hyperparameters
    >>> from imap_keras.inclust.training import loss_weights
    >>> loss_weights("supervised", Hyperparameters())["entropy_weight"]
    0.0
    >>> loss_weights("semi-supervised", Hyperparameters())["entropy_weight"]
    1.0
    """
    counts = SUPERVISION.index(supervision) <= SUPERVISION.index(hp.entropy_until)
    return {
        "reconstruction_weight": hp.reconstruction_weight,
        "divergence_weight": hp.divergence_weight,
        "entropy_weight": hp.entropy_weight if counts else 0.0,
        "label_weight": hp.label_weight,
    }


def recalibrate_covariates(network: keras.Model, rows: Rows) -> None:
    """Set each covariate's yh to what makes the divergence smallest, all else as trained.

    The divergence is quadratic in yh, so that is a mean: of ``z_mean - sum_c y_c mu_c`` over the rows
    of the covariate. Adam stops a few hundredths beside it in each of the 50 directions; z would then
    say by this offset alone, the same in all cells of a batch, which batch a cell is from.

    Parameters
    ----------
    network, rows
        The trained model and its rows.
    """
    encoder, covariates, classifier, clusters = (
        network.get_layer(name) for name in ("encoder", "covariates", "classifier", "clusters")
    )
    n, means = len(rows.covariates), clusters.means.numpy()
    yh = run(covariates, np.eye(n, dtype="float32"))
    total, count = np.zeros(yh.shape), np.zeros((n, 1))  # float64: sums over all rows
    for name in rows.blocks:
        z_mean, code = latent_means(encoder, rows, name), rows.covariate[rows.of_block(name)]
        rest = z_mean - run(classifier, z_mean - yh[code]) @ means
        np.add.at(total, code, rest)
        np.add.at(count, code, 1)
    layer = covariates.layers[-1]
    layer.set_weights([np.where(count > 0, total / np.maximum(count, 1), yh), 0 * yh[0]])


def latent_means(encoder: keras.Model, rows: Rows, block: str) -> np.ndarray:
    """z_mean of the cells of a block, read a slice at a time.

    Parameters
    ----------
    encoder
        From :func:`imap_keras.inclust.network.build_parts`.
    rows, block
        Cells, and the block through whose input mask they are read.
    """
    mask = rows.input_masks[rows.number_of(block)]
    return np.concatenate([encode(encoder, rows.values[some], mask) for some in rows.slices(block)])


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
    >>> import numpy as np
    >>> from imap_keras.inclust.network import build_parts
    >>> from imap_keras.inclust.training import encode
    >>> encoder = build_parts(9, 2, 3, latent_dim=4)["encoder"]
    >>> encode(encoder, np.ones((5, 9), "float32"), np.ones(9, "float32")).shape
    (5, 4)
    """
    return run(encoder, [values, np.broadcast_to(mask, values.shape)])[0]


def n_clusters(rows: Rows, hp: Hyperparameters) -> int:
    """Number of clusters: as asked for, else one per label.

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
        Values above 1 for a sigmoid or tanh.
    """
    start = np.maximum(rows.judged_mean(), LEAST_START)
    if hp.output == "relu":
        return start
    largest = rows.largest()
    if largest > 1:
        raise ValueError(
            f"Values reach {largest:.4g} and a {hp.output} at most 1: take output='relu', or scale "
            "every feature to [0, 1]."
        )
    return np.minimum(start, 1 - LEAST_START)
