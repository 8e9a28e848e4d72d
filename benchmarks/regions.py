"""Time the full-size cortex classifier, and the memory it takes: ``python benchmarks/regions.py``.

One repeat at the paper's sizes: 20,000 simulated human cells, 4,542 genes, 105 regions, defaults.
Cells vary within their region (`cell_variation`), as real ones do: without it that many genes name
every region without error, the validation loss falls for ever, and all 50 epochs are trained.
"""

import argparse
import json
import resource
import sys
import time

from imap_keras import regions
from imap_keras.nn.backend import describe_device

LIMIT = 120  # seconds, two cores


def main() -> int:
    """Print what was measured as JSON; returns 1 if training took longer than the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["cortex", "subcortex"], default="cortex")
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--cell-variation", type=float, default=2.0)
    options = parser.parse_args()
    human, mouse = regions.simulate_species(
        options.part, options.cells, cell_variation=options.cell_variation
    )
    start, cpu = time.perf_counter(), time.process_time()
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
        "cell_variation": options.cell_variation,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
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
