"""Which of the published code's details the default of imap_keras.scarches should take.

    python benchmarks/scarches_defaults.py --seeds 0 1 2

Two tasks. `cell_lines` is that of notebook 10. First three CEL-seq2 plates are the reference,
Drop-seq and CEL-seq2 the query; then two plates without A549 and H838 are the reference, and the
third, with them, is the query. `simulated` are four batches of six types; the last batch is the
query, and two of its types are not in the reference. Accuracy is that of transferred labels, of
types that the reference has; as in the published code no cell is called Unknown. `right_and_sure`
counts Unknown as wrong. AUROC tells cells of unseen types from the others, by the
disagreement of neighbours and by the mean distance to them. Seconds are the processor's. Rows are
added to benchmarks/results/scarches_defaults.csv; a row measured again replaces the old one.
"""

import argparse
from collections.abc import Iterator

import numpy as np
from anndata import AnnData
from rows import keep
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from imap_keras import datasets, preprocess
from imap_keras.scarches import Reference, transfer_labels
from imap_keras.scarches.hyperparameters import UNNAMED, ReferenceHyperparameters

KEYS = ["task", "reference", "query", "seed"]
# What a reference is trained with, and what the queries that are mapped onto it are.
PUBLISHED = {name: getattr(ReferenceHyperparameters.of("reference"), name) for name in UNNAMED}
PYTORCH = UNNAMED | {"corrected_epsilon": True}
REFERENCES = {
    "as it was": UNNAMED,
    "PyTorch's epsilon, 19 widths": PYTORCH | {"mmd_widths": "published"},
    "published but weight decay": PUBLISHED | {"weight_decay": 0.0},  # the default
    "published": PUBLISHED,
}
QUERIES = {
    "rate 0.03": {"learning_rate": 3e-2, "epochs": 500},
    "rate 0.01, 60 epochs": {"learning_rate": 1e-2, "epochs": 60},  # the default
    "rate 0.001": {"learning_rate": 1e-3, "epochs": 500},
}


def cell_lines(seed: int) -> Iterator[tuple[AnnData, AnnData]]:
    """References and queries of notebook 10, known lines first, then unseen ones."""
    raw = datasets.sc_mixology()
    raw = raw[~raw.obs["doublet"]].copy()
    batch = raw.obs["batch"]
    is_query, unseen = batch.isin(["dropseq", "celseq2"]), raw.obs["cell_type"].isin(["A549", "H838"])
    yield preprocess(raw[~is_query].copy(), n_top_genes=500, verbose=0), raw[is_query].copy()
    known = raw[batch.isin(["celseq2_5cl_p1", "celseq2_5cl_p2"]) & ~unseen].copy()
    yield preprocess(known, n_top_genes=500, verbose=0), raw[batch == "celseq2_5cl_p3"].copy()


def simulated(seed: int) -> Iterator[tuple[AnnData, AnnData]]:
    """Simulated cells, two types of the query unseen."""
    sizes = {"n_cells": 1600, "n_genes": 500, "n_types": 6, "n_batches": 4}
    missing = {f"batch_{i}": ["type_2", "type_4"] for i in range(3)}
    raw = datasets.simulate(**sizes, missing=missing, seed=31 + seed)
    is_query = (raw.obs["batch"] == "batch_3").to_numpy()
    yield raw[~is_query].copy(), raw[is_query].copy()


TASKS = {"cell_lines": cell_lines, "simulated": simulated}


def judged(model: Reference, cells: AnnData, query: AnnData) -> dict[str, float]:
    """Accuracy of transferred labels, and how well unseen types are told from known ones."""
    known, truth = (adata.obs["cell_type"].astype(str).to_numpy() for adata in (cells, query))
    home, away = model.latent(cells), model.latent(query)
    table = transfer_labels(home, known, away)
    unseen = ~np.isin(truth, known)
    right = {name: float((table[name] == truth)[~unseen].mean()) for name in ("best", "label")}
    found = {"accuracy": right["best"], "right_and_sure": right["label"]}
    if unseen.any():
        far = NearestNeighbors(n_neighbors=50).fit(home).kneighbors(away)[0].mean(axis=1)
        found = {
            "accuracy_beside_unseen": right["best"],
            "auroc_disagreement": roc_auc_score(unseen, table["uncertainty"]),
            "auroc_distance": roc_auc_score(unseen, far),
        }
    return found


def measure(task: str, name: str, queries: list[str], seed: int) -> Iterator[dict]:
    """One row for each way to map the queries onto references that were trained in one way."""
    rows = {title: {} for title in queries}
    for cells, query in TASKS[task](seed):
        reference = Reference(seed=seed, **REFERENCES[name]).fit(cells, verbose=0)
        for title in queries:
            grown = reference.map_query(query, verbose=0, **QUERIES[title])
            for of, history in (("", reference.history), ("query_", grown.history)):
                rows[title] |= {
                    f"{of}seconds": history["seconds"].iloc[-1],
                    f"{of}epochs": len(history),
                }
            rows[title] |= judged(grown, cells, query)
    for title, row in rows.items():
        yield {"task": task, "reference": name, "query": title, "seed": seed} | row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--references", nargs="+", choices=REFERENCES, default=list(REFERENCES))
    parser.add_argument("--queries", nargs="+", choices=QUERIES, default=list(QUERIES))
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        for task in arguments.tasks:
            for name in arguments.references:
                for row in measure(task, name, arguments.queries, seed):
                    print(
                        {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()},
                        flush=True,
                    )
                    keep("scarches_defaults.csv", [row], KEYS)


if __name__ == "__main__":
    main()
