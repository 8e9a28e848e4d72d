"""Batches of few cells: what held-out pairs choose, beside no correction and subtracted means.

    python benchmarks/small_batches.py --seeds 0 1 2
    python benchmarks/small_batches.py --text

`total` is scIB's, `positive` the share of cells whose neighbours are mostly of their own type (iMAP's
index, with as many neighbours as a tenth of the cells, at most 20). "generator" is iMAP with
few_cells=0, as it was before pairs were held out; "default" lets held-out pairs choose, and
`carrier` says what they chose. Rows are added to benchmarks/results/small_batches.csv.
"""

import argparse
import warnings

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from rows import RESULTS, bold, keep

from imap_keras import IMAP, datasets, preprocess
from imap_keras.imap.agreement import unit_length
from imap_keras.inputs.values import dense
from imap_keras.metrics import imap_index, scib_table

KEYS = ["set", "cells_a_batch", "seed", "method"]
# Their titles in the table.
METHODS = {
    "uncorrected": "uncorrected",
    "means": "means subtracted",
    "generator": "generator",
    "default": "default",
}
LINES = {"lines": ["celseq2", "dropseq"], "plate": ["celseq2_5cl_p1", "dropseq"]}
# Counts are drawn anew with each seed; real cells are drawn from all of their batch.
SIMULATED = {
    "close_types": {"n_batches": 2, "n_types": 4, "type_strength": 0.7},
    "seven_batches": {"n_batches": 7, "n_types": 5, "type_strength": 1.0},
}
# All but seven_batches were looked at while the rule was chosen.
SETS = {
    "plate": (50, 100),
    "close_types": (100,),
    "proteins": (50, 100),
    "lines": (50, 100),
    "seven_batches": (40,),
}


def small_set(name: str, n: int, seed: int) -> AnnData:
    """Log-normalised cells, `n` of each batch."""
    if name in SIMULATED:
        sizes = SIMULATED[name]
        raw = datasets.simulate(
            n * sizes["n_batches"], 2000, batch_strength=0.4, seed=50 + seed, **sizes
        )
        return preprocess(raw, n_top_genes=1000, min_genes=50, verbose=0)
    raw = datasets.surface_protein() if name == "proteins" else datasets.sc_mixology()
    if name in LINES:
        raw = raw[~raw.obs["doublet"] & raw.obs["batch"].isin(LINES[name])].copy()
    rng, batch = np.random.default_rng(seed), raw.obs["batch"].to_numpy()
    some = [rng.choice(np.flatnonzero(batch == b), n, replace=False) for b in np.unique(batch)]
    raw = raw[np.sort(np.concatenate(some))].copy()
    if name == "proteins":
        return raw
    return preprocess(raw, n_top_genes=1000, min_genes=50, verbose=0)


def components(values: np.ndarray) -> np.ndarray:
    """30 principal components of cells of unit length, as iMAP makes them before it weighs them."""
    cells = AnnData(unit_length(values))
    sc.pp.pca(cells, n_comps=min(30, *(n - 1 for n in values.shape)), random_state=0)
    return cells.obsm["X_pca"]


def without_means(values: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """Each batch at the mean of all."""
    values, whole = values.copy(), values.mean(axis=0)
    for name in np.unique(batch):
        values[batch == name] += whole - values[batch == name].mean(axis=0)
    return values


def measure(name: str, n: int, seed: int) -> list[dict]:
    """A row for each method."""
    cells = small_set(name, n, seed)
    values, batch = dense(cells.X), cells.obs["batch"].astype(str).to_numpy()
    cells.obsm["uncorrected"] = components(values)
    cells.obsm["means"] = components(without_means(values, batch))
    carriers = {}
    for title, options in (("default", {}), ("generator", {"few_cells": 0})):
        if title == "generator" and set(carriers["default"]) <= {"generator", "nothing"}:
            cells.obsm[title], carriers[title] = cells.obsm["default"], carriers["default"]
            continue  # pairs chose it, and it was trained the same
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            model = IMAP(seed=seed, **options).fit(cells, verbose=0)
        cells.obsm[title] = model.transform(cells, keep=("X_imap",)).obsm["X_imap"]
        carriers[title] = model.pair_counts["carrier"].tolist()
    total = scib_table(cells, list(METHODS))["Total"]
    types = cells.obs["cell_type"].astype(str).to_numpy()
    rows = []
    for method in METHODS:
        index = imap_index(cells.obsm[method], batch, types, k=min(20, cells.n_obs // 10))
        row = {"set": name, "cells_a_batch": n, "seed": seed, "method": method}
        row |= {"total": total[method], "positive": index["positive"]}
        rows.append(row | {"carrier": ", ".join(carriers.get(method, []))})
    return rows


def as_text(table: pd.DataFrame) -> str:
    """Total / positive of each method, means over the seeds, and what each seed chose; Markdown."""
    lines = ["| set, cells a batch | " + " | ".join(METHODS.values()) + " | chosen, by seed |"]
    lines.append("|---" * (2 + len(METHODS)) + "|")
    means = table.groupby(["set", "cells_a_batch", "method"])[["total", "positive"]].mean().round(3)
    for name, sizes in SETS.items():
        for n in sizes:
            rows = means.loc[(name, n)].loc[list(METHODS)]
            cells = [f"{row['total']:.3f} / {row['positive']:.2f}" for _, row in rows.iterrows()]
            cells = bold(cells, rows["total"] == rows["total"].max())
            own = table.query("set == @name and cells_a_batch == @n and method == 'default'")
            chosen = own.sort_values("seed")["carrier"].map(in_short)
            lines.append(f"| {name}, {n} | {' | '.join(cells)} | {'; '.join(chosen)} |")
    return "\n".join(lines)


def in_short(carriers: str) -> str:
    """What carries the batches of a fit: said once where it is the same for all."""
    every = carriers.split(", ")
    return every[0] if len(set(every)) == 1 else carriers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument(
        "--text", action="store_true", help="show what was measured, and measure nothing"
    )
    arguments = parser.parse_args()
    if arguments.text:
        return print(as_text(pd.read_csv(RESULTS / "small_batches.csv")))
    for seed in arguments.seeds:
        for name in arguments.sets:
            for n in SETS[name]:
                rows = measure(name, n, seed)
                keep("small_batches.csv", rows, KEYS)
                print(pd.DataFrame(rows).round(3).to_string(index=False, header=False), flush=True)


if __name__ == "__main__":
    main()
