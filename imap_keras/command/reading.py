"""Cells from the files people have: h5ad, 10x h5 and matrix folders, loom, h5mu, several at once."""

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import anndata
import h5py
import scanpy as sc
from anndata import AnnData

from ..inputs.files import path_of
from ..preprocessing.described import free_index
from .batches import counted
from .joining import joined, names_of
from .matrices import MATRIX, matrix_in, read_matrix

HDF5 = (".h5ad", ".h5", ".loom", ".h5mu")
KNOWN = "an .h5ad, a 10x .h5, a matrix.mtx or its folder, a .loom or an .h5mu file"
TABLE = (
    "Make one of it, cells in rows: anndata.AnnData(pandas.read_csv('{path}', index_col=0, sep=None, "
    "engine='python')).write_h5ad('cells.h5ad')"
)
WAYS = dict.fromkeys((".csv", ".tsv", ".txt"), TABLE) | {
    ".gz": "Unzip it first: gunzip '{path}'",
    ".zip": "Unzip it first: unzip '{path}'",
    ".zarr": "Make one of it: anndata.read_zarr('{path}').write_h5ad('cells.h5ad')",
}


def read_cells(
    paths: Sequence[str], batch_key: str, modality: str = "rna", say: Callable = print
) -> AnnData:
    """Read one file or folder, or several that are joined by the genes they share.

    Parameters
    ----------
    paths
        Files or folders. Of several, each one's name becomes its batch where a file does not have
        `batch_key` itself; of files of the same name, with the folders they lie in.
    batch_key
        Column of ``obs`` that will name the batch.
    modality
        Which one of a MuData file.
    say
        Called with one sentence per action.

    Returns
    -------
    anndata.AnnData
        Cells x genes, cell and gene names unique.

    Raises
    ------
    FileNotFoundError
        A file does not exist.
    ValueError
        A kind of file that is not known, one that cannot be read or is named twice, or files that do
        not fit together; the message names them.

    Examples
    --------
    >>> import tempfile
    >>> from imap_keras.command.reading import read_cells
    >>> from imap_keras.datasets import simulate
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     simulate(n_cells=30, n_genes=20).write_h5ad(f"{folder}/cells.h5ad")
    ...     adata = read_cells([f"{folder}/cells.h5ad"], "batch", say=lambda sentence: None)
    >>> adata.shape
    (30, 20)
    """
    files = [path_of(text) for text in paths]
    parts = {}
    for name, path in zip(names_of(files), files, strict=True):
        # As many folders as its name has; the name itself may lack the suffix.
        shown = "/".join(Path(os.path.abspath(path)).parts[-name.count("/") - 1 :])
        parts[name] = with_unique_names(read_one(path, modality), shown, say)
        say(f"Read {shown}: {parts[name].n_obs:,} cells x {parts[name].n_vars:,} genes.")
    return joined(parts, batch_key, say) if len(parts) > 1 else parts[name]


def read_one(path: Path, modality: str = "rna") -> AnnData:
    """Read one file or folder by its kind.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_cells`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from imap_keras.command.reading import read_one
    >>> read_one(Path("cells.xlsx"))
    Traceback (most recent call last):
    FileNotFoundError: There is no file or folder cells.xlsx.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder {path}.")
    reader = _reader(path, modality)
    try:
        with warnings.catch_warnings():  # with_unique_names says it in a sentence of ours
            warnings.filterwarnings("ignore", ".* names are not unique", UserWarning)
            return reader(path)
    except ImportError:
        raise
    except Exception as error:  # whatever the libraries below raise, the user needs the file's name
        raise ValueError(f"{path} cannot be read as {KNOWN}: {_why(path, error)}") from error


def _reader(path: Path, modality: str) -> Callable[[Path], AnnData]:
    if path.is_dir():
        if path.suffix.lower() == ".zarr":
            raise ValueError(f"{path} is a zarr store; give {KNOWN}.{_way(path)}")
        matrix = matrix_in(path)
        return lambda folder: read_matrix(matrix)
    if MATRIX.fullmatch(path.name):
        return read_matrix
    readers = {
        ".h5ad": anndata.read_h5ad,
        ".h5": sc.read_10x_h5,
        ".loom": _loom,
        ".h5mu": lambda file: _modality(file, modality),
    }
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path} is of a kind that is not known; give {KNOWN}.{_way(path)}")
    return readers[path.suffix.lower()]


def _why(path: Path, error: Exception) -> str:
    """What ails a file, where that can be told better than by the library that reads it."""
    if path.suffix.lower() in HDF5:
        try:
            h5py.File(path, "r").close()
        except OSError:
            if h5py.is_hdf5(path):
                return "it is damaged or incomplete. Copy or download it again."
            return "it is empty, damaged or of another kind than its name says."
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _way(path: Path) -> str:
    """How a file of a kind that is not read becomes one that is; empty where nobody knows."""
    return f" {WAYS[path.suffix.lower()].format(path=path)}." if path.suffix.lower() in WAYS else ""


def _loom(path: Path) -> AnnData:
    try:
        import loompy  # noqa: F401
    except ImportError:
        raise ImportError(
            f"{path} is a loom file; reading it needs loompy: pip install loompy."
        ) from None
    return sc.read_loom(path)


def _modality(path: Path, modality: str) -> AnnData:
    try:
        import mudata
    except ImportError:
        raise ImportError(
            f"{path} is a MuData file; reading it needs mudata: pip install mudata."
        ) from None
    data = mudata.read_h5mu(path)
    if modality not in data.mod:
        raise ValueError(f"there is no modality {modality!r}, but {list(data.mod)}; say --modality")
    adata = data.mod[modality]
    for column in data.obs:  # a batch may stand in the table that all modalities share
        if column not in adata.obs:
            adata.obs[column] = data.obs[column].reindex(adata.obs_names)
    return adata


def with_unique_names(adata: AnnData, what: str, say: Callable = print) -> AnnData:
    """Make names of cells and genes unique, and say so."""
    for kind, names, mend in (
        ("gene", adata.var_names, adata.var_names_make_unique),
        ("cell", adata.obs_names, adata.obs_names_make_unique),
    ):
        if not names.is_unique:
            n = counted(int(names.duplicated().sum()), f"{kind} name was", f"{kind} names were")
            say(f"{what}: {n} used twice, now numbered.")
            mend()
            free_index(adata.var if kind == "gene" else adata.obs)
    return adata
