"""Other methods behind one signature, to compare with: log-normalised cells in, a space out.

Each is its authors' own package at its own defaults, but for the dimensions: 30 for all (Scanorama's
default is 100, BBKNN's 50). The packages come with the extra ``course``, such as by
``pip install -e '.[course]'``.
"""

from collections.abc import Callable

import numpy as np
import scanpy as sc
from anndata import AnnData
from scipy import sparse

from .inputs.labels import labels_of
from .inputs.values import check_finite, in_memory

N_COMPONENTS = 30


def uncorrected(adata: AnnData, batch_key: str = "batch", seed: int = 0) -> np.ndarray:
    """30 principal components of the cells as they are.

    Parameters
    ----------
    adata
        Log-normalised cells x genes. Not changed.
    batch_key, seed
        Column that names the batch (not used here); seed.

    Returns
    -------
    numpy.ndarray
        Cells x 30, in the order of the cells.

    Raises
    ------
    ValueError
        A value is NaN or infinite.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.peers import uncorrected
    >>> adata = imap_keras.datasets.simulate(n_cells=60, n_genes=50, n_batches=2, n_types=2)
    >>> adata = imap_keras.preprocess(adata, min_genes=5, min_cells=0, verbose=0)
    >>> uncorrected(adata).shape
    (60, 30)
    """
    adata = in_memory(adata)
    check_finite(adata.X)
    n = min(N_COMPONENTS, min(adata.shape) - 1)
    return sc.pp.pca(adata.X, n_comps=n, random_state=seed).astype("float32")


def harmony(adata: AnnData, batch_key: str = "batch", seed: int = 0, **options) -> np.ndarray:
    """Harmony: the components, shifted cluster by cluster until each cluster mixes the batches.

    Parameters and return value as for :func:`uncorrected`; `options` are the package's, such as
    ``sigma``. A KeyError or ValueError if there is no such column, or a cell has no batch.

    References
    ----------
    Korsunsky et al., Nature Methods 16:1289 (2019); package harmonypy.
    """
    import harmonypy

    labels_of(adata, batch_key)
    components = uncorrected(adata, batch_key, seed).astype("float64")
    result = harmonypy.run_harmony(
        components, adata.obs, batch_key, verbose=False, random_state=seed, **options
    ).Z_corr
    # Up to version 0.0 dimensions were rows, later they are columns.
    return np.asarray(result if len(result) == adata.n_obs else result.T, dtype="float32")


def scanorama(adata: AnnData, batch_key: str = "batch", seed: int = 0) -> np.ndarray:
    """Scanorama: mutual nearest neighbours of unit-length cells, each batch moved along its pairs.

    Parameters and return value as for :func:`uncorrected`, errors as for :func:`harmony`.

    References
    ----------
    Hie et al., Nature Biotechnology 37:685 (2019); package scanorama.
    """
    import scanorama as package

    labels, adata = labels_of(adata, batch_key), in_memory(adata)
    check_finite(adata.X)
    names = np.unique(labels)
    cells = sparse.csr_matrix(adata.X)
    batches = [cells[labels == name] for name in names]
    genes = [adata.var_names.to_numpy()] * len(names)
    spaces, _ = package.integrate(batches, genes, dimred=N_COMPONENTS, verbose=0, seed=seed)
    result = np.empty((adata.n_obs, spaces[0].shape[1]), "float32")
    for name, space in zip(names, spaces):
        result[labels == name] = space
    return result


def bbknn(adata: AnnData, batch_key: str = "batch", seed: int = 0) -> np.ndarray:
    """BBKNN: a graph in which each cell has neighbours in every batch, as diffusion components.

    BBKNN gives a graph and no space; to be scored beside the others, the graph is turned into the 15
    first components of its diffusion map. Parameters and return value as for :func:`uncorrected`,
    errors as for :func:`harmony`.

    References
    ----------
    Polański et al., Bioinformatics 36:964 (2020); package bbknn.
    """
    import bbknn as package

    labels_of(adata, batch_key)
    cells = AnnData(obs=adata.obs[[batch_key]].copy())
    cells.obsm["X_pca"] = uncorrected(adata, batch_key, seed)
    package.bbknn(cells, batch_key=batch_key, n_pcs=cells.obsm["X_pca"].shape[1])
    sc.tl.diffmap(cells, n_comps=16, random_state=seed)
    return cells.obsm["X_diffmap"][:, 1:].astype("float32")  # the first is constant


PEERS: dict[str, Callable[..., np.ndarray]] = {
    "uncorrected": uncorrected,
    "Harmony": harmony,
    "Scanorama": scanorama,
    "BBKNN": bbknn,
}
