"""From counts to the log-normalised, variable genes that both stages read."""

import numpy as np
import scanpy as sc
from anndata import AnnData
from scipy import sparse

from .inputs.genes import check_unique_names
from .inputs.labels import labels_of
from .inputs.values import check_counts, in_memory

FLAVORS = ("seurat_v3", "per_batch")


def preprocess(
    adata: AnnData,
    batch_key: str = "batch",
    n_top_genes: int = 2000,
    min_genes: int = 200,
    min_cells: int = 3,
    flavor: str = "seurat_v3",
    min_batches: int = 1,
    verbose: int = 1,
) -> AnnData:
    """Filter cells and genes, normalise to 10,000 counts a cell, take log1p, keep variable genes.

    Parameters
    ----------
    adata
        Cells x genes; counts in ``layers["counts"]`` or, without that layer, in ``X``. Not changed.
    batch_key
        Column of ``adata.obs`` that names the batch.
    n_top_genes
        Variable genes to keep (all, where there are no more).
    min_genes, min_cells
        Cells with fewer genes and genes seen in fewer cells leave.
    flavor
        ``"seurat_v3"`` ranks genes over all batches at once (scanpy); ``"per_batch"`` is the paper's
        own: the top genes of every batch, merged.
    min_batches
        With ``"per_batch"``: in how many batches a gene must be among the top genes.
    verbose
        0 says nothing.

    Returns
    -------
    anndata.AnnData
        A new object: log-normalised ``X`` (CSR stays CSR), ``layers["counts"]``, and in
        ``uns["preprocess"]`` how many cells and genes left, and why. ``obs``, ``var``, ``uns``,
        ``obsm`` and layers come along; ``raw``, ``obsp`` and ``varm`` do not.

    Raises
    ------
    KeyError
        `batch_key` is not a column.
    ValueError
        Counts are fractional, negative or not finite; names are not unique; the filters leave
        nothing; unknown `flavor`.

    References
    ----------
    Wang et al., Genome Biology 22:63 (2021), Methods, "Data preprocessing".

    Examples
    --------
    >>> import imap_keras
    >>> adata = imap_keras.datasets.demo()
    >>> imap_keras.preprocess(adata, min_genes=50, n_top_genes=300, verbose=0).shape
    (700, 300)
    """
    if flavor not in FLAVORS:
        raise ValueError(f"flavor={flavor!r} is unknown; choose one of {FLAVORS}.")
    adata = in_memory(adata)
    labels = labels_of(adata, batch_key)
    check_unique_names(adata)
    where = "layers['counts']" if "counts" in adata.layers else "X"
    counts = adata.layers.get("counts", adata.X)
    check_counts(counts, f"adata.{where}")
    if sparse.issparse(counts):
        counts = sparse.csr_matrix(counts)  # also from CSC and from scipy's sparse arrays

    n_cells, n_all_genes = adata.shape
    keep_cells = _detected(counts, axis=1) >= min_genes
    keep_genes = _detected(counts[keep_cells], axis=0) >= min_cells
    if not keep_cells.any() or not keep_genes.any():
        raise ValueError(
            f"No {'genes' if keep_cells.any() else 'cells'} are left: the cells of adata.{where} have "
            f"{int(np.median(_detected(counts, axis=1)))} detected genes (median). "
            f"Lower min_genes={min_genes} or min_cells={min_cells}."
        )
    new = AnnData(
        counts[keep_cells][:, keep_genes].astype("float32"),
        obs=adata.obs[keep_cells].copy(),
        var=adata.var[keep_genes].copy(),
        # Without the mark of an earlier log1p: X starts from counts again.
        uns={key: value for key, value in adata.uns.items() if key != "log1p"},
        obsm={key: value[keep_cells] for key, value in adata.obsm.items()},
    )
    for name, layer in adata.layers.items():
        new.layers[name] = layer[keep_cells][:, keep_genes]
    new.layers["counts"] = new.X.copy()
    sc.pp.normalize_total(new, target_sum=1e4)
    sc.pp.log1p(new)

    n_filtered_genes = new.n_vars
    if new.n_vars > n_top_genes:
        if flavor == "per_batch":
            variable = per_batch_genes(new, batch_key, n_top_genes, min_batches)
        else:
            variable = _seurat_v3(new, batch_key, n_top_genes)
        new = new[:, variable].copy()
    report = {
        "cells_in": n_cells,
        "cells_with_too_few_genes": int(n_cells - keep_cells.sum()),
        "genes_in": n_all_genes,
        "genes_in_too_few_cells": int(n_all_genes - keep_genes.sum()),
        "genes_not_variable": int(n_filtered_genes - new.n_vars),
        "batches": int(len(set(labels[keep_cells]))),
    }
    new.uns["preprocess"] = report
    if verbose:
        print(
            f"{new.n_obs} of {n_cells} cells kept ({report['cells_with_too_few_genes']} had fewer "
            f"than {min_genes} genes); {new.n_vars} of {n_all_genes} genes kept "
            f"({report['genes_in_too_few_cells']} seen in fewer than {min_cells} cells, "
            f"{report['genes_not_variable']} not variable enough)."
        )
    return new


def _detected(counts, axis: int) -> np.ndarray:
    """Number of non-zero entries along an axis, for dense and sparse matrices."""
    return np.asarray((counts > 0).sum(axis=axis)).ravel()


def _seurat_v3(adata: AnnData, batch_key: str, n_top_genes: int) -> np.ndarray:
    try:
        table = sc.pp.highly_variable_genes(
            adata,
            n_top_genes=n_top_genes,
            flavor="seurat_v3",
            layer="counts",
            batch_key=batch_key,
            inplace=False,
        )
    except ValueError as error:
        raise ValueError(
            "The fit of variance against mean failed, most often because a batch has few cells "
            f"({error}). Use flavor='per_batch' or raise min_cells."
        ) from error
    return table["highly_variable"].to_numpy()


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
        No gene is variable in `min_batches` batches.

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
        table = sc.pp.highly_variable_genes(
            adata[labels == batch].copy(), n_top_genes=n_top_genes, flavor="seurat", inplace=False
        )
        votes += table["highly_variable"].to_numpy()
    if not (votes >= min_batches).any():
        raise ValueError(
            f"No gene is among the {n_top_genes} most variable of {min_batches} batches; "
            "lower min_batches or raise n_top_genes."
        )
    return votes >= min_batches
