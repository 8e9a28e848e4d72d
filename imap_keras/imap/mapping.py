"""New batches onto a fitted integration: a generator for each, everything else frozen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from anndata import AnnData

from ..inputs.cells import Cells, open_cells
from ..inputs.embeddings import embedding_of
from ..inputs.genes import features, with_genes
from ..inputs.labels import check_batch_sizes, labels_of
from ..inputs.recipe import compare_recipes, compare_totals, recipe_of
from ..inputs.values import dense, in_memory
from ..nn.fitting import run
from .components import merge_order
from .hyperparameters import Hyperparameters
from .merging import Merged, merge_batches
from .pairs import check_annoy
from .pool import AT_ONCE, carry, check_cells
from .seeds import sample_cells
from .streaming import fitted_labels


def few_of(
    adata: AnnData | str | Path, batch_key: str, hp: Hyperparameters
) -> tuple[AnnData, np.ndarray]:
    """Cells in memory to map with, and which rows they are: all, or, of many, some of each batch.

    Parameters
    ----------
    adata
        Cells, or the path of a file.
    batch_key
        Column of ``obs``.
    hp
        Of many cells at most `hp.n_samples` of a batch are read.
    """
    cells = open_cells(adata)
    n_cells = len(cells)
    if n_cells <= AT_ONCE:
        return in_memory(adata), np.arange(n_cells)  # which closes a backed file
    labels = labels_of(cells, batch_key)
    groups = [np.flatnonzero(labels == name) for name in np.unique(labels)]
    rows = np.concatenate([sample_cells(rows, "searched", hp, i) for i, rows in enumerate(groups)])
    rows = np.sort(rows)
    few = AnnData(cells.rows(rows), cells.obs.iloc[rows], cells.var, dict(cells.uns))
    if hp.own_space:
        few.obsm[hp.own_space] = embedding_of(cells, hp.own_space, "pair_space")[rows]
    return few, rows


class Side(NamedTuple):
    """Cells of one side of a mapping, new or known, in memory.

    Parameters
    ----------
    cells
        In all genes of the model.
    labels, rows
        Batch of each cell, and which cell of the data it is.
    expression, space
        Of the variable genes as measured, dense; E(x), or the embedding that pairs are searched in.
    """

    cells: Cells
    labels: np.ndarray
    rows: np.ndarray
    expression: np.ndarray
    space: np.ndarray


def read_sides(
    model, adata: AnnData | str | Path, reference: AnnData | str | Path | None, batch_key: str
) -> tuple[Side, Side]:
    """Cells of new batches and of known ones, if the first can be mapped onto the second.

    Parameters
    ----------
    model
        A fitted :class:`imap_keras.IMAP`.
    adata, reference
        Cells of new batches, and of fitted ones.
    batch_key
        Column of ``obs`` of both.

    Returns
    -------
    new, known
        The two sides.

    Raises
    ------
    ValueError, KeyError
        As :meth:`imap_keras.IMAP.map_query`.
    """
    if reference is None:
        raise ValueError(
            "reference=None, but a model keeps no cells: hand in cells of the fitted batches "
            "(what fit() read, or what transform() gave back in memory) to pair the new ones with."
        )
    everything = open_cells(adata)
    n_cells = len(everything)  # of a backed file only now: one of few cells is closed once it is read
    few, rows = few_of(adata, batch_key, model.hyperparameters)
    labels = labels_of(few, batch_key, known=model.order)
    again = sorted(set(labels) & set(model.order))
    if again:
        raise ValueError(
            f"Batch {again[0]!r} was fitted already (fitted are {model.order}); give the new batch "
            "another name. Further cells of a fitted batch need transform() alone."
        )
    check_batch_sizes(labels)
    if n_cells > len(few):  # all are carried in the end
        check_cells(everything.with_genes(model.genes), adata)
    new = _side(model, few, rows, labels)
    try:
        few, rows = few_of(reference, batch_key, model.hyperparameters)
        known = _side(model, few, rows, fitted_labels(model, few, batch_key))
    except (KeyError, ValueError) as error:
        kind = KeyError if isinstance(error, KeyError) else ValueError
        raise kind(f"In the reference: {error.args[0]}") from error
    widths = [side.space.shape[1] for side in (new, known)]
    if widths[0] != widths[1]:
        name = model.hyperparameters.own_space
        raise ValueError(
            f"obsm[{name!r}] has {widths[0]} columns in adata and {widths[1]} in reference; pairs are "
            "searched in one embedding: compute it of both together, or with one model."
        )
    compare_totals(known.expression, new.expression)
    return new, known


def _side(model, adata: AnnData, rows: np.ndarray, labels: np.ndarray) -> Side:
    own_space = model.hyperparameters.own_space
    adata = with_genes(adata, model.genes)
    compare_recipes(model.preprocessing, recipe_of(adata))
    cells = open_cells(adata)
    check_cells(cells, adata)
    expression = dense(features(adata, model.variable_genes)[0].X)
    if own_space:
        space = embedding_of(cells, own_space, "pair_space")
    else:
        space = run(model.encoder, expression)
    return Side(cells, labels, rows, expression, space)


def map_batches(
    known: Side,
    new: Side,
    generators: Mapping[str, keras.Model],
    order: Sequence[str],
    scale: float,
    hp: Hyperparameters,
    verbose: int = 0,
) -> Merged:
    """Train generators that carry new batches onto those of a fitted model.

    Neighbours are searched among the new cells and the known ones, and each new batch's generator
    learns to carry it onto the known cells as the model corrected them.

    Parameters
    ----------
    known
        Cells of fitted batches, the anchor's at least where ``incremental=False``.
    new
        Cells of new batches.
    generators
        Of the fitted model.
    order, scale
        Batches merged already, the anchor first, and the number cells are multiplied by for training.
    hp, verbose
        Hyperparameters; 0 shows no progress bar.

    Raises
    ------
    ValueError, NoPairsError
        As :meth:`imap_keras.IMAP.map_query`.
    """
    if not hp.incremental and order[0] not in known.labels:
        raise ValueError(
            f"reference has no cell of the anchor {order[0]!r}; with incremental=False new "
            "batches are paired with the anchor's cells alone."
        )
    if hp.search == "annoy":
        check_annoy()
    carried = carry(known.expression.copy(), known.labels, generators)
    cells = np.concatenate([carried, new.expression])
    cells *= scale
    labels, space = np.concatenate([known.labels, new.labels]), np.concatenate([known.space, new.space])
    all_batches = [*order, *merge_order(new.expression, new.labels)]
    return merge_batches(cells, labels, space, all_batches, hp, len(order), verbose)
