"""scArches as this kit has it beside scvi-tools' own, on the task of notebook 10.

    python benchmarks/scarches_peers.py --scvi-python SCVI_ENV/bin/python --seeds 0 1 2

Three CEL-seq2 plates are the reference, Drop-seq and CEL-seq2 the query; both programs get the same
files. `by_neighbors` is the share of query labels that `transfer_labels` gets right in the program's
latent space, `by_head` what its own classifier gets right, neither with Unknown; `mixing` is iLISI of
the three lines that all batches hold; seconds are the clock's; `parameters` are what the reference
trains, `query_parameters` what the query changes. Rows are added to results/scarches_peers.csv.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from peers import HERE, run_process
from rows import keep
from scarches_variants import cell_lines, mixing

from imap_keras.scarches import Reference, transfer_labels

KEYS = ["program", "seed"]


def of_this_kit(cells: AnnData, query: AnnData, seed: int, label_weight: float) -> dict:
    """The default, with or without the classifier's head."""
    start, head = time.perf_counter(), bool(label_weight)
    model = Reference(seed=seed, label_weight=label_weight)
    model.fit(cells, verbose=0, label_key="cell_type" if head else None)
    reference_seconds, start = time.perf_counter() - start, time.perf_counter()
    grown = model.map_query(query, verbose=0)
    found = {"home": grown.latent(cells), "away": grown.latent(query)}
    if head:
        found["label"] = grown.predict_labels(query)["best"].to_numpy()
    return found | {
        "reference_seconds": reference_seconds,
        "query_seconds": time.perf_counter() - start,
        "parameters": int(model.parameter_table()["trained"].iloc[-1]),
        "query_parameters": int(grown.parameter_table()["trained"].iloc[-1]),
    }


def of_scvi_tools(cells: AnnData, query: AnnData, seed: int, python: str) -> dict:
    """scANVI and its surgery."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("reference.h5ad", "query.h5ad")]
        for adata, path in zip((cells, query), paths, strict=True):
            adata.write_h5ad(path)
        told = run_process([python, str(HERE / "scvi_tools.py"), "surgery", *paths, str(seed)])
        with np.load(Path(paths[0]).with_suffix(".npz")) as kept:
            return told | dict(kept)


def judged(found: dict, cells: AnnData, query: AnnData) -> dict:
    """A row of the table."""
    known, truth = (adata.obs["cell_type"].astype(str).to_numpy() for adata in (cells, query))
    home, away, label = (found.pop(name, None) for name in ("home", "away", "label"))
    by_neighbors = transfer_labels(home, known, away)["best"].to_numpy()
    return found | {
        "by_neighbors": (by_neighbors == truth).mean(),
        "by_head": np.nan if label is None else (label == truth).mean(),
        "mixing": mixing(home, away, cells, query),
    }


def as_text(table: pd.DataFrame) -> str:
    """The table of the page: one number a seed, Markdown."""
    shown = {"by_neighbors": 3, "by_head": 3, "mixing": 2, "reference_seconds": 0, "query_seconds": 0}
    lines = []
    for program, rows in table.sort_values("seed").groupby("program"):
        cells = []
        for column, digits in shown.items():
            values = [f"{value:.{digits}f}" for value in rows[column]]
            cells.append("–" if rows[column].isna().any() else " / ".join(values))
        cells += [f"{rows[name].iloc[0]:,}" for name in ("parameters", "query_parameters")]
        lines.append(f"| {program} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scvi-python", required=True, help="Python of an environment with scvi-tools")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    cells, query = cell_lines()
    programs = {
        "scANVI (scvi-tools)": lambda seed: of_scvi_tools(cells, query, seed, arguments.scvi_python),
        "this kit": lambda seed: of_this_kit(cells, query, seed, 0.0),
        "this kit, with a head": lambda seed: of_this_kit(cells, query, seed, 50.0),
    }
    for seed in arguments.seeds:
        for name, run in programs.items():
            row = {"program": name, "seed": seed} | judged(run(seed), cells, query)
            print(row, flush=True)
            keep("scarches_peers.csv", [row], KEYS)


if __name__ == "__main__":
    main()
