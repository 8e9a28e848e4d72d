"""The steps of a fit, each a function of arrays and hyperparameters; `IMAP.fit` runs them in order."""

import keras
import numpy as np
import pandas as pd

from ..nn.blocks import Initializers
from ..nn.callbacks import AverageWeights, StopWhenSettled
from ..nn.fitting import fit_network
from .agreement import pair_agreement
from .balance import balanced_weights
from .components import pair_space, scaled_components
from .hyperparameters import Hyperparameters
from .pairs import SEARCHES, NoPairsError, mutual_neighbors, neighbor_graph, random_walk_pairs
from .seeds import sample_cells, seed_of
from .stage1 import (
    build_autoencoder,
    build_decoder,
    build_encoder,
    compile_autoencoder,
    mixed_cells,
    recalibrate_batch_norm,
)
from .stage2 import WGANGP, add_shift, build_critic, build_generator, paired_cells

LEAST_AGREEING = 0.05


def train_stage1(
    cells: np.ndarray, codes: np.ndarray, hp: Hyperparameters, verbose: int = 0
) -> tuple[dict[str, keras.Model], pd.DataFrame]:
    """Train the autoencoder of stage I.

    Parameters
    ----------
    cells, codes
        Cells x genes and the batch of each cell, 0 ... n_batches - 1.
    hp, verbose
        Hyperparameters; 0 shows no progress bar.

    Returns
    -------
    models, history
        ``encoder``, ``content_decoder`` and ``batch_decoder``; losses by epoch.
    """
    n_genes, n_batches = cells.shape[1], int(codes.max()) + 1
    init = Initializers(hp.initialization, seed_of("stage1_weights", hp))
    back = tuple(reversed(hp.hidden))
    models = {
        "encoder": build_encoder(n_genes, hp.latent_dim, hp.hidden, init),
        "content_decoder": build_decoder(
            hp.latent_dim + n_batches, n_genes, back, init, "content_decoder"
        ),
        "batch_decoder": build_decoder(n_batches, n_genes, back, init, "batch_decoder"),
    }
    autoencoder = build_autoencoder(**models)
    compile_autoencoder(
        autoencoder, hp.lambda_content, hp.lambda_reconstruction, hp.stage1_learning_rate
    )
    rows = mixed_cells(cells, codes, hp.latent_dim, hp.stage1_rows, seed_of("stage1_rows", hp))
    history = fit_network(
        autoencoder,
        rows,
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


def find_pairs(
    content: np.ndarray,
    expression: np.ndarray,
    query: np.ndarray,
    anchor: np.ndarray,
    hp: Hyperparameters,
    number: int = 0,
) -> tuple[np.ndarray, int]:
    """Find MNN pairs between query and anchor cells and grow them by random walks.

    Parameters
    ----------
    content, expression
        All cells x latent_dim (E of stage I), and x genes, merged batches as carried so far: the
        neighbours are searched in :func:`pair_space` of the two, and the pairs judged
        (:func:`imap_keras.imap.agreement.pair_agreement`) by the components of the expression.
    query, anchor
        Indices of the cells of the two sides.
    hp
        Hyperparameters.
    number
        Which query batch this is, for the seeds.

    Returns
    -------
    pairs, n_seeds
        Pairs x 2, indices of cells (query, anchor); number of MNN pairs found. There are no pairs if
        fewer than a twentieth of the MNN pairs reach `hp.pair_agreement`: the batches then share no
        cell type, and what agrees does so by chance.

    Raises
    ------
    NoPairsError
        There is no MNN pair.
    """
    looked_at = hp.pair_agreement or hp.pair_space != "content"
    components = scaled_components(expression, hp) if looked_at else None
    space = pair_space(content, components, hp)
    query = sample_cells(query, "pair_sample_query", hp, number)
    anchor = sample_cells(anchor, "pair_sample_anchor", hp, number)
    smaller = min(len(query), len(anchor))
    most = max(smaller // 4, 1)  # in a small batch everybody would be everybody's neighbour
    k1 = min(hp.k1 or max(smaller // 200, 1), most)
    k2 = min(hp.k2 or max(smaller // 100, 1), most)
    options = {
        "metric": hp.metric,
        "search": SEARCHES[hp.search],
        "n_trees": hp.n_trees,
        "seed": seed_of("annoy", hp, number),
    }
    seeds = mutual_neighbors(space[query], space[anchor], k1, **options)
    if not len(seeds):
        raise NoPairsError(
            f"none of {len(query)} query cells and {len(anchor)} anchor cells are mutual nearest "
            f"neighbours with k1={k1}"
        )
    n_seeds = len(seeds)
    if hp.pair_agreement:
        agreement = pair_agreement(components[query], components[anchor], seeds)
        seeds = seeds[agreement >= hp.pair_agreement]
        if len(seeds) < LEAST_AGREEING * n_seeds:
            return np.empty((0, 2), int), n_seeds
    query_graph, anchor_graph = (neighbor_graph(space[side], k2, **options) for side in (query, anchor))
    walks = seed_of("walks", hp, number)
    pairs = random_walk_pairs(seeds, query_graph, anchor_graph, hp.walk_length, walks)
    return np.column_stack([query[pairs[:, 0]], anchor[pairs[:, 1]]]), n_seeds


def train_stage2(
    cells: np.ndarray,
    corrected: np.ndarray,
    pairs: np.ndarray,
    query: np.ndarray,
    hp: Hyperparameters,
    number: int = 0,
    title: str = "stage II",
    verbose: int = 0,
) -> tuple[keras.Model, pd.DataFrame]:
    """Train the generator that carries one query batch into the merged anchor.

    Parameters
    ----------
    cells, corrected
        All cells x genes, as measured and with the merged batches already carried over.
    pairs
        Pairs x 2, indices of cells (query, anchor).
    query
        Indices of the cells of the query batch.
    hp, number, title, verbose
        Hyperparameters; which query batch this is; title of the progress bar; 0 hides it.

    Returns
    -------
    generator, history
        The trained generator; losses by epoch.
    """
    n_genes = cells.shape[1]
    init = Initializers(hp.initialization, seed_of("stage2_weights", hp, number))
    generator = build_generator(
        n_genes, hp.latent_dim, hp.hidden, init, hp.identity_start, hp.relu_output
    )
    weights = balanced_weights(pairs) if hp.balance_pairs else np.full(len(pairs), 1 / len(pairs))
    if hp.shift_start:
        # How much each cell counts, so that no row of pairs x genes is ever made.
        query_share, anchor_share = (np.bincount(p, weights, len(cells)) for p in pairs.T)
        add_shift(generator, anchor_share @ corrected - query_share @ cells)
    gan = WGANGP(
        generator,
        build_critic(n_genes, hp.critic_hidden, init),
        gradient_penalty=hp.gradient_penalty,
        critic_steps=hp.critic_steps,
        lambda_pair=hp.lambda_pair,
        seed=seed_of("stage2_interpolation", hp, number),
    )
    gan.compile(learning_rate=hp.stage2_learning_rate)
    used, local = np.unique(pairs, return_inverse=True)
    rows = paired_cells(
        cells[used],
        corrected[used],
        local.reshape(pairs.shape),
        hp.stage2_rows,
        hp.keep_pairs,
        seed_of("stage2_rows", hp, number),
        hp.walk_length if hp.neighbor_target else 1,
        weights,
    )
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
    return gan.generator, history
