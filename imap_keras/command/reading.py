"""Cells from the files people have: h5ad, 10x h5 and matrix folders, loom, h5mu, several at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import anndata
import scanpy as sc
from anndata import AnnData
from scipy import sparse

from ..inputs.expression import COUNTS, LOGGED, kind_of
from ..inputs.files import path_of
from ..inputs.values import named_layers

KNOWN = "an .h5ad, a 10x .h5, a folder with matrix.mtx, a .loom or an .h5mu file"


def read_cells(
    paths: Sequence[str], batch_key: str, modality: str = "rna", say: Callable = print
) -> AnnData:
    """Read one file or folder, or several that are joined by the genes they share.

    Parameters
    ----------
    paths
        Files or folders. Of several, each one's name becomes its batch where a file does not have
        `batch_key` itself.
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
        A kind of file that is not known, or one that cannot be read; the message names it.

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
    parts = {}
    for text in paths:
        path = path_of(text)
        adata = with_unique_names(read_one(path, modality), path.name, say)
        say(f"Read {path.name}: {adata.n_obs:,} cells x {adata.n_vars:,} genes.")
        if path.stem in parts:
            raise ValueError(
                f"Two files are called {path.stem!r}; their names become batches. Rename one."
            )
        parts[path.stem] = adata
    if len(parts) == 1:
        return next(iter(parts.values()))
    return joined(parts, batch_key, say)


def joined(parts: dict[str, AnnData], batch_key: str, say: Callable = print) -> AnnData:
    """Several data sets as one: shared genes, batches named by the file where it names none.

    Examples
    --------
    >>> from imap_keras.command.reading import joined
    >>> from imap_keras.datasets import simulate
    >>> parts = {name: simulate(n_cells=30, n_genes=20, n_batches=1) for name in ("one", "two")}
    >>> joined(parts, "donor", say=lambda sentence: None).obs["donor"].value_counts().to_dict()
    {'one': 30, 'two': 30}
    """
    for name, adata in parts.items():
        if batch_key not in adata.obs:
            adata.obs[batch_key] = name
        adata.obs[batch_key] = adata.obs[batch_key].astype(str)
    together = anndata.concat(parts, join="inner", index_unique="-", merge="first")
    most = max(adata.n_vars for adata in parts.values())
    if not together.n_vars:
        first, second = list(parts.values())[:2]
        raise ValueError(
            f"The files share no gene: one has {list(first.var_names[:3])} ..., another "
            f"{list(second.var_names[:3])} .... Name genes alike in all files."
        )
    say(
        f"Joined {len(parts)} files: {together.n_obs:,} cells, {together.n_vars:,} shared genes of at "
        f"most {most:,}; batches are {', '.join(sorted(set(together.obs[batch_key])))}."
    )
    return together


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
        return reader(path)
    except ImportError:
        raise
    except Exception as error:  # whatever the libraries below raise, the user needs the file's name
        said = str(error).splitlines() or [type(error).__name__]
        raise ValueError(f"{path} cannot be read as {KNOWN}: {said[0][:200]}") from error


def _reader(path: Path, modality: str) -> Callable[[Path], AnnData]:
    if path.is_dir():
        if not [*path.glob("*matrix.mtx*")]:
            raise ValueError(f"The folder {path} holds no matrix.mtx; give {KNOWN}.")
        return _matrix_folder
    readers = {
        ".h5ad": anndata.read_h5ad,
        ".h5": sc.read_10x_h5,
        ".loom": _loom,
        ".h5mu": lambda file: _modality(file, modality),
    }
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path} is of a kind that is not known; give {KNOWN}.")
    return readers[path.suffix.lower()]


def _matrix_folder(folder: Path) -> AnnData:
    (matrix,) = sorted(folder.glob("*matrix.mtx*"))[:1]
    return sc.read_10x_mtx(folder, prefix=matrix.name.split("matrix.mtx")[0] or None)


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
            say(f"{what}: {int(names.duplicated().sum())} {kind} names were used twice, now numbered.")
            mend()
    return adata


@dataclass(frozen=True)
class Found:
    """Where expression lies in an AnnData, and of which kind it is.

    Parameters
    ----------
    where
        ``"layers['counts']"``, ``"X"``, ``"raw"`` and so on.
    kind
        ``"counts"`` or ``"log-normalised values"``.
    """

    where: str
    kind: str


def find_expression(adata: AnnData) -> Found:
    """Look for counts in ``layers``, ``X`` and ``raw``; without any, for log-normalised values.

    Raises
    ------
    ValueError
        There are neither; says what was found where.

    Examples
    --------
    >>> from imap_keras.command.reading import find_expression
    >>> from imap_keras.datasets import simulate
    >>> find_expression(simulate(n_cells=30, n_genes=20))
    Found(where="layers['counts']", kind='counts')
    """
    places = {"layers['counts']": adata.layers.get("counts"), "X": adata.X}
    places["raw"] = None if adata.raw is None else adata.raw.X
    places |= {
        f"layers[{name!r}]": layer for name, layer in named_layers(adata).items() if name != "counts"
    }
    kinds = {where: kind_of(values) for where, values in places.items() if values is not None}
    for where, kind in kinds.items():
        if kind == COUNTS:
            return Found(where, COUNTS)
    for where in ("X", "raw"):
        if kinds.get(where) == LOGGED:
            return Found(where, LOGGED)
    seen = "; ".join(f"{where}: {kind}" for where, kind in kinds.items()) or "nothing"
    raise ValueError(
        f"Neither counts nor log-normalised values were found ({seen}). Put counts into X or "
        "layers['counts'] and write the file again."
    )


def with_counts(adata: AnnData, found: Found) -> AnnData:
    """The same cells with what was found in ``X``, and nothing else of the expression.

    Examples
    --------
    >>> from imap_keras.command.reading import find_expression, with_counts
    >>> from imap_keras.datasets import simulate
    >>> adata = simulate(n_cells=30, n_genes=20)
    >>> with_counts(adata, find_expression(adata)).shape
    (30, 20)
    """
    if found.where == "raw":
        values, var = adata.raw.X, adata.raw.var
    elif found.where == "X":
        values, var = adata.X, adata.var
    else:
        values, var = adata.layers[found.where.split("'")[1]], adata.var
    if sparse.issparse(values):
        values = sparse.csr_matrix(values)
    return AnnData(
        values, obs=adata.obs.copy(), var=var.copy(), obsm=dict(adata.obsm), uns=dict(adata.uns)
    )
