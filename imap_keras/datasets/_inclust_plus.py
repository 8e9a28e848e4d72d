"""Data that inClust+ was shown on: surface proteins in two batches, scRNA-seq with genes to impute."""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from ._download import fetch_all


def surface_protein() -> AnnData:
    """Load two real batches of surface proteins: 8,540 cells x 216 proteins, 7 cell types.

    The values are normalised to [0, 1], not counts. The source names neither the proteins nor the
    types, so they are numbered here. Two halves of the proteins can serve as two modalities measured
    in the same cells, with a real batch effect.

    Returns
    -------
    anndata.AnnData
        ``X`` (dense, float32), ``obs["batch"]`` (``batch_0`` with 5,023 cells, ``batch_1`` with
        3,517), ``obs["cell_type"]`` (``type_0`` ... ``type_6``).

    Raises
    ------
    ConnectionError
        Not in the cache and no network (4.5 MB in all).

    References
    ----------
    Wang et al., inClust+, BMC Bioinformatics 25:41 (2024). The authors' repository states no licence:
    the files are fetched from there, never passed on.

    Examples
    --------
    >>> adata = surface_protein()  # doctest: +SKIP
    """
    first, second, batch, cell_type = fetch_all(
        "inclust_plus",
        "integration_input2.npz",
        "integration_input3.npz",
        "integration_batch.npy",
        "integration_label.npy",
    )
    values = sparse.vstack([sparse.load_npz(first), sparse.load_npz(second)]).toarray()
    obs = {"batch": _numbered("batch", batch), "cell_type": _numbered("type", cell_type)}
    return _annotated(values.astype("float32"), obs, "protein")


def merfish_scrna() -> AnnData:
    """Load scRNA-seq of 30,370 cells x 153 genes, 31 of which a MERFISH panel would lack.

    The values are normalised to [0, 1], not counts; the source names neither genes nor types, so they
    are numbered here.

    Returns
    -------
    anndata.AnnData
        ``X`` (CSR, float32), ``obs["cell_type"]`` (``type_0`` ... ``type_11``), ``var["to_impute"]``
        (True for the 31 genes).

    Raises
    ------
    ConnectionError
        Not in the cache and no network (2.5 MB in all).

    References
    ----------
    Wang et al., inClust+, BMC Bioinformatics 25:41 (2024). The authors' repository states no licence:
    the files are fetched from there, never passed on.

    Examples
    --------
    >>> adata = merfish_scrna()  # doctest: +SKIP
    """
    matrix, cell_type, hidden = fetch_all(
        "inclust_plus",
        "merfish_scRNA_inputdata1.npz",
        "merfish_input_cell_types.npy",
        "merfish_imputation_index.npy",
    )
    values = sparse.csr_matrix(sparse.load_npz(matrix).astype("float32"))
    obs = {"cell_type": _numbered("type", cell_type, values.shape[0])}
    adata = _annotated(values, obs, "gene")
    adata.var["to_impute"] = np.isin(np.arange(adata.n_vars), np.load(hidden, allow_pickle=False))
    return adata


def _numbered(prefix: str, file: Path, n: int | None = None) -> pd.Categorical:
    """The first `n` codes of an ``.npy`` file (numbers, nothing pickled) as ``prefix_0`` ..."""
    codes = np.load(file, allow_pickle=False)[:n]
    return pd.Categorical.from_codes(codes, [f"{prefix}_{i}" for i in range(codes.max() + 1)])


def _annotated(values, obs: dict[str, pd.Categorical], prefix: str) -> AnnData:
    n_cells, n_features = values.shape
    return AnnData(
        values,
        obs=pd.DataFrame(obs, index=[f"cell_{i}" for i in range(n_cells)]),
        var=pd.DataFrame(index=[f"{prefix}_{i}" for i in range(n_features)]),
    )
