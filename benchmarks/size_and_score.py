"""Does iMAP score as well on many cells as on few: the index and scIB's total by number of cells.

    python benchmarks/size_and_score.py --cells 10000 100000 --seeds 0 1 2

Simulated counts (1,000 genes, five types, four batches) through `preprocess` and the default; of many
cells, training sees a pool and pairs come from samples. Scores are of 10,000 cells drawn of all, so
that neighbourhoods are equally dense. Rows are added to benchmarks/results/size_and_score.csv.
"""

import argparse

import numpy as np
import scanpy as sc
from rows import keep

from imap_keras import IMAP, datasets, preprocess
from imap_keras.metrics import imap_index, scib_table

SCORED = 10_000


def measure(n_cells: int, seed: int) -> dict:
    """One row."""
    cells = datasets.simulate(n_cells, 1000, 5, 4, batch_strength=0.5, seed=700 + seed)
    cells = preprocess(cells, n_top_genes=500, min_genes=20, verbose=0)
    sc.pp.pca(cells, n_comps=30, random_state=0, mask_var=None)
    model = IMAP(seed=seed).fit(cells, verbose=0)
    done = model.transform(cells, keep=("X_imap",))
    drawn = np.random.default_rng(seed).choice(done.n_obs, min(SCORED, done.n_obs), replace=False)
    some = done[np.sort(drawn)].copy()
    index = imap_index(some.obsm["X_imap"], some.obs["batch"], some.obs["cell_type"], threshold=3.0)
    total = scib_table(some, ["X_pca", "X_imap"]).loc["X_imap", "Total"]
    trained = min(n_cells, model.hyperparameters.pool_size * some.obs["batch"].nunique())
    row = {"cells": n_cells, "seed": seed, "cells_trained_on": trained, "total": total}
    return row | {name: index[name] for name in ("true_positive", "positive", "negative")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        for n_cells in arguments.cells:
            row = measure(n_cells, seed)
            print(row, flush=True)
            keep("size_and_score.csv", [row], ["cells", "seed"])


if __name__ == "__main__":
    main()
