"""One table of cells x features out of an AnnData, a file, a MuData or a dictionary of these."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from ..inputs.cells import Cells
from ..inputs.expression import check_expression, dense_expression
from ..inputs.genes import check_unique_names, table_with_text_names
from ..inputs.labels import as_known, coded, is_empty, obs_column
from ..inputs.modalities import parts_of, same_cells
from ..inputs.parts import as_they_lie
from .measured import Measured, beside, features_of, of_cells
from .rows import UNLABELLED


@dataclass(frozen=True)
class Table:
    """Cells of one data set with all that was measured in them.

    Parameters
    ----------
    values
        Cells x features, float32; of more than 20,000 cells they stay where they are.
    features
        Pairs of modality and name, in the order of the columns.
    obs
        Annotation of the cells, their names as its index.
    """

    values: np.ndarray | Measured
    features: pd.MultiIndex
    obs: pd.DataFrame

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities, in the order of the columns."""
        return list(dict.fromkeys(self.features.get_level_values(0)))

    def of_modality(self, modality: str) -> np.ndarray:
        """True for the columns of a modality."""
        return self.features.get_level_values(0) == modality

    def keep(self, columns: np.ndarray) -> "Table":
        """The same cells with some of the columns."""
        column = np.flatnonzero(columns)
        return Table(features_of(self.values, column), self.features[column], self.obs)


def read_table(data, what: str = "data", modality_key: str | None = "modality") -> Table:
    """Read a data set.

    Parameters
    ----------
    data
        AnnData in memory, backed or with Dask in ``X``, or the path of an .h5ad file or a .zarr store;
        or MuData or a dictionary of name: one of these for each modality, of the same cells. More than
        20,000 cells stay where they are.
    what
        Name of the data set, for errors.
    modality_key
        Column of ``adata.var`` with the modality of each feature; None: there is one, ``"genes"``.

    Raises
    ------
    KeyError
        An AnnData has no such column.
    FileNotFoundError
        There is no such file.
    ValueError
        There are no cells; the modalities hold different cells; names used twice; values that are NaN,
        negative or not log-normalised.
    RuntimeError
        A file changed while it was read.

    Examples
    --------
    >>> import numpy as np
    >>> from anndata import AnnData
    >>> from imap_keras.inclust.tables import read_table
    >>> parts = {"rna": AnnData(np.ones((4, 3))), "protein": AnnData(np.ones((4, 2)))}
    >>> read_table(parts).modalities
    ['rna', 'protein']
    """
    if not isinstance(data, AnnData | str | os.PathLike):
        return _joined(parts_of(data, what), what, getattr(data, "obs", None))
    adata = as_they_lie(data)
    _check_cells(adata, what)
    check_unique_names(adata)
    if modality_key is None:
        modality = ["genes"] * adata.n_vars
    elif modality_key in adata.var:
        modality = adata.var[modality_key].astype(str).tolist()
    else:
        raise KeyError(
            f"{what} has no column {modality_key!r} in var. Say there which modality each feature "
            "belongs to, or hand in a MuData or a dictionary of AnnData by modality."
        )
    order = np.argsort(pd.factorize(np.array(modality))[0], kind="stable")  # modality after modality
    features = pd.MultiIndex.from_arrays([modality, adata.var_names.astype(str)])[order]
    values = checked_values(adata, data, "" if what == "data" else f"{what}: ")
    return Table(features_of(values, order), features, adata.obs)


def _joined(parts: dict[str, AnnData], what: str, shared_obs: pd.DataFrame | None) -> Table:
    sources, parts = parts, {name: as_they_lie(adata) for name, adata in parts.items()}
    cells = same_cells(parts, what)
    _check_cells(next(iter(parts.values())), what)
    orders = [adata.obs_names.astype(str).get_indexer(cells) for adata in parts.values()]
    values = [
        checked_values(adata, sources[name], f"{what}, {name!r}: ") for name, adata in parts.items()
    ]
    features, obs = [], []
    for (name, adata), order in zip(parts.items(), orders, strict=True):
        features += [(name, feature) for feature in adata.var_names.astype(str)]
        obs.append(table_with_text_names(adata.obs).iloc[order])
    if shared_obs is not None:
        obs.insert(0, table_with_text_names(shared_obs).loc[cells])
    together = pd.concat(obs, axis=1)
    together = together.loc[:, ~together.columns.duplicated()]
    return Table(beside(values, orders), pd.MultiIndex.from_tuples(features), together)


def _check_cells(adata: AnnData | Cells, what: str) -> None:
    if not adata.n_obs:
        raise ValueError(f"{what} has no cells (its shape is {adata.n_obs} x {adata.n_vars}).")


def checked_values(adata: AnnData | Cells, source=None, where: str = "") -> np.ndarray | Measured:
    """Log-normalised values: dense of an AnnData; of many cells one pass looks at all where they lie.

    Parameters
    ----------
    adata
        Of :func:`imap_keras.inputs.parts.as_they_lie`.
    source
        What it was made of: of an AnnData in memory, errors say where values of the right kind are.
    where
        What errors begin with: which of several data sets it is.

    Raises
    ------
    ValueError
        As :func:`imap_keras.inputs.expression.check_expression`.
    """
    try:
        if isinstance(adata, AnnData):
            return dense_expression(adata)
        if adata.in_memory:
            check_expression(adata.matrix, source if isinstance(source, AnnData) else None)
        else:
            for start, block in adata.blocks():
                check_expression(block, None, f"X, cells from {start} on,")
    except ValueError as error:
        raise ValueError(f"{where}{error}") from None
    return of_cells(adata)


def column_of(table: Table, key: str, dataset: str, argument: str = "label_key") -> pd.Series:
    """A column of the cells' annotation as text, its empty entries (NaN, no text) left empty.

    Raises
    ------
    KeyError
        The data set has no such column.
    TypeError, ValueError
        `key` names several columns; several columns have this name.
    """
    return _as_text(obs_column(table.obs, key, argument, f"the obs of {dataset}"))


def columns_of_key(
    tables: Mapping[str, Table], key: str, argument: str = "label_key"
) -> dict[str, pd.Series]:
    """A column of the annotation of several data sets as text, its empty entries (NaN, no text) empty.

    Where another data set says 1, 1.0 means the same, see :func:`imap_keras.inputs.labels.as_known`.

    Raises
    ------
    KeyError
        A data set has no such column.
    TypeError
        `key` names several columns.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inclust.tables import Table, columns_of_key
    >>> one, two = (pd.DataFrame({"cluster": x}) for x in ([1, 2], [np.nan, 2.0]))
    >>> tables = {name: Table(None, None, obs) for name, obs in (("one", one), ("two", two))}
    >>> columns_of_key(tables, "cluster")["two"].tolist()
    [None, '2']
    """
    texts = {name: column_of(table, key, name, argument) for name, table in tables.items()}
    for dataset, table in tables.items():
        others = {name for other in texts if other != dataset for name in texts[other].dropna()}
        others = {name for name in others if not name.endswith(".0")}  # 1, where one of them says so
        texts[dataset] = _as_text(as_known(table.obs[key], others))
    return texts


def _as_text(column: pd.Series) -> pd.Series:
    return column.astype(str).astype(object).where(~is_empty(column), None)


def codes_of(column: pd.Series, names: list[str] | None = None) -> tuple[list[str], np.ndarray]:
    """Names that occur, sorted (or those given), and the number of each entry; -1 for an empty one.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.inclust.tables import codes_of
    >>> names, codes = codes_of(pd.Series(["T", None, "B"]))
    >>> names, codes.tolist()
    (['B', 'T'], [1, -1, 0])
    """
    there, codes = column.notna().to_numpy(), np.full(len(column), UNLABELLED)
    if names is None:
        names, codes[there] = coded(column[there])
    else:
        codes[there] = pd.Index(names).get_indexer(column[there])
    return names, codes
