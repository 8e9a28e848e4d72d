"""The terminal stays quiet, and what cannot train is refused before any work, in one place."""

import os
import subprocess
import sys

import keras
import pytest

import imap_keras
from imap_keras import IMAP, bayes, inclust, omics, regions, scarches
from imap_keras.imap.training import train_stage1
from imap_keras.nn import backend
from imap_keras.nn.fitting import fit_network, run
from imap_keras.nn.quiet import LEVEL, STARTUP, quiet_start

MODELS = pytest.mark.parametrize(
    "kind",
    [
        IMAP,
        scarches.Reference,
        inclust.InClust,
        omics.MultiOmics,
        bayes.BayesianClassifier,
        regions.RegionClassifier,
    ],
    ids=lambda kind: kind.__name__,
)

SCRIPT = """
import imap_keras
adata = imap_keras.datasets.simulate(n_cells=60, n_genes=20, n_batches=2, n_types=2)
adata = imap_keras.preprocess(adata, min_genes=1)
small = dict(latent_dim=4, hidden=(8,), critic_hidden=(8,), stage1_epochs=1, stage1_steps=1, k1=5, k2=5)
small |= dict(stage2_epochs=1, stage2_steps=1, critic_steps=1, search="exact", n_components=3)
small |= dict(few_cells=0)  # so few pairs would rightly be warned of
imap_keras.integrate(adata, **small)
"""


def python(script, **changes):
    environment = {name: value for name, value in os.environ.items() if name != LEVEL}
    return subprocess.run(
        [sys.executable, "-c", script], env=environment | changes, capture_output=True, text=True
    )


def test_a_plain_script_prints_the_kits_own_lines_and_nothing_else():
    ran = python(SCRIPT)
    assert ran.stderr == "" and ran.returncode == 0
    lines = ran.stdout.replace("\r", "\n").split("\n")
    kinds = ("60 of 60 cells kept", "stage I:", "stage II, batch_")
    assert all(line.startswith(kinds) for line in lines if line.strip()), ran.stdout


def test_the_whole_graph_of_stage_one_is_optimised(logged, tiny, capfd):
    """Else TensorFlow says "remapper failed" and leaves the graph as it is."""
    codes = logged.obs["batch"].cat.codes.to_numpy()
    hp = IMAP(**tiny | {"stage1_epochs": 1, "stage1_steps": 1}).hyperparameters
    train_stage1(logged.X.toarray(), codes, hp, verbose=0)
    err = capfd.readouterr().err
    assert "remapper failed" not in err and "Ignoring multi-device" not in err


def test_only_tensorflows_own_lines_are_dropped(monkeypatch, capfd):
    monkeypatch.delenv(LEVEL)
    with quiet_start():
        os.write(2, b"I0000 00:00:1795.3 22 port.cc:153] oneDNN custom operations are on.\nmine\n")
        os.write(2, b"2026-11-29 00:18:27.862181: E external/local_xla/xla/cuda_dnn.cc:9261] Unable\n")
        print("I am mine too", file=sys.stderr)
        assert os.environ[LEVEL] == "3"
    assert sorted(capfd.readouterr().err.splitlines()) == ["I am mine too", "mine"]
    monkeypatch.setenv(LEVEL, "1")
    with quiet_start():
        os.write(2, b"I0000 00:00:1795.3 22 port.cc:153] asked for\n")
    assert os.environ[LEVEL] == "1" and "asked for" in capfd.readouterr().err
    assert not STARTUP.match(b"I am")


@pytest.mark.parametrize("level", ["2", "3"])
def test_a_user_who_asks_for_more_silence_gets_it(monkeypatch, capfd, level):
    monkeypatch.setenv(LEVEL, level)
    with quiet_start():
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called\nmine\n")
    assert os.environ[LEVEL] == level and capfd.readouterr().err == "mine\n"


def test_an_import_is_silent_at_level_3_too():
    assert python("import imap_keras", **{LEVEL: "3"}).stderr == ""


def test_what_fails_on_the_way_is_told(monkeypatch, capfd):
    monkeypatch.delenv(LEVEL)
    with pytest.raises(KeyError), quiet_start():
        os.write(2, b"a warning\n")
        raise KeyError
    assert capfd.readouterr().err == "a warning\n"


# ------------------------------------------------------------------ another backend


@pytest.mark.skipif(keras.__version__.startswith("2."), reason="Keras 2 has one backend")
@pytest.mark.parametrize("name", ["torch", "pytorch"])
def test_a_backend_that_is_not_there_gets_the_kits_own_sentence(name):
    ran = python("import sys; sys.modules['torch'] = None\nimport imap_keras", KERAS_BACKEND=name)
    assert ran.stderr.splitlines()[-1] == (
        f"ImportError: Keras runs on the backend {name!r}, imap_keras needs 'tensorflow'. Set the "
        "environment variable KERAS_BACKEND=tensorflow before Python starts (or mend 'backend' in "
        "~/.keras/keras.json)."
    )


def test_the_backend_is_read_where_keras_reads_it(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert backend._configured_backend() == "tensorflow"
    for text, name in (('{"backend": "jax"}', "jax"), ("[]", "tensorflow"), ("{", "tensorflow")):
        (tmp_path / "keras.json").write_text(text)
        assert backend._configured_backend() == name
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert backend._configured_backend() == "torch"


# ------------------------------------------------------------------ precision


@pytest.fixture(params=["float64", "mixed_float16"])
def precision(request):
    policy = keras.mixed_precision.global_policy()
    if request.param == "float64":
        keras.backend.set_floatx("float64")
    else:
        keras.mixed_precision.set_global_policy("mixed_float16")
    yield {"float64": "float64 (its floatx)", "mixed_float16": "float16 (its precision policy)"}[
        request.param
    ]
    keras.backend.set_floatx("float32")
    keras.mixed_precision.set_global_policy(policy)


@MODELS
def test_another_precision_is_refused_before_the_data_are_looked_at(kind, precision):
    with pytest.raises(RuntimeError) as caught:
        kind.__new__(kind).fit()
    assert str(caught.value) == (
        f"Keras is set to {precision}; imap_keras trains in float32. Call "
        "keras.backend.set_floatx('float32') and keras.mixed_precision.set_global_policy('float32') "
        "first."
    )


def test_what_trains_without_such_a_class_is_checked_too(precision):
    with pytest.raises(RuntimeError, match="imap_keras trains in float32"):
        fit_network(None, None, 1, "a network")


# ------------------------------------------------------------------ fork


@MODELS
def test_a_forked_process_is_told_to_spawn(kind, monkeypatch, tmp_path):
    monkeypatch.setattr(backend, "_first_used_in", os.getpid() + 1)
    for call in (kind.__new__(kind).fit, lambda: kind.load(tmp_path), lambda: run(None, None)):
        with pytest.raises(RuntimeError) as caught:
            call()
        assert str(caught.value) == (
            "This process was forked from one that had used TensorFlow already, and would hang. Start "
            "workers with multiprocessing.get_context('spawn')."
        )


def test_the_process_that_trains_is_remembered(monkeypatch):
    monkeypatch.setattr(backend, "_first_used_in", None)
    backend.check_training()
    assert backend._first_used_in == os.getpid()
    backend.check_training()


def test_fit_keeps_its_name_and_arguments():
    assert IMAP.fit.__name__ == "fit" and "Train both stages" in IMAP.fit.__doc__
    assert imap_keras.IMAP.fit.__wrapped__.__qualname__ == "IMAP.fit"
