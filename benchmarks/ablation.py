"""What each change to the reference brings: the default with one change taken back at a time.

    python benchmarks/ablation.py --sets simulated surface_protein --seeds 0 1
    python benchmarks/ablation.py --text

Notebook 08 walks from the reference to the default on small networks; here the networks have their full
width and every change is judged by itself, by scIB's table. Variants that differ only after stage I
share one stage I; its seconds count for each. Seconds are the processor's, so that other work beside
it does not count. Rows are added to benchmarks/results/ablation.csv; a row measured again replaces the
old one.
"""

import argparse
import time
from dataclasses import replace
from unittest import mock

import numpy as np
import pandas as pd
from harder import HARDER
from peers import KEYS
from rows import RESULTS, keep
from sets import SETS, benchmark_set

from imap_keras import IMAP, metrics
from imap_keras.imap.hyperparameters import Hyperparameters
from imap_keras.imap.training import train_stage1

SHOWN = ["simulated", "close_types", "depths", "surface_protein", "proteins_100", "mixology_25"]
SHOWN += ["halves"]
# One change may need several hyperparameters.
CHANGES = {
    "64 rows in stage I": ["stage1_rows", "stage1_learning_rate"],
    "64 rows in stage II": ["stage2_rows"],
    "biases start at 0": ["initialization"],
    "BatchNorm re-estimated": ["recalibrate"],
    "pairs in both spaces": ["pair_space"],
    "pairs must agree": ["pair_agreement"],
    "20 neighbours": ["k1", "k2"],
    "walks of 10 pairs": ["walk_length"],
    "merged batches join": ["incremental"],
    "batches wait": ["least_paired"],
    "paired term": ["lambda_pair"],
    "balanced pairs": ["balance_pairs"],
    "neighbour's move as target": ["neighbor_target"],
    "start with the mean move": ["identity_start", "shift_start"],
    "no ReLU at the end": ["relu_output"],
    "5 critic steps": ["critic_steps"],
    "mean of the last weights": ["average_epochs"],
    "one scale": ["spread"],
    "unit length": ["unit_length"],
    "components weighed": ["component_neighbors"],
    "one spread": ["match_spread"],
}
# Each of these brings little alone; what they bring together.
SMALL = [
    "BatchNorm re-estimated",
    "neighbour's move as target",
    "no ReLU at the end",
    "5 critic steps",
    "mean of the last weights",
]
CHANGES["the five small ones at once"] = [name for title in SMALL for name in CHANGES[title]]


# What changes stage I, of the above.
STAGE1 = ("spread", "initialization", "recalibrate", "stage1_rows", "stage1_learning_rate")


def variants() -> dict[str, Hyperparameters]:
    """The reference and the default, trained as long, and the default with one change taken back."""
    default, reference = Hyperparameters(), Hyperparameters.of("reference").as_dict()
    taken_back = {
        f"without: {title}": replace(default, **{name: reference[name] for name in names})
        for title, names in CHANGES.items()
    }
    epochs = {name: getattr(default, name) for name in ("stage1_epochs", "stage2_epochs")}
    small_sets = {"k1": 1, "k2": 5}  # what its authors take for small sets
    return {
        "reference": Hyperparameters.of("reference", **epochs, **small_sets),
        "default": default,
    } | taken_back


def as_text(table: pd.DataFrame) -> str:
    """The rows in Markdown: totals by seed, and in brackets what taking the change back does."""
    totals = table.pivot(index="method", columns=["set", "seed"], values="Total")
    sets = [name for name in SHOWN if name in totals.columns.get_level_values("set")]
    lines = [f"| | {' | '.join(sets)} |", "|---|" + "---|" * len(sets)]
    for method in (m for m in variants() if m in totals.index):
        cells = []
        for name in sets:
            found, default = totals.loc[method, name], totals.loc["default", name].dropna()
            found = found[default.index]  # a dash for a seed that was not run
            change = (found - default).mean()
            text = " / ".join("–" if np.isnan(value) else f"{value:.3f}" for value in found)
            if found.isna().all():
                text = "–"
            elif method != "default":
                text += f" ({change:+.3f})"
            cells.append(text)
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


class SharedStage1:
    """Stands in for `train_stage1`: trains a stage I of the settings above once, then hands it out."""

    def __init__(self):
        self.trained = {}
        self.before = 0.0  # processor seconds that a stage I found ready once took

    def __call__(self, cells, codes, hp, verbose, strategy=None):
        key = tuple(getattr(hp, name) for name in STAGE1)
        if key in self.trained:
            found, self.before = self.trained[key]
            return found
        start, self.before = time.process_time(), 0.0
        found = train_stage1(cells, codes, hp, verbose)
        self.trained[key] = found, time.process_time() - start
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=SHOWN, choices=[*SETS, *HARDER])
    parser.add_argument("--variants", nargs="+", default=list(variants()), choices=list(variants()))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument(
        "--text", action="store_true", help="show what was measured, and measure nothing"
    )
    arguments = parser.parse_args()
    if arguments.text:
        return print(as_text(pd.read_csv(RESULTS / "ablation.csv")))
    for seed in arguments.seeds:
        for name in arguments.sets:
            adata, seconds, stage1 = benchmark_set(name, seed=seed), {}, SharedStage1()
            for title in arguments.variants:
                model = IMAP(**replace(variants()[title], seed=seed).as_dict())
                start = time.process_time()
                with mock.patch("imap_keras.imap.model.train_stage1", stage1):
                    adata.obsm[title] = model.fit_transform(adata, verbose=0).obsm["X_imap"]
                seconds[title] = stage1.before + time.process_time() - start
                print(name, seed, title, round(seconds[title], 1), flush=True)
            table = metrics.scib_table(adata, ["X_pca", *seconds]).drop(index="X_pca")
            table = table.assign(processor_seconds=pd.Series(seconds))
            for title, row in table.iterrows():
                row = {"set": name, "method": title, "seed": seed} | row.to_dict()
                keep("ablation.csv", [row], KEYS)


if __name__ == "__main__":
    main()
