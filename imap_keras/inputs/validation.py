"""Checks of what the user hands in: one clear error before any long work."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from anndata import AnnData
from scipy import sparse

MIN_CELLS = 10
# log1p of counts per 10,000 is at most 9.2; log2 of counts per million at most 19.9.
LARGEST_LOG = 20.0


def labels_of(adata: AnnData, key: str, argument: str = "batch_key") -> np.ndarray:
    """Return the label of each cell, its batch for example, as strings.

    Parameters
    ----------
    adata
        Cells x genes.
    key
        Column of ``adata.obs``.
    argument
        What the caller names the column by, for errors.

    Raises
    ------
    KeyError
        The column does not exist.
    ValueError
        A cell has no label.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.validation import labels_of
    >>> labels_of(imap_keras.datasets.simulate(n_cells=30), "batch").shape
    (30,)
    """
    if key not in adata.obs:
        raise KeyError(
            f"{argument}={key!r} is not a column of adata.obs. "
            f"Columns there: {', '.join(map(str, adata.obs.columns)) or 'none'}."
        )
    column = adata.obs[key]
    if column.isna().any():
        raise ValueError(
            f"adata.obs[{key!r}] is empty for {int(column.isna().sum())} cells. "
            "Fill it in or leave those cells out."
        )
    return column.astype(str).to_numpy()


def in_memory(adata: AnnData) -> AnnData:
    """Return the data in memory: a backed file is read, anything else is returned as it is.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.validation import in_memory
    >>> adata = imap_keras.datasets.simulate(n_cells=30)
    >>> in_memory(adata) is adata
    True
    """
    return adata.to_memory() if adata.isbacked else adata


def check_unique_names(adata: AnnData) -> None:
    """Raise if two cells, or two genes, share a name.

    Raises
    ------
    ValueError
        Names the first duplicate and how to mend it.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.validation import check_unique_names
    >>> check_unique_names(imap_keras.datasets.simulate(n_cells=30))
    """
    for names, what, mend in (
        (adata.obs_names, "cell", "adata.obs_names_make_unique()"),
        (adata.var_names, "gene", "adata.var_names_make_unique()"),
    ):
        if not names.is_unique:
            twice = names[names.duplicated()]
            raise ValueError(
                f"{len(twice)} {what} names are used twice, the first is {twice[0]!r}. "
                f"Call {mend} first."
            )


def check_values(values: np.ndarray | sparse.spmatrix, what: str = "adata.X") -> None:
    """Raise if a matrix is missing, or holds NaN, infinite or negative values.

    Raises
    ------
    ValueError
        Says how many such values there are.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.validation import check_values
    >>> check_values(np.ones((2, 2)))
    """
    if values is None:
        raise ValueError(f"{what} is empty (None); put the expression matrix there.")
    data = values.data if sparse.issparse(values) else np.asarray(values)
    bad = int(np.count_nonzero(~np.isfinite(data)))
    if bad:
        raise ValueError(
            f"{what} holds {bad} NaN or infinite values; expression must be finite. "
            "Fill them in or leave those cells or genes out."
        )
    negative = int(np.count_nonzero(data < 0))
    if negative:
        raise ValueError(
            f"{what} holds {negative} negative values (smallest {data.min():.3g}); expression must "
            "be 0 or more. Scaled or centred data do not fit: hand in log-normalised values."
        )


def check_logged(values: np.ndarray | sparse.spmatrix, what: str = "adata.X") -> None:
    """Raise if a matrix looks like counts or like normalised values without logarithm.

    Raises
    ------
    ValueError
        All values are whole numbers, or the largest is beyond any log1p of normalised counts.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.validation import check_logged
    >>> check_logged(np.array([[0.0, 1.4]]))
    """
    data = values.data if sparse.issparse(values) else np.asarray(values)
    largest = float(data.max(initial=0))
    whole = largest > 1 and not np.any(data % 1)
    if whole or largest > LARGEST_LOG:
        looks = "whole numbers only, like counts" if whole else f"values up to {largest:.4g}"
        raise ValueError(
            f"{what} holds {looks}; log-normalised values are expected. "
            "Call imap_keras.preprocess(adata, batch_key=...) first, or "
            "scanpy.pp.normalize_total and scanpy.pp.log1p."
        )


def check_file(path: str | Path) -> None:
    """Raise if there is no such file of cells.

    Raises
    ------
    FileNotFoundError
        Names the path.

    Examples
    --------
    >>> from imap_keras.inputs.validation import check_file
    >>> check_file("cells.h5ad")
    Traceback (most recent call last):
    FileNotFoundError: There is no file cells.h5ad; give an .h5ad file with counts in X.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}; give an .h5ad file with counts in X.")


def dense(matrix: np.ndarray | sparse.spmatrix) -> np.ndarray:
    """Return a matrix as dense float32, copied only where it is something else.

    Examples
    --------
    >>> from imap_keras.inputs.validation import dense
    >>> from scipy import sparse
    >>> dense(sparse.csr_matrix([[0, 2]])).tolist()
    [[0.0, 2.0]]
    """
    if sparse.issparse(matrix):
        return matrix.astype("float32", copy=False).toarray()
    return np.asarray(matrix, dtype="float32")


def dense_expression(adata: AnnData) -> np.ndarray:
    """Return ``adata.X``, checked, as dense float32 cells x genes.

    Raises
    ------
    ValueError
        As :func:`check_values` and :func:`check_logged`.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.validation import dense_expression
    >>> adata = imap_keras.preprocess(imap_keras.datasets.demo(), min_genes=50, verbose=0)
    >>> dense_expression(adata).dtype
    dtype('float32')
    """
    check_values(adata.X)
    check_logged(adata.X)
    return dense(adata.X)


def check_batches(labels: np.ndarray, min_cells: int = MIN_CELLS) -> list[str]:
    """Return the batch names, sorted, if there are at least two of at least `min_cells` cells.

    Raises
    ------
    ValueError
        One batch only, or a batch too small to find neighbours in.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.validation import check_batches
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
    >>> from imap_keras.inputs.validation import check_batch_sizes
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
    >>> from imap_keras.inputs.validation import check_order
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


def with_genes(adata: AnnData, genes: Sequence[str]) -> AnnData:
    """Return a copy in memory with exactly these genes, in this order.

    Raises
    ------
    ValueError
        A gene is missing, or names are used twice.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.validation import with_genes
    >>> adata = imap_keras.datasets.simulate(n_cells=30, n_genes=50)
    >>> with_genes(adata, ["gene_7", "gene_3"]).var_names.tolist()
    ['gene_7', 'gene_3']
    """
    adata = in_memory(adata)
    missing = [gene for gene in genes if gene not in adata.var_names]
    if missing:
        raise ValueError(
            f"{len(missing)} of the {len(genes)} fitted genes are missing, the first is "
            f"{missing[0]!r}. Hand in data with the genes that fit() saw."
        )
    check_unique_names(adata)
    if list(genes) == adata.var_names.astype(str).tolist():
        return adata.copy()
    return adata[:, list(genes)].copy()


def check_counts(values, what: str = "adata.X") -> None:
    """Raise unless a matrix holds counts: whole numbers, none negative, all finite.

    Raises
    ------
    ValueError
        Says what was found and where counts are looked for.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.validation import check_counts
    >>> check_counts(np.array([[0, 3]]))
    """
    check_values(values, what)
    data = values.data if sparse.issparse(values) else np.asarray(values)
    fractional = int(np.count_nonzero(data % 1))
    if fractional:
        raise ValueError(
            f"{what} holds {fractional} fractional values; raw counts are expected. Put the counts "
            "into adata.layers['counts']; if X is log-normalised already, leave preprocess out and "
            "hand adata to imap_keras.integrate."
        )
