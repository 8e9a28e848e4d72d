"""The lecture's networks of several modalities: losses, code, gradients and a step are its own.

Weights and inputs are drawn again by the recipes in ``tests/golden/README.md``; the numbers are by
the lecture's own layers (NBISweden/workshop_omics_integration).
"""

import numpy as np
import pytest
import tensorflow as tf
from golden import case_name, draw_weights, golden_cases, norm

from imap_keras.omics import Modality
from imap_keras.omics.network import build_joint_network, compile_network, encoder_of

CASES = golden_cases("omics.json")
# The lecture's names of layers, beside ours.
SHARED = {"Bottleneck": "code", "Concatenate_Inverse": "back"}


@pytest.fixture(scope="module", params=CASES, ids=case_name)
def case(request):
    return request.param


def layer_of(name: str) -> str:
    """Ours for a layer of the lecture's: ``Encoder_scRNAseq`` is ``scRNAseq_encoder`` here."""
    part, _, modality = name.partition("_")
    ends = {"Encoder": "_encoder", "Decoder": "_output"}
    return SHARED.get(name) or modality + ends[part]


def place(name: str) -> tuple[str, int]:
    layer, kind = name.rsplit(".", 1)
    return layer_of(layer), ["kernel", "bias"].index(kind)


@pytest.fixture(scope="module")
def drawn(case):
    """Weights by the lecture's names, and inputs by modality."""
    rng = np.random.default_rng(case["seed"])
    weights = draw_weights(rng, case["parameter_order"])
    cells = {
        name: rng.uniform(0, 1, size=(case["rows"], n)).astype("float32")
        for name, n in case["n_features"].items()
    }
    return weights, cells


@pytest.fixture
def network(case, drawn):
    """Built and compiled by the library; not standardised, as the lecture does not."""
    specs = {
        name: Modality(
            case["loss_of"][name],
            case["encoder_width"][name],
            activation=case["output_activation"],
            encoder=case["encoder_activation"],
        )
        for name in case["n_features"]
    }
    network = build_joint_network(case["n_features"], specs, case["latent_dim"])
    compile_network(network, specs, case["optimizer"]["learning_rate"])
    values = {}
    for name, value in drawn[0].items():
        layer, number = place(name)
        values.setdefault(layer, [None, None])[number] = value
    for layer, (kernel, bias) in values.items():
        network.get_layer(layer).set_weights([kernel, bias])
    return network


def variables(network, names):
    """Trainable variables by the lecture's names."""
    return {name: network.get_layer(place(name)[0]).trainable_weights[place(name)[1]] for name in names}


def losses_of(network, cells):
    outputs = network(cells, training=True)
    return {name: network.loss[name](x, outputs[name]) for name, x in cells.items()}


def test_every_parameter_is_there_and_no_other(case, network):
    names = case["parameter_order"]
    assert {name: list(v.shape) for name, v in variables(network, names).items()} == names
    assert len(network.trainable_weights) == len(names)


def test_losses_and_code(case, network, drawn):
    losses = {name: float(value) for name, value in losses_of(network, drawn[1]).items()}
    for name, value in losses.items():
        assert value == pytest.approx(case["losses"][name], rel=1e-4), name
    assert sum(losses.values()) == pytest.approx(case["losses"]["loss"], rel=1e-4)
    assert norm(encoder_of(network)(drawn[1])) == pytest.approx(case["code_norm"], rel=1e-4)


def test_gradients_and_a_step(case, network, drawn):
    weights, cells = drawn
    of_name = variables(network, case["parameter_order"])
    assert network.optimizer.beta_1 == case["optimizer"]["beta_1"]
    assert network.optimizer.beta_2 == case["optimizer"]["beta_2"]
    network.optimizer.epsilon = case["optimizer"]["epsilon"]
    with tf.GradientTape() as tape:
        loss = sum(losses_of(network, cells).values())
    gradients = dict(zip(of_name, tape.gradient(loss, list(of_name.values()))))
    for name, gradient in gradients.items():
        assert norm(gradient) == pytest.approx(case["gradient_norms"][name], rel=1e-4), name
    network.optimizer.apply_gradients([(gradients[name], v) for name, v in of_name.items()])
    for name, variable in of_name.items():
        after = variable.numpy()
        assert norm(after) == pytest.approx(case["weight_norms_after_one_step"][name], rel=1e-3), name
        step = norm(after.astype(float) - weights[name])
        assert step == pytest.approx(case["step_norms_of_first_step"][name], rel=1e-3), name
    after = sum(float(value) for value in losses_of(network, cells).values())
    assert after == pytest.approx(case["loss_after"], rel=1e-4)


def trained_numbers(network) -> int:
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)


def test_the_networks_of_the_lecture_have_its_numbers_of_parameters():
    """CITE-seq as on its slide, ELU and linear encoders; scNMT-seq as in its lab, each ten units."""
    specs = {"rna": Modality("mse", 50), "protein": Modality("mse", 10, encoder="linear")}
    assert trained_numbers(build_joint_network({"rna": 976, "protein": 10}, specs, 50)) == 115_216
    sizes = {"rna": 12_313, "methylation": 8_574, "accessibility": 11_799}
    specs = {name: Modality(loss, 10) for name, loss in zip(sizes, ("mse", "bce", "bce"))}
    assert trained_numbers(build_joint_network(sizes, specs, 5)) == 1_340_491
