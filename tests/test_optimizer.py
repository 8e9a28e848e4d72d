"""Adam as one operation: the same numbers as Keras' Adam."""

import gc

import keras
import numpy as np
import pytest
import tensorflow as tf

from imap_keras.nn.optimizer import FusedAdam, adam

SETTINGS = {"beta_1": 0.5, "beta_2": 0.999, "epsilon": 1e-8}


def gradients(steps=7):
    """Gradients of a matrix and a vector, large, small and zero ones among them."""
    rng = np.random.default_rng(0)
    for _ in range(steps):
        matrix, vector = rng.normal(size=(4, 3)), rng.normal(size=3) * 1e-6
        matrix[0] = 0
        yield matrix.astype("float32"), vector.astype("float32")


def trained(optimizer, rate_after=None):
    weights = [tf.Variable(tf.ones((4, 3))), tf.Variable(tf.zeros(3))]
    optimizer.build(weights)

    @tf.function
    def step(*gradient):
        optimizer.apply_gradients(list(zip(gradient, weights, strict=True)))

    for number, pair in enumerate(gradients()):
        if rate_after is not None and number == 3:
            optimizer.learning_rate.assign(rate_after)
        step(*map(tf.constant, pair))
    return [weight.numpy() for weight in weights]


@pytest.mark.parametrize("rate_after", [None, 0.001])
@pytest.mark.parametrize(
    "extra",
    [{}, {"clipnorm": 0.5}, {"weight_decay": 0.1}, {"amsgrad": True}],
    ids=["plain", "clipped", "decayed", "amsgrad"],
)
def test_fused_adam_takes_keras_steps(extra, rate_after):
    ours = trained(FusedAdam(0.01, name="ours", **SETTINGS, **extra), rate_after)
    keras_own = trained(keras.optimizers.Adam(0.01, name="keras", **SETTINGS, **extra), rate_after)
    for a, b in zip(ours, keras_own, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_fused_adam_takes_the_step_computed_by_hand():
    w, m, v = np.ones((4, 3)), np.zeros((4, 3)), np.zeros((4, 3))
    for t, (g, _) in enumerate(gradients(), start=1):
        m, v = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g.astype("float64") ** 2
        rate = 0.01 * np.sqrt(1 - 0.999**t) / (1 - 0.5**t)
        w -= rate * m / (np.sqrt(v) + 1e-8)
    ours = trained(FusedAdam(0.01, name="ours", **SETTINGS))[0]
    np.testing.assert_allclose(ours, w, rtol=1e-5)


def test_gradients_of_some_rows_leave_the_other_rows_alone():
    weight, optimizer = tf.Variable(tf.ones((3, 2))), FusedAdam(0.1, name="ours", **SETTINGS)
    rows = tf.IndexedSlices(tf.ones((1, 2)), tf.constant([1]), dense_shape=tf.constant([3, 2]))
    optimizer.build([weight])
    optimizer.apply_gradients([(rows, weight)])
    np.testing.assert_allclose(weight.numpy(), [[1, 1], [0.9, 0.9], [1, 1]], rtol=1e-5)


def test_fused_adam_is_rebuilt_from_its_settings():
    first = adam(2e-4, "some_adam", beta_1=0.5, corrected_epsilon=True)
    again = FusedAdam.from_config(first.get_config())
    for optimizer in (first, again):
        settings = optimizer.learning_rate, optimizer.beta_1, optimizer.beta_2, optimizer.epsilon
        assert [float(value) for value in settings] == pytest.approx([2e-4, 0.5, 0.999, 1e-8])
        assert optimizer.name == "some_adam" and optimizer.corrected_epsilon is True


def test_a_compiled_model_is_saved_with_its_moments(tmp_path):
    cells = keras.Input((3,), name="cells")
    model = keras.Model(cells, keras.layers.Dense(2, name="dense")(cells), name="toy")
    model.compile(adam(0.1, "toy_adam"), "mse")
    x, y = np.eye(3, dtype="float32"), np.ones((3, 2), "float32")
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "toy.keras")
    again = keras.models.load_model(tmp_path / "toy.keras")
    for network in (model, again):
        network.fit(x, y, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_corrected_epsilon_is_added_to_the_corrected_root():
    """Two steps by hand, as the paper's algorithm 1 (and PyTorch) writes them."""
    weight, optimizer = tf.Variable([1.0]), FusedAdam(0.1, epsilon=0.5, corrected_epsilon=True)
    optimizer.build([weight])
    m = v = 0.0
    expected = 1.0
    for step, gradient in enumerate((2.0, -0.3), start=1):
        optimizer.apply_gradients([(tf.constant([gradient]), weight)])
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        root = np.sqrt(v / (1 - 0.999**step)) + 0.5
        expected -= 0.1 * m / (1 - 0.9**step) / root
        assert float(weight[0]) == pytest.approx(expected, rel=1e-5)


def test_moments_stay_with_their_weights_in_whatever_order_these_are_named():
    """Keras 2 builds an optimizer again before each step; weights of one shape took each other's."""
    gradients = {"first": [1.0, -3.0, 0.5], "second": [0.01, 2.0, -4.0]}

    def after(orders):
        weights = {name: tf.Variable([1.0]) for name in gradients}
        optimizer = FusedAdam(0.1, name="ours", **SETTINGS)
        for step, order in enumerate(orders):
            optimizer.build([weights[name] for name in order])
            optimizer.apply_gradients(
                [(tf.constant([gradients[name][step]]), weights[name]) for name in order]
            )
        return [float(weights[name][0]) for name in gradients]

    there, back = ("first", "second"), ("second", "first")
    expected = []
    for values in gradients.values():
        w, m, v = 1.0, 0.0, 0.0
        for t, g in enumerate(values, start=1):
            m, v = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g**2
            w -= 0.1 * np.sqrt(1 - 0.999**t) / (1 - 0.5**t) * m / (np.sqrt(v) + 1e-8)
        expected.append(w)
    assert after([there, back, there]) == pytest.approx(expected, rel=1e-5)
    assert after([there] * 3) == pytest.approx(expected, rel=1e-5)


def test_a_training_leaves_no_weights_behind():
    """TensorFlow's registry of gradients held each trained network as long as the process lived."""

    def weights_held() -> int:
        gc.collect()
        return sum(isinstance(one, tf.Tensor) and one.dtype == tf.resource for one in gc.get_objects())

    def train():
        inputs = keras.Input((3,))
        hidden = keras.layers.Dense(4, activation="tanh")(inputs)
        network = keras.Model(inputs, keras.layers.Dense(1)(hidden))
        network.compile(adam(0.1, "adam"), "mse")
        network.fit(np.ones((8, 3)), np.ones((8, 1)), verbose=0)

    train()
    before = weights_held()
    for _ in range(3):
        train()
    assert weights_held() - before < 6  # 4 weights and their 8 moments each time
