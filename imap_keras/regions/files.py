"""Files in: expression as h5ad or csv, the gene list, the homologous pairs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData

# The original's column: {region}_{sampleX}_{scellY}; the samples of a region are held out together.
INDEX, GENE, OTHER = "region_index", "Gene", "other"


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Put the name of a file before whatever is found wrong with it.

    Raises
    ------
    ValueError
        In place of another error whose message does not name the file.

    Examples
    --------
    >>> from imap_keras.regions.files import naming
    >>> with naming("genes.csv"):
    ...     raise KeyError("No columns")
    Traceback (most recent call last):
    ValueError: genes.csv: No columns
    """
    try:
        yield
    except Exception as error:  # pandas, h5py and anndata raise many kinds
        text = " ".join(str(error.args[0] if len(error.args) == 1 else error).split())
        if str(path) in text:
            raise
        raise ValueError(f"{path}: {text or type(error).__name__}") from error


def read_expression(
    path: str | Path, region_key: str = "region", donor_key: str | None = None
) -> AnnData:
    """Read rows x genes.

    Parameters
    ----------
    path
        ``.h5ad`` with the labels in ``obs``; or ``.csv`` with one column for each label and one for
        each gene. A csv without the label columns has the region in its first column. An h5ad as the
        published code reads it, see :func:`from_region_index`, is read as well.
    region_key, donor_key
        Names of the label columns; without a `donor_key` donors are not needed.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file cannot be read, a gene column does not hold numbers, two columns of a csv have one
        name, or labels are not as said.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from imap_keras.regions.files import read_expression
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "mouse.csv"
    ...     _ = path.write_text("region,Actb,Gfap\\nCA1,1.0,2.0\\n")
    ...     adata = read_expression(path)
    >>> adata.obs["region"].tolist(), adata.var_names.tolist()
    (['CA1'], ['Actb', 'Gfap'])
    """
    path = existing(path)
    if path.suffix not in (".h5ad", ".csv"):
        raise ValueError(
            f"{path} ends in {path.suffix!r}; expression is read from .h5ad or .csv files."
        )
    labels = [name for name in (region_key, donor_key) if name is not None]
    with naming(path):
        if path.suffix == ".csv":
            return _from_csv(path, labels)
        adata = anndata.read_h5ad(path)
        if INDEX in adata.obs and (region_key == INDEX or region_key not in adata.obs):
            adata = from_region_index(adata, region_key, donor_key)
        adata.obs_names_make_unique()  # here rows are known by their labels
        return adata


def from_region_index(adata: AnnData, region_key: str, donor_key: str | None = None) -> AnnData:
    """Rows as the published code reads them.

    ``obs["region_index"]`` is ``"{region}_{sampleX}_{scellY}"``: the part before the first underscore
    is the region, the second part the sample, which is taken for the donor. Rows of the region "other"
    are left out. Genes are named by ``var["Gene"]``, where there is one.

    Raises
    ------
    ValueError
        A row is empty there, or a donor is wanted and a row does not say its sample.

    Examples
    --------
    >>> import numpy as np
    >>> from anndata import AnnData
    >>> from imap_keras.regions.files import from_region_index
    >>> adata = AnnData(np.ones((2, 1)), var={"Gene": ["Actb"]})
    >>> adata.obs["region_index"] = ["CA1_sample3_scell0", "other_sample1_scell1"]
    >>> adata = from_region_index(adata, "region", "donor")
    >>> adata.obs[["region", "donor"]].to_numpy().tolist(), adata.var_names.tolist()
    ([['CA1', 'sample3']], ['Actb'])
    """
    missing = int(adata.obs[INDEX].isna().sum())
    if missing:
        raise ValueError(
            f"obs['{INDEX}'] is empty in {missing} rows; fill it in or leave those rows out."
        )
    parts = [text.split("_") for text in adata.obs[INDEX].astype(str)]
    kept = np.array([part[0] != OTHER for part in parts], bool)
    parts = [part for part, keep in zip(parts, kept, strict=True) if keep]
    obs = {region_key: [part[0] for part in parts]}
    if donor_key is not None and donor_key not in adata.obs:
        without = [part for part in parts if len(part) < 2 or not part[1].startswith("sample")]
        if without:
            raise ValueError(
                f"{len(without)} rows of obs['{INDEX}'] do not name a sample, the first is "
                f"{'_'.join(without[0])!r}; expected is {{region}}_{{sampleX}}_{{scellY}}."
            )
        obs[donor_key] = [part[1] for part in parts]
    adata = adata[kept].copy()
    adata.obs = adata.obs.assign(**obs)
    if GENE in adata.var:
        adata.var_names = adata.var[GENE].astype(str)
    return adata


def _from_csv(path: Path, labels: Sequence[str]) -> AnnData:
    columns = list(pd.read_csv(path, nrows=0).columns)
    # pandas calls the second column of a name "Actb.1", and so hides it.
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0]
    twice = header[header.duplicated() & (header != "")]
    if len(twice):
        raise ValueError(
            f"{len(twice)} columns have a name that another has, the first is {twice.iloc[0]!r}. Name "
            "every gene and label once."
        )
    first = {} if labels[0] in columns or not columns else {columns[0]: labels[0]}
    text = dict.fromkeys([*labels, *first], str)  # a region may be called 007
    table = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=text)
    table = table.rename(columns=first)
    present = [name for name in labels if name in table]
    obs = table[present]
    obs.index = [f"row_{i}" for i in range(len(obs))]
    genes = table.drop(columns=[*present, "Unnamed: 0"], errors="ignore")
    words = [name for name in genes if not pd.api.types.is_numeric_dtype(genes[name])]
    if words:
        raise ValueError(
            f"{len(words)} columns do not hold numbers, the first is {words[0]!r}. Every "
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
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from imap_keras.regions.files import read_genes
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "genes.csv"
    ...     _ = path.write_text("genes\\nActb\\nGfap\\n")
    ...     read_genes(path)
    ['Actb', 'Gfap']
    """
    path = existing(path)
    with naming(path):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table = table.drop(columns="Unnamed: 0", errors="ignore")
        if "genes" not in table and len(table.columns) != 1:
            raise ValueError(f"There is no column 'genes'; the columns are {list(table.columns)}.")
        genes = table["genes"] if "genes" in table else table.iloc[:, 0]
        if genes.empty:
            raise ValueError("No gene is listed.")
        if genes.duplicated().any():
            twice = genes[genes.duplicated()]
            raise ValueError(
                f"{len(twice)} genes are listed twice, the first is {twice.iloc[0]!r}. "
                "List every gene once."
            )
    return genes.tolist()


def read_pairs(path: str | Path) -> pd.DataFrame:
    """Read homologous pairs: a csv with the columns ``human_region`` and ``mouse_region``.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or it cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from imap_keras import regions
    >>> from imap_keras.regions.files import read_pairs
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "homo_subcortex.csv"
    ...     regions.homologous_pairs("subcortex").to_csv(path)
    ...     len(read_pairs(path))
    9
    """
    path = existing(path)
    with naming(path):
        return pd.read_csv(path, dtype=str, keep_default_na=False)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table that a run wrote, names and numbers as the text they are.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or it cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from imap_keras.regions.files import read_table
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "human_embedding.csv"
    ...     _ = path.write_text(",0\\n007,0.5\\n")
    ...     read_table(path).loc["007"].tolist()
    ['0.5']
    """
    path = existing(path)
    with naming(path):
        # Not by index_col: pandas would make numbers of the index all the same.
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        return table.set_index(table.columns[0]).rename_axis(None)


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
    genes = [str(name) for name in genes]
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
    return adata[:, genes].copy()


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


def existing(path: str | Path) -> Path:
    """The path of a file, "~" expanded, if the file is there.

    Raises
    ------
    FileNotFoundError
        There is none.

    Examples
    --------
    >>> from imap_keras.regions.files import existing
    >>> existing(__file__).name == "files.py"
    True
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path.absolute()}.")
    return path
