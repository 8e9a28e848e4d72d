"""Random AnnData through `preprocess` and a tiny fit: a right result, or one clear sentence.

    python benchmarks/fuzz.py --cases 300 --seed 0

A result is right if it has the cells it should have, in their order, and only finite values. A sentence
is clear if it is raised by this package's own code (not by a library below) with a documented type.
Everything else is printed with its case and makes the exit code 1. Each case runs in a process that is
started anew when one dies, so that a crash of the interpreter is counted too.
"""

import argparse
import collections
import multiprocessing
import sys
import traceback
import warnings

CLEAR = ("ValueError", "KeyError", "TypeError", "NoPairsError", "FloatingPointError")
TINY = {
    "latent_dim": 3,
    "hidden": (8, 4),
    "critic_hidden": (8,),
    "stage1_epochs": 1,
    "stage1_steps": 2,
    "stage1_rows": 8,
    "stage2_epochs": 1,
    "stage2_steps": 5,
    "stage2_rows": 8,
    "search": "exact",
}


def drawn(seed: int):
    """One random AnnData and the options to preprocess it with."""
    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from scipy import sparse

    rng = np.random.default_rng(seed)
    n_batches = int(rng.integers(1, 5))
    sizes = rng.choice(
        [0, 1, 2, 5, 10, 11, 30, 60], size=n_batches, p=[0.02, 0.08, 0.05, 0.05, 0.1, 0.1, 0.4, 0.2]
    )
    n_cells, n_genes = int(sizes.sum()), int(rng.choice([0, 1, 2, 5, 20, 60, 150]))
    batch = np.repeat(rng.choice(["a", "b b", "c/d", "1", "é"], n_batches, replace=False), sizes)
    mean = rng.gamma(0.6, 2.0, size=n_genes) * rng.choice([0, 1], n_genes, p=[0.1, 0.9])
    values = rng.poisson(mean * rng.gamma(2, 0.5, size=(n_cells, 1))).astype("float32")
    kind = rng.choice(
        ["counts", "logged", "negative", "nan", "inf", "fraction", "constant", "zero", "same"],
        p=[0.5, 0.12, 0.05, 0.05, 0.03, 0.05, 0.05, 0.05, 0.1],
    )
    if values.size:
        if kind == "logged":
            values = np.log1p(values)
        elif kind == "negative":
            values -= 1
        elif kind in ("nan", "inf"):
            values[tuple(rng.integers(values.shape))] = np.nan if kind == "nan" else np.inf
        elif kind == "fraction":
            values *= 0.7
        elif kind == "constant":
            values[:] = 3
        elif kind == "zero":
            values[:] = 0
        elif kind == "same":  # all cells of the first batch alike
            values[: sizes[0]] = values[:1]
    matrix = {
        "dense": lambda x: x,
        "csr": sparse.csr_matrix,
        "csc": sparse.csc_matrix,
        "csr_array": sparse.csr_array,
    }
    form = rng.choice(list(matrix))
    dtype = (
        rng.choice(["float32", "float64", "int64"])
        if kind in ("counts", "zero", "constant", "same")
        else "float32"
    )
    names = [f"cell_{i}" for i in rng.permutation(n_cells)]
    genes = [f"gene_{i}" for i in range(n_genes)]
    if rng.random() < 0.05 and n_cells > 1:
        names[1] = names[0]
    obs = pd.DataFrame({"batch": batch}, index=names)
    column = rng.choice(["text", "category", "unused", "nan"], p=[0.4, 0.35, 0.15, 0.1])
    if column == "category":
        obs["batch"] = obs["batch"].astype("category")
    elif column == "unused":
        obs["batch"] = pd.Categorical(obs["batch"], [*sorted(set(batch)), "nobody"])
    elif column == "nan" and n_cells:
        obs.iloc[0, 0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = AnnData(matrix[form](values.astype(dtype)), obs=obs, var=pd.DataFrame(index=genes))
    options = {
        "min_genes": int(rng.choice([0, 1, 5, 200], p=[0.2, 0.4, 0.3, 0.1])),
        "min_cells": int(rng.choice([0, 1, 3])),
        "n_top_genes": int(rng.choice([5, 30, 2000])),
        "flavor": str(rng.choice(["seurat_v3", "per_batch"], p=[0.75, 0.25])),
    }
    return adata, kind == "logged" and rng.random() < 0.7, options


def one(seed: int) -> tuple[str, str]:
    """Run one case: what came of it, and the sentence."""
    import numpy as np
    import tensorflow as tf

    import imap_keras

    tf.config.run_functions_eagerly(True)
    adata, skip, options = drawn(seed)
    given = adata.copy()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ready = adata if skip else imap_keras.preprocess(adata, verbose=0, **options)
            out = imap_keras.integrate(ready, verbose=0, **TINY)
        values = out.layers["imap"]
        right = (
            out.obs_names.tolist() == ready.obs_names.tolist()
            and np.isfinite(values).all()
            and np.isfinite(out.obsm["X_imap"]).all()
        )
        kept = np.asarray(adata.X.todense() if hasattr(adata.X, "todense") else adata.X)
        before = np.asarray(given.X.todense() if hasattr(given.X, "todense") else given.X)
        if not np.array_equal(kept, before, equal_nan=True):
            return "input changed", ""
        return ("right result" if right else "wrong result"), ""
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = "imap_keras" in frames[-1].filename
        kind = type(error).__name__
        text = f"{kind}: {error} ({frames[-1].filename.split('/')[-1]}:{frames[-1].lineno})"
        return ("clear sentence" if ours and kind in CLEAR else "unclear"), text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counted = collections.Counter()
    context = multiprocessing.get_context("spawn")
    pool = context.Pool(1)
    for number in range(options.cases):
        seed = 10_000 * options.seed + number
        try:
            result, text = pool.apply_async(one, (seed,)).get(timeout=120)
        except multiprocessing.TimeoutError:  # a process that died never answers
            result, text = "crash or 120 s", ""
            pool.terminate()
            pool = context.Pool(1)
        counted[result] += 1
        if result not in ("right result", "clear sentence"):
            print(f"case {seed}: {result} {text}", flush=True)
    pool.terminate()
    print(dict(counted))
    return int(bool(set(counted) - {"right result", "clear sentence"}))


if __name__ == "__main__":
    sys.exit(main())
