"""Saved models come back equal, and an interrupted save leaves the older one."""

import copy
import json
import os

import keras
import numpy as np
import pandas as pd
import pytest

from imap_keras import IMAP
from imap_keras.nn.persistence import load_models, save_models


@pytest.fixture
def saved(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def other(fitted):
    """Another model than `fitted`: its two generators are swapped."""
    model = copy.copy(fitted)
    first, second = fitted.order[1:]
    model.generators = {first: fitted.generators[second], second: fitted.generators[first]}
    return model


def corrected(model, logged):
    return model.transform(logged).layers["imap"]


def test_a_loaded_model_transforms_to_exactly_the_same(saved, logged, integrated):
    result = IMAP.load(saved).transform(logged)
    np.testing.assert_array_equal(result.layers["imap"], integrated.layers["imap"])
    for key in ("X_imap", "X_imap_content"):
        np.testing.assert_array_equal(result.obsm[key], integrated.obsm[key])


def test_a_loaded_model_knows_all_it_knew(saved, fitted):
    loaded = IMAP.load(saved)
    assert loaded.hyperparameters == fitted.hyperparameters
    assert (loaded.order, loaded.genes, loaded.batch_key) == (fitted.order, fitted.genes, "batch")
    pd.testing.assert_frame_equal(loaded.pair_counts, fitted.pair_counts)
    for stage in ("stage1", "stage2"):
        pd.testing.assert_frame_equal(loaded.history[stage], fitted.history[stage])
    for name, pairs in fitted.pairs.items():
        np.testing.assert_array_equal(loaded.pairs[name], pairs)
    for part in ("encoder", "content_decoder", "batch_decoder", "pca"):
        weights = zip(
            getattr(loaded, part).get_weights(), getattr(fitted, part).get_weights(), strict=True
        )
        assert all(np.array_equal(a, b) for a, b in weights)


def test_a_loaded_model_can_be_saved_again(saved, tmp_path, logged, integrated):
    IMAP.load(saved).save(tmp_path / "copy")
    again = corrected(IMAP.load(tmp_path / "copy"), logged)
    np.testing.assert_array_equal(again, integrated.layers["imap"])


def test_numpy_numbers_as_hyperparameters_can_be_saved(fitted, tmp_path):
    model = copy.copy(fitted)
    changes = {"seed": np.int64(3), "lambda_pair": np.float32(0.5)}
    model.hyperparameters = fitted.hyperparameters.changed(**changes)
    model.save(tmp_path / "model")
    loaded = IMAP.load(tmp_path / "model").hyperparameters
    assert (loaded.seed, loaded.lambda_pair) == (3, 0.5)


def test_the_folder_holds_keras_files_and_one_json(saved, fitted):
    suffixes = [path.suffix for path in saved.iterdir()]
    assert sorted(suffixes) == [".json"] + [".keras"] * (4 + len(fitted.generators))


def test_a_second_save_removes_the_older_files(saved, other, logged):
    older = {path.name for path in saved.glob("*.keras")}
    other.save(saved)
    newer = {path.name for path in saved.glob("*.keras")}
    assert len(newer) == len(older) and not newer & older
    np.testing.assert_array_equal(corrected(IMAP.load(saved), logged), corrected(other, logged))


def test_a_save_leaves_the_users_own_files_in_the_folder(fitted, saved):
    for name in ("my_network.keras", "notes.txt"):
        (saved / name).write_text("mine")
    fitted.save(saved)
    assert (saved / "my_network.keras").is_file()
    assert (saved / "notes.txt").read_text() == "mine"


def failing_save(monkeypatch):
    save, calls = keras.Model.save, []

    def second_fails(self, *args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            raise OSError("disk full")
        return save(self, *args, **kwargs)

    monkeypatch.setattr(keras.Model, "save", second_fails)


def failing_rename(monkeypatch):
    def fails(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fails)


@pytest.mark.parametrize("interrupt", [failing_save, failing_rename])
def test_an_interrupted_save_leaves_the_older_model(
    saved, other, logged, integrated, interrupt, monkeypatch
):
    with monkeypatch.context() as broken:
        interrupt(broken)
        with pytest.raises(OSError, match="disk full"):
            other.save(saved)
    np.testing.assert_array_equal(corrected(IMAP.load(saved), logged), integrated.layers["imap"])
    assert not np.array_equal(corrected(other, logged), integrated.layers["imap"])

    assert len(list(saved.iterdir())) == 7  # nothing of the interrupted save
    other.save(saved)
    np.testing.assert_array_equal(corrected(IMAP.load(saved), logged), corrected(other, logged))
    assert len(list(saved.iterdir())) == 7
    assert {path.suffix for path in saved.iterdir()} == {".keras", ".json"}


@pytest.mark.parametrize("interrupt", [failing_save, failing_rename])
def test_an_interrupted_first_save_is_no_model(fitted, tmp_path, interrupt, monkeypatch):
    with monkeypatch.context() as broken:
        interrupt(broken)
        with pytest.raises(OSError, match="disk full"):
            fitted.save(tmp_path / "model")
    with pytest.raises(FileNotFoundError, match="not a saved model"):
        IMAP.load(tmp_path / "model")


# ------------------------------------------------------------------ damage


def test_a_folder_that_is_no_model(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=f"{folder} is not a saved model.*model.json"):
            IMAP.load(folder)


def test_a_folder_that_is_a_file(fitted, tmp_path):
    file = tmp_path / "model"
    file.write_text("mine")
    with pytest.raises(NotADirectoryError, match="model is a file"):
        fitted.save(file)
    with pytest.raises(FileNotFoundError, match="not a saved model"):
        IMAP.load(file)
    assert file.read_text() == "mine"


def test_a_missing_file_is_named(saved):
    gone = sorted(saved.glob("*.keras"))[0]
    gone.unlink()
    with pytest.raises(FileNotFoundError, match=rf"incomplete: {gone.name} \(encoder\) is missing"):
        IMAP.load(saved)


def test_a_truncated_keras_file_is_named(saved):
    file = sorted(saved.glob("*.keras"))[-1]
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"{file.name} \(generator:batch_\d\) is damaged"):
        IMAP.load(saved)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "imap"}', None], ids=repr)
def test_a_damaged_description_is_named(saved, text):
    file = saved / "model.json"
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2] if text is None else text)
    with pytest.raises(ValueError, match=r"model\.json is damaged"):
        IMAP.load(saved)


def test_another_kind_of_model_is_refused(tmp_path):
    cell = keras.Input((2,))
    network = keras.Model(cell, keras.layers.Dense(1)(cell))
    save_models(tmp_path, "toy", {"network": network}, {"n": 1})
    with pytest.raises(ValueError, match="kind 'toy', expected 'imap'"):
        IMAP.load(tmp_path)
    models, info = load_models(tmp_path, "toy")
    assert info == {"n": 1}
    x = np.array([[1.0, 2.0]], "float32")
    np.testing.assert_array_equal(models["network"](x), network(x))


def test_a_model_of_another_kind_is_not_replaced(fitted, tmp_path):
    network = keras.Model(*2 * [keras.Input((2,))])
    save_models(tmp_path, "toy", {"network": network}, {"n": 1})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    told = "holds a model of kind 'toy', which a model of kind 'imap' would replace"
    with pytest.raises(FileExistsError, match=told):
        fitted.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_description_names_every_file_with_its_hash(saved):
    told = json.loads((saved / "model.json").read_text())
    assert told["kind"] == "imap" and told["keras"] == keras.__version__
    files = {entry["file"] for entry in told["models"].values()}
    assert files == {path.name for path in saved.glob("*.keras")}
    assert all(len(entry["sha256"]) == 64 for entry in told["models"].values())
