"""The embedded data set: 700 blood cells that ship with scanpy, carried onto three platforms."""

import warnings

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy import sparse

# The T cell subsets differ by little in 765 genes; the course colours by these six types.
COARSE = {
    "CD4+/CD25 T Reg": "T",
    "CD8+ Cytotoxic T": "T",
    "CD8+/CD45RA+ Naive Cytotoxic": "T",
    "CD4+/CD45RO+ Memory": "T",
    "CD4+/CD45RA+/CD25- Naive T": "T",
    "CD19+ B": "B",
    "CD56+ NK": "NK",
    "CD14+ Monocyte": "Monocyte",
    "CD34+": "CD34+",
    "Dendritic": "Dendritic",
}
PLATFORMS = {  # name: (capture depth, spread of the gene efficiencies, ambient share)
    "platform_A": (1.0, 0.0, 0.0),
    "platform_B": (0.8, 0.6, 0.0),
    "platform_C": (1.3, 0.6, 0.05),
}
LACKS_B_CELLS = "platform_C"


def demo(seed: int = 0) -> AnnData:
    """Load 700 blood cells in three batches, offline, in a second.

    The cells are the PBMCs of ``scanpy.datasets.pbmc68k_reduced`` (10x Genomics, 765 genes), whose
    counts are got back from the log-normalised values. They are dealt into three batches and
    "measured again": each platform multiplies each gene by an efficiency of its own (log-normal), has
    a depth of its own, platform C adds 5 % of ambient RNA, and counts are drawn anew (Poisson).
    Platform A measures what was there. Platform C has no B cells: they went to the other two.

    Parameters
    ----------
    seed
        Deals the cells and draws the platforms.

    Returns
    -------
    anndata.AnnData
        700 cells x 765 genes: ``X`` and ``layers["counts"]`` (CSR, whole numbers),
        ``layers["truth"]`` (the counts before the platforms), ``obs["batch"]``,
        ``obs["cell_type"]`` (six types), ``obs["cell_subtype"]`` (ten).

    References
    ----------
    Zheng et al., Nature Communications 8:14049 (2017), for the cells.

    Examples
    --------
    >>> from imap_keras.datasets import demo
    >>> demo().shape
    (700, 765)
    """
    with warnings.catch_warnings():  # scanpy reads a file written by an older anndata
        warnings.simplefilter("ignore")
        pbmc = sc.datasets.pbmc68k_reduced()
    size = pbmc.obs["n_counts"].to_numpy()[:, None]
    truth = np.round(np.expm1(pbmc.raw.X.toarray()) * size / 1e4)
    subtype = pbmc.obs["bulk_labels"].astype(str)
    cell_type = subtype.map(COARSE).to_numpy()

    rng = np.random.default_rng(seed)
    names = list(PLATFORMS)
    batch = rng.permutation(np.arange(pbmc.n_obs) % len(names))
    astray = (cell_type == "B") & (batch == names.index(LACKS_B_CELLS))
    batch[astray] = rng.integers(0, 2, astray.sum())

    counts = np.empty_like(truth)
    ambient = truth.sum(axis=0) / truth.sum()
    for b, (depth, spread, ambient_share) in enumerate(PLATFORMS.values()):
        efficiency = depth * rng.lognormal(0, spread, pbmc.raw.n_vars)
        cells = truth[batch == b]
        mixed = (1 - ambient_share) * cells + ambient_share * cells.sum(axis=1, keepdims=True) * ambient
        counts[batch == b] = rng.poisson(mixed * efficiency) if b else cells

    counts = sparse.csr_matrix(counts.astype("float32"))
    return AnnData(
        counts,
        obs=pd.DataFrame(
            {
                "batch": pd.Categorical.from_codes(batch, names),
                "cell_type": pd.Categorical(cell_type),
                "cell_subtype": pd.Categorical(subtype.to_numpy()),
            },
            index=pbmc.obs_names.astype(str).rename(None),
        ),
        var=pd.DataFrame(index=pbmc.raw.var_names.astype(str).rename(None)),
        layers={"counts": counts.copy(), "truth": sparse.csr_matrix(truth.astype("float32"))},
    )
