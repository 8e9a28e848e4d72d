"""Seconds until this kit reaches the score that the reference ends with.

    python benchmarks/peers.py --sets surface_protein --seeds 0 --methods reference \\
        --reference-python REFERENCE_ENV/bin/python
    python benchmarks/time_to_score.py --set surface_protein --seed 0

The first command leaves the reference's score and seconds in results/peers.csv. The second trains the
default for fewer and for more epochs, from short to full length, and stops at the first length that
scores as high; every length is a row of results/time_to_score.csv.
"""

import argparse
import sys
import time

import pandas as pd
from peers import KEYS
from rows import RESULTS, keep
from sets import SETS, benchmark_set

from imap_keras import integrate, metrics
from imap_keras.imap.hyperparameters import Hyperparameters

DEFAULT = Hyperparameters()
# Epochs of stage I and stage II, up to the default's.
LENGTHS = ((1, 1), (2, 2), (5, 4), (10, 7), (DEFAULT.stage1_epochs, DEFAULT.stage2_epochs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", default="surface_protein", choices=SETS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    measured = pd.read_csv(RESULTS / "peers.csv").set_index(KEYS)
    key = (arguments.set, "reference", arguments.seed)
    if key not in measured.index:
        sys.exit(f"peers.csv has no row {key}; measure it first, see the top of this file.")
    goal, its_seconds = (float(measured.loc[key, column]) for column in ("Total", "seconds"))
    adata = benchmark_set(arguments.set, seed=arguments.seed)
    for stage1_epochs, stage2_epochs in LENGTHS:
        start = time.perf_counter()
        adata.obsm["X_imap"] = integrate(
            adata,
            verbose=0,
            seed=arguments.seed,
            stage1_epochs=stage1_epochs,
            stage2_epochs=stage2_epochs,
            average_epochs=min(DEFAULT.average_epochs, stage2_epochs),
        ).obsm["X_imap"]
        seconds = time.perf_counter() - start
        total = float(metrics.scib_table(adata, ["X_pca", "X_imap"]).loc["X_imap", "Total"])
        row = {
            "set": arguments.set,
            "method": f"{stage1_epochs} + {stage2_epochs} epochs",
            "seed": arguments.seed,
            "seconds": seconds,
            "Total": total,
            "reference_seconds": its_seconds,
            "reference_total": goal,
        }
        keep("time_to_score.csv", [row], KEYS)
        print(row, flush=True)
        if total >= goal:
            return
    print(f"The default ends at {total:.3f}, below the reference's {goal:.3f}.")


if __name__ == "__main__":
    main()
