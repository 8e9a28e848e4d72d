"""Stage II batch by batch: merge batches into the anchor, in a fit or onto a fitted integration."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import keras
import numpy as np
import pandas as pd
from anndata import AnnData

from .blocks import run
from .hyperparameters import Hyperparameters
from .pairs import NoPairsError, check_annoy
from .training import find_pairs, merge_order, pair_space, train_stage2
from .validation import (
    batch_labels,
    check_batch_sizes,
    dense_expression,
    in_memory,
    with_genes,
)

if TYPE_CHECKING:
    from .model import IMAP


@dataclass
class Merged:
    """What merging gave for each batch: its generator, its pairs, their numbers, its losses.

    Examples
    --------
    >>> from imap_keras.mapping import Merged
    >>> Merged().generators
    {}
    """

    generators: dict[str, keras.Model] = field(default_factory=dict)
    pairs: dict[str, np.ndarray] = field(default_factory=dict)
    counts: list[dict] = field(default_factory=list)
    losses: list[pd.DataFrame] = field(default_factory=list)


def merge_batches(
    cells: np.ndarray,
    corrected: np.ndarray,
    labels: np.ndarray,
    order: list[str],
    n_merged: int,
    space: np.ndarray,
    hp: Hyperparameters,
    verbose: int = 0,
) -> Merged:
    """Carry the batches ``order[n_merged:]`` into the anchor, one generator each.

    Parameters
    ----------
    cells
        All cells x genes, as measured.
    corrected
        The same with merged batches carried over; newly merged ones are written into it.
    labels
        Batch of each cell.
    order, n_merged
        All batches, the anchor first; how many of them are merged already.
    space
        All cells x dimensions, where neighbours are searched.
    hp, verbose
        Hyperparameters; 0 shows no progress bar.

    Returns
    -------
    Merged
        Pairs are of indices into `cells`.

    Raises
    ------
    NoPairsError
        A batch and the anchor have no mutual nearest neighbours.

    References
    ----------
    Wang et al., Genome Biology 22:63 (2021), Methods, "Integrating multiple batches".

    Examples
    --------
    >>> merged = merge_batches(cells, cells.copy(), labels, order, 1, space, hp)  # doctest: +SKIP
    """
    merged = Merged()
    anchor = np.flatnonzero(np.isin(labels, order[:n_merged] if hp.incremental else order[:1]))
    for number, name in enumerate(order[n_merged:], start=n_merged - 1):
        query = np.flatnonzero(labels == name)
        try:
            pairs, n_seeds = find_pairs(space, query, anchor, hp, number)
        except NoPairsError as error:
            before = order[: number + 1] if hp.incremental else order[:1]
            raise NoPairsError(
                f"No pairs between batch {name!r} and the anchor {before}: {error}. Try a larger "
                "k1, search='exact', another order, or more stage1_epochs. Batches that share no "
                "cell type cannot be paired: leave one out."
            ) from None
        title = f"stage II, {name}"
        generator, losses = train_stage2(cells, corrected, pairs, query, hp, number, title, verbose)
        corrected[query] = run(generator, cells[query])
        if hp.incremental:
            anchor = np.concatenate([anchor, query])
        merged.generators[name], merged.pairs[name] = generator, pairs
        merged.losses.append(losses.assign(batch=name))
        merged.counts.append({"batch": name, "mnn": n_seeds, "rwmnn": len(pairs)})
    return merged


def map_batches(
    model: "IMAP", adata: AnnData, reference: AnnData | None, batch_key: str, verbose: int = 0
) -> Merged:
    """Train generators for new batches on a fitted model, which is not changed.

    The frozen encoder reads the new cells as it reads the old ones; neighbours are searched among them
    and the reference's cells, and each new batch's generator learns to carry it onto the reference as
    the model corrected it.

    Parameters
    ----------
    model
        A fitted IMAP.
    adata
        Cells of new batches.
    reference
        Cells of fitted batches, the anchor's at least where ``incremental=False``.
    batch_key, verbose
        Column of both ``obs``; 0 shows no progress bar.

    Raises
    ------
    ValueError, KeyError, NoPairsError
        As :meth:`imap_keras.IMAP.map_query`.

    Examples
    --------
    >>> merged = map_batches(model, query, adata, "batch")  # doctest: +SKIP
    """
    if reference is None:
        raise ValueError(
            "reference=None, but a model keeps no cells: hand in cells of the fitted batches "
            "(what fit() read, or what transform() gave back) to pair the new ones with."
        )
    adata = in_memory(adata)
    labels = batch_labels(adata, batch_key)
    again = sorted(set(labels) & set(model.order))
    if again:
        raise ValueError(
            f"Batch {again[0]!r} was fitted already (fitted are {model.order}); give the new batch "
            "another name. Further cells of a fitted batch need transform() alone."
        )
    check_batch_sizes(labels)
    hp, query_cells = model.hyperparameters, dense_expression(with_genes(adata, model.genes))
    if hp.search == "annoy":
        check_annoy()
    known = model.transform(reference, batch_key)
    known_labels = batch_labels(known, batch_key)
    if not hp.incremental and model.order[0] not in known_labels:
        raise ValueError(
            f"reference has no cell of the anchor {model.order[0]!r}; with incremental=False new "
            "batches are paired with the anchor's cells alone."
        )
    cells = np.concatenate([dense_expression(known), query_cells])
    corrected = np.concatenate([known.layers["imap"], query_cells])
    content = np.concatenate([known.obsm["X_imap_content"], run(model.encoder, query_cells)])
    order = model.order + merge_order(query_cells, labels)
    return merge_batches(
        cells,
        corrected,
        np.concatenate([known_labels, labels]),
        order,
        len(model.order),
        pair_space(content, cells, hp),
        hp,
        verbose,
    )
