"""Files in: expression as h5ad or csv, the gene list, the homologous pairs."""

from collections.abc import Sequence
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData


def read_expression(path: str | Path, labels: Sequence[str] = ("region",)) -> AnnData:
    """Read rows x genes.

    Parameters
    ----------
    path
        ``.h5ad`` with the labels in ``obs``; or ``.csv`` with one column for each label and one for
        each gene. A csv without the label columns has the region in its first column.
    labels
        Names of the label columns, the region's first.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        Another ending, or a gene column that does not hold numbers.

    Examples
    --------
    >>> read_expression("mouse.csv").obs["region"]  # doctest: +SKIP
    """
    path = _existing(path)
    if path.suffix == ".h5ad":
        return anndata.read_h5ad(path)
    if path.suffix != ".csv":
        raise ValueError(
            f"{path} ends in {path.suffix!r}; expression is read from .h5ad or .csv files."
        )
    table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    if labels[0] not in table and len(table.columns):
        table = table.rename(columns={table.columns[0]: labels[0]})
    present = [name for name in labels if name in table]
    obs = table[present].astype(str)
    obs.index = [f"row_{i}" for i in range(len(obs))]
    genes = table.drop(columns=[*present, "Unnamed: 0"], errors="ignore")
    words = [name for name in genes if not pd.api.types.is_numeric_dtype(genes[name])]
    if words:
        raise ValueError(
            f"{path}: {len(words)} columns do not hold numbers, the first is {words[0]!r}. Every "
            f"column but {', '.join(labels)} must be a gene."
        )
    return AnnData(genes.to_numpy("float32"), obs=obs, var=pd.DataFrame(index=list(genes)))


def read_genes(path: str | Path) -> list[str]:
    """Read the gene list: the column ``genes`` of a csv, or its only column.

    Raises
    ------
    FileNotFoundError, ValueError
        No such file; several columns and none called genes; no gene; a gene named twice.

    Examples
    --------
    >>> read_genes("common_stable_genes_cortex.csv")  # doctest: +SKIP
    """
    table = pd.read_csv(_existing(path), dtype=str, keep_default_na=False)
    table = table.drop(columns="Unnamed: 0", errors="ignore")
    if "genes" not in table and len(table.columns) != 1:
        raise ValueError(f"{path} has no column 'genes'; it has {list(table.columns)}.")
    genes = table["genes"] if "genes" in table else table.iloc[:, 0]
    if genes.empty:
        raise ValueError(f"{path} lists no gene.")
    if genes.duplicated().any():
        twice = genes[genes.duplicated()]
        raise ValueError(
            f"{path}: {len(twice)} genes are listed twice, the first is {twice.iloc[0]!r}. "
            "List every gene once."
        )
    return genes.tolist()


def read_pairs(path: str | Path) -> pd.DataFrame:
    """Read homologous pairs: a csv with the columns ``human_region`` and ``mouse_region``.

    Raises
    ------
    FileNotFoundError
        There is no such file.

    Examples
    --------
    >>> read_pairs("homo_cortex.csv")  # doctest: +SKIP
    """
    return pd.read_csv(_existing(path), dtype=str, keep_default_na=False)


def select_genes(adata: AnnData, genes: Sequence[str], what: str = "The matrix") -> AnnData:
    """Take the listed genes in the order of the list.

    Parameters
    ----------
    adata
        Rows x genes; genes that are not listed are left out.
    genes
        The list.
    what
        What to call the matrix in an error.

    Raises
    ------
    ValueError
        Genes of the list are not in the matrix (says how many and which), or the matrix has a gene
        twice.

    Examples
    --------
    >>> from imap_keras.regions import simulate_species
    >>> from imap_keras.regions.files import select_genes
    >>> human, _ = simulate_species("subcortex", n_cells=220, n_genes=30, n_donors=5)
    >>> list(select_genes(human, ["gene_7", "gene_3"]).var_names)
    ['gene_7', 'gene_3']
    """
    known = set(adata.var_names)
    missing = [name for name in genes if name not in known]
    if missing:
        listed = set(genes)
        extra = [name for name in adata.var_names if name not in listed]
        raise ValueError(
            f"{what} and the gene list differ: {len(missing)} of {len(genes)} listed genes are not in "
            f"the matrix ({_some(missing)}), {len(extra)} of its {adata.n_vars} genes are not listed"
            f"{f' ({_some(extra)})' if extra else ''}. Same species' names, same spelling?"
        )
    if not adata.var_names.is_unique:
        twice = adata.var_names[adata.var_names.duplicated()]
        raise ValueError(f"{what} has {len(twice)} genes twice, the first is {twice[0]!r}.")
    return adata[:, list(genes)].copy()


def check_units(
    input_units: int | None, output_units: int | None, genes: Sequence[str], regions: Sequence[str]
) -> None:
    """Raise if the stated widths of the network are not those of the data.

    Raises
    ------
    ValueError
        Names the argument, what was given and what the data have.

    Examples
    --------
    >>> from imap_keras.regions.files import check_units
    >>> check_units(2, None, ["gene_0", "gene_1"], ["CA1"])
    """
    n_regions = len(np.unique(np.asarray(regions)))
    for argument, given, found, what in (
        ("-iu (--input-units)", input_units, len(genes), "the gene list has {} genes"),
        ("-ou (--output-units)", output_units, n_regions, "the data have {} regions"),
    ):
        if given is not None and given != found:
            raise ValueError(
                f"{argument} is {given}, but {what.format(found)}. Give {found}, or leave the argument "
                "out and it is counted."
            )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _existing(path: str | Path) -> Path:
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path.absolute()}.")
    return path
