"""The steps of a fit, each a function of arrays and hyperparameters; `IMAP.fit` runs them in order."""

from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from ..nn.blocks import Initializers
from ..nn.callbacks import AverageWeights, StopWhenSettled
from ..nn.fitting import fit_network
from ..nn.replicas import on_replicas, shared_rows
from .agreement import pair_agreement
from .balance import pair_weights
from .components import content_components, pair_space, scaled_components
from .hyperparameters import Hyperparameters
from .pairs import SEARCHES, NoPairsError, mutual_neighbors, neighbor_graph, random_walk_pairs
from .seeds import sample_cells, seed_of
from .stage1 import (
    build_autoencoder,
    compile_autoencoder,
    mixed_cells,
    recalibrate_batch_norm,
    stage1_networks,
)
from .stage2 import WGANGP, add_shift, build_critic, build_generator, paired_cells

LEAST_AGREEING = 0.05


def train_stage1(
    cells: np.ndarray,
    codes: np.ndarray,
    hp: Hyperparameters,
    verbose: int = 0,
    strategy: tf.distribute.Strategy | None = None,
) -> tuple[dict[str, keras.Model], pd.DataFrame]:
    """Train the autoencoder of stage I.

    Parameters
    ----------
    cells, codes
        Cells x genes and the batch of each cell, 0 ... n_batches - 1.
    hp, verbose
        Hyperparameters; 0 shows no progress bar.
    strategy
        Of `tf.distribute`: each step's rows are shared out among its replicas.

    Returns
    -------
    models, history
        ``encoder``, ``content_decoder`` and ``batch_decoder``; losses by epoch.
    """
    n_genes, n_batches = cells.shape[1], int(codes.max()) + 1
    init = Initializers(hp.initialization, seed_of("stage1_weights", hp))
    models = stage1_networks(n_genes, n_batches, hp.latent_dim, hp.hidden, init)
    rows = mixed_cells(cells, codes, hp.latent_dim, hp.stage1_rows, seed_of("stage1_rows", hp))
    weights = hp.lambda_content, hp.lambda_reconstruction
    with on_replicas(models, strategy, n_batches) as trained:
        autoencoder = build_autoencoder(**trained)
        compile_autoencoder(autoencoder, *weights, hp.stage1_learning_rate)
        history = fit_network(
            autoencoder,
            shared_rows(rows, n_batches),
            hp.stage1_epochs,
            "stage I",
            knob="stage1_learning_rate",
            steps=hp.stage1_steps,
            verbose=verbose,
            callbacks=[] if hp.stage1_patience is None else [StopWhenSettled(hp.stage1_patience)],
            some=next(iter(rows)),
        )
    if hp.recalibrate:
        sample = sample_cells(np.arange(len(cells)), "stage1_recalibration", hp)
        recalibrate_batch_norm(models["encoder"], cells[sample])
    return models, history


class Found(NamedTuple):
    """Pairs between a query batch and the anchor.

    Parameters
    ----------
    pairs
        Pairs x 2, indices of cells (query, anchor); none where too few mutual neighbours agree.
    n_mnn
        Mutual nearest neighbours found, before any was judged.
    """

    pairs: np.ndarray
    n_mnn: int


def find_pairs(
    content: np.ndarray,
    expression: np.ndarray,
    query: np.ndarray,
    anchor: np.ndarray,
    hp: Hyperparameters,
    number: int = 0,
    searched_content: np.ndarray | None = None,
) -> Found:
    """Find MNN pairs between a query batch and the anchor, keep those that agree, grow them by walks.

    Parameters
    ----------
    content
        E(x), cells x latent_dim.
    expression
        Expression of all cells, batches merged already as carried over; looked at where pairs are
        judged (`hp.pair_agreement`) or searched in it (`hp.pair_space`).
    query, anchor
        Indices of the cells of either side.
    hp, number
        Hyperparameters; which query batch this is.
    searched_content
        :func:`imap_keras.imap.components.content_components`, where it is at hand already.

    Returns
    -------
    Found
        There are no pairs if fewer than a twentieth of the MNN pairs reach `hp.pair_agreement`: the
        batches then share no cell type, and what agrees does so by chance.

    Raises
    ------
    NoPairsError
        There is no MNN pair.
    """
    if searched_content is None:
        searched_content = content_components(content, hp)
    space, components = search_space(searched_content, expression, hp)
    query = sample_cells(query, "pair_sample_query", hp, number)
    anchor = sample_cells(anchor, "pair_sample_anchor", hp, number)
    k1, k2 = neighbourhood_sizes(len(query), len(anchor), hp)
    options = search_options(hp, number)
    mnn = mutual_neighbors(space[query], space[anchor], k1, **options)
    if not len(mnn):
        raise NoPairsError(
            f"none of {len(query)} query cells and {len(anchor)} anchor cells are mutual nearest "
            f"neighbours with k1={k1}"
        )
    trusted = mnn
    if hp.pair_agreement:
        trusted = agreeing(mnn, components[query], components[anchor], hp)
    pairs = grown(trusted, space[query], space[anchor], k2, options, hp, number)
    return Found(np.column_stack([query[pairs[:, 0]], anchor[pairs[:, 1]]]), len(mnn))


def search_space(
    searched_content: np.ndarray | None, expression: np.ndarray, hp: Hyperparameters
) -> tuple[np.ndarray, np.ndarray | None]:
    """The space neighbours are searched in, and the components of the expression where looked at."""
    looked_at = hp.pair_agreement or hp.pair_space in ("pca", "both")
    components = scaled_components(expression, hp) if looked_at else None
    return pair_space(searched_content, components, hp), components


def neighbourhood_sizes(n_query: int, n_anchor: int, hp: Hyperparameters) -> tuple[int, int]:
    """How many neighbours are looked at across batches (k1) and inside one (k2).

    Examples
    --------
    >>> from imap_keras.imap.hyperparameters import Hyperparameters
    >>> from imap_keras.imap.training import neighbourhood_sizes
    >>> [neighbourhood_sizes(n, 900, Hyperparameters()) for n in (60, 400)]
    [(15, 15), (20, 20)]
    """
    smaller = min(n_query, n_anchor)
    k1, k2 = hp.k1 or max(smaller // 200, 1), hp.k2 or max(smaller // 100, 1)
    if not hp.cap_neighbors:
        return k1, k2
    most = max(smaller // 4, 1)  # in a small batch everybody would be everybody's neighbour
    return min(k1, most), min(k2, most)


def search_options(hp: Hyperparameters, number: int) -> dict:
    """What every search of neighbours is told."""
    return {
        "metric": hp.metric,
        "search": SEARCHES[hp.search],
        "n_trees": hp.n_trees,
        "seed": seed_of("annoy", hp, number),
    }


def agreeing(mnn: np.ndarray, query: np.ndarray, anchor: np.ndarray, hp: Hyperparameters) -> np.ndarray:
    """The MNN pairs that reach `hp.pair_agreement`; none at all where too few of them do."""
    trusted = mnn[pair_agreement(query, anchor, mnn) >= hp.pair_agreement]
    return trusted if len(trusted) >= LEAST_AGREEING * len(mnn) else mnn[:0]


def grown(
    pairs: np.ndarray,
    query: np.ndarray,
    anchor: np.ndarray,
    k2: int,
    options: dict,
    hp: Hyperparameters,
    number: int,
) -> np.ndarray:
    """Pairs grown by random walks along the neighbour graphs of the two sides (rwMNN)."""
    if not len(pairs):
        return pairs
    graphs = (neighbor_graph(side, k2, lazy=hp.lazy_walk, **options) for side in (query, anchor))
    return random_walk_pairs(pairs, *graphs, hp.walk_length, seed_of("walks", hp, number))


def train_stage2(
    cells: np.ndarray,
    pairs: np.ndarray,
    query: np.ndarray,
    hp: Hyperparameters,
    number: int = 0,
    title: str = "stage II",
    verbose: int = 0,
    gan: WGANGP | None = None,
) -> tuple[keras.Model, pd.DataFrame]:
    """Train the generator that carries one query batch into the merged anchor.

    Parameters
    ----------
    cells
        All cells x genes: those of the query batch as measured, those of the anchor as carried over.
    pairs
        Pairs x 2, indices of cells (query, anchor).
    query
        Indices of the cells of the query batch.
    hp, number, title, verbose
        Hyperparameters; which query batch this is; title of the progress bar; 0 hides it.
    gan
        One of :func:`build_gan` to train in, of this query batch or of another: TensorFlow builds the
        graph of a step once, and keeps it as long as the process lives. None: a new one.

    Returns
    -------
    generator, history
        The trained generator; losses by epoch.
    """
    # Only cells of pairs are trained on: from here on the pairs number these.
    used, local = np.unique(pairs, return_inverse=True)
    paired, local = cells[used], local.reshape(pairs.shape)
    weights = pair_weights(local, hp)
    generator = None
    if gan is None:
        gan = build_gan(cells.shape[1], hp, number)
    else:
        generator = restart(gan, hp, number)
    if hp.shift_start:
        add_shift(gan.generator, mean_move(paired, local, weights))
    rows = paired_cells(
        paired,
        local,
        rows=hp.stage2_rows,
        keep_pairs=hp.keep_pairs,
        seed=seed_of("stage2_rows", hp, number),
        walk_length=hp.walk_length if hp.neighbor_target else 1,
        weights=weights,
    )
    del paired  # from here on they are a tensor
    history = fit_network(
        gan,
        rows,
        hp.stage2_epochs,
        title,
        knob="stage2_learning_rate",
        steps=hp.stage2_steps,
        verbose=verbose,
        callbacks=[AverageWeights(gan.generator, hp.average_epochs)],
    )
    if hp.recalibrate:
        sample = sample_cells(query, "stage2_recalibration", hp, number)
        recalibrate_batch_norm(gan.generator, cells[sample])
    if generator is None:
        return gan.generator, history
    generator.set_weights(gan.generator.get_weights())
    return generator, history


def stage2_networks(n_genes: int, hp: Hyperparameters, number: int = 0) -> list[keras.Model]:
    """Generator and critic for one query batch."""
    init = Initializers(hp.initialization, seed_of("stage2_weights", hp, number))
    return [
        build_generator(n_genes, hp.latent_dim, hp.hidden, init, hp.identity_start, hp.relu_output),
        build_critic(n_genes, hp.critic_hidden, init),
    ]


def restart(gan: WGANGP, hp: Hyperparameters, number: int) -> keras.Model:
    """Make a GAN what :func:`build_gan` gives for another query batch; returns a generator to keep."""
    networks = stage2_networks(gan.generator.input_shape[-1], hp, number)
    for old, new in zip((gan.generator, gan.critic), networks):
        old.set_weights(new.get_weights())
    for optimizer in (gan.generator_optimizer, gan.critic_optimizer):
        optimizer.iterations.assign(0)
        for moment in (*optimizer._momentums, *optimizer._velocities):
            moment.assign(tf.zeros(moment.shape, moment.dtype))
    gan.seed.assign(seed_of("stage2_interpolation", hp, number))
    return networks[0]


def build_gan(n_genes: int, hp: Hyperparameters, number: int = 0) -> WGANGP:
    """Generator and critic for one query batch, compiled."""
    seed = seed_of("stage2_interpolation", hp, number)
    gan = WGANGP(
        *stage2_networks(n_genes, hp, number),
        gradient_penalty=hp.gradient_penalty,
        critic_steps=hp.critic_steps,
        lambda_pair=hp.lambda_pair,
        seed=tf.Variable(seed, trainable=False, dtype=tf.int32),  # one graph for all query batches
        generator_first=hp.generator_first,
    )
    gan.compile(learning_rate=hp.stage2_learning_rate)
    return gan


def mean_move(cells: np.ndarray, pairs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean difference of the pairs, anchor minus query, gene by gene.

    Taken over how much each cell counts, so that no row of pairs x genes is ever made.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.training import mean_move
    >>> mean_move(np.array([[1.0], [2.0], [7.0]]), np.array([[0, 2], [1, 2]]), np.array([0.5, 0.5]))
    array([5.5])
    """
    of_query, of_anchor = (np.bincount(side, weights, len(cells)) for side in pairs.T)
    return (of_anchor - of_query) @ cells
