"""Imputation by inClust+, ridge regression and the mean of the type: ``python benchmarks/inclust.py``.

Two real sets, as in notebook 11: a third of 450 genes hidden in Drop-seq cells, imputed from CEL-seq2;
and 31 genes of the authors' scRNA set, half of whose cells get another platform's efficiencies. The
network with this kit's default preset, and with ``preset="reference"``, the published network. Rows go
to ``results/inclust.csv``: median correlation of the hidden genes with what was measured, share of
labels predicted right, processor seconds.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sets import benchmark_set

from imap_keras import datasets
from imap_keras.inclust import InClust, imputation
from imap_keras.inclust.evaluation import feature_correlations, ridge_prediction, type_mean_prediction

RESULTS = Path(__file__).parent / "results" / "inclust.csv"


def dropseq(seed: int):
    """Reference, query, what was measured in it, hidden genes, options, covariate to decode as."""
    rng = np.random.default_rng(seed)
    adata = benchmark_set("sc_mixology")
    is_query = (adata.obs["batch"] == "dropseq").to_numpy()
    most = np.asarray(adata.X[is_query].mean(axis=0)).ravel().argsort()[::-1][:450]
    adata = adata[:, np.sort(most)].copy()
    adata.X = adata.X.toarray()
    reference, truth = adata[~is_query].copy(), adata[is_query].copy()
    query = truth.copy()
    query.obs = query.obs[["batch"]]
    hidden = list(adata.var_names[rng.permutation(450)[:150]])
    return reference, query, truth, hidden, {"epochs": 50}, None


def merfish(seed: int):
    """As :func:`dropseq`; the output is a sigmoid, the values lie between 0 and 1."""
    rng = np.random.default_rng(seed)
    adata = datasets.merfish_scrna()
    adata = adata[rng.permutation(adata.n_obs)[:4000]].copy()
    adata.X, adata.obs["batch"] = adata.X.toarray(), np.repeat(["one", "two"], 2000)
    reference, truth = adata[:2000].copy(), adata[2000:].copy()
    query = truth.copy()
    query.X = np.clip(query.X * rng.lognormal(0, 0.3, query.n_vars).astype("float32"), 0, 1)
    query.obs = query.obs[["batch"]]
    hidden = list(adata.var_names[adata.var["to_impute"]])
    options = {"epochs": 30, "output": "sigmoid", "reconstruction_weight": 200.0}
    return reference, query, truth, hidden, options, "one"


SETS = {"dropseq": dropseq, "merfish_scrna": merfish}


def measure(name: str, seed: int) -> list[dict]:
    """One row for each method."""
    reference, query, truth, hidden, options, decoded_as = SETS[name](seed)
    types = truth.obs["cell_type"].astype(str).to_numpy()
    shared = [gene for gene in reference.var_names if gene not in set(hidden)]
    wanted = reference[:, hidden].X

    def row(method, predicted, start, **more):
        found = np.median(feature_correlations(truth[:, hidden].X, predicted))
        spent = time.process_time() - start
        told = {
            "set": name,
            "seed": seed,
            "method": method,
            "median_correlation": round(float(found), 4),
        }
        return told | more | {"processor_seconds": round(spent, 1)}

    start = time.process_time()
    by_ridge = ridge_prediction(reference[:, shared].X, wanted, query[:, shared].X)
    rows, start = [row("ridge", by_ridge, start)], time.process_time()
    known = reference.obs["cell_type"].astype(str)
    rows.append(row("type mean", type_mean_prediction(wanted, known, types), start))
    task = imputation(reference, query, hidden, batch_key="batch", label_key="cell_type")
    for preset in ("default", "reference"):
        start = time.process_time()
        model = InClust(preset, rows_per_step=100, seed=seed, **options).fit(task, verbose=0)
        imputed = model.impute(task, as_covariate=decoded_as)[hidden].to_numpy()
        right = (model.predict_labels(task, "query")["label"].to_numpy() == types).mean()
        rows.append(row(f"inClust+, {preset}", imputed, start, labels_right=round(float(right), 4)))
    return rows


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    rows = []
    for name in options.sets:
        for seed in options.seeds:
            rows += measure(name, seed)
            table = pd.DataFrame(rows)
            table.to_csv(RESULTS, index=False)
            print(table.tail(4).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
