"""Cells through the fitted networks, block by block: into arrays, or into a file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from tqdm import tqdm

from ..inputs.cells import BLOCK, Cells
from ..inputs.expression import check_expression
from ..inputs.labels import labels_of
from ..inputs.values import dense
from ..nn.fitting import run
from ..nn.parameters import check_choice
from .pool import AT_ONCE, carry
from .spread import matched

# What a result may hold, and where it lies in an AnnData.
PLACES = {"X_imap": "obsm/X_imap", "X_imap_content": "obsm/X_imap_content", "imap": "layers/imap"}


class Form(NamedTuple):
    """What a file keeps each result as.

    Parameters
    ----------
    clipped
        A ReLU has clipped the expression: it is kept sparse.
    dtype
        Of the expression.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.streaming import Form
    >>> Form(clipped=True).of("imap", np.eye(2, dtype="float32")).nnz
    2
    """

    clipped: bool = False
    dtype: str = "float32"

    def is_sparse(self, name: str) -> bool:
        """True where a result is kept sparse."""
        return name == "imap" and self.clipped

    def dtype_of(self, name: str) -> str:
        """Type of the numbers of a result."""
        return self.dtype if name == "imap" else "float32"

    def of(self, name: str, values: np.ndarray) -> np.ndarray | sparse.csr_matrix:
        """A result as it is kept."""
        if self.is_sparse(name):
            return sparse.csr_matrix(values)
        return values.astype(self.dtype_of(name), copy=False)


def check_kept(
    keep: Sequence[str] | str | None, out: str | Path | None = None, dtype: str = "float32"
) -> tuple[str, ...]:
    """Return what is kept of a result, if all of it exists: by default all, in a file the components.

    Parameters
    ----------
    keep, out, dtype
        As for :meth:`imap_keras.IMAP.transform`.

    Raises
    ------
    ValueError
        Names what is unknown.

    Examples
    --------
    >>> from imap_keras.imap.streaming import check_kept
    >>> check_kept(None, out="result.zarr"), check_kept(["imap"])
    (('X_imap',), ('imap',))
    """
    check_choice("dtype", dtype, ("float32", "float16"))
    if keep is None:
        keep = tuple(PLACES) if out is None else ("X_imap",)
    keep = (keep,) if isinstance(keep, str) else tuple(dict.fromkeys(keep))
    unknown = [name for name in keep if name not in PLACES]
    if unknown or not keep:
        raise ValueError(f"keep={keep} must name some of {', '.join(map(repr, PLACES))}.")
    return keep


def fitted_labels(model, cells: AnnData | Cells, batch_key: str | None = None) -> np.ndarray:
    """Batch of each cell, if all were fitted.

    Raises
    ------
    ValueError
        Names a batch that was not.
    """
    labels = labels_of(cells, batch_key or model.batch_key, known=model.order)
    unknown = sorted(set(labels) - set(model.order))
    if unknown:
        raise ValueError(
            f"Batch {unknown[0]!r} was not fitted; fitted are {model.order}. "
            "Fit again with all batches, or carry it in with map_query()."
        )
    return labels


def summary(model) -> dict:
    """Hyperparameters, order, pair counts and losses, as a result keeps them in ``uns["imap"]``."""
    return {
        "hyperparameters": {
            name: "None" if value is None else value
            for name, value in model.hyperparameters.as_dict().items()
        },
        "order": np.array(model.order, dtype=object),
        "pair_counts": model.pair_counts.copy(),
        "losses": {stage: table.copy() for stage, table in model.history.items()},
        "preprocessing": dict(model.preprocessing),
    }


def integrated(model, block, labels: np.ndarray, keep: Sequence[str]) -> dict[str, np.ndarray]:
    """What a fitted model makes of some cells.

    Parameters
    ----------
    model
        A fitted :class:`imap_keras.IMAP`.
    block, labels
        Cells x genes, dense or sparse, and the batch of each.
    keep
        Of `PLACES`.
    """
    cells, found = dense(block[:, places(model, model.variable_genes)] if model.chunks else block), {}
    if "X_imap_content" in keep:
        found["X_imap_content"] = run(model.encoder, cells)
    if "imap" in keep or "X_imap" in keep:
        cells = cells if sparse.issparse(block) else cells.copy()  # the caller's own otherwise
        found["imap"] = carry(cells, labels, model.generators)
        if "X_imap" in keep:
            found["X_imap"] = matched(run(model.pca, cells), labels, model.spreads)
    if "imap" in keep:
        if model.chunks:
            found["imap"] = with_chunks(model, block, labels, cells)
        if model.hyperparameters.clip_output:
            np.maximum(found["imap"], 0, out=found["imap"])
    return {name: found[name] for name in keep}


def places(model, genes: Sequence[str]) -> np.ndarray:
    """Where some genes lie among all that the model corrects."""
    return pd.Index(model.genes).get_indexer(genes)


def with_chunks(model, block, labels: np.ndarray, carried: np.ndarray) -> np.ndarray:
    """Expression of all genes: the variable ones as carried, the others through their chunks."""
    whole = np.empty(block.shape, "float32")
    whole[:, places(model, model.variable_genes)] = carried
    for chunk in model.chunks:
        place = places(model, chunk.genes)
        whole[:, place] = carry(dense(block[:, place]), labels, chunk.generators)
    return whole


def stream(
    model,
    cells: Cells,
    labels: np.ndarray,
    keep: Sequence[str],
    put: Callable,
    verbose: int = 0,
    source=None,
) -> None:
    """Hand ``put(name, start, values)`` what becomes of all cells, block by block, in their order.

    Parameters
    ----------
    model, labels, keep
        As for :func:`integrated`.
    cells
        All cells in the fitted genes.
    put
        Where the results go.
    verbose
        0 shows no progress bar.
    source
        The AnnData they come from, for the advice of errors.
    """
    if cells.in_memory:
        check_expression(cells.everything, source)
    # Few cells are one block: a generator then meets the rows of its batch in the same company as in
    # training, and the last bit of a sum is the same.
    size = max(len(cells), 1) if len(cells) <= AT_ONCE else BLOCK
    with tqdm(total=len(cells), desc="transform", unit="cell", disable=not verbose) as bar:
        for start, block in cells.blocks(size):
            if not cells.in_memory:
                check_expression(block, source, f"X, cells from {start} on,")
            of_block = labels[start : start + block.shape[0]]
            for name, values in integrated(model, block, of_block, keep).items():
                put(name, start, values)
            bar.update(block.shape[0])


def put_into(adata: AnnData, found: dict[str, np.ndarray]) -> None:
    """Results into their places; what was not asked for leaves: it may be an earlier model's."""
    for name in PLACES:
        place = adata.layers if name == "imap" else adata.obsm
        place.pop(name, None)
        if name in found:
            place[name] = found[name]


def into_memory(model, cells: Cells, labels: np.ndarray, keep: Sequence[str], source=None) -> dict:
    """The results of :func:`stream` as whole arrays, by name."""
    found = {}

    def put(name: str, start: int, values: np.ndarray) -> None:
        if name not in found:
            found[name] = np.empty((len(cells), values.shape[1]), values.dtype)
        found[name][start : start + len(values)] = values

    stream(model, cells, labels, keep, put, source=source)
    return found
