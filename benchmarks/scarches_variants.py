"""Likelihood, discrepancy between batches and classifier head of imap_keras.scarches, one table.

    python benchmarks/scarches_variants.py --seeds 0

The task of notebook 10: three CEL-seq2 plates are the reference, Drop-seq and CEL-seq2 the query. Each
likelihood is trained without and with the MMD (weight 0 or 1), without and with the classifier
(weight 0 or 50). `by_neighbors` is the share of query labels that transfer gets right, `by_head` what
the classifier gets right of the same codes, neither with Unknown; `mixing` is iLISI over the three
lines that all batches hold; seconds are the processor's, of the reference and of the query. Rows are
added to benchmarks/results/scarches_variants.csv; a row measured again replaces the old one.
"""

import argparse
from itertools import product

import numpy as np
import pandas as pd
from anndata import AnnData
from rows import RESULTS, keep
from scib_metrics import ilisi_knn

from imap_keras import datasets, preprocess
from imap_keras.metrics import scib_neighbors
from imap_keras.scarches import Reference, transfer_labels
from imap_keras.scarches.hyperparameters import LIKELIHOODS

KEYS = ["likelihood", "mmd_weight", "label_weight", "epochs", "seed"]


def cell_lines() -> tuple[AnnData, AnnData]:
    """Plates and query of notebook 10; X log-normalised, counts beside it."""
    raw = datasets.sc_mixology()
    raw = raw[~raw.obs["doublet"]].copy()
    is_query = raw.obs["batch"].isin(["dropseq", "celseq2"])
    cells = preprocess(raw[~is_query].copy(), n_top_genes=500, verbose=0)
    return cells, preprocess(
        raw[is_query].copy(), genes=cells.var_names.tolist(), min_genes=1, verbose=0
    )


def mixing(home: np.ndarray, away: np.ndarray, cells: AnnData, query: AnnData) -> float:
    """iLISI, in the latent space of both sides, of the three lines that all batches hold."""
    obs = pd.concat([cells.obs, query.obs])
    shared = ~obs["cell_type"].isin(["A549", "H838"]).to_numpy()
    codes = np.unique(obs["batch"].astype(str)[shared], return_inverse=True)[1]
    return float(ilisi_knn(scib_neighbors(np.concatenate([home, away])[shared], 90), codes))


def measure(cells: AnnData, query: AnnData, **options) -> dict:
    """One row of the table."""
    label_key = "cell_type" if options["label_weight"] else None
    reference = Reference(**options).fit(cells, verbose=0, label_key=label_key)
    grown = reference.map_query(query, verbose=0)
    known, truth = (adata.obs["cell_type"].astype(str).to_numpy() for adata in (cells, query))
    home, away = grown.latent(cells), grown.latent(query)
    table = transfer_labels(home, known, away)
    row = {"by_neighbors": (table["best"] == truth).mean(), "by_head": np.nan}
    if label_key:
        row["by_head"] = (grown.predict_labels(query)["best"].to_numpy() == truth).mean()
    seconds = {"seconds": reference.history, "query_seconds": grown.history}
    row |= {name: history["seconds"].iloc[-1] for name, history in seconds.items()}
    return (
        options | row | {"mixing": mixing(home, away, cells, query), "trained": len(reference.history)}
    )


def as_text(table: pd.DataFrame) -> str:
    """The table of notebook 10: means over the seeds, Markdown."""
    mean = table.groupby(["likelihood", "mmd_weight", "label_weight"]).mean(numeric_only=True)
    lines = [
        "| likelihood | MMD | head | right by neighbours | right by head | iLISI | seconds | query |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (name, mmd, label), row in mean.loc[list(LIKELIHOODS)].iterrows():
        by_head = "–" if np.isnan(row["by_head"]) else f"{row['by_head']:.3f}"
        lines.append(
            f"| {name} | {mmd:.0f} | {label:.0f} | {row['by_neighbors']:.3f} | {by_head} "
            f"| {row['mixing']:.2f} | {row['seconds']:.0f} | {row['query_seconds']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--label-weights", type=float, nargs="+", default=[0.0, 50.0])
    parser.add_argument("--text", action="store_true", help="print the table of notebook 10")
    arguments = parser.parse_args()
    if arguments.text:
        print(as_text(pd.read_csv(RESULTS / "scarches_variants.csv")))
        return
    cells, query = cell_lines()
    for seed, weight, name, mmd in product(
        arguments.seeds, arguments.label_weights, LIKELIHOODS, (0.0, 1.0)
    ):
        options = {"likelihood": name, "mmd_weight": mmd, "label_weight": weight, "seed": seed}
        row = measure(cells, query, epochs=arguments.epochs, **options)
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
        keep("scarches_variants.csv", [row], KEYS)


if __name__ == "__main__":
    main()
