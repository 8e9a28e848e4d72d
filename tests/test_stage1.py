"""The autoencoder of stage I, its training rows and its running statistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from imap_keras.imap.row_layers import AddPicked, AllBatches, RowsThatMove
from imap_keras.imap.stage1 import (
    build_autoencoder,
    build_decoder,
    build_encoder,
    compile_autoencoder,
    mixed_cells,
    recalibrate_batch_norm,
)
from imap_keras.imap.stage2 import build_generator
from imap_keras.nn.blocks import BatchNorm, Initializers
from imap_keras.nn.fitting import run

N_GENES, N_BATCHES, LATENT = 12, 3, 4


@pytest.fixture
def parts(randomize):
    init = Initializers("reference", 0)
    encoder = build_encoder(N_GENES, LATENT, (16, 8), init)
    content = build_decoder(LATENT + N_BATCHES, N_GENES, (8, 16), init, "content_decoder")
    batch = build_decoder(N_BATCHES, N_GENES, (8, 16), init, "batch_decoder")
    for seed, network in enumerate((encoder, content, batch)):
        randomize(network, seed)
    return {"encoder": encoder, "content_decoder": content, "batch_decoder": batch}


@pytest.fixture
def inputs():
    rng = np.random.default_rng(7)
    eye = np.eye(N_BATCHES, dtype="float32")
    return {
        "cells": np.abs(rng.normal(size=(9, N_GENES))).astype("float32"),
        "batch": np.repeat(eye, 3, axis=0),
        "random_batch": eye[rng.integers(N_BATCHES, size=9)],
    }


def numpy_outputs(network, x):
    """A chain of Dense, BatchNorm and Mish in inference mode, written out."""
    for layer in network.layers[1:]:
        weights = [w.astype("float64") for w in layer.get_weights()]
        if isinstance(layer, keras.layers.Dense):
            x = x @ weights[0] + weights[1]
        elif isinstance(layer, BatchNorm):
            gamma, beta, mean, variance = weights
            x = gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta
        else:
            x = x * np.tanh(np.log1p(np.exp(x)))
    return x


def test_shapes(parts, inputs):
    outputs = build_autoencoder(**parts)(inputs)
    assert outputs["reconstruction"].shape == (9, N_GENES)
    assert outputs["content"].shape == (9, LATENT)
    assert parts["encoder"].output_shape == (None, LATENT)
    assert parts["content_decoder"].input_shape == (None, LATENT + N_BATCHES)


def test_parameter_counts_follow_the_layer_widths():
    small = build_encoder(20, 4, (16, 8))
    assert small.count_params() == (20 * 16 + 16) + 4 * 16 + (16 * 8 + 8) + 4 * 8 + (8 * 4 + 4)
    paper = build_encoder(2000)  # d-1024-512-256
    widths = [2000, 1024, 512, 256]
    dense = sum(a * b + b for a, b in zip(widths, widths[1:], strict=False))
    assert paper.count_params() == dense + 4 * (1024 + 512)
    decoder = build_decoder(3, 2000)
    assert decoder.count_params() == (3 * 512 + 512) + (512 * 1024 + 1024) + (1024 * 2000 + 2000)


def test_encoder_and_decoders_are_the_chains_they_claim_to_be(parts, inputs):
    x = inputs["cells"]
    expected = numpy_outputs(parts["encoder"], x)
    np.testing.assert_allclose(run(parts["encoder"], x), expected, rtol=1e-4, atol=1e-5)
    expected = numpy_outputs(parts["batch_decoder"], inputs["batch"])
    np.testing.assert_allclose(
        run(parts["batch_decoder"], inputs["batch"]), expected, rtol=1e-4, atol=1e-5
    )


def test_outputs_are_the_reconstruction_and_the_change_of_content(parts, inputs):
    encode, g2, g1 = (lambda x, m=m: numpy_outputs(m, x) for m in parts.values())

    def dec(content, batch):
        return np.maximum(g1(batch) + g2(np.hstack([content, batch])), 0)

    content = encode(inputs["cells"])
    outputs = build_autoencoder(**parts)(inputs, training=False)
    rebuilt = dec(content, inputs["batch"])
    assert 0.1 < np.mean(rebuilt > 0) < 0.9  # both sides of the ReLU
    np.testing.assert_allclose(outputs["reconstruction"], rebuilt, rtol=1e-4, atol=1e-5)
    change = encode(dec(content, inputs["random_batch"])) - content
    np.testing.assert_allclose(outputs["content"], change, rtol=1e-4, atol=1e-4)


def test_picking_decoded_batches_equals_decoding_a_row_a_cell(parts, inputs):
    decoder, one_hot = parts["batch_decoder"], inputs["random_batch"]
    every = AllBatches()(one_hot)
    np.testing.assert_array_equal(every, np.eye(N_BATCHES))
    picked = AddPicked()(inputs["cells"], one_hot, decoder(every))
    expected = inputs["cells"] + run(decoder, one_hot)
    np.testing.assert_allclose(picked, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("moving", ["none", "some", "all"])
def test_only_rows_that_move_are_decoded_again_and_the_gradients_are_the_same(parts, inputs, moving):
    eye = np.eye(N_BATCHES, dtype="float32")
    own = inputs["batch"].argmax(1)
    to = {"none": own, "some": np.where(np.arange(9) % 2, own, (own + 1) % 3), "all": (own + 2) % 3}
    inputs["random_batch"] = eye[to[moving]]
    rows = RowsThatMove()(inputs["batch"], inputs["random_batch"])
    np.testing.assert_array_equal(rows[:, 0], np.flatnonzero(own != to[moving]))

    encode, g2, g1 = (lambda x, m=m: m(x, training=False) for m in parts.values())
    weights = [w for part in parts.values() for w in part.trainable_variables]
    with tf.GradientTape() as tape:  # every row decoded for its random batch
        content = encode(inputs["cells"])
        code = tf.concat([content, inputs["random_batch"]], axis=1)
        change = encode(tf.nn.relu(g1(inputs["random_batch"]) + g2(code))) - content
        loss = tf.reduce_mean(change**2)
    expected = tape.gradient(loss, weights)
    with tf.GradientTape() as tape:
        outputs = build_autoencoder(**parts)(inputs, training=False)
        loss = tf.reduce_mean(outputs["content"] ** 2)
    np.testing.assert_allclose(outputs["content"], change, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(tape.gradient(loss, weights), expected, strict=True):
        assert np.abs(theirs).max() > 0
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())


def test_total_loss_weighs_content_and_reconstruction(parts, inputs):
    model = build_autoencoder(**parts)
    compile_autoencoder(model, lambda_content=7.0, lambda_reconstruction=0.5, learning_rate=1e-3)
    targets = {"reconstruction": inputs["cells"], "content": np.zeros((9, LATENT), "float32")}
    outputs = model(inputs, training=False)
    content = np.mean(np.square(outputs["content"]))
    rebuilt = np.mean(np.square(outputs["reconstruction"] - inputs["cells"]))
    report = model.test_on_batch(inputs, targets, return_dict=True)
    assert report["content_loss"] == pytest.approx(content, rel=1e-4)
    assert report["reconstruction_loss"] == pytest.approx(rebuilt, rel=1e-4)
    assert report["loss"] == pytest.approx(7 * content + 0.5 * rebuilt, rel=1e-4)


# ------------------------------------------------------------------ training rows

# Cell i is the i-th unit vector, so a row shows which cells it was mixed of and how.
CODES = np.array([2, 0, 1, 1, 2, 0, 2, 1, 2, 0, 2, 1])
CELLS = np.eye(len(CODES), dtype="float32")


def drawn(n_steps=1, rows_per_batch=40, seed=0):
    rows = mixed_cells(CELLS, CODES, LATENT, rows_per_batch, seed).take(n_steps)
    return list(rows.as_numpy_iterator())


def test_rows_are_convex_combinations_of_two_cells_of_their_batch():
    for inputs, _ in drawn(n_steps=3):
        x, batch = inputs["cells"], inputs["batch"].argmax(1)
        assert (x >= 0).all()
        np.testing.assert_allclose(x.sum(1), 1, rtol=1e-6)
        assert ((x > 0).sum(1) <= 2).all()
        for row, own in zip(x, batch, strict=True):
            assert set(CODES[row > 0]) == {own}


def test_every_batch_gives_the_same_number_of_rows_whatever_its_size():
    inputs, _ = drawn(rows_per_batch=17)[0]
    np.testing.assert_array_equal(inputs["batch"].sum(0), [17, 17, 17])
    np.testing.assert_array_equal(inputs["batch"], np.repeat(np.eye(3), 17, axis=0))


def test_every_cell_is_drawn_equally_often_and_mixed_uniformly():
    inputs, _ = drawn(rows_per_batch=4000)[0]
    x, batch = inputs["cells"], inputs["batch"].argmax(1)
    for b in range(N_BATCHES):
        share = x[batch == b].mean(0)[b == CODES]
        np.testing.assert_allclose(share, 1 / np.sum(b == CODES), rtol=0.08)
    mixed = x[(x > 0).sum(1) == 2]
    weight = mixed[np.arange(len(mixed)), (mixed > 0).argmax(1)]
    assert weight.mean() == pytest.approx(0.5, abs=0.02)
    assert weight.std() == pytest.approx(1 / np.sqrt(12), rel=0.03)


def test_targets_are_the_rows_themselves_and_no_change_of_content():
    inputs, targets = drawn()[0]
    np.testing.assert_array_equal(targets["reconstruction"], inputs["cells"])
    np.testing.assert_array_equal(targets["content"], np.zeros((120, LATENT)))


def test_seed_decides_the_rows_and_steps_differ():
    first, again, other = drawn(3, seed=4), drawn(3, seed=4), drawn(3, seed=5)
    for step in range(3):
        for name in ("cells", "random_batch"):
            np.testing.assert_array_equal(first[step][0][name], again[step][0][name])
            assert not np.array_equal(first[step][0][name], other[step][0][name])
    assert not np.array_equal(first[0][0]["cells"], first[1][0]["cells"])


def test_random_batch_covers_all_batches_the_own_included():
    inputs, _ = drawn(rows_per_batch=3000)[0]
    together = inputs["batch"].T @ inputs["random_batch"]  # own x random
    np.testing.assert_allclose(together / 3000, 1 / 3, atol=0.04)


# ------------------------------------------------------------------ running statistics


@pytest.mark.parametrize("kind", ["encoder", "generator"])
def test_recalibration_sets_statistics_to_those_of_the_layer_inputs(kind, randomize):
    build = {"encoder": build_encoder, "generator": build_generator}[kind]
    network = randomize(build(N_GENES, LATENT, (16, 8)))
    cells = np.abs(np.random.default_rng(0).normal(size=(60, N_GENES))).astype("float32")
    recalibrate_batch_norm(network, cells)
    norms = [layer for layer in network.layers if isinstance(layer, BatchNorm)]
    assert len(norms) == {"encoder": 2, "generator": 5}[kind]
    for norm in norms:
        before = keras.Model(network.input, norm.input)
        seen = run(before, cells).astype("float64")
        np.testing.assert_allclose(norm.get_weights()[2], seen.mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(norm.get_weights()[3], seen.var(0), rtol=1e-4, atol=1e-5)


def test_one_step_weighs_old_decoded_and_real_statistics_as_documented(parts, inputs):
    model = build_autoencoder(**parts)
    compile_autoencoder(model)
    norm = next(layer for layer in parts["encoder"].layers if isinstance(layer, BatchNorm))
    first_dense = keras.Model(parts["encoder"].input, norm.input)
    start = model.get_weights()
    old_mean, old_variance = norm.get_weights()[2:]

    content = parts["encoder"](inputs["cells"], training=True)
    code = tf.concat([content, inputs["random_batch"]], axis=1)
    profile = parts["batch_decoder"](inputs["random_batch"])
    decoded = tf.nn.relu(profile + parts["content_decoder"](code)).numpy()
    real, decoded = run(first_dense, inputs["cells"]), run(first_dense, decoded)
    model.set_weights(start)

    targets = {"reconstruction": inputs["cells"], "content": np.zeros((9, LATENT), "float32")}
    model.train_on_batch(inputs, targets)
    old, again = 0.9**4, 0.09
    expected = old * old_mean + again * decoded.mean(0) + (1 - old - again) * real.mean(0)
    np.testing.assert_allclose(norm.get_weights()[2], expected, rtol=1e-4, atol=1e-5)
    expected = old * old_variance + again * decoded.var(0) + (1 - old - again) * real.var(0)
    np.testing.assert_allclose(norm.get_weights()[3], expected, rtol=1e-4, atol=1e-5)


def test_loss_falls_in_a_short_fit(eagerly):
    rng = np.random.default_rng(0)
    cells = np.abs(rng.normal(size=(40, N_GENES))).astype("float32")
    init = Initializers("zero_bias", 0)
    model = build_autoencoder(
        build_encoder(N_GENES, LATENT, (16, 8), init),
        build_decoder(LATENT + 2, N_GENES, (8, 16), init, "content_decoder"),
        build_decoder(2, N_GENES, (8, 16), init, "batch_decoder"),
    )
    compile_autoencoder(model, learning_rate=0.05)
    rows = mixed_cells(cells, np.arange(40) % 2, LATENT, rows_per_batch=16)
    fitted = model.fit(rows, shuffle=False, steps_per_epoch=3, epochs=3, verbose=0)
    losses = fitted.history["reconstruction_loss"]
    assert losses[-1] < 0.7 * losses[0]
