"""Draw how seconds and memory grow with the cells, from ``results/scale.csv``.

    python benchmarks/scale.py --memory --batches 3 --cells 1500 15000 150000
    python benchmarks/growth.py

Writes ``results/growth.png``: processor seconds by step, and the highest memory of the process, against
the number of cells; one column of panels for each way the cells were kept and number of batches, where
the largest number is ten times the smallest or more.
"""

import matplotlib.pyplot as plt
import pandas as pd
from rows import RESULTS

from imap_keras.plots import COLORS

TENFOLD = 10  # less is no growth to be seen
STEPS = {
    "read": ["read into memory", "read_pool"],
    "stage I": ["train_stage1"],
    "stage II": ["merge_batches"],
    "components": ["components"],
    "transform": ["transform"],
}


def seconds(table: pd.DataFrame) -> pd.DataFrame:
    """Processor seconds by number of cells (rows) and step (columns)."""
    wide = table.pivot_table(index="cells", columns="step", values="processor_s")
    return pd.DataFrame(
        {name: wide[wide.columns.intersection(of)].sum(axis=1) for name, of in STEPS.items()}
    )


def main() -> None:
    rows = pd.read_csv(RESULTS / "scale.csv")
    other = rows["step"].str.contains("preprocess|scarches|inclust")  # in processes of their own
    kept = [
        (where, batches, table)
        for (where, batches), table in rows[~other].groupby(["where", "batches"])
        if table["cells"].max() >= TENFOLD * table["cells"].min()
    ]
    figure, axes = plt.subplots(2, len(kept), figsize=(5 * len(kept), 6), squeeze=False, sharey="row")
    for (upper, lower), (where, batches, table) in zip(axes.T, kept, strict=True):
        for (name, line), color, marker in zip(seconds(table).items(), COLORS, "o^sDv"):
            upper.plot(line.index, line, color=color, marker=marker, label=name)
        peak = table.groupby("cells")["peak_MB"].max() / 1000
        lower.plot(peak.index, peak, color="0.2", marker="o")
        upper.set(
            title=f"cells in {where}, {batches} batches", yscale="log", ylabel="processor seconds"
        )
        lower.set(xlabel="cells", ylabel="highest memory, GB")
        for axis in (upper, lower):
            axis.set(xscale="log")
    highest = max(table["peak_MB"].max() for *_, table in kept) / 1000
    axes[1, 0].set_ylim(0, 1.1 * highest)
    axes[0, -1].legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(RESULTS / "growth.png", dpi=90, bbox_inches="tight")


if __name__ == "__main__":
    main()
