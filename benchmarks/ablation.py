"""What each change to the reference brings: the default with one change taken back at a time.

    python benchmarks/ablation.py --sets simulated surface_protein --seeds 0 1 2

Notebook 08 walks from the reference to the default on small networks; here the networks have their full
width and every change is judged by itself, by scIB's table. Rows are added to
benchmarks/results/ablation.csv; a row measured again replaces the old one.
"""

import argparse
import time
from dataclasses import replace

import pandas as pd
from peers import HERE, keep
from sets import SETS, benchmark_set

from imap_keras import IMAP, metrics
from imap_keras.hyperparameters import REFERENCE, Hyperparameters

TABLE = HERE / "results" / "ablation.csv"
# One change may need several hyperparameters.
CHANGES = {
    "biases start at 0": ["initialization"],
    "BatchNorm re-estimated": ["recalibrate"],
    "pairs in both spaces": ["pair_space"],
    "pairs must agree": ["pair_agreement"],
    "walks of 10 pairs": ["walk_length", "neighbor_target"],
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


def variants() -> dict[str, Hyperparameters]:
    """The default, and the default with one change taken back to the reference."""
    default, reference = Hyperparameters(), REFERENCE.as_dict()
    taken_back = {
        f"without: {title}": replace(default, **{name: reference[name] for name in names})
        for title, names in CHANGES.items()
    }
    return {"default": default} | taken_back


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["simulated", "surface_protein"], choices=SETS)
    parser.add_argument("--variants", nargs="+", default=list(variants()), choices=list(variants()))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        for name in arguments.sets:
            adata, seconds = benchmark_set(name, seed=seed), {}
            for title in arguments.variants:
                hp = replace(variants()[title], seed=seed)
                start = time.perf_counter()
                result = IMAP(**hp.as_dict()).fit_transform(adata, verbose=0)
                seconds[title] = time.perf_counter() - start
                adata.obsm[title] = result.obsm["X_imap"]
                print(name, seed, title, round(seconds[title], 1), flush=True)
            table = metrics.scib_table(adata, ["X_pca", *seconds]).drop(index="X_pca")
            table = table.assign(seconds=pd.Series(seconds))
            for title, row in table.iterrows():
                keep({"set": name, "method": title, "seed": seed} | row.to_dict(), TABLE)


if __name__ == "__main__":
    main()
