"""The paper's index of integration, what perfect mixing would score in it, and the purity of pairs."""

import warnings

import numpy as np
import pandas as pd
from scipy.special import gammaln
from sklearn.neighbors import NearestNeighbors

from ..inputs.labels import coded
from ..inputs.values import as_pairs
from ..nn.parameters import check_count
from .labels import dense_array, finite_rows, named_batches, typed_cells

LEFT_OUT = "without type"
RULES = ("imap", "respan")


def imap_index(
    space: np.ndarray,
    batch: np.ndarray,
    cell_type: np.ndarray,
    k: int = 20,
    k2: int = 100,
    threshold: float | None = None,
    space_name: str = "unnamed",
    rules: str = "imap",
) -> dict:
    """Share of negative, positive and true positive cells: iMAP's index, or ResPAN's.

    iMAP's rules: a cell is negative if at least half of its ``min(k, size of its type)`` nearest
    neighbours, itself left out, are of another type; else positive. A positive cell is true positive
    if, among the ``min(k2, size of its type)`` nearest cells, itself included, the batches come in the
    proportions p of its type: the largest ``|observed - n p| / sqrt(n p (1 - p))`` over batches is at
    most `threshold`, which is 1. Batches with p of 0 or 1 are skipped.

    ResPAN's rules, as far as they differ: distances are cosine; of the `k2` cells only those of the
    own type are counted, and n is their number; the threshold is 3.

    A score at iMAP's rules with another threshold is neither paper's. Perfect mixing scores below 1 at
    threshold 1: :func:`index_ceiling` says how much, for these batches and types.

    Parameters
    ----------
    space
        Cells x dimensions.
    batch, cell_type
        Labels of each cell. Cells without a type (None, NaN) are left out, with a warning.
    k, k2, threshold
        As above; without a threshold that of the rules, 1 or 3.
    space_name
        Repeated in what is returned, so that a figure says what it was computed in.
    rules
        ``"imap"`` or ``"respan"``.

    Returns
    -------
    dict
        ``negative``, ``positive`` and ``true_positive`` shares of all cells (true positives are part
        of the positives), ``ceiling`` (see :func:`index_ceiling`), ``label`` (one string per cell), and
        ``k``, ``k2``, ``threshold``, ``rules``, ``space``, ``n_cells`` (those with a type).

    Raises
    ------
    ValueError
        Lengths differ, a value is not finite, a cell has no batch, fewer than two cells have a type,
        `k` or `k2` below 1, or unknown `rules`.

    References
    ----------
    Wang et al., Genome Biology 22:63 (2021), Methods, evaluation of integration; Wang et al., ResPAN,
    Bioinformatics 38:3942 (2022).

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics import imap_index
    >>> x = np.repeat([[0.0], [9.0]], 30, axis=0) + np.linspace(0, 1, 60)[:, None]
    >>> index = imap_index(x, np.tile(["a", "b"], 30), np.repeat(["t", "u"], 30))
    >>> index["positive"], index["true_positive"]
    (1.0, 1.0)
    """
    if rules not in RULES:
        raise ValueError(f"rules={rules!r} is unknown; choose one of {RULES}.")
    threshold = {"imap": 1.0, "respan": 3.0}[rules] if threshold is None else threshold
    k, k2 = check_count("k", k), check_count("k2", k2)
    space, batch, cell_type = dense_array(space), np.asarray(batch), np.asarray(cell_type)
    if not len(space) == len(batch) == len(cell_type):
        raise ValueError(
            f"space has {len(space)} cells, batch {len(batch)}, "
            f"cell_type {len(cell_type)}; all three must describe the same cells."
        )
    typed = typed_cells(cell_type)
    label = np.full(len(space), LEFT_OUT, dtype="<U13")
    space, batch, cell_type = space[typed], batch[typed], cell_type[typed]
    space, batch = finite_rows(space), named_batches(batch)
    if len(space) < 2:
        raise ValueError(f"{len(space)} cells have a type; the index takes two or more.")
    type_code, size, batch_code, share = _composition(batch, cell_type)

    # Nearest first. The cell itself is put first even where others lie at distance 0.
    n_near = min(max(k, k2), len(space) - 1)
    search = NearestNeighbors(n_neighbors=n_near, metric="cosine" if rules == "respan" else "minkowski")
    near = search.fit(space).kneighbors(return_distance=False)
    near = np.column_stack([np.arange(len(space)), near])
    found = np.empty(len(space), dtype="<U13")
    for kind, n_cells in enumerate(size):
        cells = near[type_code == kind]
        own = type_code[cells] == kind
        negative = (~own[:, 1 : min(k, n_cells) + 1]).mean(axis=1) >= 0.5
        n = min(k2, n_cells)
        counted = own[:, :n] if rules == "respan" else True
        of = own[:, :n].sum(axis=1) if rules == "respan" else n
        batches, mixed = batch_code[cells[:, :n]], np.ones(len(cells), bool)
        for number, p in enumerate(share[kind]):
            if 0 < p < 1:
                seen = ((batches == number) & counted).sum(axis=1)
                mixed &= np.abs(seen - of * p) / np.sqrt(of * p * (1 - p)) <= threshold
        found[type_code == kind] = np.select(
            [negative, mixed], ["negative", "true positive"], "positive"
        )
    label[typed] = found
    return {
        "negative": float(np.mean(found == "negative")),
        "positive": float(np.mean(found != "negative")),
        "true_positive": float(np.mean(found == "true positive")),
        "ceiling": _ceiling(type_code, size, batch_code, share, k2, threshold),
        "label": label,
        "k": k,
        "k2": k2,
        "threshold": threshold,
        "rules": rules,
        "space": space_name,
        "n_cells": len(space),
    }


def index_ceiling(
    batch: np.ndarray, cell_type: np.ndarray, k2: int = 100, threshold: float = 1.0
) -> float:
    """Share of true positive cells that perfect mixing would score, on average, in :func:`imap_index`.

    Perfect: the types lie apart, and within a type the batches are shuffled. The neighbours of a cell
    are then the cell itself and ``min(k2, size of its type) - 1`` of the others of its type, drawn
    without replacement; how often their batches lie within the threshold is counted exactly, by the
    multivariate hypergeometric distribution. A type of at most `k2` cells always passes.

    Parameters
    ----------
    batch, cell_type
        Labels of each cell; cells without a type are left out.
    k2, threshold
        As for :func:`imap_index`.

    Raises
    ------
    ValueError
        Lengths differ, a cell has no batch, no cell has a type, or `k2` below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics import index_ceiling
    >>> batch = np.tile(["a", "b"], 1000)
    >>> round(index_ceiling(batch, np.repeat("t", 2000)), 2)
    0.74
    >>> round(index_ceiling(batch, np.repeat("t", 2000), threshold=3), 2)
    1.0
    """
    batch, cell_type = np.asarray(batch), np.asarray(cell_type)
    if len(batch) != len(cell_type):
        raise ValueError(f"batch has {len(batch)} cells, cell_type {len(cell_type)}; they must agree.")
    typed = typed_cells(cell_type)
    if not typed.any():
        raise ValueError("No cell has a type, so there is nothing that could be mixed.")
    batch = named_batches(batch[typed])
    return _ceiling(*_composition(batch, cell_type[typed]), check_count("k2", k2), threshold)


def _composition(batch: np.ndarray, cell_type: np.ndarray) -> tuple:
    """Type of each cell, cells of each type, batch of each cell, share of each batch in each type."""
    (types, type_code), (batches, batch_code) = coded(cell_type), coded(batch)
    type_code, batch_code = type_code.astype("int32"), batch_code.astype("int32")
    size = np.bincount(type_code, minlength=len(types))
    share = np.zeros((len(types), len(batches)))
    np.add.at(share, (type_code, batch_code), 1)
    return type_code, size, batch_code, share / size[:, None]


def _ceiling(type_code, size, batch_code, share, k2: int, threshold: float) -> float:
    passing = 0.0
    for kind, n_cells in enumerate(size):
        n = min(k2, n_cells)
        cells = np.round(share[kind] * n_cells).astype(int)
        for own in np.flatnonzero(cells):
            rest = cells.copy()
            rest[own] -= 1
            passing += cells[own] * _chance(rest, own, share[kind], n, threshold)
    return float(passing / size.sum())


def _chance(rest: np.ndarray, own: int, p: np.ndarray, n: int, threshold: float) -> float:
    """Chance that a cell of batch `own` and n - 1 of the `rest`, drawn at random, are within bounds."""
    ways, log_scale = np.ones(1), 0.0  # ways to draw so many cells of the batches so far
    for number, (n_cells, share) in enumerate(zip(rest, p, strict=True)):
        drawn = np.arange(min(n_cells, n - 1) + 1)
        log_ways = gammaln(n_cells + 1) - gammaln(drawn + 1) - gammaln(n_cells - drawn + 1)
        if 0 < share < 1:
            seen = drawn + (number == own)
            bad = np.abs(seen - n * share) / np.sqrt(n * share * (1 - share)) > threshold
            log_ways[bad] = -np.inf
        top = log_ways.max()
        if top == -np.inf:
            return 0.0
        ways = np.convolve(ways, np.exp(log_ways - top))[:n]
        log_scale += top + np.log(ways.max())
        ways = ways / ways.max()
    if len(ways) < n or not ways[n - 1]:
        return 0.0
    total = rest.sum()
    log_all = gammaln(total + 1) - gammaln(n) - gammaln(total - n + 2)
    return float(np.exp(np.log(ways[n - 1]) + log_scale - log_all))


def pair_purity(pairs: np.ndarray, left_types: np.ndarray, right_types: np.ndarray) -> float:
    """Share of pairs whose two cells have one type.

    Parameters
    ----------
    pairs
        Pairs x 2, indices into the two label arrays.
    left_types, right_types
        Cell types of the two batches (the same array twice if the indices are of one data set). Pairs
        of a cell without a type (None, NaN) are left out, with a warning.

    Raises
    ------
    ValueError
        There are no pairs, or none of two cells with a type; another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics import pair_purity
    >>> pair_purity(np.array([[0, 0], [1, 0]]), np.array(["T", "B"]), np.array(["T"]))
    0.5
    """
    pairs = as_pairs(pairs)
    if not len(pairs):
        raise ValueError("There are no pairs, so no purity; look for pairs with a larger k1.")
    left, right = np.asarray(left_types)[pairs[:, 0]], np.asarray(right_types)[pairs[:, 1]]
    typed = ~(pd.isna(left) | pd.isna(right))
    if not typed.all():
        warnings.warn(
            f"{np.sum(~typed)} of {len(pairs)} pairs have a cell without a type and are left out.",
            stacklevel=2,
        )
    if not typed.any():
        raise ValueError("No pair has two cells with a type, so there is no purity.")
    return float(np.mean(left[typed] == right[typed]))
