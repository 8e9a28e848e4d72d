"""One optimiser step of our models against the numbers of the published PyTorch code.

Another file of numbers can be tried with ``IMAP_KERAS_REFERENCE_STEP=path``.
"""

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from imap_keras.imap.stage1 import build_autoencoder, build_decoder, build_encoder, compile_autoencoder
from imap_keras.imap.stage2 import WGANGP, build_critic, build_generator

DEFAULT_FILE = Path(__file__).parent / "reference_step.json"
CASES = json.loads(Path(os.environ.get("IMAP_KERAS_REFERENCE_STEP", DEFAULT_FILE)).read_text())
assert {case["kind"] for case in CASES} <= {"stage1", "stage2"}
STAGE1 = [case for case in CASES if case["kind"] == "stage1"]
STAGE2 = [case for case in CASES if case["kind"] == "stage2"]


def case_name(case):
    return f"seed{case['seed']}"


def draw_weights(rng, parameter_order):
    """Draw all weights in the order of the file: {part: {name: float32 array}}."""
    weights = {}
    for part, shapes in parameter_order.items():
        weights[part] = {}
        for name, shape in shapes.items():
            if len(shape) == 2:
                value = rng.normal(0, 0.02, size=shape)
            elif "weight" in name:
                value = rng.normal(1, 0.02, size=shape)
            else:
                value = rng.uniform(-0.05, 0.05, size=shape)
            weights[part][name] = value.astype("float32")
    return weights


def assign(variables, drawn):
    """Put drawn weights into Keras variables; returns {reference name: variable}."""
    assert len(variables) == len(drawn)
    named = dict(zip(drawn, variables, strict=True))
    for name, variable in named.items():
        value = drawn[name].T if drawn[name].ndim == 2 else drawn[name]
        assert tuple(variable.shape) == value.shape, name
        variable.assign(value)
    return named


def compare_norms(named_values, expected, zero_gradient):
    """Relative 1e-3; where the true gradient is zero, both programs report rounding noise only."""
    noise = 1e-5 * max(expected.values())
    for name, value in named_values.items():
        norm = float(np.linalg.norm(np.asarray(value, "float64")))
        floor = noise if name in zero_gradient else 0
        assert norm == pytest.approx(expected[name], rel=1e-3, abs=floor), name


def updated_norms(named, expected, learning_rate, zero_gradient):
    """Relative 1e-3, after one step of Adam."""
    for name, variable in named.items():
        norm = float(np.linalg.norm(np.asarray(variable.numpy(), "float64")))
        # Adam turns rounding noise into steps of random sign, at most one learning rate an entry.
        noise = learning_rate * np.sqrt(np.prod(variable.shape)) if name in zero_gradient else 0
        assert norm == pytest.approx(expected[name], rel=1e-3, abs=noise), name


def without_gradient(drawn):
    """Names of vectors without true gradient: a BatchNorm behind them subtracts them again.

    A bias in front of a BatchNorm, and the beta of a BatchNorm that only a dense layer parts from the
    next one (the generator's middle layer, which has no activation).
    """
    names = list(drawn)
    zero = {
        name
        for name, behind in zip(names, names[1:])
        if name.endswith("bias") and behind.endswith("weight") and drawn[behind].ndim == 1
    }
    return zero | ({"encoder.7.bias"} & set(names))


def widths(shapes, *parts):
    """Outputs of the matrices of a network, layer by layer."""
    return [s[0] for name, s in shapes.items() if len(s) == 2 and name.split(".")[0] in parts]


def stage1_model(case):
    n_genes, n_batches, latent_dim = case["n_genes"], case["n_batches"], case["latent_dim"]
    of_encoder, of_decoder = (case["parameter_order"][part] for part in ("encoder", "decoder"))
    encoder = build_encoder(n_genes, latent_dim, widths(of_encoder, "encoder")[:-1])
    content_decoder = build_decoder(
        n_batches + latent_dim, n_genes, widths(of_decoder, "decoder")[:-1], name="content_decoder"
    )
    batch_decoder = build_decoder(
        n_batches, n_genes, widths(of_decoder, "decoder2")[:-1], name="batch_decoder"
    )
    model = build_autoencoder(encoder, content_decoder, batch_decoder)
    compile_autoencoder(
        model, case["lambda_content"], case["lambda_reconstruction"], case["learning_rate"]
    )
    return model, encoder, content_decoder, batch_decoder


@pytest.mark.parametrize("case", STAGE1, ids=case_name)
def test_stage1_step(case):
    model, encoder, content_decoder, batch_decoder = stage1_model(case)
    rng = np.random.default_rng(case["seed"])
    weights = draw_weights(rng, case["parameter_order"])
    named = {
        "encoder": assign(encoder.trainable_variables, weights["encoder"]),
        "decoder": assign(
            content_decoder.trainable_variables + batch_decoder.trainable_variables,
            weights["decoder"],
        ),
    }
    n_batches, rows = case["n_batches"], case["n_batches"] * case["rows_per_batch"]
    x = np.maximum(rng.normal(0.5, 1, size=(rows, case["n_genes"])), 0).astype("float32")
    random_batch = rng.integers(n_batches, size=rows)
    inputs = {
        "cells": x,
        "batch": np.repeat(np.eye(n_batches, dtype="float32"), case["rows_per_batch"], axis=0),
        "random_batch": np.eye(n_batches, dtype="float32")[random_batch],
    }
    targets = {"reconstruction": x, "content": np.zeros((rows, case["latent_dim"]), "float32")}

    # Losses and gradients, written out.
    with tf.GradientTape() as tape:
        outputs = model(inputs, training=True)
        losses = {k: tf.reduce_mean((outputs[k] - targets[k]) ** 2) for k in outputs}
        total = case["lambda_content"] * losses["content"]
        total += case["lambda_reconstruction"] * losses["reconstruction"]
    assert float(losses["content"]) == pytest.approx(case["content_loss"], rel=1e-4)
    assert float(losses["reconstruction"]) == pytest.approx(case["reconstruction_loss"], rel=1e-4)
    flat = {(p, n): v for p, part in named.items() for n, v in part.items()}
    tensors = [getattr(v, "value", v) if keras.__version__ >= "3" else v for v in flat.values()]
    gradients = dict(zip(flat, tape.gradient(total, tensors), strict=True))
    for part in named:
        values = {n: gradients[p, n] for p, n in gradients if p == part}
        compare_norms(values, case["gradient_norms"][part], without_gradient(weights[part]))

    # The step that compile and fit take, and the losses after it.
    report = model.train_on_batch(inputs, targets, return_dict=True)
    assert report["content_loss"] == pytest.approx(case["content_loss"], rel=1e-4)
    assert report["reconstruction_loss"] == pytest.approx(case["reconstruction_loss"], rel=1e-4)
    for part in named:
        updated_norms(
            named[part],
            case["weight_norms_after_one_step"][part],
            case["learning_rate"],
            without_gradient(weights[part]),
        )
    # Adam's first step is a sign; where a gradient is near zero the sign is rounding noise, and the
    # content loss, a small difference of large codes, feels it: it agrees a digit less.
    after = model(inputs, training=True)
    change = float(tf.reduce_mean(after["content"] ** 2))
    error = float(tf.reduce_mean((after["reconstruction"] - x) ** 2))
    assert change == pytest.approx(case["content_loss_after"], rel=1e-3)
    assert error == pytest.approx(case["reconstruction_loss_after"], rel=1e-4)


@pytest.mark.parametrize("case", STAGE2, ids=case_name)
def test_stage2_step(case):
    n_genes, rows = case["n_genes"], case["rows"]
    shapes = case["parameter_order"]["generator"]
    *hidden, latent_dim = widths(shapes, "encoder")
    of_critic = widths(case["parameter_order"]["discriminator"], "model")
    gan = WGANGP(
        build_generator(n_genes, latent_dim, hidden),
        build_critic(n_genes, of_critic),
        gradient_penalty=case["gradient_penalty_weight"],
        critic_steps=1,
    )
    gan.compile(learning_rate=case["learning_rate"])
    rng = np.random.default_rng(case["seed"])
    weights = draw_weights(rng, case["parameter_order"])
    generator = assign(gan.generator.trainable_variables, weights["generator"])
    critic = assign(gan.critic.trainable_variables, weights["discriminator"])
    query = np.maximum(rng.normal(0.5, 1, size=(rows, n_genes)), 0).astype("float32")
    anchor = np.maximum(rng.normal(0.8, 1, size=(rows, n_genes)), 0).astype("float32")
    eta = rng.uniform(size=(rows, 1)).astype("float32")

    losses, gradients = gan.critic_step(tf.constant(query), tf.constant(anchor), tf.constant(eta))
    assert float(losses["critic_loss"]) == pytest.approx(case["critic_loss"], rel=1e-4)
    assert float(losses["gradient_penalty"]) == pytest.approx(case["gradient_penalty"], rel=1e-4)
    compare_norms(dict(zip(critic, gradients)), case["critic_gradient_norms"], {"adv_layer.0.bias"})
    updated_norms(
        critic,
        case["critic_weight_norms_after_one_step"],
        case["learning_rate"],
        {"adv_layer.0.bias"},
    )

    losses, gradients = gan.generator_step(tf.constant(query), tf.constant(anchor))
    assert float(losses["generator_loss"]) == pytest.approx(case["generator_loss"], rel=1e-4)
    zero = without_gradient(weights["generator"])
    compare_norms(dict(zip(generator, gradients)), case["generator_gradient_norms"], zero)
    updated_norms(
        generator,
        case["generator_weight_norms_after_one_step"],
        case["learning_rate"],
        zero,
    )
