"""Labels of cells: the batch, the type; which there are, how many cells each has."""

import re
from collections.abc import Collection, Sequence
from numbers import Real

import numpy as np
import pandas as pd
from anndata import AnnData

MIN_CELLS = 10
WHOLE = ("", ".0")  # what a whole number ends with as text
MOST_EXACT = 2**53  # whole numbers up to it are exact as fractions


def labels_of(
    adata: AnnData, key: str, argument: str = "batch_key", known: Collection[str] = ()
) -> np.ndarray:
    """Return the label of each cell, its batch for example, as strings.

    Parameters
    ----------
    adata
        Cells x genes.
    key
        Column of ``adata.obs``.
    argument
        What the caller names the column by, for errors.
    known
        Names that a model knows: where it knows "1", 1.0 is called that, see :func:`known_name`.

    Raises
    ------
    TypeError
        `key` names several columns.
    KeyError
        The column does not exist.
    ValueError
        A cell has no label (missing, or text without letters), several columns have this name, or there
        are no cells.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.labels import labels_of
    >>> adata = imap_keras.datasets.simulate(n_cells=30)
    >>> labels_of(adata, "batch").shape
    (30,)
    >>> adata.obs["run"] = 1.0
    >>> str(labels_of(adata, "run")[0]), str(labels_of(adata, "run", known=["1"])[0])
    ('1.0', '1')
    """
    column = obs_column(adata.obs, key, argument)
    if not len(column):
        raise ValueError(f"adata has no cells (its shape is {adata.n_obs} x {adata.n_vars}).")
    empty = is_empty(column)
    if empty.any():
        raise ValueError(
            f"adata.obs[{key!r}] is empty for {int(empty.sum())} cells. "
            "Fill it in or leave those cells out."
        )
    return as_known(column, known).to_numpy()


def as_known(column: pd.Series, known: Collection[str]) -> pd.Series:
    """The entries as text, each by its :func:`known_name`; an empty entry is None.

    pandas makes 1.0 of 1 as soon as an entry is missing, or a table is joined to one that lacks the
    column.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.inputs.labels import as_known
    >>> as_known(pd.Series([1.0, None, 3.0]), {"1", "2"}).tolist()
    ['1', None, '3']
    """
    texts, named = column.astype(str).astype(object), {}
    if known:
        values = pd.unique(column.dropna().astype(object))
        named = {str(value): known_name(value, known) for value in values}
    if any(name != text for text, name in named.items()):
        texts = texts.map(lambda text: named.get(text, text))
    return texts.where(column.notna().to_numpy(bool), None)


def known_name(label: object, known: Collection[str]) -> str:
    """A label as text, a whole number as `known` names it: 1.0 is "1" or 1 is "1.0".

    One that nobody knows is named as all the known ones are.

    Examples
    --------
    >>> from imap_keras.inputs.labels import known_name
    >>> known_name(1.0, ["1", "T"]), known_name(1, ["1.0"]), known_name(2, ["1.0"])
    ('1', '1.0', '2.0')
    >>> known_name(1.5, ["1"]), known_name("1.0", ["1"])
    ('1.5', '1.0')
    """
    is_number = isinstance(label, Real) and not isinstance(label, bool | np.bool_)
    if not is_number or abs(label) > MOST_EXACT or label != label // 1:
        return str(label)
    ways = [f"{int(label)}{end}" for end in WHOLE]
    there = [way for way in (str(label), *ways) if way in known]
    alike = [
        way
        for way, end in zip(ways, WHOLE, strict=True)
        if known and all(re.fullmatch(rf"-?\d+{re.escape(end)}", name) for name in known)
    ]
    return [*there, *alike, str(label)][0]


def is_empty(column: pd.Series) -> np.ndarray:
    """Which entries say nothing: missing, or text of blanks.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.inputs.labels import is_empty
    >>> is_empty(pd.Series(["T", None, " "])).tolist()
    [False, True, True]
    """
    return column.isna().to_numpy(bool) | (column.astype(str).str.strip() == "").to_numpy(bool)


def obs_column(
    obs: pd.DataFrame, key: str, argument: str = "batch_key", what: str = "adata.obs"
) -> pd.Series:
    """Return the column of that name, empty values and all.

    Parameters
    ----------
    obs
        Annotation of cells.
    key
        Name of a column.
    argument, what
        What the caller names the column and the table by, for errors.

    Raises
    ------
    TypeError
        `key` names several columns.
    KeyError
        The column does not exist.
    ValueError
        Several columns have this name.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.inputs.labels import obs_column
    >>> obs_column(pd.DataFrame({"donor": ["a", "b"]}), "donor").tolist()
    ['a', 'b']
    """
    if not pd.api.types.is_scalar(key):
        columns = " + ' ' + ".join(f"{what}[{str(name)!r}].astype(str)" for name in key)
        raise TypeError(
            f"{argument}={key!r} must name one column; join them into one: "
            f"{what}['joined'] = {columns or '...'}"
        )
    if key not in obs:
        raise KeyError(
            f"{argument}={key!r} is not a column of {what}. "
            f"Columns there: {', '.join(map(str, obs.columns)) or 'none'}."
        )
    if isinstance(obs[key], pd.DataFrame):
        raise ValueError(
            f"{argument}={key!r} names {obs[key].shape[1]} columns of {what}; rename all but one."
        )
    return obs[key]


def check_batches(labels: np.ndarray, min_cells: int = MIN_CELLS) -> list[str]:
    """Return the batch names, sorted, if there are at least two of at least `min_cells` cells.

    Raises
    ------
    ValueError
        One batch only, or a batch too small to find neighbours in.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.labels import check_batches
    >>> check_batches(np.repeat(["b", "a"], 10))
    ['a', 'b']
    """
    names = np.unique(labels)
    if len(names) < 2:
        raise ValueError(
            f"All cells are in one batch, {names[0]!r}; at least two batches are needed. "
            "Is batch_key the right column?"
        )
    return check_batch_sizes(labels, min_cells)


def check_batch_sizes(
    labels: np.ndarray, min_cells: int = MIN_CELLS, purpose: str = "to find neighbours in"
) -> list[str]:
    """Return the batch names, sorted, if each batch has the `min_cells` cells that `purpose` needs.

    Raises
    ------
    ValueError
        A batch is too small.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.labels import check_batch_sizes
    >>> check_batch_sizes(np.repeat(["new"], 10))
    ['new']
    """
    names, sizes = np.unique(labels, return_counts=True)
    for name, size in zip(names, sizes, strict=True):
        if size < min_cells:
            raise ValueError(
                f"Batch {name!r} has {size} cells; at least {min_cells} are needed {purpose}. "
                "Leave it out or merge it with another batch."
            )
    return [str(name) for name in names]


def check_order(order: Sequence[str], batches: Sequence[str]) -> list[str]:
    """Return `order` as strings if it names every batch exactly once.

    Raises
    ------
    ValueError
        Names the batches that are forgotten, unknown or named twice.

    Examples
    --------
    >>> from imap_keras.inputs.labels import check_order
    >>> check_order(["b", "a"], ["a", "b"])
    ['b', 'a']
    """
    order = [str(name) for name in order]
    faults = {
        "forgets": [name for name in batches if name not in order],
        "names unknown": [name for name in order if name not in batches],
        "names twice": sorted({name for name in order if order.count(name) > 1}),
    }
    for fault, names in faults.items():
        if names:
            raise ValueError(
                f"order={order} {fault} {', '.join(map(repr, names))}; it must name each of the "
                f"batches {list(batches)} once, the anchor first."
            )
    return order


def coded(labels: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return the names that occur, sorted, and the number of each label among them.

    Examples
    --------
    >>> from imap_keras.inputs.labels import coded
    >>> names, codes = coded(["b", "a", "b"])
    >>> names, codes.tolist()
    (['a', 'b'], [1, 0, 1])
    """
    names, codes = np.unique(np.asarray(labels).astype(str), return_inverse=True)
    return names.tolist(), codes.reshape(-1)
