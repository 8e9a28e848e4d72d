"""IMAP.map_query: a new batch joins a fitted integration, and nothing that was there moves."""

import copy
import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import TINY

import imap_keras
import imap_keras.imap.query_batch
import imap_keras.inputs.writing
from imap_keras import IMAP
from imap_keras.imap.pairs import NoPairsError
from imap_keras.nn.fitting import run


@pytest.fixture(scope="module", autouse=True)
def no_graphs():
    """Building graphs takes longer than these fits."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def split(logged):
    is_query = (logged.obs["batch"] == "batch_2").to_numpy()
    return logged[~is_query].copy(), logged[is_query].copy()


def arrays(model):
    networks = {"encoder": model.encoder, "g1": model.batch_decoder, "g2": model.content_decoder}
    networks |= {"pca": model.pca, **model.generators}
    return {name: network.get_weights() for name, network in networks.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("before")


@pytest.fixture(scope="module")
def mapped(split, folder):
    """A model of two batches, its weights before, what it gave before; then a third batch mapped."""
    model = IMAP(**TINY).fit(split[0], verbose=0)
    model.save(folder)
    before = arrays(model)
    earlier = model.transform(split[0])
    order = list(model.order)
    result = model.map_query(split[1], reference=split[0], verbose=0)
    return model, before, earlier, order, result


def test_encoder_and_all_that_was_fitted_keep_their_bits(mapped, split):
    model, before, earlier, _, _ = mapped
    after = arrays(model)
    assert set(after) == {*before, "batch_2"}
    for name, weights in before.items():
        assert all(np.array_equal(a, b) for a, b in zip(weights, after[name], strict=True)), name
    again = model.transform(split[0])
    np.testing.assert_array_equal(again.layers["imap"], earlier.layers["imap"])
    for key in ("X_imap", "X_imap_content"):
        np.testing.assert_array_equal(again.obsm[key], earlier.obsm[key])


def test_the_new_cells_go_through_the_new_generator(mapped, split):
    model, _, _, order, result = mapped
    assert model.order == [*order, "batch_2"]
    x = split[1].X.toarray()
    carried = run(model.generators["batch_2"], x)
    np.testing.assert_array_equal(result.layers["imap"], np.maximum(carried, 0))
    np.testing.assert_array_equal(result.obsm["X_imap_content"], run(model.encoder, x))
    assert np.abs(result.layers["imap"] - x).max() > 1e-3
    assert list(result.obs_names) == list(split[1].obs_names)


def test_pairs_join_new_cells_with_corrected_reference_cells(mapped, split):
    model, pairs = mapped[0], mapped[0].pairs["batch_2"]
    n = split[0].n_obs
    assert (pairs[:, 0] >= n).all() and (pairs[:, 1] < n).all()
    assert pairs.max() < n + split[1].n_obs
    assert model.pair_counts["batch"].tolist() == model.order[1:]
    assert model.pair_counts["rwmnn"].iloc[-1] == len(pairs)
    assert model.history["stage2"]["batch"].unique().tolist() == model.order[1:]


def test_a_model_from_disk_maps_the_same_way(mapped, split, folder):
    """With what transform gave back as reference, in place of what fit read."""
    result = IMAP.load(folder).map_query(split[1], reference=mapped[2], verbose=0)
    np.testing.assert_array_equal(result.layers["imap"], mapped[4].layers["imap"])


def test_a_mapped_batch_is_saved_with_the_model(mapped, split, tmp_path):
    model = mapped[0]
    model.save(tmp_path / "model")
    loaded = IMAP.load(tmp_path / "model")
    assert loaded.order == model.order
    result = loaded.transform(split[1])
    np.testing.assert_array_equal(result.layers["imap"], mapped[4].layers["imap"])
    np.testing.assert_array_equal(loaded.pairs["batch_2"], model.pairs["batch_2"])
    pd.testing.assert_frame_equal(loaded.pair_counts, model.pair_counts)


@pytest.mark.parametrize("suffix", ("h5ad", "zarr"))
def test_new_cells_may_go_into_a_file(mapped, split, folder, tmp_path, suffix):
    """From a path to a path, as transform does it."""
    split[1].write_h5ad(tmp_path / "new.h5ad")
    out = IMAP.load(folder).map_query(
        tmp_path / "new.h5ad", split[0], verbose=0, out=tmp_path / f"result.{suffix}"
    )
    result = getattr(anndata, f"read_{suffix}")(out)
    assert list(result.obsm) == ["X_imap"] and not result.layers and result.X is None
    np.testing.assert_array_equal(result.obsm["X_imap"], mapped[4].obsm["X_imap"])
    only = IMAP.load(folder).map_query(split[1], split[0], verbose=0, keep="imap")
    np.testing.assert_array_equal(only.layers["imap"], mapped[4].layers["imap"])
    assert not only.obsm


def test_without_incremental_the_anchor_alone_is_paired(mapped, split, monkeypatch):
    model = copy.copy(mapped[0])
    model.order = model.order[:2]
    model.generators = {model.order[1]: model.generators[model.order[1]]}
    model.hyperparameters = IMAP(
        **model.hyperparameters.as_dict() | {"incremental": False}
    ).hyperparameters
    seen = {}

    def find(content, expression, query, anchor, hp, number, searched_content):
        seen.update(anchor=anchor, query=query, number=number)
        raise NoPairsError("stop")

    monkeypatch.setattr(imap_keras.imap.query_batch, "find_pairs", find)
    with pytest.raises(
        NoPairsError, match=rf"batch 'batch_2' and the anchor \['{model.order[0]}'\]: stop"
    ):
        model.map_query(split[1], reference=split[0], verbose=0)
    labels = split[0].obs["batch"].to_numpy()
    np.testing.assert_array_equal(seen["anchor"], np.flatnonzero(labels == model.order[0]))
    np.testing.assert_array_equal(seen["query"], len(labels) + np.arange(split[1].n_obs))
    assert seen["number"] == 1
    lacking = split[0][labels != model.order[0]]
    with pytest.raises(ValueError, match=f"no cell of the anchor '{model.order[0]}'"):
        model.map_query(split[1], reference=lacking, verbose=0)


# ------------------------------------------------------------------ refusals


@pytest.fixture
def no_training(monkeypatch):
    def reached(*args, **kwargs):
        pytest.fail("training started")

    monkeypatch.setattr(imap_keras.imap.few_pairs, "train_stage2", reached)


def test_what_cannot_be_mapped_is_refused_first(
    mapped, split, logged, no_training, tmp_path, monkeypatch
):
    model, query = copy.copy(mapped[0]), split[1].copy()
    order = list(model.order)
    query.obs["batch"] = "batch_9"
    with pytest.raises(ValueError, match="reference=None, but a model keeps no cells"):
        model.map_query(query)
    with pytest.raises(ValueError, match=r"'batch_0' was fitted already.*another name"):
        model.map_query(logged, reference=split[0])
    with pytest.raises(KeyError, match="'donor' is not a column"):
        model.map_query(query, reference=split[0], batch_key="donor")
    with pytest.raises(ValueError, match="'batch_9' has 9 cells"):
        model.map_query(query[:9], reference=split[0])
    with pytest.raises(ValueError, match="1 of the .* fitted genes are missing"):
        model.map_query(query[:, 1:], reference=split[0])
    raw = query.copy()
    raw.X = raw.layers["counts"]
    with pytest.raises(ValueError, match="like counts"):
        model.map_query(raw, reference=split[0])
    with pytest.raises(ValueError, match="'batch_9' was not fitted"):
        model.map_query(query[:20], reference=query)
    (tmp_path / "there.zarr").mkdir()
    for options, error, message in (
        ({"out": tmp_path / "there.zarr"}, FileExistsError, "exists already; remove it"),
        ({"out": tmp_path / "result.txt"}, ValueError, "must end in .h5ad or .zarr"),
        ({"keep": "X_pca"}, ValueError, r"keep=\('X_pca',\) must name some of"),
        ({"dtype": "float64"}, ValueError, "dtype='float64'"),
    ):
        with pytest.raises(error, match=message):
            model.map_query(query, reference=split[0], **options)
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(imap_keras.inputs.writing.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="free on that disk"):
        model.map_query(query, reference=split[0], out=tmp_path / "result.zarr")
    assert model.order == order
    with pytest.raises(RuntimeError, match="not fitted yet"):
        IMAP().map_query(query, reference=split[0])
