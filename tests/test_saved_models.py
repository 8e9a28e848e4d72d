"""Models saved by version 0.1.0, before the package was laid out in folders, still load."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

SAVED = Path(__file__).parent / "saved"
specification = importlib.util.spec_from_file_location("make_saved", SAVED / "make.py")
make = importlib.util.module_from_spec(specification)
specification.loader.exec_module(make)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    shutil.unpack_archive(make.ARCHIVE, folder)
    return folder


@pytest.fixture(scope="module")
def now(folder):
    return make.outputs(folder)


@pytest.fixture(scope="module")
def then(folder):
    with np.load(folder / "outputs.npz") as file:
        return dict(file)


def test_every_kind_of_model_was_saved(folder, now, then):
    assert set(now) == set(then)
    assert {path.name for path in folder.iterdir()} == {*make.CLASSES, "adaptor", "outputs.npz"}


@pytest.mark.parametrize(
    "name",
    ["imap", "imap_components", "scarches", "scarches_adaptor", "inclust", "omics", "bayes", "regions"],
)
def test_saved_model_gives_what_it_gave(name, now, then):
    assert now[name].shape == then[name].shape
    assert np.ptp(then[name]) > 0
    np.testing.assert_allclose(now[name], then[name], rtol=0, atol=1e-6)


def test_saved_models_are_small():
    size = sum(path.stat().st_size for path in SAVED.iterdir() if path.is_file())
    assert size < 300_000


def test_a_reference_saved_before_its_details_had_names_keeps_them(folder):
    model = make.CLASSES["scarches"].load(folder / "scarches")
    hp = model.hyperparameters
    assert (hp.mmd_widths, hp.query_learning_rate, hp.norm_epsilon) == ("decades", 3e-2, 1e-3)
    assert (hp.corrected_epsilon, hp.decoder_bias, hp.query_epochs) == (False, True, None)
    counts, _ = make.cells()
    with pytest.raises(ValueError, match="saved by version 0.1.0"):
        model.novelty(counts[counts.obs["batch"] == model.batches[0]].copy())
