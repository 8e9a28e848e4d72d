"""inClust+ against the numbers of the published code: losses, gradients and one step of its optimiser.

The published code computes a masked input and then reads the unmasked one. Cases with
``mended_input_mask: true`` have that put right, and where all masks are 1 there is no difference; the
others are left out.
"""

import numpy as np
import pytest
import tensorflow as tf
from golden import case_name, draw_weights, golden_cases, norm

from imap_keras.inclust import Hyperparameters
from imap_keras.inclust.network import build_network, build_parts, compile_network
from imap_keras.inclust.training import loss_weights

CASES = [c for c in golden_cases("inclust.json") if c["mended_input_mask"] or not c["masks"]]
LOSSES = ("reconstruction", "divergence", "entropy", "label")
NAMED_MODES = {
    "supervised": "supervised",
    "semi_supervised": "semi-supervised",
    "unsupervised": "unsupervised",
}
FILE_NAMES = {"probability": "classifier"}  # a layer of ours that the file calls otherwise


def network_of(case):
    """The compiled network of a case, and its variables by the file's names."""
    parts = build_parts(
        case["n_features"],
        case["n_covariates"],
        case["n_clusters"],
        case["latent_dim"],
        case["hidden"],
        case["decoder_hidden"],
        case["output"],
        activation=case.get("activation", "relu"),
    )
    network = build_network(**parts, cluster_start="zero")
    rate = case["optimizer"]["learning_rate"]
    weights = {f"{name}_weight": float(case["loss_weights"][name]) for name in LOSSES}
    compile_network(network, **weights, learning_rate=rate)
    named = {}
    for part in parts.values():
        for layer in part.layers:
            for variable, kind in zip(layer.weights, ("kernel", "bias")):
                named[f"{FILE_NAMES.get(layer.name, layer.name)}.{kind}"] = variable
    named["cluster_means"] = network.get_layer("clusters").means
    assert set(named) == set(case["parameter_order"])
    return network, named


def draw_case(case, rng):
    """Inputs and targets, drawn by the recipe of the file."""
    rows, n = case["rows"], case["n_features"]
    x = rng.uniform(0, 1, size=(rows, n)).astype("float32")
    x[x < 0.4] = 0
    batch = rng.integers(case["n_covariates"], size=rows)
    label = rng.integers(case["n_clusters"], size=rows)
    has_label = rng.uniform(size=rows) < case["labelled_share"]
    input_mask, output_mask = np.ones((2, rows, n), "float32")
    if case["masks"]:
        input_mask[:, : n // 4] = 0
        output_mask[batch == case["n_covariates"] - 1, : n // 4] = 0
        output_mask[:, -2] = rng.uniform(size=rows) < 0.5
    none = np.zeros((rows, 1), "float32")
    inputs = {
        "cells": x,
        "input_mask": input_mask,
        "output_mask": output_mask,
        "covariate": np.eye(case["n_covariates"], dtype="float32")[batch],
        "noise": rng.normal(size=(rows, case["latent_dim"])).astype("float32"),
    }
    targets = {
        "reconstruction": x * output_mask,
        "divergence": none,
        "entropy": none,
        "label": np.eye(case["n_clusters"], dtype="float32")[label] * has_label[:, None],
    }
    return tf.nest.map_structure(tf.constant, (inputs, targets))


def forward_of(network, inputs):
    """What the network computes on its way, by the file's names."""
    part = {
        name: network.get_layer(name) for name in ("encoder", "covariates", "classifier", "decoder")
    }
    z_mean, z_log_var = part["encoder"]([inputs["cells"], inputs["input_mask"]])
    yh = part["covariates"](inputs["covariate"])
    sampled = z_mean + tf.exp(z_log_var / 2) * inputs["noise"]
    return {
        "z_mean": z_mean,
        "z_log_var": z_log_var,
        "sampled": sampled,
        "yh": yh,
        "z": z_mean - yh,
        "reconstruction_unmasked": part["decoder"](sampled),
        "probability": part["classifier"](z_mean - yh),
    }


@pytest.fixture(scope="module", params=CASES, ids=case_name)
def computed(request):
    """What our network makes of a case: losses, gradients, weights before and after one step."""
    case = request.param
    rng = np.random.default_rng(case["seed"])
    network, named = network_of(case)
    drawn = draw_weights(rng, case["parameter_order"])
    for name, variable in named.items():
        # z_mean + yh of the arithmetic "plus" is z_mean - yh with the sign of yh turned.
        turned = case["arithmetic"] == "plus" and name.startswith("yh.")
        variable.assign(-drawn[name] if turned else drawn[name])
    inputs, targets = draw_case(case, rng)

    def losses():
        out = network(inputs)
        one_by_one = {name: network.loss[name](targets[name], out[name]) for name in LOSSES}
        total = network.compute_loss(x=inputs, y=targets, y_pred=out)
        return {"loss": total} | {name: tf.reduce_mean(value) for name, value in one_by_one.items()}

    before = {name: variable.numpy() for name, variable in named.items()}
    forward = forward_of(network, inputs)
    with tf.GradientTape() as tape:
        first = losses()
    gradients = tape.gradient(first["loss"], list(network.trainable_variables))
    network.optimizer.apply_gradients(zip(gradients, network.trainable_variables))
    by_variable = dict(zip(map(id, network.trainable_variables), gradients))
    return {
        "case": case,
        "network": network,
        "before": before,
        "forward": forward,
        "losses": first,
        "gradients": {name: by_variable[id(variable)] for name, variable in named.items()},
        "after": {name: variable.numpy() for name, variable in named.items()},
        "losses_after": losses(),
    }


def compare(values, expected, relative, noise=0.0):
    assert set(values) == set(expected)
    for name, value in values.items():
        assert float(value) == pytest.approx(expected[name], rel=relative, abs=noise), name


def test_forward(computed):
    norms = {name: norm(value) for name, value in computed["forward"].items()}
    compare(norms, computed["case"]["forward_norms"], 1e-4)


def test_losses(computed):
    compare(computed["losses"], computed["case"]["losses"], 1e-4, 1e-7)


def test_losses_after_one_step(computed):
    compare(computed["losses_after"], computed["case"]["losses_after"], 1e-4, 1e-7)


def test_gradients(computed):
    expected = computed["case"]["gradient_norms"]
    norms = {name: norm(gradient) for name, gradient in computed["gradients"].items()}
    compare(norms, expected, 1e-4, 1e-6 * max(expected.values()))


def test_one_step(computed):
    case, before, after = (computed[name] for name in ("case", "before", "after"))
    compare({n: norm(v) for n, v in before.items()}, case["weight_norms"], 1e-6)
    compare({n: norm(v) for n, v in after.items()}, case["weight_norms_after_one_step"], 1e-3)
    steps = {name: norm(after[name].astype(float) - before[name]) for name in before}
    compare(steps, case["step_norms_of_first_step"], 1e-3)


def test_optimiser_is_the_one_of_the_file(computed):
    expected, optimizer = computed["case"]["optimizer"], computed["network"].optimizer
    assert expected["name"] == "adam"
    for name in ("beta_1", "beta_2", "epsilon"):
        assert float(getattr(optimizer, name)) == pytest.approx(expected[name])


@pytest.mark.parametrize(
    "case", [c for c in CASES if c["mode"] in NAMED_MODES], ids=lambda c: f"{c['mode']}_{c['seed']}"
)
def test_preset_weighs_the_losses_as_the_named_mode(case):
    """In `unsupervised` the published code also sets the label weight to 0; no row has a label then."""
    supervision = NAMED_MODES[case["mode"]]
    ours = loss_weights(supervision, Hyperparameters.of("reference"))
    expected = {f"{name}_weight": case["loss_weights"][name] for name in LOSSES}
    if supervision == "unsupervised":
        del ours["label_weight"], expected["label_weight"]
    assert ours == expected
