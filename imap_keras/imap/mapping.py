"""New batches onto a fitted integration: a generator for each, everything else frozen."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from anndata import AnnData

from ..inputs.cells import open_cells
from ..inputs.expression import dense_expression
from ..inputs.genes import with_genes
from ..inputs.labels import check_batch_sizes, labels_of
from ..inputs.values import in_memory
from .components import merge_order
from .hyperparameters import Hyperparameters
from .merging import Merged, merge_batches
from .pairs import check_annoy
from .pool import AT_ONCE
from .seeds import sample_cells


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
    if len(cells) <= AT_ONCE:
        return in_memory(adata), np.arange(len(cells))
    labels = labels_of(cells, batch_key)
    groups = [np.flatnonzero(labels == name) for name in np.unique(labels)]
    rows = np.concatenate([sample_cells(rows, "searched", hp, i) for i, rows in enumerate(groups)])
    rows = np.sort(rows)
    return AnnData(cells.rows(rows), cells.obs.iloc[rows], cells.var, dict(cells.uns)), rows


def read_query(
    adata: AnnData,
    reference: AnnData | None,
    batch_key: str,
    order: Sequence[str],
    genes: Sequence[str],
) -> tuple[np.ndarray, np.ndarray]:
    """Cells of new batches and the batch of each, if they can be mapped.

    Parameters
    ----------
    adata
        Cells of new batches.
    reference
        Cells of fitted batches.
    batch_key
        Column of ``obs``.
    order, genes
        Batches and genes of the fitted model.

    Returns
    -------
    cells, labels
        Cells x `genes`, float32; one name a cell.

    Raises
    ------
    ValueError, KeyError
        As :meth:`imap_keras.IMAP.map_query`.
    """
    if reference is None:
        raise ValueError(
            "reference=None, but a model keeps no cells: hand in cells of the fitted batches "
            "(what fit() read, or what transform() gave back) to pair the new ones with."
        )
    adata = in_memory(adata)
    labels = labels_of(adata, batch_key)
    again = sorted(set(labels) & set(order))
    if again:
        raise ValueError(
            f"Batch {again[0]!r} was fitted already (fitted are {order}); give the new batch "
            "another name. Further cells of a fitted batch need transform() alone."
        )
    check_batch_sizes(labels)
    return dense_expression(with_genes(adata, genes)), labels


def map_batches(
    known: tuple[np.ndarray, np.ndarray, np.ndarray],
    new: tuple[np.ndarray, np.ndarray, np.ndarray],
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
        Cells of fitted batches, the anchor's at least where ``incremental=False``: corrected
        expression, batch and content of each.
    new
        Cells of new batches: expression as measured, batch and content of each.
    order, scale
        Batches merged already, the anchor first, and the number cells are multiplied by for training.
    hp, verbose
        Hyperparameters; 0 shows no progress bar.

    Raises
    ------
    ValueError, NoPairsError
        As :meth:`imap_keras.IMAP.map_query`.
    """
    if not hp.incremental and order[0] not in known[1]:
        raise ValueError(
            f"reference has no cell of the anchor {order[0]!r}; with incremental=False new "
            "batches are paired with the anchor's cells alone."
        )
    if hp.search == "annoy":
        check_annoy()
    cells, labels, content = (np.concatenate(both) for both in zip(known, new, strict=True))
    cells *= scale
    all_batches = [*order, *merge_order(*new[:2])]
    return merge_batches(cells, labels, content, all_batches, hp, len(order), verbose)
