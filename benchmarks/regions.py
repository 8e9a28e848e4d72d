"""Time the full-size cortex classifier, and the memory it takes: ``python benchmarks/regions.py``.

One repeat at the paper's sizes: 20,000 simulated human cells, 4,542 genes, 105 regions, defaults.
Cells vary within their region (`cell_variation`), as real ones do: without it that many genes name
every region without error, the validation loss falls for ever, and all 50 epochs are trained.
``--torch-python ENV/bin/python`` times an epoch of the same network in PyTorch beside ours instead.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from imap_keras import regions
from imap_keras.inputs.labels import coded
from imap_keras.inputs.values import dense
from imap_keras.nn.backend import describe_device
from imap_keras.regions.training import build_and_compile, train

LIMIT = 120  # seconds, two cores
FEW, MORE = 1, 6  # epochs of two runs, of which the difference is taken


def beside_torch(cells: np.ndarray, codes: np.ndarray, python: str) -> dict[str, float]:
    """Seconds an epoch of both, on the same rows in minibatches of the same size."""
    seconds = []
    for epochs in (FEW, MORE):
        hp = regions.Hyperparameters(epochs=epochs, patience=MORE)
        network = build_and_compile(cells.shape[1], int(codes.max()) + 1, hp)
        start = time.perf_counter()
        train(network, cells, codes, np.arange(len(cells)) < 1, hp)
        seconds.append(time.perf_counter() - start)
    with tempfile.TemporaryDirectory() as folder:
        settings = [hp.dropout, hp.batch_size, hp.learning_rate, hp.weight_decay]
        path = f"{folder}/cells.npz"
        np.savez(path, cells=cells, codes=codes, hidden=hp.hidden, settings=settings)
        script = str(Path(__file__).with_name("regions_torch.py"))
        done = subprocess.run([python, script, path], stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    return {"this kit": (seconds[1] - seconds[0]) / (MORE - FEW), told["stack"]: told["epoch"]}


def main() -> int:
    """Print what was measured as JSON; returns 1 if training took longer than the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["cortex", "subcortex"], default="cortex")
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--cell-variation", type=float, default=2.0)
    parser.add_argument("--torch-python", help="Python of an environment with torch")
    options = parser.parse_args()
    human, mouse = regions.simulate_species(
        options.part, options.cells, cell_variation=options.cell_variation
    )
    if options.torch_python:
        values, codes = dense(human.X), coded(human.obs["region"].astype(str))[1].astype("int32")
        print(json.dumps(beside_torch(values, codes, options.torch_python)))
        return 0
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
