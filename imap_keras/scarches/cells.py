"""What a reference reads of an AnnData: its genes by name, as counts or as log values."""

import warnings

import numpy as np
from anndata import AnnData

from ..inputs.expression import counts_of, dense_expression
from ..inputs.genes import check_unique_names
from ..inputs.values import dense


def expression(adata: AnnData, likelihood: str) -> np.ndarray:
    """Dense float32 cells x genes: counts for ``"nb"`` and ``"zinb"``, log values for ``"mse"``.

    Counts are read from ``layers["counts"]`` or, without that layer, from ``X``.

    Raises
    ------
    ValueError
        Counts are negative or fractional; log values are not finite, negative or not logged; a cell
        has no counts.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.scarches.cells import expression
    >>> expression(imap_keras.datasets.simulate(n_cells=30, n_genes=50), "nb").shape
    (30, 50)
    """
    if likelihood == "mse":
        return dense_expression(adata, "scarches_logged")
    counts, where = counts_of(adata, "scarches_counts")
    counts = dense(counts)
    empty = int(np.sum(counts.sum(axis=1) == 0))
    if empty:
        raise ValueError(
            f"adata.{where} has no counts in {empty} cells (of the genes the model reads); "
            "leave them out, for example with scanpy.pp.filter_cells(adata, min_genes=1)."
        )
    return counts


def align_genes(
    adata: AnnData, genes: list[str], likelihood: str, verbose: int = 1
) -> tuple[np.ndarray, str]:
    """Cells in the genes of the reference: found by name, missing ones 0, further ones left out.

    Parameters
    ----------
    adata
        Cells x any genes.
    genes
        Genes of the reference, in its order.
    likelihood
        Decides between counts and log values, see :func:`expression`.
    verbose
        0 does not print the sentence.

    Returns
    -------
    cells, sentence
        Dense float32 cells x `genes`; how many genes were missing.

    Raises
    ------
    ValueError
        No gene is shared; names are not unique; values as for :func:`expression`.

    Warns
    -----
    UserWarning
        Fewer than half of the reference's genes are there.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.scarches import align_genes
    >>> adata = imap_keras.datasets.simulate(n_cells=30, n_genes=50)
    >>> _, sentence = align_genes(adata, ["gene_1", "gene_2", "other"], "nb")
    2 of the reference's 3 genes found, 1 missing filled with 0; 48 other genes left out.
    """
    check_unique_names(adata)
    known = set(adata.var_names)
    shared = [gene for gene in genes if gene in known]
    if not shared:
        raise ValueError(
            f"The query shares no gene with the reference: it has {list(adata.var_names[:3])} ..., the "
            f"reference {genes[:3]} .... Are both named by the same kind of gene name?"
        )
    n_missing = len(genes) - len(shared)
    sentence = (
        f"{len(shared)} of the reference's {len(genes)} genes found, {n_missing} missing filled "
        f"with 0; {adata.n_vars - len(shared)} other genes left out."
    )
    if len(shared) < len(genes) / 2:
        warnings.warn(f"Under half of the genes are shared: {sentence}", stacklevel=3)
    if verbose:
        print(sentence)
    found = expression(adata[:, shared], likelihood)
    if not n_missing:
        return found, sentence
    cells = np.zeros((adata.n_obs, len(genes)), "float32")
    cells[:, np.isin(genes, shared)] = found
    return cells, sentence
