"""Did correction break what was there? Each batch before and after, compared with itself."""

import numpy as np
from scipy import sparse
from scipy.stats import false_discovery_control, mannwhitneyu
from sklearn.neighbors import NearestNeighbors

from ..inputs.labels import coded
from ..inputs.values import check_finite, dense
from ..nn.parameters import check_count, check_number
from .labels import finite_rows, named_batches, typed_cells


def neighbor_agreement(before: np.ndarray, after: np.ndarray, batch: np.ndarray, k: int = 15) -> float:
    """Share of the nearest neighbours within a cell's batch that are nearest neighbours afterwards too.

    1: correction moved each batch as a whole; k / (cells of the batch - 1): it shuffled them. Cells of
    other batches are not looked at, and no cell types are needed.

    Parameters
    ----------
    before, after
        Cells x dimensions of the same cells; the dimensions may differ.
    batch
        Label of each cell.
    k
        Neighbours of a cell; fewer in a batch of at most `k` cells.

    Raises
    ------
    ValueError
        Lengths differ, a value is not finite, a cell has no batch, no batch has three cells, or `k` is
        below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics import neighbor_agreement
    >>> cells, batch = np.random.default_rng(0).normal(size=(60, 5)), np.repeat(["a", "b"], 30)
    >>> neighbor_agreement(cells, cells + 9.0 * (batch == "a")[:, None], batch)
    1.0
    """
    k = check_count("k", k)
    before, after = finite_rows(before, "before"), finite_rows(after, "after")
    shares = []
    for cells in _batches(before, after, batch):
        n = min(k, len(cells) - 2)
        if n > 0:
            near = [
                NearestNeighbors(n_neighbors=n).fit(space[cells]).kneighbors(return_distance=False)
                for space in (before, after)
            ]
            same = near[0][:, :, None] == near[1][:, None, :]
            shares.append(same.any(axis=2).mean(axis=1))
    if not shares:
        raise ValueError("No batch has three cells; there are no neighbours to compare.")
    return float(np.concatenate(shares).mean())


def correlation_agreement(
    before, after, batch: np.ndarray, max_genes: int = 500, seed: int = 0
) -> float:
    """How alike the genes' correlations with each other are, within each batch, before and after.

    Pearson's r between the two lists of correlations, one entry a pair of genes; the mean over
    batches. 1: the structure is as it was. No cell types are needed.

    Parameters
    ----------
    before, after
        Cells x genes, the same cells and genes, dense or sparse.
    batch
        Label of each cell.
    max_genes, seed
        Most genes used, chosen by the seed. Genes that are constant in a batch are left out there.

    Raises
    ------
    ValueError
        Lengths or genes differ, a value is not finite, a cell has no batch, no batch has three cells
        and three genes that vary, or `max_genes` is below 3.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics import correlation_agreement
    >>> cells, batch = np.random.default_rng(0).normal(size=(60, 5)), np.repeat(["a", "b"], 30)
    >>> round(correlation_agreement(cells, 2 * cells + 1, batch), 6)
    1.0
    """
    max_genes = check_count("max_genes", max_genes, least=3)
    before, after = _genes(before, after)
    some = np.sort(np.random.default_rng(seed).permutation(before.shape[1])[:max_genes])
    found = []
    for cells in _batches(before, after, batch):
        first, second = (dense(values[cells][:, some]) for values in (before, after))
        varied = (np.ptp(first, axis=0) > 0) & (np.ptp(second, axis=0) > 0)
        if len(cells) > 2 and varied.sum() > 2:
            pairs = np.triu_indices(varied.sum(), 1)
            both = [np.corrcoef(x[:, varied].astype(float).T)[pairs] for x in (first, second)]
            found.append(np.corrcoef(*both)[0, 1])
    if not found:
        raise ValueError("No batch has three cells and three genes that vary before and after.")
    return float(np.mean(found))


def differential_agreement(
    before, after, batch: np.ndarray, cell_type: np.ndarray, alpha: float = 0.05, min_cells: int = 10
) -> float:
    """F1 of the genes that tell a type from the rest of its batch, before and after.

    Genes are differential by Wilcoxon's rank sum test, false discoveries (Benjamini, Hochberg) below
    `alpha`; F1 compares the genes found after with those found before, which count as the truth. The
    mean over types and batches in which genes are differential before.

    Parameters
    ----------
    before, after
        Cells x genes, the same cells and genes, dense or sparse.
    batch, cell_type
        Labels of each cell; cells without a type are left out.
    alpha
        False discovery rate.
    min_cells
        A type with fewer cells in a batch, or with fewer others beside it, is left out there.

    Raises
    ------
    ValueError
        Lengths or genes differ, a value is not finite, a cell has no batch, nothing is differential
        before, or a number is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics import differential_agreement
    >>> cells, kind = np.random.default_rng(0).normal(size=(80, 5)), np.tile(["t", "u"], 40)
    >>> cells[kind == "t", :2] += 3
    >>> differential_agreement(cells, 2 * cells + 1, np.repeat(["a", "b"], 40), kind)
    1.0
    """
    alpha, min_cells = check_number("alpha", alpha, "above 0"), check_count("min_cells", min_cells)
    before, after = _genes(before, after)
    if before.shape[0] != len(cell_type):
        raise ValueError(
            f"before has {before.shape[0]} cells, cell_type {len(cell_type)}; both must describe the "
            "same cells."
        )
    typed, kinds, found = typed_cells(cell_type), np.asarray(cell_type).astype(str), []
    for cells in _batches(before, after, batch):
        cells = cells[typed[cells]]
        both = [dense(values[cells]) for values in (before, after)]
        for kind in np.unique(kinds[cells]):
            own = kinds[cells] == kind
            if min(own.sum(), (~own).sum()) < min_cells:
                continue
            truth, found_after = (_differential(values, own, alpha) for values in both)
            if truth.any():
                found.append(2 * (truth & found_after).sum() / (truth.sum() + found_after.sum()))
    if not found:
        raise ValueError(
            f"No gene tells a type from the rest of its batch before correction (types of at least "
            f"{min_cells} cells, false discovery rate {alpha})."
        )
    return float(np.mean(found))


def _differential(values: np.ndarray, own: np.ndarray, alpha: float) -> np.ndarray:
    """True for the genes whose values in the own cells differ from those in the others."""
    found = np.zeros(values.shape[1], bool)
    varied = np.ptp(values, axis=0) > 0
    if varied.any():
        p = mannwhitneyu(values[own][:, varied], values[~own][:, varied], method="asymptotic").pvalue
        found[varied] = false_discovery_control(p) < alpha
    return found


def _batches(before, after, batch: np.ndarray) -> list[np.ndarray]:
    """Cells of each batch."""
    if not before.shape[0] == after.shape[0] == len(batch):
        raise ValueError(
            f"before has {before.shape[0]} cells, after {after.shape[0]}, batch {len(batch)}; all "
            "three must describe the same cells."
        )
    names, codes = coded(named_batches(batch))
    return [np.flatnonzero(codes == number) for number in range(len(names))]


def _genes(before, after) -> list:
    """Both matrices, if they have the same genes and finite values, as something rows are taken of."""
    if before.shape[1] != after.shape[1]:
        raise ValueError(
            f"before has {before.shape[1]} genes, after {after.shape[1]}; both must have the same."
        )
    # Not of a DataFrame, which takes columns by [], nor of a sparse matrix of coordinates.
    both = [x.tocsr() if sparse.issparse(x) else np.asarray(x) for x in (before, after)]
    for values, what in zip(both, ("before", "after"), strict=True):
        check_finite(values, what)
    return both
