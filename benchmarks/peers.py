"""Every method on every set: scIB's table, the paper's index, seconds, peak memory.

    python benchmarks/peers.py --sets simulated sc_mixology --seeds 0 1 2
    python benchmarks/peers.py --reference-python REFERENCE_ENV/bin/python --methods reference
    python benchmarks/peers.py --scvi-python SCVI_ENV/bin/python --methods scVI
    python benchmarks/peers.py --together --sets halves --methods "iMAP (this kit)" "types known"

Each run is a process of its own, so that its memory can be measured; with ``--together`` all share one,
and no seconds nor memory are kept. Rows are added to benchmarks/results/peers.csv; a row measured again
replaces the old one. "types known" is no method: it reads the types, and says how high a set can go.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import anndata
import numpy as np
import pandas as pd
import scanpy as sc
from harder import HARDER, KEPT_OUT, REAL_HARDER
from rows import RESULTS, bold, keep
from sets import SETS, benchmark_set
from small_batches import without_means

from imap_keras import IMAP, Hyperparameters, integrate, metrics
from imap_keras.imap.components import component_weights, morans_i
from imap_keras.inputs.values import dense
from imap_keras.nn.memory import highest_resident
from imap_keras.peers import PEERS, harmony, uncorrected

HERE = Path(__file__).parent
KEYS = ["set", "method", "seed"]


def imap(adata, seed):
    return integrate(adata, verbose=0, seed=seed).obsm["X_imap"]


def imap_by_morans_i(adata, seed):
    """The default as it was before what noise has in common was taken off the weights."""
    by_it = "imap_keras.imap.components.component_weights"
    with mock.patch(by_it, lambda points, n_neighbors, _: morans_i(points, n_neighbors)):
        return imap(adata, seed)


def imap_not_weighed(adata, seed):
    """The default before components were weighed."""
    before = {"stage1_epochs": 15, "component_neighbors": 0, "match_spread": False}
    return integrate(adata, verbose=0, seed=seed, **before).obsm["X_imap"]


def preset_reference(adata, seed):
    """The published code's way, with the epochs and neighbours its authors take for small sets."""
    own = {"stage1_epochs": 50, "stage2_epochs": 40, "k1": 1, "k2": 5}
    done = IMAP(preset="reference", seed=seed, **own).fit_transform(adata, "batch", verbose=0)
    return done.obsm["X_imap"]


def batch_means(adata, seed):
    """Each batch moved to the mean of all, nothing else."""
    batch = adata.obs["batch"].to_numpy()
    return uncorrected(
        anndata.AnnData(without_means(dense(adata.X).astype("float64"), batch)), seed=seed
    )


def combat(adata, seed):
    """ComBat as scanpy has it, its defaults."""
    cells = anndata.AnnData(
        dense(adata.X).astype("float64"), obs=adata.obs[["batch"]].astype("category")
    )
    cells.X = sc.pp.combat(cells, key="batch", inplace=False)
    return uncorrected(cells, seed=seed)


def soft_harmony(adata, seed):
    """Harmony with softer clusters (sigma 0.5 instead of 0.1), for batches that lie far apart.

    At the default each of its clusters then holds cells of one batch alone, and nothing is moved.
    """
    return harmony(adata, seed=seed, sigma=0.5)


def types_known(adata, seed):
    """The batches of each type moved to the mean of the type: what knowing the types would give."""
    values = dense(adata.X).astype("float64")
    batch, kind = (adata.obs[key].astype(str).to_numpy() for key in ("batch", "cell_type"))
    for name in np.unique(kind):
        values[kind == name] = without_means(values[kind == name], batch[kind == name])
    return uncorrected(anndata.AnnData(values), seed=seed)


def weighed(method):
    """A method whose components are weighed as iMAP's are: is its lead due to that alone?"""

    def both(adata, seed):
        space = np.asarray(method(adata, seed=seed), float)
        return space * component_weights(space, Hyperparameters().component_neighbors, seed)

    return both


METHODS = {**PEERS, "batch means": batch_means, "ComBat": combat, "Harmony, sigma 0.5": soft_harmony}
METHODS["iMAP (this kit)"] = imap
# Only where it is asked for.
SLOW = {
    "preset reference": preset_reference,
    "iMAP, by Moran's I": imap_by_morans_i,
    "iMAP, not weighed": imap_not_weighed,
}
CEILING = {"types known": types_known}  # no method
WEIGHED = {
    f"{name}, weighed": weighed(METHODS[name])
    for name in ("Harmony", "Scanorama", "batch means", "ComBat", "Harmony, sigma 0.5")
}
IN_THIS_PROGRAM = {**METHODS, **SLOW, **CEILING, **WEIGHED}
# In environments of their own, and the option that names their Python.
ELSEWHERE = {"reference": "reference_python", "scVI": "scvi_python"}


def measure(method: str, path: str, seed: int) -> None:
    """One method on one file; prints seconds and peak memory, keeps the embedding in the file."""
    adata = anndata.read_h5ad(path)
    start = time.perf_counter()
    space = IN_THIS_PROGRAM[method](adata, seed=seed)
    seconds = time.perf_counter() - start
    np.save(Path(path).with_suffix(".npy"), np.asarray(space, dtype="float32"))
    print("\n" + json.dumps({"seconds": seconds, "peak_gb": highest_resident() / 2**30}))


def measure_reference(python: str, path: str, seed: int, epochs: tuple[int, int]) -> dict:
    command = [python, str(HERE / "reference.py"), path, str(seed), *map(str, epochs)]
    return run_process(command)


def measure_scvi(python: str, path: str, seed: int) -> dict:
    return run_process([python, str(HERE / "scvi_tools.py"), "integrate", path, str(seed)])


def run_process(command: list[str]) -> dict:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def scores(adata, name: str, methods: list[str]) -> pd.DataFrame:
    """The paper's index and scIB's table of the spaces in ``obsm``, a row a method."""
    batch, kind = adata.obs["batch"], adata.obs["cell_type"]
    before = metrics.imap_index(adata.obsm["X_pca"], batch, kind)["label"] == "negative"
    rows = {}
    for method in methods:
        row = rows[method] = {}
        for threshold in (1.0, 3.0):
            index = metrics.imap_index(adata.obsm[method], batch, kind, threshold=threshold)
            row[f"true_positive_{threshold:.0f}"] = index["true_positive"]
        after = index["label"] == "negative"
        row |= {"negative": after.mean(), "moved_to_foreign_type": (after & ~before).mean()}
    table = pd.DataFrame(rows).T
    if name.startswith("disjoint"):  # mixing would be the fault here
        return table
    return table.join(metrics.scib_table(adata, ["X_pca", *methods]).drop(index="X_pca"))


def keep_scores(adata, name: str, rows: dict[str, dict]) -> None:
    """Score the spaces in ``obsm``, and keep each row with its scores."""
    if rows:
        scored = scores(adata, name, list(rows)).to_dict("index")
        keep("peers.csv", [row | scored[method] for method, row in rows.items()], KEYS)


# Of one set there are more, to tell whether a peer is ahead there by chance.
SEEDS = (0, 1, 2)


def measured() -> pd.DataFrame:
    """The rows of peers.csv at the seeds of the tables, if this kit was measured there too."""
    table = pd.read_csv(RESULTS / "peers.csv")
    table = table[table["seed"].isin(SEEDS)]
    ours = table.loc[table["method"] == "iMAP (this kit)", ["set", "seed"]]
    return table.merge(ours, on=["set", "seed"])


def as_text(table: pd.DataFrame, column: str = "Total", digits: int = 3) -> str:
    """A number of every method on the harder sets: means over the seeds, Markdown, the highest bold."""
    wide = table[table["set"].isin(HARDER)].pivot_table(index="set", columns="method", values=column)
    shown = [name for name in [*METHODS, *ELSEWHERE, *CEILING] if name in wide]
    wide = wide[shown].dropna(axis=1, thresh=len(wide) // 2)  # the reference ran on few of them
    parts = parts_of(list(wide.index))
    lines = ["| set | " + " | ".join(wide.columns) + " |", "|---" * (1 + wide.shape[1]) + "|"]
    for part, names in parts.items():
        mean = wide.loc[names].mean(skipna=False).rename(f"*mean of the {len(names)} {part}*")
        for title, row in [*wide.loc[names].iterrows(), (mean.name, mean)]:
            best = row.drop(CEILING, errors="ignore").round(digits).max()
            cells = ["–" if np.isnan(v) else f"{v:.{digits}f}" for v in row]
            cells = bold(cells, (row.round(digits) == best) & ~row.index.isin(CEILING))
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parts_of(sets: list[str]) -> dict[str, list[str]]:
    """The harder sets by kind: those kept out last."""
    tuned = [name for name in HARDER if name not in KEPT_OUT and name in sets]
    return {
        "real": [name for name in tuned if name in REAL_HARDER],
        "simulated": [name for name in tuned if name not in REAL_HARDER],
        "kept out": [name for name in KEPT_OUT if name in sets],
    }


FIRST = ("sc_mixology", "simulated", "strong_effect", "partly_shared", "surface_protein")
SHOWN = ["uncorrected", "Harmony", "Scanorama", "BBKNN", "iMAP (this kit)"]


def first_text(table: pd.DataFrame, column: str = "Total", spread: bool = True) -> str:
    """A number of the peers on the first sets: mean (± standard deviation) over the seeds, Markdown."""
    wide = table[table["set"].isin(FIRST)].pivot_table(
        index="set", columns="method", values=column, aggfunc=["mean", "std"]
    )
    lines = ["| set | " + " | ".join(SHOWN) + " |", "|---" * (1 + len(SHOWN)) + "|"]
    for name in FIRST:
        mean, deviation = wide.loc[name, "mean"][SHOWN], wide.loc[name, "std"][SHOWN]
        cells = [
            f"{m:.3f} ± {d:.3f}" if spread else f"{m:.3f}" for m, d in zip(mean, deviation, strict=True)
        ]
        cells = bold(cells, mean.round(3) == mean.round(3).max())
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def weighed_text(table: pd.DataFrame) -> str:
    """Mean totals of the harder sets, components as they come and weighed, seed 0, Markdown."""
    wide = table[table["set"].isin(HARDER) & (table["seed"] == 0)]
    wide = wide.pivot(index="set", columns="method", values="Total")
    both = {name.removesuffix(", weighed"): (name.removesuffix(", weighed"), name) for name in WEIGHED}
    both["iMAP"] = ("iMAP, not weighed", "iMAP (this kit)")
    lines = ["| mean of | " + " | ".join(both) + " |", "|---" * (1 + len(both)) + "|"]
    for part, names in parts_of(list(wide.index)).items():
        means = wide.loc[names].mean(skipna=False)
        cells = [f"{means[plain]:.3f} -> {means[done]:.3f}" for plain, done in both.values()]
        lines.append(f"| {len(names)} {part} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--text", metavar="COLUMN", help="print a column of the harder sets as Markdown"
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=[*SETS, *HARDER])
    parser.add_argument(
        "--methods", nargs="+", default=list(METHODS), choices=[*IN_THIS_PROGRAM, *ELSEWHERE]
    )
    parser.add_argument(
        "--together", action="store_true", help="in one process: sooner, no seconds nor memory"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--reference-python", help="Python of an environment with imap 1.0.0")
    parser.add_argument("--scvi-python", help="Python of an environment with scvi-tools")
    parser.add_argument("--reference-epochs", nargs=2, type=int, default=(50, 40))
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.text:
        print(as_text(measured(), arguments.text))
        return
    if arguments.measure:
        measure(arguments.measure[0], arguments.measure[1], int(arguments.measure[2]))
        return
    for method, option in ELSEWHERE.items():
        if method in arguments.methods and arguments.together:
            parser.error(f"--methods {method} runs in an environment of its own, not --together.")
        if method in arguments.methods and not getattr(arguments, option):
            name = "--" + option.replace("_", "-")
            parser.error(f"--methods {method} needs {name}, see benchmarks/README.md")
    for seed in arguments.seeds:
        for name in arguments.sets:
            adata, rows = benchmark_set(name, seed=seed), {}
            if arguments.together:
                for method in arguments.methods:
                    adata.obsm[method] = IN_THIS_PROGRAM[method](adata, seed=seed)
                    rows[method] = {"set": name, "method": method, "seed": seed}
                keep_scores(adata, name, rows)
                continue
            with tempfile.TemporaryDirectory() as folder:
                path = str(Path(folder) / "cells.h5ad")
                adata.write_h5ad(path)
                for method in arguments.methods:
                    if method == "scVI" and "counts" not in adata.layers:
                        continue  # proteins and the like have none
                    if method == "scVI":
                        found = measure_scvi(arguments.scvi_python, path, seed)
                    elif method == "reference":
                        found = measure_reference(
                            arguments.reference_python, path, seed, arguments.reference_epochs
                        )
                    else:
                        command = [sys.executable, __file__, "--measure", method, path, str(seed)]
                        found = run_process(command)
                    adata.obsm[method] = np.load(Path(path).with_suffix(".npy"))
                    rows[method] = {"set": name, "method": method, "seed": seed, **found}
                    print(rows[method], flush=True)
            keep_scores(adata, name, rows)


if __name__ == "__main__":
    main()
