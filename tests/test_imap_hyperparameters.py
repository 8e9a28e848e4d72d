"""Every hyperparameter of iMAP reaches what it names; ten numbers of a tiny fit stay what they are."""

from dataclasses import fields
from unittest import mock

import anndata
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from imap_keras import IMAP, Hyperparameters
from imap_keras.imap.training import train_stage1

SMALL = {
    "latent_dim": 3,
    "hidden": (6,),
    "critic_hidden": (6,),
    "stage1_epochs": 2,
    "stage1_steps": 2,
    "stage1_rows": 8,
    "stage2_epochs": 2,
    "stage2_steps": 3,
    "stage2_rows": 8,
    "critic_steps": 2,
    "average_epochs": 2,
    "k1": 3,
    "k2": 3,
    "walk_length": 3,
    "few_cells": 0,
    "pair_agreement": 0.2,
    "n_components": 3,
}
OTHER = {
    "spread": 0.4,
    "initialization": "reference",
    "lambda_pair": 7.0,
    "stage1_patience": 1,
    "pair_space": "pca",
    "pair_agreement": 0.95,
    "metric": "manhattan",
    "search": "exact",
    "n_trees": 1,
    "average_epochs": 1,
    "n_samples": 12,
    "pool_size": 20,
    "k1": 6,
    "k2": 6,
    "cap_neighbors": False,
}
# What a change needs beside it to be felt at all in a fit of this size.
WITH = {
    "n_trees": {"k1": 4, "k2": 4},
    "cap_neighbors": {"k1": 14, "k2": 14},
    "relu_output": {"initialization": "reference", "identity_start": False, "spread": 0.02},
    "stage1_patience": {"stage1_epochs": 4, "stage1_learning_rate": 1e-9},
}
PINNED = {
    "content loss": 2.0569e-4,
    "reconstruction loss": 5.93387,
    "critic loss": 6.73493,
    "penalty": 0.678116,
    "generator loss": -0.440319,
    "pair loss": 0.206725,
    "pairs": 321,
    "content": 0.0428526,
    "corrected": 0.139349,
    "components": 0.11896,
}


NAMES = [entry.name for entry in fields(Hyperparameters)]
# What is not looked at before the pairs: fits that differ in these alone share one stage I.
AFTER_STAGE1 = {"critic_hidden", *NAMES[NAMES.index("k1") : NAMES.index("seed")]}
# Tested where it can be felt: tests/test_all_genes.py, test_few_pairs.py, test_waiting.py.
ELSEWHERE = ("chunk_genes", "clip_output", "few_cells", "least_explained", "least_paired")


@pytest.fixture(scope="module")
def three_batches():
    """90 cells x 12 genes: three types, each batch shifted its own way."""
    rng = np.random.default_rng(3)
    types, batches = np.arange(90) % 3, np.arange(90) // 30
    centres, shifts = rng.uniform(0, 3, (3, 12)), rng.uniform(0, 0.7, (3, 12))
    cells = np.maximum(centres[types] + shifts[batches] + rng.normal(0, 0.3, (90, 12)), 0)
    obs = pd.DataFrame({"batch": [f"b{i}" for i in batches]}, index=[f"cell{i}" for i in range(90)])
    return anndata.AnnData(cells.astype("float32"), obs)


def outcome(adata, **changes):
    """All that a fit gives: losses, pairs and outputs as one flat list of arrays."""
    model = IMAP(**{**SMALL, **changes})
    result = model.fit_transform(adata, verbose=0)
    tables = [table.drop(columns="batch", errors="ignore") for table in model.history.values()]
    pairs = [model.pairs[name] for name in sorted(model.pairs)]
    outputs = [result.obsm["X_imap_content"], result.layers["imap"], result.obsm["X_imap"]]
    return [np.asarray(part, float) for part in (*tables, *pairs, *outputs)]


def equal(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.fixture(scope="module")
def usual(three_batches):
    """What fits give, each made once: of two batches, of three where it takes three to see."""
    fits, stages = {}, {}

    def shared_stage1(cells, codes, hp, verbose, strategy=None):
        key = (len(cells), *(getattr(hp, name) for name in NAMES if name not in AFTER_STAGE1))
        if key not in stages:
            stages[key] = train_stage1(cells, codes, hp, verbose)
        return stages[key]

    def of(n_batches=2, **changes):
        key = (n_batches, *sorted(changes.items()))
        if key not in fits:
            fits[key] = outcome(three_batches[: 30 * n_batches], **changes)
        return fits[key]

    tf.config.run_functions_eagerly(True)
    with mock.patch("imap_keras.imap.model.train_stage1", shared_stage1):
        yield of
    tf.config.run_functions_eagerly(False)


def changed(name):
    """Another value of a hyperparameter."""
    if name in OTHER:
        return OTHER[name]
    value = SMALL.get(name, getattr(Hyperparameters(), name))
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return tuple(width + 1 for width in value)
    return value + 1 if isinstance(value, int) else 2 * value


@pytest.mark.filterwarnings("ignore:Batch")
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ELSEWHERE])
def test_every_hyperparameter_does_something(name, usual):
    beside = dict(WITH.get(name, {}))
    if name == "incremental":
        beside["n_batches"] = 3
    assert not equal(usual(**beside, **{name: changed(name)}), usual(**beside))


def test_the_same_seed_repeats(usual, three_batches, eagerly):
    with mock.patch("imap_keras.imap.model.train_stage1", train_stage1):  # nothing shared
        assert equal(outcome(three_batches[:60]), usual())


def test_ten_numbers_of_a_tiny_fit(three_batches, eagerly):
    """A change of a default, of a draw or of Keras that moves a fit shows here first."""
    model = IMAP(**SMALL, search="exact", seed=1, stage1_learning_rate=0.02, stage2_learning_rate=0.02)
    result = model.fit_transform(three_batches, verbose=0)
    stage1, stage2 = (table.iloc[-1] for table in model.history.values())
    found = {
        "content loss": stage1["content_loss"],
        "reconstruction loss": stage1["reconstruction_loss"],
        "critic loss": stage2["critic_loss"],
        "penalty": stage2["gradient_penalty"],
        "generator loss": stage2["generator_loss"],
        "pair loss": stage2["pair_loss"],
        "pairs": model.pair_counts["rwmnn"].sum(),
        "content": np.abs(result.obsm["X_imap_content"]).mean(),
        "corrected": np.abs(result.layers["imap"] - result.X).mean(),
        "components": np.abs(result.obsm["X_imap"]).mean(),
    }
    assert found == pytest.approx(PINNED, rel=1e-3)
