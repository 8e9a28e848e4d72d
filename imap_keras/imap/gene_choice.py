"""Which genes stage I and the search for pairs read, and which others are corrected beside them."""

from collections.abc import Sequence

import pandas as pd

MARK = "highly_variable"
NAMED = 5  # unknown genes that an error names


def chosen_genes(
    var: pd.DataFrame, genes: str | Sequence[str], verbose: int = 0
) -> tuple[list[str], list[str]]:
    """Names of the genes that pairs are found in, and of those that are corrected beside them.

    Parameters
    ----------
    var
        Annotation of all genes; ``var["highly_variable"]`` marks the variable ones.
    genes
        As :meth:`imap_keras.IMAP.fit` takes it.
    verbose
        0 says nothing; else how many are read, where these are not all.

    Raises
    ------
    ValueError
        As :func:`variable_genes`.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.imap.gene_choice import chosen_genes
    >>> var = pd.DataFrame({"highly_variable": [True, False, True]}, index=["A", "B", "C"])
    >>> chosen_genes(var, "all")
    (['A', 'C'], ['B'])
    """
    variable = variable_genes(var, genes)
    names = var.index.astype(str)
    rest = names[~names.isin(variable)].tolist()
    alone = isinstance(genes, str) and genes == "variable"
    if rest and verbose:
        corrected = "these are corrected (all with genes='all')" if alone else "all are corrected"
        print(f"Pairs are found in {len(variable)} of {len(names)} genes; {corrected}.")
    return variable, [] if alone else rest


def variable_genes(var: pd.DataFrame, genes: str | Sequence[str]) -> list[str]:
    """Names of the genes that stage I and the search for pairs read.

    Parameters
    ----------
    var
        Annotation of all genes; ``var["highly_variable"]`` marks the variable ones.
    genes
        As :meth:`imap_keras.IMAP.fit` takes it.

    Returns
    -------
    list of str
        In the order of `var`. With ``"variable"`` all, where none is marked.

    Raises
    ------
    ValueError
        Unknown or repeated genes; with ``"all"`` nothing is marked; a mark is neither True nor False.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.imap.gene_choice import variable_genes
    >>> var = pd.DataFrame({"highly_variable": [True, False, True]}, index=["A", "B", "C"])
    >>> variable_genes(var, "all"), variable_genes(var, ["B"])
    (['A', 'C'], ['B'])
    """
    names = var.index.astype(str)
    if not isinstance(genes, str):
        return _listed(names, [str(name) for name in genes])
    if genes not in ("variable", "all"):
        raise ValueError(f"genes={genes!r} is unknown; choose 'variable', 'all', or a list of names.")
    if MARK not in var:
        if genes == "variable":
            return names.tolist()
        raise ValueError(
            f"genes='all' needs var[{MARK!r}] to say in which genes pairs are found: call "
            "preprocess(adata, keep_all_genes=True) or scanpy.pp.highly_variable_genes(adata), or "
            "name them: genes=[...]."
        )
    marked = var[MARK]
    if not marked.isin([True, False]).all() or not marked.any():
        raise ValueError(
            f"var[{MARK!r}] must hold True or False for each gene, and True for some; it holds "
            f"{sorted(map(str, marked.unique()))[:NAMED]}."
        )
    return names[marked.astype(bool)].tolist()


def _listed(names: pd.Index, genes: list[str]) -> list[str]:
    unknown = [name for name in genes if name not in names]
    if unknown or not genes or len(set(genes)) < len(genes):
        found = f"{len(unknown)} of them are not in the data: {', '.join(map(repr, unknown[:NAMED]))}"
        more = " ..." if len(unknown) > NAMED else ""
        same = f"{len(set(genes))} of them are different"
        raise ValueError(
            f"genes names {len(genes)} genes; {found + more if unknown else same}. The data have "
            f"{names[:3].tolist()} ...."
        )
    return names[names.isin(genes)].tolist()
