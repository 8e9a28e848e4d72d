"""New batches onto a fitted integration: a generator for each, everything else frozen."""

from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData

from ..inputs.expression import dense_expression
from ..inputs.genes import with_genes
from ..inputs.labels import check_batch_sizes, labels_of
from ..inputs.values import in_memory
from ..nn.fitting import run
from .components import merge_order
from .merging import Merged, merge_batches
from .pairs import check_annoy

if TYPE_CHECKING:
    from .model import IMAP


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
    labels = labels_of(adata, batch_key)
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
    known_labels = labels_of(known, batch_key)
    if not hp.incremental and model.order[0] not in known_labels:
        raise ValueError(
            f"reference has no cell of the anchor {model.order[0]!r}; with incremental=False new "
            "batches are paired with the anchor's cells alone."
        )
    cells = np.concatenate([dense_expression(known), query_cells]) * model.scale
    corrected = np.concatenate([known.layers["imap"], query_cells]) * model.scale
    content = np.concatenate([known.obsm["X_imap_content"], run(model.encoder, query_cells)])
    order = model.order + merge_order(query_cells, labels)
    return merge_batches(
        cells,
        corrected,
        np.concatenate([known_labels, labels]),
        content,
        order,
        hp,
        len(model.order),
        verbose,
    )
