"""Does iMAP score as well on many cells as on few: the index and scIB's total by number of cells.

    python benchmarks/size_and_score.py --few 10000 --many 100000 --seeds 0 1 2

Simulated counts (1,000 genes, five types, four batches) through `preprocess`. The default is fitted on
three draws of few cells, and on many; of many cells training sees a pool, and pairs come from samples.
All four carry the same 10,000 further cells, which none of them was fitted on, and are scored on these:
cells that a fit has seen score a little higher, and one draw differs from the next. Rows are added to
benchmarks/results/size_and_score.csv.
"""

import argparse

import numpy as np
import scanpy as sc
from rows import keep

from imap_keras import IMAP, datasets, preprocess
from imap_keras.metrics import imap_index, scib_table

SCORED, DRAWS = 10_000, 3


def measure(few: int, many: int, seed: int) -> list[dict]:
    """A row for each draw of few cells, and one for many."""
    cells = datasets.simulate(SCORED + many, 1000, 5, 4, batch_strength=0.5, seed=700 + seed)
    cells = preprocess(cells, n_top_genes=500, min_genes=20, verbose=0)
    scored, others = np.split(np.random.default_rng(seed).permutation(cells.n_obs), [SCORED])
    some = cells[np.sort(scored)].copy()
    sc.pp.pca(some, n_comps=30, random_state=0, mask_var=None)
    draws = {f"few, draw {i}": others[i * few :][:few] for i in range(DRAWS)} | {"many": others}
    fits = {name: cells[np.sort(rows)].copy() for name, rows in draws.items()}
    rows = {}
    for name, fitted in fits.items():
        model = IMAP(seed=seed).fit(fitted, verbose=0)
        some.obsm[name] = model.transform(some, keep=("X_imap",)).obsm["X_imap"]
        index = imap_index(some.obsm[name], some.obs["batch"], some.obs["cell_type"], threshold=3.0)
        pool = model.hyperparameters.pool_size * some.obs["batch"].nunique()
        rows[name] = {"cells": many if name == "many" else few, "seed": seed, "fit": name}
        rows[name] |= {"cells_trained_on": min(fitted.n_obs, pool)}
        rows[name] |= {key: index[key] for key in ("true_positive", "positive", "negative")}
        print(rows[name], flush=True)
    total = scib_table(some, ["X_pca", *fits])["Total"]
    return [row | {"total": total[name]} for name, row in rows.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        rows = measure(arguments.few, arguments.many, seed)
        keep("size_and_score.csv", rows, ["cells", "seed", "fit"])


if __name__ == "__main__":
    main()
