"""Embeddings of the cells that the user brings along, in ``adata.obsm``."""

from collections.abc import Mapping

import h5py
import numpy as np
from anndata.io import read_elem
from scipy import sparse

from .cells import Cells


def embedding_of(cells: Cells, key: str, asked: str) -> np.ndarray:
    """Return one embedding, checked.

    Parameters
    ----------
    cells
        Cells that have it.
    key
        Its name in ``obsm``.
    asked
        What asks for it, for errors.

    Returns
    -------
    numpy.ndarray
        Cells x dimensions, float32.

    Raises
    ------
    KeyError
        There is none of this name; names those there are.
    ValueError
        It holds NaN or infinite values, or no numbers.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.cells import open_cells
    >>> from imap_keras.inputs.embeddings import embedding_of
    >>> adata = imap_keras.datasets.simulate(n_cells=30)
    >>> adata.obsm["X_own"] = adata.X[:, :5].astype(float)
    >>> embedding_of(open_cells(adata), "X_own", "pair_space").shape
    (30, 5)
    """
    there: Mapping = cells.obsm
    if key not in there:
        raise KeyError(
            f"{asked}={key!r}: adata.obsm has no embedding of this name; it has {sorted(there)}."
        )
    values = there[key]
    if isinstance(values, h5py.Dataset | h5py.Group) or type(values).__module__.startswith("zarr"):
        values = read_elem(values)
    values = values.toarray() if sparse.issparse(values) else values
    try:
        values = np.asarray(values, "float32")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{asked}={key!r}: adata.obsm[{key!r}] holds no numbers ({error}).") from None
    bad = int(np.count_nonzero(~np.isfinite(values).all(axis=1)))
    if bad:
        raise ValueError(
            f"{asked}={key!r}: {bad} of {len(values)} cells have NaN or infinite values in "
            f"adata.obsm[{key!r}]. Leave those cells out, or compute the embedding for all."
        )
    return values
