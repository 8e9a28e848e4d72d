"""What a GPU changes, as far as it can be seen without one: XLA is left out, sums keep their order."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config

from imap_keras.nn.backend import same_every_time
from imap_keras.nn.fitting import fit_network


class Watched(keras.callbacks.Callback):
    """Notes, in the middle of training, whether TensorFlow keeps the order of sums."""

    def on_train_batch_end(self, batch, logs=None):
        self.kept = config.is_op_determinism_enabled()


def line(jit_compile=False):
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    network.compile("sgd", "mse", jit_compile=jit_compile)
    return network


def trained(network):
    watched, rows = Watched(), tf.data.Dataset.from_tensors((np.ones((4, 3)), np.ones(4)))
    fit_network(network, rows, 1, "a line", callbacks=[watched])
    return watched.kept


@pytest.fixture
def a_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["a GPU"])
    yield
    config.disable_op_determinism()


def test_no_network_is_compiled_by_xla():
    # Keras 3 asks for it of its own accord where there is a GPU; stage II failed there.
    network = line(jit_compile=True)
    assert network.jit_compile
    trained(network)
    assert not network.jit_compile


def test_on_a_gpu_sums_keep_their_order_while_trained(a_gpu):
    assert trained(line()) and not config.is_op_determinism_enabled()


def test_and_no_longer_where_training_fails(a_gpu):
    with pytest.raises(ZeroDivisionError), same_every_time():
        assert config.is_op_determinism_enabled()
        raise ZeroDivisionError
    assert not config.is_op_determinism_enabled()


def test_who_wants_it_for_all_of_the_program_keeps_it(a_gpu):
    tf.config.experimental.enable_op_determinism()
    assert trained(line()) and config.is_op_determinism_enabled()


def test_a_cpu_is_left_as_it_is():
    assert not trained(line())


@pytest.mark.parametrize("own, kept", [(None, "true"), ("false", "false")])
def test_processes_share_the_memory_of_a_gpu_unless_told_otherwise(own, kept):
    name = "TF_FORCE_GPU_ALLOW_GROWTH"
    environment = {key: value for key, value in os.environ.items() if key != name}
    environment |= {} if own is None else {name: own}
    script = f"import os, imap_keras.nn.backend; print(os.environ['{name}'])"
    ran = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == kept
