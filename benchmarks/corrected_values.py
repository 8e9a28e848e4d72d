"""What the corrected expression is worth: genes beyond the variable ones, values that are not negative.

    python benchmarks/corrected_values.py --seeds 0 1 2
    python benchmarks/corrected_values.py --text

`genes`: iMAP is fitted with genes="all" on cells in all their genes, a third of them variable at
most. Markers are the 20 genes outside the variable set that tell a type best within batches, as
measured. `batch_share` is the share of a marker's variance, within types, that lies between batches;
`auroc` tells the own type among the cells of all batches; both are medians over markers. `agreement`
is the median correlation of a variable gene as carried alone with the same gene carried in a chunk,
among chance others.

`values`: scIB's total of X_imap, and of the components of the layer itself, for three ways to end:
a ReLU (the paper's), values below 0 left, and those clipped in the layer while X_imap comes from
before. `zeros_kept` is the share of measured zeros, of the carried batches, that stay below 0.05.

Rows are added to benchmarks/results/corrected_genes.csv and corrected_values.csv.
"""

import argparse
from types import SimpleNamespace

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from rows import RESULTS, keep
from scipy.stats import rankdata
from sets import benchmark_set

from imap_keras import IMAP, datasets, preprocess
from imap_keras.imap.gene_chunks import carry_chunks
from imap_keras.inputs.cells import open_cells
from imap_keras.inputs.values import dense
from imap_keras.metrics import scib_table

GENE_SETS = ("sc_mixology", "simulated")
VALUE_SETS = ("sc_mixology", "simulated", "surface_protein")
ENDS = ("ReLU", "below 0", "clipped after")
N_MARKERS = 20


def whole_set(name: str, seed: int) -> AnnData:
    """Cells in all their genes, the variable ones marked."""
    if name == "sc_mixology":
        raw = datasets.sc_mixology()
        raw = raw[~raw.obs["doublet"]].copy()
        return preprocess(raw, n_top_genes=2000, keep_all_genes=True, verbose=0)
    raw = datasets.simulate(n_cells=1200, n_genes=4500, batch_strength=0.5, seed=11 + 100 * seed)
    return preprocess(raw, min_genes=50, n_top_genes=1500, keep_all_genes=True, verbose=0)


def auroc(values: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Area under the curve of each gene for cells that are `own`, ties by half."""
    ranks, n = rankdata(values, axis=0), own.sum()
    return (ranks[own].sum(axis=0) - n * (n + 1) / 2) / (n * (len(own) - n))


def batch_share(values: np.ndarray, batch: np.ndarray, types: np.ndarray) -> np.ndarray:
    """Share of the variance within types that lies between batches, gene by gene."""
    between, total = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for name in np.unique(types):
        cells, of_cells = values[types == name], batch[types == name]
        if len(np.unique(of_cells)) < 2:
            continue
        centre = cells.mean(axis=0)
        total += ((cells - centre) ** 2).sum(axis=0)
        for b in np.unique(of_cells):
            some = cells[of_cells == b]
            between += len(some) * (some.mean(axis=0) - centre) ** 2
    return between / np.maximum(total, 1e-12)


def markers_of(measured: np.ndarray, batch, types, beyond: np.ndarray) -> dict[str, np.ndarray]:
    """For each type the genes beyond the variable ones that tell it best within batches."""
    found = {}
    for name in np.unique(types):
        of_batches = [
            auroc(measured[batch == b], types[batch == b] == name)
            for b in np.unique(batch)
            if 0 < (types[batch == b] == name).sum() < (batch == b).sum()
        ]
        score = np.where(beyond, np.mean(of_batches, axis=0), -1)
        found[name] = np.argsort(score)[::-1][:N_MARKERS]
    return found


def genes(name: str, seed: int) -> dict:
    """Markers outside the variable set, before and after; a variable gene carried either way."""
    cells = whole_set(name, seed)
    batch, types = (cells.obs[key].astype(str).to_numpy() for key in ("batch", "cell_type"))
    model = IMAP(seed=seed).fit(cells, genes="all", verbose=0)
    result = model.transform(cells)
    measured, corrected = dense(result.X), result.layers["imap"]
    markers = markers_of(measured, batch, types, ~cells.var["highly_variable"].to_numpy())
    row = {"set": name, "seed": seed, "variable": len(model.variable_genes), "genes": cells.n_vars}
    for when, values in (("before", measured), ("after", corrected)):
        share, tells = [], []
        for of_type, places in markers.items():
            share.append(batch_share(values[:, places], batch, types))
            tells.append(auroc(values[:, places], types == of_type))
        row |= {f"batch_share_{when}": np.median(share), f"auroc_{when}": np.median(tells)}
    # The same variable genes once more, in a chunk among as many others.
    rng = np.random.default_rng(seed)
    some = rng.choice(model.variable_genes, 500, replace=False)
    beyond = [gene for chunk in model.chunks for gene in chunk.genes]
    chunk = sorted([*some, *rng.choice(beyond, 500, replace=False)])

    carriers = dict(zip(model.pair_counts["batch"], model.pair_counts["carrier"], strict=True))
    merged = SimpleNamespace(pairs=model.pairs, carriers=carriers)
    (again,) = carry_chunks(
        open_cells(cells),
        np.arange(cells.n_obs),
        batch,
        merged,
        chunk,
        model.order,
        model.hyperparameters,
    )
    either = cells[:, again.genes].X.toarray()
    for b, generator in again.generators.items():
        either[batch == b] = generator.predict(either[batch == b], verbose=0)
    queries = batch != model.order[0]
    one, two = (
        pd.DataFrame(np.maximum(values, 0)[queries], columns=names)[list(some)]
        for values, names in ((either, again.genes), (corrected, result.var_names))
    )
    row["agreement"] = float(one.corrwith(two).median())
    return row


def components(values: np.ndarray) -> np.ndarray:
    """30 principal components of a layer, as scanpy makes them."""
    layer = AnnData(values)
    sc.pp.pca(layer, n_comps=30, random_state=0)
    return layer.obsm["X_pca"]


def values(name: str, seed: int) -> list[dict]:
    """One row for each way to end: scores, and what became of measured zeros."""
    cells, rows, ends = benchmark_set(name, seed=seed), [], {}
    for title, options in (("ReLU", {"relu_output": True}), ("below 0", {"clip_output": False})):
        model = IMAP(seed=seed, **options)
        result = model.fit_transform(cells, verbose=0)
        ends[title] = (result.layers["imap"], result.obsm["X_imap"])
    # The default clips the layer of the second, and nothing else.
    ends["clipped after"] = (np.maximum(ends["below 0"][0], 0), ends["below 0"][1])
    for title, (layer, space) in ends.items():
        cells.obsm[title], cells.obsm[f"layer, {title}"] = space, components(layer)
    spaces = [space for title in ends for space in (title, f"layer, {title}")]
    # The first space is what scIB compares the share of variance between batches with.
    total = scib_table(cells, ["X_pca", *spaces])["Total"]
    carried = cells.obs["batch"].to_numpy() != model.order[0]
    zero = dense(cells.X)[carried] == 0
    for title, (layer, _) in ends.items():
        row = {"set": name, "end": title, "seed": seed, "total": total[title]}
        row |= {"total_of_layer": total[f"layer, {title}"], "lowest": float(layer.min())}
        row["zeros_kept"] = float((layer[carried][zero] < 0.05).mean()) if zero.any() else np.nan
        rows.append(row)
    return rows


def as_text(table: pd.DataFrame) -> str:
    """The ways to end: means over the seeds, of the totals ± the standard deviation; Markdown."""
    titles = ["set", "end", "`X_imap`", "components of the layer", "lowest value", "zeros kept"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for name in VALUE_SETS:
        of_set = table[table["set"] == name].groupby("end")
        totals = of_set[["total", "total_of_layer"]].agg(["mean", "std"])
        lowest, zeros = of_set["lowest"].min(), of_set["zeros_kept"].mean()
        for end in ENDS:
            cells = []
            for column in ("total", "total_of_layer"):
                mean, best = totals[column]["mean"].round(3), totals[column]["mean"].round(3).max()
                cell = f"{mean[end]:.3f} ± {totals.loc[end, (column, 'std')]:.3f}"
                cells.append(f"**{cell}**" if mean[end] == best else cell)
            cells.append(f"{lowest[end]:.2f}" if lowest[end] else "0")
            cells.append("" if np.isnan(zeros[end]) else f"{zeros[end]:.2f}")
            lines.append(f"| {name} | {end} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", choices=("genes", "values"), default=["genes", "values"])
    parser.add_argument(
        "--text", action="store_true", help="show what was measured, and measure nothing"
    )
    arguments = parser.parse_args()
    if arguments.text:
        return print(as_text(pd.read_csv(RESULTS / "corrected_values.csv")))
    for seed in arguments.seeds:
        for name in VALUE_SETS if "values" in arguments.parts else ():
            rows = values(name, seed)
            keep("corrected_values.csv", rows, ["set", "end", "seed"])
            print(pd.DataFrame(rows).round(3).to_string(index=False), flush=True)
        for name in GENE_SETS if "genes" in arguments.parts else ():
            row = genes(name, seed)
            keep("corrected_genes.csv", [row], ["set", "seed"])
            print(row, flush=True)


if __name__ == "__main__":
    main()
