"""What a fit holds and reads is watched in a process of its own."""

import subprocess
from types import SimpleNamespace

import anndata
import numpy as np
import pytest

from imap_keras import IMAP
from imap_keras.course import watch as watch_module
from imap_keras.course.watch import watch
from imap_keras.imap import model as model_module
from imap_keras.inputs.cells import Cells


@pytest.fixture
def here(monkeypatch, capsys):
    """What :func:`watch` does, in this process."""
    for function in watch_module.STEPS:  # put back afterwards
        monkeypatch.setattr(model_module, function, getattr(model_module, function))
    monkeypatch.setattr(Cells, "block", Cells.block)

    def run(command, **options):
        exec(command[-1], {})
        return SimpleNamespace(returncode=0, stdout=capsys.readouterr().out)

    monkeypatch.setattr(subprocess, "run", run)


def test_a_fit_from_a_store_is_watched(logged, tmp_path, tiny, eagerly, here):
    logged.write_zarr(tmp_path / "cells.zarr")
    found = watch(tmp_path / "cells.zarr", tmp_path / "out", False, every=0.01, **tiny)
    names = ["open", "read", "stage I", "stage II", "components", "transform", "end"]
    assert list(found.steps) == names
    assert sorted(found.steps.values()) == list(found.steps.values())
    rows = (found.reads["stop"] - found.reads["start"]).tolist()
    assert sum(rows) == 2 * logged.n_obs  # once to train, once to carry
    begins = found.steps
    in_training = found.reads["seconds"].between(begins["stage I"], begins["components"])
    assert not in_training.any()
    assert (np.diff(found.memory["seconds"]) > 0).all()
    result = anndata.read_zarr(tmp_path / "out" / "result.zarr")
    model = IMAP.load(tmp_path / "out" / "model")
    expected = model.transform(logged).obsm["X_imap"]
    np.testing.assert_allclose(result.obsm["X_imap"], expected, atol=1e-6)


def test_what_fails_there_is_said_here(tmp_path):
    with pytest.raises(RuntimeError, match=r"failed \(exit 1\): FileNotFoundError: There is no file"):
        watch(tmp_path / "none.zarr", tmp_path / "out", False)
