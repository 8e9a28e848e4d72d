"""Mish, starting weights, BatchNorm with a momentum a call, inference in slices."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from imap_keras.imap.stage1 import build_encoder
from imap_keras.imap.stage2 import build_critic
from imap_keras.nn import backend
from imap_keras.nn.blocks import BatchNorm, Initializers, Mish, apply, dense_stack
from imap_keras.nn.fitting import make_variables, run
from imap_keras.nn.optimizer import adam


def layers_of(network, kind):
    return [layer for layer in network.layers if isinstance(layer, kind)]


@pytest.mark.parametrize("call", [backend.mish, Mish()], ids=["function", "layer"])
def test_mish_is_x_tanh_softplus(call):
    x = np.linspace(-8, 8, 65, dtype="float32")
    expected = x * np.tanh(np.log1p(np.exp(x.astype("float64"))))
    np.testing.assert_allclose(np.asarray(call(tf.constant(x))), expected, atol=1e-6)


def test_mish_comes_from_tensorflow_addons_where_it_imports():
    try:
        from tensorflow_addons.activations import mish as expected
    except ImportError:
        expected = keras.activations.mish
    assert backend.mish is expected


def test_another_keras_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ImportError, match=r"'jax'.*KERAS_BACKEND=tensorflow"):
        backend.backend_is_tensorflow()


def test_device_is_described_by_its_name(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert backend.describe_device() == "CPU"
    card = SimpleNamespace(name="/GPU:0")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [card])
    for details, expected in (({"device_name": "NVIDIA X"}, "NVIDIA X"), ({}, "/GPU:0")):
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu, d=details: d)
        assert backend.describe_device() == f"GPU: {expected}"


def test_zero_bias_starts_with_biases_0_and_gammas_1():
    network = build_encoder(400, 4, (300, 8), Initializers("zero_bias", 3))
    for dense in layers_of(network, keras.layers.Dense):
        kernel, bias = dense.get_weights()
        assert not bias.any()
    kernel = network.layers[1].get_weights()[0]
    assert kernel.mean() == pytest.approx(0, abs=5e-4)
    assert kernel.std() == pytest.approx(0.02, rel=0.02)
    for norm in layers_of(network, BatchNorm):
        gamma, beta, mean, variance = norm.get_weights()
        assert (gamma == 1).all() and not beta.any() and not mean.any() and (variance == 1).all()


def test_reference_biases_are_uniform_within_the_fan_in_and_gammas_near_1():
    network = build_encoder(400, 4, (300, 200), Initializers("reference", 3))
    for dense in layers_of(network, keras.layers.Dense):
        kernel, bias = dense.get_weights()
        limit = 1 / np.sqrt(kernel.shape[0])
        assert np.abs(bias).max() <= limit
        assert (bias != 0).all()
        assert kernel.std() == pytest.approx(0.02, rel=0.1)
    bias = network.layers[1].get_weights()[1]
    assert np.abs(bias).max() > 0.9 / np.sqrt(400)
    assert bias.std() == pytest.approx(1 / np.sqrt(400) / np.sqrt(3), rel=0.1)
    gamma, beta = layers_of(network, BatchNorm)[0].get_weights()[:2]
    assert gamma.mean() == pytest.approx(1, abs=0.005)
    assert gamma.std() == pytest.approx(0.02, rel=0.2)
    assert not beta.any()


@pytest.mark.parametrize("kind", ["zero_bias", "reference"])
def test_seed_decides_the_weights(kind):
    first, again, other = (
        build_critic(16, (16, 16), Initializers(kind, seed)).get_weights() for seed in (5, 5, 6)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    kernels = range(0, len(first), 2)
    assert not any(np.array_equal(first[i], other[i]) for i in kernels)


def test_layers_of_one_network_start_differently():
    first, second = build_critic(16, (16, 16), Initializers("reference", 0)).get_weights()[0:4:2]
    assert first.shape == second.shape
    assert not np.array_equal(first, second)


def test_networks_that_share_initializers_start_differently():
    init = Initializers("zero_bias", 0)
    first, second = (build_critic(16, (16,), init).get_weights()[0] for _ in range(2))
    assert not np.array_equal(first, second)


def test_unknown_initialization_is_refused():
    with pytest.raises(ValueError, match="initialization='xavier'.*zero_bias.*reference"):
        Initializers("xavier")


def test_dense_stack_puts_norm_and_mish_where_asked():
    stack = dense_stack(5, (8, 6, 2), Initializers(), (True, True, False), (True, False, False), "s")
    kinds = [type(layer).__name__ for layer in stack]
    assert kinds == ["Dense", "BatchNorm", "Mish", "Dense", "BatchNorm", "Dense"]
    assert [layer.units for layer in stack if kinds[stack.index(layer)] == "Dense"] == [8, 6, 2]
    assert (stack[1].momentum, stack[1].epsilon) == (0.9, 1e-5)


def test_batch_norm_momentum_of_one_call_moves_statistics_exactly():
    x = np.random.default_rng(0).normal(3, 2, (50, 4)).astype("float32")
    norm = BatchNorm(momentum=0.9, epsilon=1e-5)
    norm.build((None, 4))
    norm(x, training=True, momentum=0.25)
    mean, variance = norm.get_weights()[2:]
    np.testing.assert_allclose(mean, 0.75 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, 0.25 + 0.75 * x.var(0), rtol=1e-5)

    norm(x, training=True)  # without one: the layer's own
    np.testing.assert_allclose(norm.get_weights()[2], 0.9 * mean + 0.1 * x.mean(0), rtol=1e-5)
    assert norm.momentum == 0.9

    before = norm.get_weights()
    norm(x, training=False, momentum=0.25)
    assert all(np.array_equal(a, b) for a, b in zip(before, norm.get_weights(), strict=True))


def test_batch_norm_keeps_its_momentum_when_a_call_fails():
    norm = BatchNorm(momentum=0.9)
    norm.build((None, 4))
    with pytest.raises(Exception):  # noqa: B017 - Keras versions raise different ones
        norm(np.ones((3, 5), "float32"), training=True, momentum=0.25)
    assert norm.momentum == 0.9


def test_apply_hands_the_momentum_to_every_batch_norm():
    x = np.random.default_rng(0).normal(1, 2, (30, 4)).astype("float32")
    stack = [BatchNorm(momentum=0.9), Mish(), BatchNorm(momentum=0.9)]
    stack[0].build((None, 4)), stack[2].build((None, 4))
    between = stack[1](stack[0](x, training=True))
    for norm in (stack[0], stack[2]):
        gamma, beta = norm.get_weights()[:2]
        norm.set_weights([gamma, beta, np.zeros(4), np.ones(4)])
    cells = keras.Input((4,))
    keras.Model(cells, apply(stack, cells, momentum=0.5))(x, training=True)
    np.testing.assert_allclose(stack[0].get_weights()[2], 0.5 * x.mean(0), rtol=1e-5)
    expected = 0.5 * np.asarray(between).mean(0)
    np.testing.assert_allclose(stack[2].get_weights()[2], expected, rtol=1e-4)


@pytest.mark.parametrize("n_rows", [1, 3, 4, 5, 8, 9])
def test_run_is_the_network_in_inference_mode_whatever_the_slice(n_rows, randomize):
    network = randomize(build_encoder(6, 3, (8,)))
    x = np.random.default_rng(0).normal(size=(n_rows, 6)).astype("float32")
    before = network.get_weights()
    sliced = run(network, x, batch_size=4)
    np.testing.assert_allclose(sliced, np.asarray(network(x, training=False)), rtol=1e-5, atol=1e-6)
    if n_rows > 1:
        assert not np.allclose(sliced, np.asarray(network(x, training=True)), atol=1e-2)
        network.set_weights(before)
    run(network, x, batch_size=4)
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))


def test_run_takes_several_inputs_and_gives_several_outputs():
    left, right = (keras.Input((2,), name=name) for name in ("left", "right"))
    total = keras.layers.Add(name="total")([left, right])
    apart = keras.layers.Subtract(name="apart")([left, right])
    network = keras.Model([left, right], [total, apart], name="two_and_two")
    a, b = np.arange(20, dtype="float32").reshape(2, 5, 2)
    outputs = run(network, [a, b], batch_size=2)
    np.testing.assert_array_equal(outputs[0], a + b)
    np.testing.assert_array_equal(outputs[1], a - b)


class CountsItsTraces(keras.layers.Layer):
    traces = 0

    def call(self, inputs):
        self.traces += 1
        return inputs


def test_variables_made_beforehand_save_a_trace_and_change_nothing():
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(8, 3)).astype("float32") for _ in range(2))

    def trained(beforehand):
        inputs, counter = keras.Input((3,), name="cells"), CountsItsTraces(name="counter")
        dense = keras.layers.Dense(3, kernel_initializer="ones", name="dense")
        model = keras.Model(inputs, dense(counter(inputs)), name="toy")
        model.compile(adam(0.1, "toy_adam"), "mse", metrics=["mae"])
        if beforehand:
            make_variables(model, x[:2], y[:2])
        counter.traces = 0
        fitted = model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        return counter.traces, fitted.history, model.get_weights()

    (once, history, weights), (twice, history_2, weights_2) = trained(True), trained(False)
    assert (once, twice) == (1, 2)
    assert history == history_2
    assert all(np.array_equal(a, b) for a, b in zip(weights, weights_2, strict=True))
