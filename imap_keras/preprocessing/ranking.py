"""Variable genes of cells read in two passes, from moments: those that scanpy chooses in memory."""

import numpy as np
import pandas as pd
from scipy import sparse

from ..inputs.moments import Moments, group_sums

N_BINS = 20  # of the mean, for the dispersions of flavor "per_batch"
SAME = 1e-12  # a variance so small beside the squared mean is the rounding of a gene that is constant


def variances(moments: Moments) -> np.ndarray:
    """Variance with n - 1, batches x genes; 0 where a gene does not vary in a batch.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.moments import Moments
    >>> from imap_keras.preprocessing.ranking import variances
    >>> moments = Moments(1, 2)
    >>> moments.add(np.array([[1.0, 0.1], [3.0, 0.1]]), np.zeros(2, int))
    >>> variances(moments).tolist()
    [[2.0, 0.0]]
    """
    found = moments.squares / np.maximum(moments.n - 1, 1)
    return np.where(found > SAME * moments.mean**2, found, 0)


class Clipped:
    """Sums of counts, large ones clipped, by batch and gene: the second pass of seurat_v3.

    Parameters
    ----------
    moments
        Of the counts by batch, from the first pass.
    span
        Of the fit of variance against mean.

    Raises
    ------
    ValueError
        The fit failed.

    References
    ----------
    Stuart et al., Cell 177:1888 (2019); scanpy's ``flavor="seurat_v3"``, which this follows.
    """

    def __init__(self, moments: Moments, span: float):
        from skmisc.loess import loess

        self.moments, self.expected = moments, np.ones_like(moments.mean)
        for mean, variance, expected in zip(
            moments.mean, variances(moments), self.expected, strict=True
        ):
            varies = variance > 0
            if not varies.any():  # a batch without cells
                continue
            model = loess(np.log10(mean[varies]), np.log10(variance[varies]), span=span, degree=2)
            model.fit()
            expected[varies] = np.sqrt(10**model.outputs.fitted_values)
        self.largest = self.expected * np.sqrt(moments.n) + moments.mean
        self.sums, self.squares = np.zeros((2, *moments.mean.shape))

    def join(self, sums: np.ndarray, squares: np.ndarray) -> None:
        """What :func:`clipped_sums` gives for some more cells."""
        self.sums += sums
        self.squares += squares

    def ranked(self, n_top_genes: int) -> np.ndarray:
        """True for the genes that vary most: by their median rank over batches, then by how many."""
        n, mean = self.moments.n, self.moments.mean
        total = n * mean**2 + self.squares - 2 * self.sums * mean
        there = np.ravel(n) > 0
        varies = (total / np.maximum(n - 1, 1) / self.expected**2)[there]
        ranks = np.argsort(np.argsort(-varies, axis=1), axis=1).astype("float32")
        among = np.sum(ranks < n_top_genes, axis=0)
        ranks[ranks >= n_top_genes] = np.nan
        median = np.ma.median(np.ma.masked_invalid(ranks), axis=0).filled(np.nan)
        table = pd.DataFrame({"rank": median, "among": among})
        best = table.sort_values(["rank", "among"], ascending=[True, False], na_position="last").index
        chosen = np.zeros(len(table), bool)
        chosen[best[:n_top_genes]] = True
        return chosen


def clipped_sums(
    block: sparse.csr_matrix, codes: np.ndarray, largest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sums and sums of squares of counts, large ones clipped, batches x genes.

    Parameters
    ----------
    block, codes
        Counts of some cells, and the batch of each.
    largest
        That a count may be, batches x genes.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from imap_keras.preprocessing.ranking import clipped_sums
    >>> block = sparse.csr_matrix([[1.0, 0.0], [5.0, 2.0]])
    >>> [x.tolist() for x in clipped_sums(block, np.zeros(2, int), np.array([[3.0, 9.0]]))]
    [[[4.0, 2.0]], [[10.0, 4.0]]]
    """
    of_entry = np.repeat(codes, np.diff(block.indptr))
    block = block.astype(float)
    block.data = np.minimum(block.data, largest[of_entry, block.indices])
    sums = group_sums(block, codes, len(largest))
    block.data **= 2
    return sums, group_sums(block, codes, len(largest))


def dispersed(mean: np.ndarray, variance: np.ndarray, n_top_genes: int) -> np.ndarray:
    """True for the genes whose dispersion stands out among genes of a like mean, in one batch.

    As scanpy's ``flavor="seurat"`` (Satija et al., Nature Biotechnology 33:495, 2015).

    Parameters
    ----------
    mean, variance
        Of normalised expression, not of its logarithm.
    n_top_genes
        How many are chosen; ties at the last place all are.

    Raises
    ------
    IndexError
        No gene has a dispersion.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.preprocessing.ranking import dispersed
    >>> dispersed(np.array([1.0, 1.0, 1.0, 9.0]), np.array([1.0, 4.0, 1.0, 9.0]), 1).tolist()
    [False, True, False, False]
    """
    mean = np.where(mean == 0, 1e-12, mean)
    with np.errstate(divide="ignore"):
        dispersion = np.log(variance / mean)
    dispersion[np.isinf(dispersion)] = np.nan
    table = pd.DataFrame({"mean": np.log1p(mean), "dispersion": dispersion})
    bins = pd.cut(table["mean"], bins=N_BINS)
    of_bin = table.groupby(bins, observed=True)["dispersion"]
    average, spread = of_bin.transform("mean"), of_bin.transform("std")
    alone = spread.isna()  # the only gene of its bin stands out by 1
    found = (dispersion - average.where(~alone, 0)) / spread.where(~alone, average)
    known = np.sort(found[~np.isnan(found)])[::-1]
    last = known[min(n_top_genes, len(known)) - 1]
    return np.nan_to_num(found.to_numpy(), nan=-np.inf) >= last
