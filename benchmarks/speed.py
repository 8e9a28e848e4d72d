"""Seconds an epoch against the reference, at the reference's settings, both programs in turn.

    python benchmarks/speed.py --reference-python REFERENCE_ENV/bin/python --rounds 3

The reference (PyPI `imap` 1.0.0) lives in an environment of its own, see benchmarks/README.md. Both
programs get one file: three simulated batches x 500 cells x 2,000 genes. An epoch's time is the
difference between runs of different length, divided by the epochs between them, so that reading,
compiling and searching for pairs do not count. Writes benchmarks/results/speed.csv.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
# Epochs of the two runs of which the difference is taken; an epoch of stage II is the shorter one.
STAGE1_EPOCHS, STAGE2_EPOCHS = (1, 3), (1, 6)


def seconds(function, *arguments, **options) -> float:
    start = time.perf_counter()
    function(*arguments, **options)
    return time.perf_counter() - start


def an_epoch(measured: list[float], epochs: tuple[int, int]) -> float:
    """Seconds of one epoch, from a short run and a long one."""
    return (measured[1] - measured[0]) / (epochs[1] - epochs[0])


def of_reference(path: str) -> dict:
    """Runs in the reference's environment."""
    import numpy as np

    np.bool8 = np.bool_  # numpy 2 dropped the name
    import anndata
    import torch
    from imap.stage1 import iMAP_fast
    from imap.stage2 import integrate_data

    adata = anndata.read_h5ad(path)
    adata.X = adata.X.toarray()
    stage1 = [seconds(iMAP_fast, adata, key="batch", n_epochs=n) for n in STAGE1_EPOCHS]
    _, content = iMAP_fast(adata, key="batch", n_epochs=1)
    stage2 = [
        seconds(integrate_data, adata, content, key="batch", n_epochs=n, k1=1, k2=5)
        for n in STAGE2_EPOCHS
    ]
    queries = adata.obs["batch"].nunique() - 1
    return {
        "stage1_epoch": an_epoch(stage1, STAGE1_EPOCHS),
        "stage2_epoch": an_epoch(stage2, STAGE2_EPOCHS) / queries,
        "stack": f"torch {torch.__version__}",
    }


def of_ours(path: str) -> dict:
    import anndata
    import numpy as np
    import tensorflow as tf

    from imap_keras import integrate
    from imap_keras.imap.hyperparameters import Hyperparameters
    from imap_keras.imap.training import find_pairs, train_stage1, train_stage2
    from imap_keras.nn.fitting import run

    adata = anndata.read_h5ad(path)
    cells, codes = adata.X.toarray(), adata.obs["batch"].cat.codes.to_numpy()
    stage1, stage2 = [], []
    for epochs in STAGE1_EPOCHS:
        start = time.perf_counter()
        models, _ = train_stage1(cells, codes, Hyperparameters.of("reference", stage1_epochs=epochs))
        stage1.append(time.perf_counter() - start)
    anchor, query = np.flatnonzero(codes == 0), np.flatnonzero(codes == 1)
    hp = Hyperparameters.of("reference", k1=1, k2=5)
    pairs, _ = find_pairs(run(models["encoder"], cells), cells, query, anchor, hp)
    for epochs in STAGE2_EPOCHS:
        hp = Hyperparameters.of("reference", stage2_epochs=epochs)
        stage2.append(seconds(train_stage2, cells, pairs, query, hp))
    epoch = an_epoch(stage1, STAGE1_EPOCHS)
    n_batches = int(codes.max()) + 1
    rows = n_batches * hp.stage1_rows
    peak = measured_peak()
    rate = stage1_operations(models, rows) * hp.stage1_steps / epoch / 1e9
    return {
        "stage1_epoch": epoch,
        "stage2_epoch": an_epoch(stage2, STAGE2_EPOCHS),
        "default_stage1": seconds(train_stage1, cells, codes, Hyperparameters.of()),
        "default_total": seconds(integrate, adata, verbose=0),
        "stage1_gflops": rate,
        "peak_gflops": peak,
        "share_of_peak": rate / peak,
        "stack": f"tensorflow {tf.__version__}",
    }


def stage1_operations(models, rows: int) -> float:
    """Operations of all matrix products of one stage I step.

    The encoder runs on every row twice (the cell, and the cell decoded for a random batch), the content
    decoder once, and again on the rows whose random batch is another than their own. Forward costs 2
    operations a weight and row, backward 4; the first layer's input needs no gradient where it is
    data, which saves 2 once.
    """

    def weights(model):
        return sum(w.shape[0] * w.shape[1] for w in model.trainable_variables if len(w.shape) == 2)

    encoder, decoder = models["encoder"], models["content_decoder"]
    first = encoder.trainable_variables[0].shape
    decoded_again = 1 - 1 / models["batch_decoder"].input_shape[-1]
    passes = 12 * weights(encoder) + 6 * (1 + decoded_again) * weights(decoder)
    return rows * (passes - 2 * first[0] * first[1])


def measured_peak(size: int = 3072, repeats: int = 5) -> float:
    """Billions of float32 operations a second of the fastest product of two square matrices."""
    import tensorflow as tf

    left, right = (tf.random.stateless_normal((size, size), (0, side)) for side in (1, 2))
    # One number is read: copying the whole product to numpy would count as arithmetic.
    multiply = tf.function(lambda left, right: tf.matmul(left, right)[0, 0])
    multiply(left, right)
    fastest = min(seconds(lambda: multiply(left, right).numpy()) for _ in range(repeats))
    return 2 * size**3 / fastest / 1e9


PROGRAMS = {"reference": of_reference, "ours": of_ours}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference-python", help="Python of an environment with imap 1.0.0")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", choices=PROGRAMS, help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.program:
        print("\n" + json.dumps(PROGRAMS[arguments.program](arguments.data)))
        return

    import pandas as pd

    import imap_keras

    raw = imap_keras.datasets.simulate(n_cells=1500, n_genes=2000, n_batches=3, seed=0)
    adata = imap_keras.preprocess(raw, min_genes=100, min_cells=0, verbose=0)
    pythons = {"ours": sys.executable, "reference": arguments.reference_python}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.h5ad"
        adata.write_h5ad(path)
        rows = []
        for number in range(arguments.rounds):
            for program, python in pythons.items():
                if python is None:
                    continue
                command = [python, str(HERE / "speed.py"), "--program", program, "--data", str(path)]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"{program} failed:\n{done.stderr[-3000:]}")
                measured = json.loads(done.stdout.strip().splitlines()[-1])
                rows.append({"round": number, "program": program, **measured})
                print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    (HERE / "results").mkdir(exist_ok=True)
    table.to_csv(HERE / "results" / "speed.csv", index=False, float_format="%.4g")
    print(
        table.groupby("program").median(numeric_only=True).drop(columns="round").T.round(3).to_string()
    )


if __name__ == "__main__":
    main()
