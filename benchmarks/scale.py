"""Time and memory of iMAP by number of cells, each size in a process of its own.

    python benchmarks/scale.py --cells 25000 100000 1000000
    python benchmarks/scale.py --cells 1000000 --preprocess
    python benchmarks/scale.py --cells 1000000 --scarches
    python benchmarks/scale.py --cells 1000000 --inclust
    python benchmarks/scale.py --cells 656258 --genes 1615 --batches 2

Simulated log-normalised cells (2,000 genes, 8 % of the values above 0, four batches with batch
effects, eight types) lie in an .h5ad file, or with ``--memory`` in memory as CSR. Seconds are the
clock's and the processor's; memory is the highest that the kernel counted for the process so far,
libraries included. ``--preprocess`` measures `preprocess` out of core from 20,000 genes (3 % of the
counts above 0) instead of a fit, ``--scarches`` a reference of about 2,000 steps and the latent means
of all cells, ``--inclust`` inClust+ at its defaults and a query of 25,000 cells in another file: 100
genes are imputed there, and all cells of the reference encoded.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from rows import keep
from scipy import sparse

from imap_keras import IMAP, preprocess
from imap_keras.inclust import InClust, imputation
from imap_keras.inputs.cells import BLOCK, open_cells
from imap_keras.inputs.writing import result_store
from imap_keras.nn.memory import highest_resident
from imap_keras.scarches import Reference

N_GENES, N_TYPES, SHARE = 2000, 8, 0.08
QUERY = 25_000
ALL_GENES, SHARE_OF_ALL = 20_000, 0.03


def simulate(path: Path, n_cells: int, n_batches: int, n_genes: int, counts: bool = False):
    """Write cells block by block, one batch after the other."""
    n_genes, share = (ALL_GENES, SHARE_OF_ALL) if counts else (n_genes, SHARE)
    rng = np.random.default_rng(0)
    chance = np.clip(share * rng.lognormal(0, 0.8, (N_TYPES, n_genes)), 0, 0.9)
    chance *= share / chance.mean()
    effect = rng.lognormal(0, 0.25, (n_batches, n_genes))
    batch = np.sort(rng.integers(n_batches, size=n_cells))
    types = rng.integers(N_TYPES, size=n_cells)
    obs = pd.DataFrame({"batch": batch.astype(str), "type": types.astype(str)}).astype("category")
    obs.index = np.char.add("cell_", np.arange(n_cells).astype(str))
    var = pd.DataFrame(index=[f"gene_{i}" for i in range(n_genes)])
    with result_store(path, n_cells, 9 * share * n_cells * n_genes) as store:
        store.describe(obs, var, {})
        for start in range(0, n_cells, BLOCK):
            rows = slice(start, min(start + BLOCK, n_cells))
            seen = rng.random((rows.stop - start, n_genes), "float32") < (
                chance[types[rows]] * effect[batch[rows]]
            )
            block = sparse.csr_matrix(seen, dtype="float32")
            if counts:
                block.data = rng.geometric(0.6, len(block.data)).astype("float32")
            else:
                block.data = 1 + rng.gamma(4, 0.25, len(block.data)).astype("float32")
                block.data *= np.sqrt(
                    effect[np.repeat(batch[rows], np.diff(block.indptr)), block.indices]
                )
            store.put("X", start, block)


def file_of(options, n_cells: int) -> Path:
    """Where the simulated cells lie."""
    kind = "counts" if options.preprocess else "cells"
    genes = "" if options.genes == N_GENES else f"_{options.genes}"
    return options.folder / f"{kind}_{n_cells}_{options.batches}{genes}.h5ad"


class Steps:
    """Seconds and highest memory, step after step."""

    def __init__(self):
        self.found, self.start = [], (time.perf_counter(), time.process_time())
        self.note("libraries")

    def note(self, step: str) -> None:
        now = time.perf_counter(), time.process_time()
        clock, processor = (round(b - a, 1) for a, b in zip(self.start, now, strict=True))
        peak = round(highest_resident() / 1e6)
        self.found.append({"step": step, "clock_s": clock, "processor_s": processor, "peak_MB": peak})
        self.start = now


def measure_preprocessing(path: Path, out: Path) -> list[dict]:
    """Filters, normalisation and variable genes, from a file to a file."""
    steps = Steps()
    preprocess(path, out=out, verbose=0)
    steps.note("preprocess")
    return steps.found


def measure_scarches(path: Path) -> list[dict]:
    """A reference trained on a pool of the cells, then the latent means of all of them."""
    steps = Steps()
    model = Reference(likelihood="mse", epochs=7, kl_epochs=7, seed=0).fit(path, verbose=0)
    steps.note("scarches fit")
    assert np.isfinite(model.latent(path)).all()
    steps.note("scarches latent")
    return steps.found


def measure_inclust(path: Path, query: Path) -> list[dict]:
    """Genes of a query imputed from a reference, both in files, and the latent of all of it."""
    steps = Steps()
    rows = imputation(path, query, [f"gene_{i}" for i in range(100)], label_key="type")
    steps.note("inclust rows")
    model = InClust(seed=0).fit(rows, verbose=0)
    steps.note("inclust fit")
    assert model.impute(rows).shape == (QUERY, 100)
    steps.note("inclust impute")
    assert np.isfinite(model.latent(rows, "reference")).all()
    steps.note("inclust latent")
    return steps.found


def measure(path: Path, in_memory: bool, out: Path, dtype: str) -> list[dict]:
    """Fit and transform, as one process does it."""
    import imap_keras.imap.model as model_module

    steps = Steps()
    inner = {
        name: getattr(model_module, name) for name in ("read_pool", "train_stage1", "merge_batches")
    }

    def noted(name):
        def call(*arguments, **options):
            found = inner[name](*arguments, **options)
            steps.note(name)
            return found

        return call

    for name in inner:
        setattr(model_module, name, noted(name))
    source = path
    if in_memory:
        source = anndata.read_h5ad(path)
        steps.note("read into memory")
    model = IMAP(seed=0).fit(source, verbose=0)
    steps.note("components")
    model.transform(source, out=out, keep=("X_imap", "X_imap_content", "imap"), dtype=dtype, verbose=0)
    steps.note("transform")
    assert np.isfinite(open_cells(source).rows([0, 1]).sum())
    return steps.found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[25_000, 100_000, 1_000_000])
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--genes", type=int, default=N_GENES)
    parser.add_argument("--memory", action="store_true", help="cells in memory (CSR), not in a file")
    parser.add_argument("--preprocess", action="store_true", help="from counts of 20,000 genes")
    parser.add_argument("--scarches", action="store_true", help="a reference instead of iMAP")
    parser.add_argument("--inclust", action="store_true", help="inClust+ instead of iMAP")
    parser.add_argument("--dtype", default="float16")
    parser.add_argument(
        "--folder", type=Path, help="where files are written; by default a temporary one"
    )
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        path = file_of(options, options.child)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            if options.preprocess:
                found = measure_preprocessing(path, Path(folder) / "ready.h5ad")
            elif options.scarches:
                found = measure_scarches(path)
            elif options.inclust:
                found = measure_inclust(path, file_of(options, QUERY))
            else:
                found = measure(path, options.memory, Path(folder) / "result.zarr", options.dtype)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or Path(temporary)
        for n_cells in options.cells:
            for n in {n_cells, QUERY} if options.inclust else {n_cells}:
                if not file_of(options, n).exists():
                    simulate(file_of(options, n), n, options.batches, options.genes, options.preprocess)
            given = ["--child", str(n_cells), "--folder", str(options.folder), "--dtype", options.dtype]
            given += ["--batches", str(options.batches), "--genes", str(options.genes)]
            kinds = ("memory", "preprocess", "scarches", "inclust")
            given += [f"--{name}" for name in kinds if getattr(options, name)]
            done = subprocess.run([sys.executable, __file__, *given], stdout=subprocess.PIPE, text=True)
            done.check_returncode()
            table = pd.DataFrame(json.loads(done.stdout.splitlines()[-1]))
            table.insert(0, "cells", n_cells)
            table.insert(1, "batches", options.batches)
            table.insert(2, "where", "memory" if options.memory else "h5ad")
            print(table.to_string(index=False), flush=True)
            keep("scale.csv", table.to_dict("records"), ["cells", "batches", "where", "step"])


if __name__ == "__main__":
    main()
