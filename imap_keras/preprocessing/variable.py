"""Variable genes: those whose counts differ more between cells than their mean would explain."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy import sparse

from ..inputs.labels import labels_of
from ..inputs.values import varying

FLAVORS = ("seurat_v3", "per_batch")
TARGET_SUM = 1e4
SPANS = (0.3, 0.7, 1.0)  # of the fit of variance against mean: scanpy's own, then wider
# That fit ends the interpreter, no exception raised, where fewer than four genes of a batch vary.
MIN_CELLS, MIN_VARYING = 2, 4


def variable_genes(
    counts: np.ndarray | sparse.csr_matrix,
    labels: np.ndarray,
    n_top_genes: int = 2000,
    flavor: str = "seurat_v3",
    min_batches: int = 1,
) -> tuple[np.ndarray, float]:
    """Mark the variable genes of counts, see :func:`preprocess`.

    Parameters
    ----------
    counts
        Cells x genes.
    labels
        Batch of each cell.
    n_top_genes, flavor, min_batches
        As for :func:`preprocess`.

    Returns
    -------
    variable, span
        True for the genes that are kept; the span of the fit by which they were found.

    Raises
    ------
    ValueError
        A batch has one cell, or next to no gene that varies; the fit of variance against mean fails
        with every span.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.preprocessing import variable_genes
    >>> adata = imap_keras.datasets.simulate(n_cells=90, n_genes=80)
    >>> variable, span = variable_genes(adata.X, adata.obs["batch"].to_numpy(), 20)
    >>> int(variable.sum()), span
    (20, 0.3)
    """
    if counts.shape[1] <= n_top_genes:
        return np.ones(counts.shape[1], bool), SPANS[0]
    names, n_cells = np.unique(labels, return_counts=True)
    check_batches_vary(names, n_cells, [varying(counts[labels == name]).sum() for name in names])
    cells = AnnData(
        normalised(counts, np.ravel(counts.sum(axis=1))) if flavor == "per_batch" else counts,
        obs=pd.DataFrame({"batch": labels}, index=np.arange(len(labels)).astype(str)),
    )
    if flavor == "per_batch":
        return per_batch_genes(cells, "batch", n_top_genes, min_batches), SPANS[0]

    def fit(span: float) -> pd.DataFrame:
        options = {"flavor": "seurat_v3", "batch_key": "batch", "inplace": False}
        return sc.pp.highly_variable_genes(cells, n_top_genes=n_top_genes, span=span, **options)

    table, span = first_that_fits(fit)
    return table["highly_variable"].to_numpy(), span


def first_that_fits(fit: Callable[[float], Any]) -> tuple[Any, float]:
    """What a fit gives with the first of `SPANS` that does not fail, and that span.

    Raises
    ------
    ValueError
        It fails with each of them.

    Examples
    --------
    >>> from imap_keras.preprocessing.variable import first_that_fits
    >>> first_that_fits(lambda span: "fitted")
    ('fitted', 0.3)
    """
    for span in SPANS:
        try:
            return fit(span), span
        except ValueError as error:
            failure = error
    raise ValueError(
        f"The fit of variance against mean failed, with the widest span of {SPANS[-1]} too "
        f"({failure}). Use flavor='per_batch'."
    ) from failure


def per_batch_genes(
    adata: AnnData, batch_key: str, n_top_genes: int = 2000, min_batches: int = 1
) -> np.ndarray:
    """Mark genes that are among the most variable of at least `min_batches` batches.

    Parameters
    ----------
    adata
        Log-normalised cells x genes.
    batch_key
        Column of ``adata.obs``.
    n_top_genes
        Genes taken from each batch.
    min_batches
        How many batches must agree.

    Returns
    -------
    numpy.ndarray
        One bool a gene.

    Raises
    ------
    ValueError
        No gene is variable in `min_batches` batches, or none of a batch has a dispersion.

    References
    ----------
    Wang et al., Genome Biology 22:63 (2021): genes chosen in each batch and merged.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.preprocessing import per_batch_genes
    >>> adata = imap_keras.preprocess(imap_keras.datasets.demo(), min_genes=50, verbose=0)
    >>> int(per_batch_genes(adata, "batch", 100, min_batches=3).sum()) < 100
    True
    """
    labels = labels_of(adata, batch_key)
    votes = np.zeros(adata.n_vars, int)
    for batch in np.unique(labels):
        cells = adata[labels == batch].copy()
        try:
            table = sc.pp.highly_variable_genes(
                cells, n_top_genes=n_top_genes, flavor="seurat", inplace=False
            )
        except IndexError as error:  # scanpy: no gene is left with a dispersion
            raise ValueError(no_dispersion(batch, cells.n_obs)) from error
        votes += table["highly_variable"].to_numpy()
    return elected(votes, n_top_genes, min_batches)


def no_dispersion(batch: str, n_cells: int) -> str:
    """A sentence on a batch none of whose genes has a dispersion."""
    return (
        f"No gene of batch {str(batch)!r} ({n_cells} cells) can be told from the others by "
        "its dispersion. Leave the batch out, merge it with another one, or keep all genes."
    )


def elected(votes: np.ndarray, n_top_genes: int, min_batches: int) -> np.ndarray:
    """True for the genes with at least `min_batches` votes, one of each batch they vary in.

    Raises
    ------
    ValueError
        There is none.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.preprocessing.variable import elected
    >>> elected(np.array([0, 2, 1]), 2000, min_batches=2).tolist()
    [False, True, False]
    """
    if not (votes >= min_batches).any():
        raise ValueError(
            f"No gene is among the {n_top_genes} most variable of {min_batches} batches; "
            "lower min_batches or raise n_top_genes."
        )
    return votes >= min_batches


def normalised(
    counts: np.ndarray | sparse.csr_matrix, size: np.ndarray
) -> np.ndarray | sparse.csr_matrix:
    """log1p of counts per 10,000 of the cell's size, float32; a new matrix of the same kind.

    Parameters
    ----------
    counts
        Cells x genes.
    size
        Counts of each cell in all genes, also in those that are not here.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.preprocessing import normalised
    >>> np.expm1(normalised(np.array([[1.0, 3.0]]), np.array([10.0]))).round().tolist()
    [[1000.0, 3000.0]]
    """
    unit = np.where(size > 0, size, 1).astype("float32") / np.float32(TARGET_SUM)
    if not sparse.issparse(counts):
        return np.log1p(np.asarray(counts, "float32") / unit[:, None])
    new = counts.astype("float32")
    new.data = np.log1p(new.data / np.repeat(unit, np.diff(new.indptr)))
    return new


def check_batches_vary(names, n_cells: np.ndarray, n_varying: np.ndarray) -> None:
    """Raise if variable genes cannot be found in a batch: it has too few cells, or genes that vary.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.preprocessing.variable import check_batches_vary
    >>> check_batches_vary(["a", "b"], np.array([9, 7]), np.array([30, 20]))
    """
    for name, cells, genes in zip(names, n_cells, n_varying, strict=True):
        if cells < MIN_CELLS or genes < MIN_VARYING:
            raise ValueError(
                f"Batch {str(name)!r} has {cells} cells after the filters, and {genes} genes vary in "
                f"it; at least {MIN_CELLS} cells and {MIN_VARYING} genes are needed to find variable "
                "genes. Leave it out, merge it with another batch, or lower min_genes."
            )
