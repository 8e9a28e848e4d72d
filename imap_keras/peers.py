"""Other integration methods behind one call each, to compare with: cells in, an embedding out."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData


def uncorrected(adata: AnnData, seed: int = 0, batch_key: str = "batch") -> np.ndarray:
    """The 30 principal components as they are: ``obsm["X_pca"]``, or computed."""
    if "X_pca" in adata.obsm:
        return np.asarray(adata.obsm["X_pca"])
    return sc.pp.pca(adata.X, n_comps=30, random_state=seed)


def harmony(adata: AnnData, seed: int = 0, batch_key: str = "batch") -> np.ndarray:
    """Harmony (Korsunsky et al., Nature Methods 16:1289, 2019) on the principal components."""
    import harmonypy

    space = np.asarray(uncorrected(adata, seed), dtype="float64")
    fitted = harmonypy.run_harmony(space, adata.obs, batch_key, random_state=seed, verbose=False)
    corrected = np.asarray(fitted.Z_corr)
    return corrected if corrected.shape == space.shape else corrected.T


def scanorama(adata: AnnData, seed: int = 0, batch_key: str = "batch") -> np.ndarray:
    """Scanorama (Hie et al., Nature Biotechnology 37:685, 2019) on the expression, 30 dimensions."""
    import scanorama as program

    labels = adata.obs[batch_key].astype(str).to_numpy()
    parts = [adata[labels == name].copy() for name in pd.unique(labels)]
    program.integrate_scanpy(parts, dimred=30, seed=seed, verbose=0)
    frames = [pd.DataFrame(part.obsm["X_scanorama"], index=part.obs_names) for part in parts]
    return pd.concat(frames).loc[adata.obs_names].to_numpy()


def bbknn(adata: AnnData, seed: int = 0, batch_key: str = "batch") -> np.ndarray:
    """BBKNN (Polański et al., Bioinformatics 36:964, 2020): its graph, laid out by UMAP in 30-d.

    BBKNN gives a graph and no embedding; the scores of neighbourhoods need one.
    """
    import bbknn as program

    work = AnnData(obs=adata.obs[[batch_key]].copy(), obsm={"X_pca": uncorrected(adata, seed)})
    program.bbknn(work, batch_key=batch_key, neighbors_within_batch=5)
    sc.tl.umap(work, n_components=30, random_state=seed)
    return np.asarray(work.obsm["X_umap"])


PEERS: dict[str, Callable[..., np.ndarray]] = {
    "uncorrected": uncorrected,
    "Harmony": harmony,
    "Scanorama": scanorama,
    "BBKNN": bbknn,
}
