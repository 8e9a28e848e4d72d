"""Training on several replicas does what training on one does: tf.distribute."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

import imap_keras
from imap_keras import scarches
from imap_keras.nn.blocks import BatchNorm
from imap_keras.nn.replicas import fit_replicas, shares

PROGRAM = Path(__file__).parent / "replica_runs.py"
KERAS_3 = keras.__version__.startswith("3.")


def started(out: Path, what: str, **environment) -> subprocess.Popen:
    root = str(PROGRAM.parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "-1"} | environment
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, PROGRAM, out, what], env=environment, **quiet)


def found(process: subprocess.Popen, out: Path) -> dict:
    """What a process found out, or the end of what it said."""
    try:
        said, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, said[-3000:]
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    """Two logical devices of this machine."""
    out = tmp_path_factory.mktemp("mirrored") / "found.json"
    return found(started(out, "mirrored"), out)


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """Two processes that know each other by TF_CONFIG."""
    folder, ports = tmp_path_factory.mktemp("workers"), []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    running = []
    for index in range(2):
        config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        out = folder / f"{index}.json"
        running.append((started(out, "worker", TF_CONFIG=json.dumps(config)), out))
    try:
        return [found(*each) for each in running]
    finally:
        for process, _ in running:
            process.kill()


@pytest.mark.parametrize("network", ["stage1", "cvae"])
def test_a_step_on_two_replicas_of_half_the_rows_is_that_on_one_of_all(mirrored, network):
    """Along the gradient itself: batch normalisation, MMD, noise, labels and weight decay among it."""
    difference, moved = mirrored[f"{network} step"]
    assert moved > 1e-2
    assert difference < 1e-5 * moved


def test_some_steps_of_adam_on_two_replicas_lose_what_those_on_one_lose(mirrored):
    for one, both in mirrored["losses"]:
        assert one.keys() == both.keys() and len(one["epoch"]) == 3
        for name in one:
            assert both[name] == pytest.approx(one[name], rel=1e-5), name


def test_some_steps_of_adam_on_two_replicas_give_the_networks_of_one(mirrored):
    """Biases before a batch normalisation have no gradient but rounding: stage I by what it encodes."""
    for name in ("content", "cvae"):
        difference, extent = mirrored[name]
        assert extent > 1e-3
        assert difference < 1e-5 if name == "cvae" else difference < 1e-4 * extent, name


def test_replicas_hold_the_same_weights_to_the_bit(mirrored):
    assert mirrored["replicas"] == [2]
    assert mirrored["replicas apart"] == 0


def test_a_strategy_made_after_the_model_trains_it_and_leaves_plain_networks(mirrored):
    assert mirrored["mapped"] < 1e-5
    assert mirrored["kinds after"] == ["ResourceVariable"]


def test_two_workers_give_the_model_that_two_devices_give(workers, mirrored):
    first, second = workers
    assert first["workers"] == second["workers"] == first["waited"] == 2
    assert first["losses"] == second["losses"]
    assert first["weights"] == second["weights"]
    for (_, both), apart in zip(mirrored["losses"], first["losses"], strict=True):
        for name in both:
            if KERAS_3 or "val" not in name:
                assert apart[name] == pytest.approx(both[name], rel=1e-4), name


def test_rows_that_the_replicas_do_not_divide_are_an_error(mirrored):
    assert mirrored["7 rows"] == (
        "ValueError: stage1_rows=7 gives 7 rows of each batch a step, which 2 replicas cannot share "
        "evenly; choose it so that each batch gives a multiple of 2, such as 8."
    )
    assert mirrored["27 rows"] == (
        "ValueError: batch_size=27 for 3 batches gives 9 rows of each batch a step, which 2 replicas "
        "cannot share evenly; choose it so that each batch gives a multiple of 2, such as 10."
    )


def test_what_is_no_strategy_is_an_error(mirrored):
    assert mirrored["a name"] == (
        "TypeError: strategy is a str; hand in a tf.distribute.MirroredStrategy (the devices of this "
        "machine) or a tf.distribute.MultiWorkerMirroredStrategy (several machines), or None."
    )


def test_the_scope_of_a_strategy_is_an_error(mirrored):
    assert set(mirrored["in scope"]) == {
        "RuntimeError: This is the scope of a tf.distribute strategy. Leave it, and hand the strategy "
        "over: IMAP.fit, scarches.Reference.fit and map_query take strategy=...; nothing else here "
        "trains on replicas."
    }
    assert len(mirrored["in scope"]) == 3


@pytest.mark.skipif(not KERAS_3, reason="Keras 2 has no keras.distribution")
def test_keras_distribution_is_an_error(mirrored):
    assert mirrored["keras.distribution"] == (
        "RuntimeError: keras.distribution is set to a DataParallel, which on TensorFlow distributes "
        "nothing and does not say so. Call keras.distribution.set_distribution(None), and hand a "
        "tf.distribute.MirroredStrategy to fit."
    )


def test_both_classes_hand_the_strategy_over(logged, counts, tiny, eagerly):
    """One device is a strategy, too."""
    quick = {"stage1_epochs": 1, "stage2_epochs": 1, "stage2_steps": 3}
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    trained = mock.patch("imap_keras.nn.fitting.fit_replicas", wraps=fit_replicas)
    one = {"strategy": None, "verbose": 0}, {"strategy": strategy, "verbose": 0}
    with trained as calls:
        plain, both = (imap_keras.IMAP(**tiny | quick).fit(logged, **told) for told in one)
        assert calls.call_count == 1  # stage II trains without
    np.testing.assert_allclose(both.history["stage1"], plain.history["stage1"], rtol=1e-4)
    assert both.history["stage2"]["epoch"].tolist() == plain.history["stage2"]["epoch"].tolist()
    with trained as calls:
        small = {"hidden": (8,), "epochs": 1, "dropout": 0.0}  # see SharedDropout
        plain, both = (scarches.Reference(**small).fit(counts, **told) for told in one)
        assert calls.call_count == 1
    stopped = mock.patch.object(imap_keras.IMAP, "fit", side_effect=InterruptedError)
    with stopped as fit, pytest.raises(InterruptedError):
        imap_keras.IMAP().fit_transform(logged, client="tcp://10.0.0.1:8786", strategy=strategy)
    assert fit.call_args.args[-2:] == ("tcp://10.0.0.1:8786", strategy)
    names = ["loss", "kl", "mmd", "val_loss"]
    np.testing.assert_allclose(both.history[names], plain.history[names], rtol=1e-4)


def test_each_share_holds_rows_of_every_batch():
    rows = tf.reshape(tf.range(24), (12, 2))  # three batches of four rows
    halves = shares(rows, n_groups=3, n=2).numpy()
    assert halves[:, :, 0].tolist() == [[0, 2, 8, 10, 16, 18], [4, 6, 12, 14, 20, 22]]
    np.testing.assert_array_equal(
        shares(tf.constant(halves.reshape(12, 2)), 2, 3).numpy().reshape(12, 2), rows
    )


def test_a_momentum_given_to_one_call_reaches_no_other():
    """Replicas call a layer in turns; the call that ends last must not leave its momentum behind."""
    layer = BatchNorm(momentum=0.9)
    rows = np.ones((4, 2), "float32")
    layer(rows, training=True, momentum=0.5)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.5, rtol=1e-6)
    assert layer.momentum == layer.get_config()["momentum"] == 0.9
    layer(rows, training=True)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.55, rtol=1e-6)
