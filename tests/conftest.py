"""Shared by all tests: quiet TensorFlow, figures without a screen, one tiny data set, one tiny fit."""

import os
import shutil
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["MPLBACKEND"] = "Agg"
# scIB's measures compile for half a minute in each program: what one compiled, all other tests take,
# in either environment and in the notebooks that they run.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).resolve().parents[1] / "build" / "compiled_by_jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")

import keras
import numpy as np
import pytest
import tensorflow as tf

import imap_keras
from imap_keras.datasets import cache_folder, registry

TINY = {
    "latent_dim": 4,
    "hidden": (16, 8),
    "critic_hidden": (16, 16),
    "stage1_epochs": 3,
    "stage1_steps": 4,
    "stage1_rows": 16,
    "stage1_learning_rate": 5e-3,
    "stage1_patience": None,
    "stage2_epochs": 2,
    "stage2_steps": 6,
    "stage2_rows": 32,
    "critic_steps": 3,
    "n_samples": 3000,
    "k1": 5,
    "k2": 5,
    "walk_length": 3,
    "few_cells": 0,
    "search": "exact",
    "incremental": True,
    "n_components": 5,
    "seed": 0,
}


def pytest_configure(config):
    # `eagerly` below concerns the networks only; TensorFlow warns that tf.data is left out.
    config.addinivalue_line("filterwarnings", "ignore:.*experimental_run_functions_eagerly")


@pytest.fixture
def tiny():
    """Hyperparameters of a fit that takes seconds, to be changed at will."""
    return dict(TINY)


@pytest.fixture(scope="session")
def counts():
    """Simulated counts, 3 batches of 40 cells, the batches interleaved."""
    adata = imap_keras.datasets.simulate(n_cells=120, n_genes=60, n_batches=3, n_types=3, seed=1)
    return adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()


@pytest.fixture(scope="session")
def logged(counts):
    """`counts` after preprocessing. Shared: copy before changing it."""
    return imap_keras.preprocess(counts, min_genes=5, verbose=0)


@pytest.fixture(scope="session")
def fitted(logged):
    """One tiny fit. Shared: ``copy.copy`` it before changing an attribute."""
    before = tf.config.functions_run_eagerly()  # a module that trains so may be the first to ask for it
    tf.config.run_functions_eagerly(False)
    model = imap_keras.IMAP(**TINY).fit(logged, verbose=0)
    tf.config.run_functions_eagerly(before)
    return model


@pytest.fixture(scope="session")
def integrated(fitted, logged):
    return fitted.transform(logged)


@pytest.fixture
def eagerly():
    """Train without building TensorFlow graphs, which takes longer than a tiny fit itself."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def randomize():
    """Give a network weights of visible size; started as they are, most outputs would be about 0."""

    def change(network: keras.Model, seed: int = 0) -> keras.Model:
        rng = np.random.default_rng(seed)
        for variable in network.weights:
            value = rng.normal(0, 0.4, variable.shape)
            if "variance" in variable.name or "gamma" in variable.name:
                value = 0.5 + np.abs(value)
            variable.assign(value.astype("float32"))
        return network

    return change


@pytest.fixture(scope="session")
def real_data():
    """Call it with the name of a data set: the test is skipped where its files are not at hand."""

    def need(name: str):
        files = registry().query("dataset == @name")["file"]
        assert len(files), f"no data set {name!r} in the registry"
        if not (cache_folder() / files.iloc[0]).is_file():
            pytest.skip(f"{name} is not in {cache_folder()} (set IMAP_KERAS_DATA)")

    return need


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; the test is skipped where there is none."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium here (Debian: apt install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    with playwright.sync_playwright() as driver:
        chosen = driver.chromium.launch(executable_path=chromium, args=quiet)
        yield chosen
        chosen.close()
