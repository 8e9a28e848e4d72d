"""Genes, and other features, found by name."""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from .values import in_memory

# How droplet platforms name cells, and how genes are named: enough to see a matrix lying on its side.
BARCODE = r"[ACGT]{10,}([-_.]\w+)?"
GENE = r"ENS[A-Z]*G\d{6,}(\.\d+)?|(?i:ACTB|GAPDH|B2M|MALAT1|MT-CO1|RPLP0)"


def looks_transposed(adata: AnnData) -> bool:
    """True where genes seem to be the rows and cells the columns, by their names.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.genes import looks_transposed
    >>> looks_transposed(imap_keras.datasets.simulate(n_cells=30).T)
    False
    """
    cells, genes = (names.astype(str) for names in (adata.obs_names, adata.var_names))
    barcodes = genes.str.fullmatch(BARCODE)
    return bool((len(genes) and barcodes.mean() > 0.5) or cells.str.fullmatch(GENE).sum() > 1)


def table_with_text_names(table: pd.DataFrame) -> pd.DataFrame:
    """The table itself, or, where its index holds anything but text, a copy named by text.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.inputs.genes import table_with_text_names
    >>> table_with_text_names(pd.DataFrame(index=[7, "x"])).index.tolist()
    ['7', 'x']
    """
    is_text = table.index.inferred_type in ("string", "empty")
    return table if is_text else table.set_axis(table.index.astype(str))


def check_unique_names(adata: AnnData) -> None:
    """Raise if two cells, or two genes, share a name (7 and "7" are one), or if there are no genes.

    Raises
    ------
    ValueError
        Names the first duplicate and how to mend it.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.genes import check_unique_names
    >>> check_unique_names(imap_keras.datasets.simulate(n_cells=30))
    """
    if not adata.n_vars:
        raise ValueError(f"adata has no genes (its shape is {adata.n_obs} x 0).")
    for table, what, place in (
        (adata.obs, "cell", "adata.obs_names"),
        (adata.var, "gene", "adata.var_names"),
    ):
        names = table_with_text_names(table).index
        if not names.is_unique:
            twice = names[names.duplicated()]
            as_text = f"{place} = {place}.astype(str); " if table.index.is_unique else ""
            raise ValueError(
                f"{len(twice)} {what} names are used twice, the first is {twice[0]!r}. "
                f"Call {as_text}{place}_make_unique() first."
            )


def with_text_names(adata: AnnData) -> AnnData:
    """The cells themselves, or, where an index was changed in place to numbers, a copy that has text.

    anndata takes no rows or columns of such data, and 7 here is "7" in a file.

    Examples
    --------
    >>> import imap_keras
    >>> import pandas as pd
    >>> from imap_keras.inputs.genes import with_text_names
    >>> adata = imap_keras.datasets.simulate(n_cells=30, n_genes=50)
    >>> adata.var.index = pd.Index(range(100, 150))
    >>> with_text_names(adata).var_names[:2].tolist()
    ['100', '101']
    """
    obs, var = (table_with_text_names(table) for table in (adata.obs, adata.var))
    if obs is adata.obs and var is adata.var:
        return adata
    with warnings.catch_warnings():  # anndata says that it makes text of the index
        warnings.simplefilter("ignore")
        adata = adata.to_memory() if adata.isbacked else adata.copy()
    adata.obs_names, adata.var_names = obs.index, var.index
    return adata


def features(
    adata: AnnData,
    names: Sequence[str],
    missing: str = "error",
    what: str = "fitted genes",
    mend: str = "Hand in data with the genes that fit() saw.",
) -> tuple[AnnData, np.ndarray]:
    """Return the data with the features of these names, in this order, and which of them were found.

    Names are compared as text, so that the integers of a plain index are found too.

    Parameters
    ----------
    adata
        Cells x any features.
    names
        Features that are wanted.
    missing
        ``"error"``, or ``"skip"``: only those that are there come back.
    what, mend
        What the names are and what to do where some are missing, for errors.

    Returns
    -------
    adata, found
        A view of the cells in the features found; True for each name that is there.

    Raises
    ------
    ValueError
        A feature is missing, all are, or names are used twice.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.genes import features
    >>> adata = imap_keras.datasets.simulate(n_cells=30, n_genes=50)
    >>> some, found = features(adata, ["gene_7", "other"], missing="skip")
    >>> some.var_names.tolist(), found.tolist()
    (['gene_7'], [True, False])
    """
    adata = with_text_names(adata)
    check_unique_names(adata)
    names = [str(name) for name in names]
    place = pd.Index(adata.var_names.astype(str)).get_indexer(names)
    found = place >= 0
    if not found.any():
        raise ValueError(
            f"None of the {len(names)} {what} is there: the data have {list(adata.var_names[:3])} ..., "
            f"wanted are {names[:3]} .... Are both named by the same kind of gene name?"
        )
    if missing == "error" and not found.all():
        raise ValueError(
            f"{int((~found).sum())} of the {len(names)} {what} are missing, the first is "
            f"{names[(~found).argmax()]!r}. {mend}"
        )
    if found.all() and place.tolist() == list(range(adata.n_vars)):
        return adata, found
    return adata[:, place[found]], found


def with_genes(adata: AnnData, genes: Sequence[str]) -> AnnData:
    """Return a copy in memory with exactly these genes, in this order.

    Raises
    ------
    ValueError
        A gene is missing, or names are used twice.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.genes import with_genes
    >>> adata = imap_keras.datasets.simulate(n_cells=30, n_genes=50)
    >>> with_genes(adata, ["gene_7", "gene_3"]).var_names.tolist()
    ['gene_7', 'gene_3']
    """
    mend = "From counts of all genes, preprocess(new, genes=model) keeps exactly the fitted ones."
    return features(in_memory(adata), genes, mend=mend)[0].copy()
