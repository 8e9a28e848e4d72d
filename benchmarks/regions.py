"""Time the full-size cortex classifier, and the memory it takes: ``python benchmarks/regions.py``.

One repeat at the paper's sizes: 20,000 simulated human cells, 4,542 genes, 105 regions, defaults.
"""

import argparse
import json
import resource
import sys
import time

from imap_keras import regions
from imap_keras.backend import describe_device

LIMIT = 120  # seconds, two cores


def main() -> int:
    """Print what was measured as JSON; returns 1 if training took longer than the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["cortex", "subcortex"], default="cortex")
    parser.add_argument("--cells", type=int, default=20_000)
    options = parser.parse_args()
    human, mouse = regions.simulate_species(options.part, options.cells)
    start = time.perf_counter()
    model = regions.RegionClassifier().fit(human)
    averages = [regions.region_averages(adata) for adata in (human, mouse)]
    embedded = [model.embed(table) for table in averages]
    pairs = regions.homologous_pairs(options.part)
    score = regions.mean_rank(*embedded, pairs)
    seconds = time.perf_counter() - start
    measured = {
        "device": describe_device(),
        "cells": human.n_obs,
        "genes": human.n_vars,
        "regions": len(model.regions),
        "seconds": round(seconds, 1),
        "epochs": len(model.history),
        "best_epoch": model.best_epoch,
        "validation_accuracy": round(float(model.validation_accuracy), 4),
        "mean_rank": round(score, 2),
        "mean_rank_raw": round(regions.mean_rank(*averages, pairs), 2),
        "mean_rank_chance": regions.chance_rank(len(model.regions)),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    print(json.dumps(measured, indent=1))
    if seconds > LIMIT:
        print(f"{seconds:.0f} s are more than {LIMIT} s", file=sys.stderr)
    return int(seconds > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
