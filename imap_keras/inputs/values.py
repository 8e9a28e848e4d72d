"""The matrix of values: what it must hold, and how it is read."""

from pathlib import Path

import anndata
import numpy as np
from anndata import AnnData
from scipy import sparse

from .files import path_of

# log1p of counts per 10,000 is at most 9.2; log2 of counts per million at most 19.9.
LARGEST_LOG = 20.0


class WrongKindError(ValueError):
    """Values of another kind than expected; :mod:`imap_keras.inputs.expression` adds what to do."""


def in_memory(adata: AnnData | str | Path) -> AnnData:
    """Return the data in memory: a path or a backed file is read, Dask arrays are computed.

    Raises
    ------
    FileNotFoundError
        There is no such file.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.values import in_memory
    >>> adata = imap_keras.datasets.simulate(n_cells=30)
    >>> in_memory(adata) is adata
    True
    """
    if isinstance(adata, str | Path):
        path = path_of(adata)
        if not path.exists():
            raise FileNotFoundError(f"There is no file {path}; give an .h5ad file or a .zarr store.")
        return anndata.read_zarr(path) if path.is_dir() else anndata.read_h5ad(path)
    lazy = adata.isbacked or any(hasattr(x, "dask") for x in (adata.X, *adata.layers.values()))
    return adata.to_memory() if lazy else adata


def named_layers(adata: AnnData) -> dict:
    """Layers by name. From anndata 0.13 on ``adata.layers`` holds ``X`` too, under None.

    Examples
    --------
    >>> import numpy as np
    >>> from anndata import AnnData
    >>> from imap_keras.inputs.values import named_layers
    >>> list(named_layers(AnnData(np.ones((2, 3)), layers={"counts": np.ones((2, 3))})))
    ['counts']
    """
    return {name: layer for name, layer in adata.layers.items() if name is not None}


def check_values(values: np.ndarray | sparse.spmatrix, what: str = "adata.X") -> None:
    """Raise if a matrix is missing, or holds NaN, infinite or negative values.

    Raises
    ------
    ValueError
        Says how many such values there are; a WrongKindError where they are negative.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.values import check_values
    >>> check_values(np.ones((2, 2)))
    """
    check_finite(values, what)
    data = values.data if sparse.issparse(values) else np.asarray(values)
    negative = int(np.count_nonzero(data < 0))
    if negative:
        raise WrongKindError(
            f"{what} holds {negative} negative values (smallest {data.min():.3g}); expression must "
            "be 0 or more. Scaled or centred data do not fit."
        )


def check_logged(values: np.ndarray | sparse.spmatrix, what: str = "adata.X") -> None:
    """Raise if a matrix looks like counts or like normalised values without logarithm.

    Raises
    ------
    WrongKindError
        All values are whole numbers, or the largest is beyond any log1p of normalised counts.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.values import check_logged
    >>> check_logged(np.array([[0.0, 1.4]]))
    """
    data = values.data if sparse.issparse(values) else np.asarray(values)
    largest = float(data.max(initial=0))
    whole = largest > 1 and not np.any(data % 1)
    if whole or largest > LARGEST_LOG:
        looks = "whole numbers only, like counts" if whole else f"values up to {largest:.4g}"
        raise WrongKindError(f"{what} holds {looks}; log-normalised values are expected.")


def check_counts(values, what: str = "adata.X") -> None:
    """Raise unless a matrix holds counts: whole numbers, none negative, all finite.

    Raises
    ------
    ValueError
        Says what was found; a WrongKindError where values are negative or fractional.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.values import check_counts
    >>> check_counts(np.array([[0, 3]]))
    """
    check_values(values, what)
    data = values.data if sparse.issparse(values) else np.asarray(values)
    fractional = int(np.count_nonzero(data % 1))
    if fractional:
        raise WrongKindError(f"{what} holds {fractional} fractional values; raw counts are expected.")


def dense(matrix: np.ndarray | sparse.spmatrix) -> np.ndarray:
    """Return a matrix as dense float32, copied only where it is something else.

    Examples
    --------
    >>> from imap_keras.inputs.values import dense
    >>> from scipy import sparse
    >>> dense(sparse.csr_matrix([[0, 2]])).tolist()
    [[0.0, 2.0]]
    """
    if sparse.issparse(matrix):
        return matrix.astype("float32", copy=False).toarray()
    return np.asarray(matrix, dtype="float32")


def check_finite(
    values: np.ndarray | sparse.spmatrix,
    what: str = "adata.X",
    mend: str = "expression must be finite. Fill them in or leave those cells or genes out.",
) -> None:
    """Raise if a matrix is missing, or holds NaN or infinite values; negative ones are fine.

    Parameters
    ----------
    values, what, mend
        Any numbers; what they are called, and what to do about such values, for errors.

    Raises
    ------
    ValueError
        Says how many such values there are.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.values import check_finite
    >>> check_finite(np.array([[-1.0, 2.0]]))
    """
    if values is None:
        raise ValueError(f"{what} is empty (None); put the expression matrix there.")
    data = values.data if sparse.issparse(values) else np.asarray(values)
    bad = int(np.count_nonzero(~np.isfinite(data)))
    if bad:
        raise ValueError(f"{what} holds {bad} NaN or infinite values; {mend}")


def check_varied(values: np.ndarray | sparse.spmatrix, what: str = "adata.X") -> None:
    """Raise if no column of a matrix varies: there is nothing to learn from.

    Raises
    ------
    ValueError
        All rows are equal.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.values import check_varied
    >>> check_varied(np.array([[1.0], [2.0]]))
    """
    if not varying(values).any():
        raise ValueError(
            f"No gene of {what} varies between the {values.shape[0]} cells, so nothing can be learnt "
            "from them; were the genes chosen for these cells?"
        )


def varying(values: np.ndarray | sparse.spmatrix) -> np.ndarray:
    """True for the columns of a matrix that are not constant.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.values import varying
    >>> varying(np.array([[1, 1], [1, 2]])).tolist()
    [False, True]
    """
    if not values.shape[0]:
        return np.zeros(values.shape[1], bool)
    low, high = values.min(axis=0), values.max(axis=0)
    if sparse.issparse(values):
        low, high = low.toarray(), high.toarray()
    return np.ravel(high != low)


def as_pairs(pairs: np.ndarray) -> np.ndarray:
    """Pairs as an array, pairs x 2, of none too.

    Raises
    ------
    ValueError
        Another shape: pairs that lie on their side would be read as other ones.

    Examples
    --------
    >>> from imap_keras.inputs.values import as_pairs
    >>> as_pairs([[0, 5]]).shape, as_pairs([]).shape
    ((1, 2), (0, 2))
    """
    pairs = np.asarray(pairs)
    pairs = pairs if pairs.size else np.empty((0, 2), int)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(f"pairs have the shape {pairs.shape}; expected are pairs x 2.")
    return pairs
