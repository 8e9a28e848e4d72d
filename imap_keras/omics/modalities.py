"""Several modalities of the same cells, read into tables; what was not measured is NaN."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from ..inputs.genes import check_unique_names, features, with_text_names
from ..inputs.modalities import parts_of, same_cells
from ..inputs.values import dense, in_memory
from .hyperparameters import Modality
from .losses import LOSSES, RANGES

OR_FILL = ", or call imap_keras.omics.fill_missing(data): it counts the others as not measured"


@dataclass(frozen=True)
class Measured:
    """Tables of the same cells, one a modality.

    Parameters
    ----------
    values
        By modality, cells x features, float32, NaN where nothing was measured.
    features
        By modality, the names of its features.
    names
        Of the cells.
    """

    values: dict[str, np.ndarray]
    features: dict[str, list[str]]
    names: list[str]


def fill_missing(data) -> dict[str, AnnData]:
    """Give every modality all cells of the data; NaN in those it did not measure.

    Parameters
    ----------
    data
        MuData or dictionary of AnnData by modality, not all with the same cells.

    Returns
    -------
    dict of anndata.AnnData
        Each with all cells, in the same order; columns of ``obs`` filled in from one another, as plain
        objects.

    Raises
    ------
    TypeError
        Neither MuData nor a dictionary.
    ValueError
        Names of cells or features used twice; a modality without values.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from anndata import AnnData
    >>> from imap_keras.omics import fill_missing
    >>> rna = AnnData(np.ones((2, 1)), obs=pd.DataFrame(index=["a", "b"]))
    >>> atac = AnnData(np.ones((1, 1)), obs=pd.DataFrame(index=["b"]))
    >>> fill_missing({"rna": rna, "atac": atac})["atac"].X.ravel().tolist()
    [nan, 1.0]
    """
    parts = {name: named_by_text(name, adata) for name, adata in parts_of(data).items()}
    obs = pd.DataFrame()
    for adata in parts.values():
        check_unique_names(adata)
        obs = obs.combine_first(adata.obs.astype(object))
    order = pd.unique(np.concatenate([adata.obs_names.to_numpy() for adata in parts.values()]))
    obs, filled = obs.reindex(order), {}
    for name, adata in parts.items():
        values = np.full((len(order), adata.n_vars), np.nan, "float32")
        values[pd.Index(order).get_indexer(adata.obs_names)] = dense(adata.X)
        filled[name] = AnnData(values, obs=obs.copy(), var=adata.var.copy())
    return filled


def read_modalities(
    data, specs: Mapping[str, Modality], fitted: Mapping[str, Sequence[str]] | None = None
) -> Measured:
    """Read and check the modalities.

    Parameters
    ----------
    data
        MuData or dictionary of AnnData by modality, of the same cells; NaN where nothing was measured.
    specs
        How each modality is judged: its values must lie within the range of that loss.
    fitted
        By modality, the features that a fitted model knows: they are put in that order, and a modality
        that is not in `data` counts as not measured. None: `data` must have every modality of `specs`.

    Raises
    ------
    TypeError
        Neither MuData nor a dictionary.
    ValueError
        An unknown or a forgotten modality; different cells; names used twice; a feature missing; a
        value outside the range of its loss; a cell, a feature or a modality without any measurement.

    Examples
    --------
    >>> import numpy as np
    >>> from anndata import AnnData
    >>> from imap_keras.omics import Modality
    >>> from imap_keras.omics.modalities import read_modalities
    >>> read_modalities({"rna": AnnData(np.ones((4, 3)))}, {"rna": Modality("mse")}).names
    ['0', '1', '2', '3']
    """
    parts = parts_of(data)
    for name in parts:
        if name not in specs:
            raise ValueError(
                f"Modality {name!r} is unknown; the model has {list(specs)}. Say how it is judged, "
                f"modalities={{{name!r}: Modality(...)}}, or leave it out."
            )
    forgotten = [name for name in specs if name not in parts]
    if forgotten and fitted is None:
        raise ValueError(
            f"data has no modality {forgotten[0]!r}; the model has {list(specs)}, data {list(parts)}. "
            "Hand it in, NaN where it was not measured, or leave it out of `modalities`."
        )
    parts = {name: named_by_text(name, adata) for name, adata in parts.items()}
    cells = same_cells(parts, mend=OR_FILL)
    values, names = {}, {}
    for name, spec in specs.items():
        if name not in parts:
            values[name] = np.full((len(cells), len(fitted[name])), np.nan, "float32")
            names[name] = list(fitted[name])
            continue
        adata = parts[name][cells]
        if fitted is not None:
            adata, _ = features(adata, fitted[name], what=f"fitted features of modality {name!r}")
        values[name] = dense(adata.X)
        names[name] = adata.var_names.astype(str).tolist()
        check_range(name, values[name], spec)
        never = ~np.isfinite(values[name]).any(axis=0)
        if fitted is None and never.any():
            raise ValueError(
                f"Feature {names[name][never.argmax()]!r} of modality {name!r} was measured in no cell "
                f"({int(never.sum())} such features). Leave them out."
            )
    check_measured(values, cells)
    return Measured(values, names, cells)


def named_by_text(name: str, adata: AnnData) -> AnnData:
    """The modality in memory, its cells and features named by text.

    An index of numbers that was set in place stays one of numbers: anndata takes no rows of it, and the
    cells of two modalities would not meet, 7 here and "7" there.

    Raises
    ------
    ValueError
        There are no values.

    Examples
    --------
    >>> import numpy as np
    >>> from anndata import AnnData
    >>> from imap_keras.omics.modalities import named_by_text
    >>> cells = AnnData(np.ones((1, 1)))
    >>> cells.obs.index = [7]
    >>> named_by_text("rna", cells).obs_names.tolist()
    ['7']
    """
    adata = in_memory(adata)
    if adata.X is None:
        raise ValueError(
            f"Modality {name!r} has no values: its X is empty (None). Put them there, or leave the "
            "modality out."
        )
    return with_text_names(adata)


def check_range(name: str, values: np.ndarray, spec: Modality) -> None:
    """Raise if a value lies outside what the loss and the output of its modality can mean.

    Raises
    ------
    ValueError
        Names the modality, its smallest and its largest value.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics import Modality
    >>> from imap_keras.omics.modalities import check_range
    >>> check_range("methylation", np.array([[0.0, 1.0, np.nan]]), Modality("bce"))
    """
    if np.isnan(values).all():
        return
    least, most, loss = np.nanmin(values), np.nanmax(values), LOSSES[spec.loss]
    low, high = np.maximum(loss.lowest, RANGES[spec.activation][0]), loss.highest
    high = np.minimum(high, RANGES[spec.activation][1])
    if least < low or most > high or not np.isfinite([least, most]).all():
        expected = f"from {low:g} to {high:g}" if np.isfinite(high) else f"of {low:g} or more"
        expected = expected if np.isfinite(low) else "that are finite"
        raise ValueError(
            f"Modality {name!r} holds values from {least:.4g} to {most:.4g}; the loss {spec.loss!r} "
            f"with the output {spec.activation!r} needs values {expected}. {loss.mend}, or choose "
            f"another loss: one of {tuple(LOSSES)}."
        )


def check_measured(values: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    """Raise if nothing at all was measured in a cell.

    Raises
    ------
    ValueError
        Names the first such cell, and says how many there are.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics.modalities import check_measured
    >>> check_measured({"rna": np.array([[np.nan]]), "atac": np.array([[1.0]])}, ["a"])
    """
    empty = ~np.any([np.isfinite(table).any(axis=1) for table in values.values()], axis=0)
    if empty.any():
        raise ValueError(
            f"Cell {names[empty.argmax()]!r} was measured in none of the modalities {list(values)}: "
            f"all its values are NaN ({int(empty.sum())} such cells). Leave those cells out."
        )
