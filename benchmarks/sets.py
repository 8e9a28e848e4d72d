"""Data sets of the benchmarks: log-normalised cells with `X_pca`, known batches and types."""

import numpy as np
import scanpy as sc
from anndata import AnnData
from harder import HARDER

from imap_keras import datasets, preprocess

SIMULATED = {
    # five types in every batch; a strong effect and a type missing; two of six types shared
    "simulated": {"n_cells": 1200, "batch_strength": 0.5, "seed": 11},
    "strong_effect": {
        "n_cells": 1200,
        "batch_strength": 0.8,
        "missing": {"batch_1": ["type_0"]},
        "seed": 12,
    },
    "partly_shared": {
        "n_cells": 900,
        "n_batches": 2,
        "n_types": 6,
        "missing": {"batch_0": ["type_0", "type_1"], "batch_1": ["type_4", "type_5"]},
        "seed": 13,
    },
}
# Nothing in common: these batches must stay apart.
DISJOINT = {
    "disjoint": {
        "n_cells": 900,
        "n_batches": 2,
        "n_types": 6,
        "missing": {
            "batch_0": ["type_0", "type_1", "type_2"],
            "batch_1": ["type_3", "type_4", "type_5"],
        },
        "seed": 14,
    },
}
REAL = ("sc_mixology", "surface_protein", "disjoint_lines")
SETS = (*SIMULATED, *DISJOINT, *REAL)


def benchmark_set(name: str, n_genes: int = 1500, seed: int = 0) -> AnnData:
    """One set, ready for every method; `seed` moves the simulated ones and the drawn protein cells."""
    if name in SIMULATED or name in DISJOINT:
        options = dict((SIMULATED | DISJOINT)[name])
        options["seed"] += 100 * seed
        adata = preprocess(datasets.simulate(n_genes=n_genes, **options), min_genes=50, verbose=0)
    elif name == "surface_protein":
        adata = datasets.surface_protein()
        rng = np.random.default_rng(seed)
        batch = adata.obs["batch"].to_numpy()
        drawn = [rng.choice(np.flatnonzero(batch == b), 800, replace=False) for b in np.unique(batch)]
        adata = adata[np.sort(np.concatenate(drawn))].copy()
    elif name in ("sc_mixology", "disjoint_lines"):
        adata = datasets.sc_mixology()
        adata = adata[~adata.obs["doublet"]].copy()
        if name == "disjoint_lines":  # Drop-seq holds three lines, here the plate holds the two others
            batch, line = adata.obs["batch"], adata.obs["cell_type"]
            others = (batch == "celseq2_5cl_p1") & line.isin(["A549", "H838"])
            adata = adata[others | (batch == "dropseq")].copy()
        adata = preprocess(adata, verbose=0)
    elif name in HARDER:
        adata = HARDER[name](seed)
    else:
        raise ValueError(f"set {name!r} is unknown; choose among {', '.join((*SETS, *HARDER))}.")
    sc.pp.pca(adata, n_comps=min(30, *(n - 1 for n in adata.shape)), random_state=0, mask_var=None)
    return adata
