"""docs/past_one_machine.md: a hundred million cells on paper follow from what was measured."""

from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from imap_keras.imap.hyperparameters import Hyperparameters
from imap_keras.imap.stage1 import stage1_networks
from imap_keras.imap.stage2 import build_generator
from imap_keras.inputs.cells import BLOCK

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "past_one_machine.md").read_text()
CELLS, BATCHES, GENES, WORKERS = 100_000_000, 100, 2000, 16


@pytest.fixture(scope="module")
def measured():
    table = pd.read_csv(ROOT / "benchmarks" / "results" / "scale.csv")
    others = table["step"].str.startswith(("scarches", "preprocess", "inclust"))
    of_imap = (table["cells"] == 1_000_000) & ~others & (table["where"] == "h5ad")
    return table[of_imap].set_index(["batches", "step"])


def rows(measured) -> list[str]:
    """The table, each row from what was measured at a million cells in four batches."""
    hp, s, hour = Hyperparameters(), measured.loc[4, "processor_s"], 3600
    million, nonzero = CELLS // 10**6, int(0.08 * GENES)
    read, stage1, each = (
        s["read_pool"] * million,
        s["train_stage1"] * BATCHES / 4,
        s["merge_batches"] / 3,
    )
    rounds = ceil((BATCHES - 1) / WORKERS)
    transform = s["transform"] * million / WORKERS
    hours = (read + stage1 + rounds * each + s["components"] + transform) / hour
    peak, more = measured.loc[4, "peak_MB"].max() / 1000, BATCHES - 4
    highest = measured["peak_MB"].xs("train_stage1", level="step")
    batch = (highest[20] - highest[4]) / 16  # its cells in the pool, and its rows of a step
    generator = 4 * build_generator(GENES, hp.latent_dim, hp.hidden).count_params() / 1e9
    file = CELLS * (nonzero * 8 + 8) / 1e9
    out = CELLS * (hp.n_components * 4 + hp.latent_dim * 4 + GENES * 2) / 1e9
    made = [
        ("chunks", f"{million} million cells / {BLOCK:,} a task", f"{ceil(CELLS / BLOCK):,} tasks"),
        (
            "one pass: checks, moments, pool",
            f"{s['read_pool']} s x {million}, one process",
            f"{read / hour:.2f} h",
        ),
        (
            "stage I",
            f"{s['train_stage1']} s x {BATCHES} batches / 4: rows a step grow with the batches",
            f"{stage1 / hour:.2f} h",
        ),
        (
            "stage II",
            f"{s['merge_batches']} s / 3 query batches = {each:.1f} s each; {BATCHES - 1} on {WORKERS} "
            f"workers: {rounds} rounds",
            f"{rounds * each / hour:.2f} h",
        ),
        ("components", f"{s['components']} s, from a sample", f"{s['components'] / hour:.3f} h"),
        (
            "transform",
            f"{s['transform']} s x {million} / {WORKERS} workers",
            f"{transform / hour:.2f} h",
        ),
        ("all", "the sum", f"{hours:.1f} h"),
        (
            "cost of computing",
            f"{WORKERS} workers x {hours:.1f} h x $0.05",
            f"${WORKERS * round(hours, 1) * 0.05:.2f}",
        ),
        (
            "memory of the fit",
            f"{peak:.1f} GB at a million + {more} more batches x {batch:.0f} MB (their pool and their "
            f"rows of a step: stage I in 20 batches and in four) = {more * batch / 1000:.1f} GB + "
            f"{more} more generators x {generator * 1000:.0f} MB = {more * generator:.1f} GB",
            f"{peak + more * batch / 1000 + more * generator:.1f} GB",
        ),
        ("memory of a worker", f"{peak:.1f} GB, blocks as at a million", f"{peak:.1f} GB"),
        ("disk, cells", f"{million} million x ({nonzero} values x 8 bytes + 8)", f"{file:.0f} GB"),
        (
            "disk, result",
            f"{million} million x ({hp.n_components} components x 4 + {hp.latent_dim} content x 4 + "
            f"{GENES:,} genes x 2 bytes), not compressed",
            f"{out:.0f} GB",
        ),
        ("cost of keeping", f"{file + out:.0f} GB x $0.02", f"${(file + out) * 0.02:.0f} a month"),
    ]
    return [f"| {what} | {how} | {makes} |" for what, how, makes in made]


def test_the_table_follows_from_what_was_measured(measured):
    start = PAGE.index("| what | from what was measured | makes |")
    found = PAGE[start:].split("\n\n")[0].splitlines()[2:]
    assert found == rows(measured)


def test_the_clock_is_that_measured(measured):
    transform = measured.loc[4].loc["transform"]
    slower = transform["clock_s"] / transform["processor_s"]
    assert f"was {slower:.2f} times the processor's in transform" in " ".join(PAGE.split())


def test_gradients_are_as_large_as_the_page_says():
    weights = sum(
        int(np.prod(weight.shape))
        for network in stage1_networks(GENES, 4).values()
        for weight in network.trainable_weights
    )
    assert f"{weights / 1e6:.1f} million weights" in PAGE
    assert f"sends {4 * weights / 1e6:.0f} MB of gradients through the network twice" in PAGE
    assert f"{2 * 4 * weights / 1.25e9 * 1000:.0f} ms at 10 Gbit/s" in PAGE


def test_a_step_takes_what_the_page_says():
    table = pd.read_csv(ROOT / "benchmarks" / "results" / "scale.csv")
    of = table.query("batches == 4 and step == 'train_stage1' and cells in [25_000, 1_000_000]")
    hp = Hyperparameters()
    steps = hp.stage1_epochs * hp.stage1_steps
    quick, slow = (1000 * of["clock_s"].agg(which) / steps for which in ("min", "max"))
    told = f"A default step takes {quick:.0f} to {slow:.0f} ms on two cores"
    assert told in " ".join(PAGE.split())
