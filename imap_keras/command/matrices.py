"""10x matrices: matrix.mtx beside features and barcodes, zipped or not, with a prefix or none."""

import re
from pathlib import Path

import anndata
import pandas as pd
from anndata import AnnData

MATRIX = re.compile(r"(.*)matrix\.mtx(\.gz)?")
FEATURES = ("features.tsv", "genes.tsv")  # Cell Ranger 3 and STARsolo; Cell Ranger 2


def matrix_in(folder: Path) -> Path:
    """The one matrix of a folder; where it lies there zipped as well, the unzipped one.

    Raises
    ------
    ValueError
        There is none, or those of several samples; names them.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from imap_keras.command.matrices import matrix_in
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "GSM1_matrix.mtx.gz").touch()
    ...     matrix_in(Path(folder)).name
    'GSM1_matrix.mtx.gz'
    """
    names = sorted(path.name for path in folder.iterdir() if MATRIX.fullmatch(path.name))
    if not names:
        raise ValueError(f"The folder {folder} holds no matrix.mtx or matrix.mtx.gz; name one.")
    if len({MATRIX.fullmatch(name)[1] for name in names}) > 1:
        raise ValueError(
            f"The folder {folder} holds several matrices: {', '.join(names)}. Name each that is to be "
            f"read instead of the folder: {' '.join(str(folder / name) for name in names)}"
        )
    return folder / names[0]


def read_matrix(matrix: Path) -> AnnData:
    """Cells x genes of a matrix with the tables beside it; of several kinds of features, the genes.

    Raises
    ------
    FileNotFoundError
        A table is missing.
    ValueError
        The tables do not fit the matrix.
    """
    prefix = MATRIX.fullmatch(matrix.name)[1]
    features = _table(matrix.parent, prefix, FEATURES)
    barcodes = _table(matrix.parent, prefix, ("barcodes.tsv",))
    values = anndata.read_mtx(matrix).X.T.tocsr()
    if values.shape != (len(barcodes), len(features)):
        raise ValueError(
            f"{matrix.name} is of {values.shape[0]} cells x {values.shape[1]} genes, beside "
            f"{len(barcodes)} barcodes and {len(features)} features; give files of one sample."
        )
    var = pd.DataFrame(
        {"gene_ids": features[0].to_numpy()}, index=features[min(1, features.shape[1] - 1)]
    )
    obs = pd.DataFrame(index=pd.Index(barcodes[0].to_numpy()))
    var.index.name = None
    adata = AnnData(values, obs=obs, var=var)
    if features.shape[1] < 3:
        return adata
    adata.var["feature_types"] = features[2].to_numpy()
    return adata[:, adata.var["feature_types"] == "Gene Expression"].copy()


def _table(folder: Path, prefix: str, names: tuple[str, ...]) -> pd.DataFrame:
    wanted = [f"{prefix}{name}" for name in names]
    for path in (folder / f"{name}{end}" for name in wanted for end in ("", ".gz")):
        if path.is_file():
            return pd.read_csv(path, sep="\t", header=None, dtype=str, keep_default_na=False)
    raise FileNotFoundError(f"there is no {' or '.join(wanted)} (or .gz) beside the matrix.")
