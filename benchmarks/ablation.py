"""What each change to the reference brings: the default with one change taken back at a time.

    python benchmarks/ablation.py --sets simulated surface_protein --seeds 0 1 2

Notebook 08 walks from the reference to the default on small networks; here the networks have their full
width and every change is judged by itself, by scIB's table. Variants that differ only after stage I
share one stage I; its seconds count for each. Rows are added to benchmarks/results/ablation.csv; a
row measured again replaces the old one.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import pandas as pd
from peers import HERE, keep
from sets import SETS, benchmark_set

from imap_keras import metrics
from imap_keras.blocks import run
from imap_keras.hyperparameters import REFERENCE, Hyperparameters
from imap_keras.merging import merge_batches
from imap_keras.training import merge_order, principal_components, scale_factor, train_stage1
from imap_keras.validation import dense_expression

TABLE = HERE / "results" / "ablation.csv"
CHOSEN_ON = ["simulated", "sc_mixology", "surface_protein"]  # the sets the default was chosen on
# One change may need several hyperparameters.
CHANGES = {
    "64 rows in stage I": ["stage1_rows", "stage1_learning_rate"],
    "64 rows in stage II": ["stage2_rows"],
    "biases start at 0": ["initialization"],
    "BatchNorm re-estimated": ["recalibrate"],
    "pairs in both spaces": ["pair_space"],
    "pairs must agree": ["pair_agreement"],
    "20 neighbours": ["k1", "k2"],
    "walks of 10 pairs": ["walk_length"],
    "merged batches join": ["incremental"],
    "paired term": ["lambda_pair"],
    "balanced pairs": ["balance_pairs"],
    "neighbour's move as target": ["neighbor_target"],
    "start with the mean move": ["identity_start", "shift_start"],
    "no ReLU at the end": ["relu_output"],
    "5 critic steps": ["critic_steps"],
    "mean of the last weights": ["average_epochs"],
    "one scale": ["spread"],
    "unit length": ["unit_length"],
}


# What changes stage I, of the above.
STAGE1 = ("spread", "initialization", "recalibrate", "stage1_rows", "stage1_learning_rate")


def variants() -> dict[str, Hyperparameters]:
    """The reference and the default, trained as long, and the default with one change taken back."""
    default, reference = Hyperparameters(), REFERENCE.as_dict()
    taken_back = {
        f"without: {title}": replace(default, **{name: reference[name] for name in names})
        for title, names in CHANGES.items()
    }
    epochs = {name: getattr(default, name) for name in ("stage1_epochs", "stage2_epochs")}
    small_sets = {"k1": 1, "k2": 5}  # what its authors take for small sets
    return {
        "reference": replace(REFERENCE, **epochs, **small_sets),
        "default": default,
    } | taken_back


def integrated(adata, hp: Hyperparameters, trained: dict) -> tuple[np.ndarray, float]:
    """``X_imap`` and the seconds it took; `trained` holds the content of every stage I so far."""
    cells, labels = dense_expression(adata), adata.obs["batch"].astype(str).to_numpy()
    scale, start = scale_factor(cells, hp), time.perf_counter()
    cells = cells * scale
    key = tuple(getattr(hp, name) for name in STAGE1)
    if key not in trained:
        codes = np.unique(labels, return_inverse=True)[1]
        content = run(train_stage1(cells, codes, hp)[0]["encoder"], cells)
        trained[key] = content, time.perf_counter() - start
    (content, before), start = trained[key], time.perf_counter()
    corrected = cells.copy()
    merge_batches(cells, corrected, labels, content, merge_order(cells, labels), hp)
    corrected = corrected / scale
    space = run(principal_components(corrected, hp), corrected)
    return space, before + time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=CHOSEN_ON, choices=SETS)
    parser.add_argument("--variants", nargs="+", default=list(variants()), choices=list(variants()))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        for name in arguments.sets:
            adata, seconds, trained = benchmark_set(name, seed=seed), {}, {}
            for title in arguments.variants:
                hp = replace(variants()[title], seed=seed)
                adata.obsm[title], seconds[title] = integrated(adata, hp, trained)
                print(name, seed, title, round(seconds[title], 1), flush=True)
            table = metrics.scib_table(adata, ["X_pca", *seconds]).drop(index="X_pca")
            table = table.assign(seconds=pd.Series(seconds))
            for title, row in table.iterrows():
                keep({"set": name, "method": title, "seed": seed} | row.to_dict(), TABLE)


if __name__ == "__main__":
    main()
