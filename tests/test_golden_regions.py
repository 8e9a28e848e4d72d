"""The region classifier beside the published one (tyzhang97/transbrain, MIT)."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from golden import case_name, draw_weights, golden_cases, golden_file, norm

from imap_keras import regions
from imap_keras.regions.training import build_and_compile

CASES = golden_cases("regions.json")


def of_kind(kind):
    return pytest.mark.parametrize("case", [c for c in CASES if c["kind"] == kind], ids=case_name)


class Drawn:
    """The classifier of a case in the reference preset, weights and rows drawn by the recipe."""

    def __init__(self, case: dict):
        rng = np.random.default_rng(case["seed"])
        self.order = case["parameter_order"]
        weights = draw_weights(rng, self.order)
        self.hp = regions.Hyperparameters.of(
            "reference",
            hidden=case["hidden"],
            dropout=case["dropout"],
            learning_rate=case["learning_rate"],
            weight_decay=case["weight_decay"],
        )
        self.network = build_and_compile(case["n_genes"], case["n_regions"], self.hp)
        self.network.set_weights([w.T if w.ndim == 2 else w for w in weights.values()])
        self.x = rng.normal(0, 1, size=(case["rows"], case["n_genes"])).astype("float32")
        self.y = rng.integers(case["n_regions"], size=case["rows"])
        self.start = self.weights()

    def weights(self) -> dict[str, np.ndarray]:
        return dict(zip(self.order, map(np.array, self.network.get_weights()), strict=True))

    def loss(self) -> tf.Tensor:
        logits = self.network(self.x, training=True)
        return tf.reduce_mean(
            keras.losses.sparse_categorical_crossentropy(self.y, logits, from_logits=True)
        )

    def step(self) -> tuple[float, dict[str, np.ndarray]]:
        """One step of the compiled optimiser; the loss before it and its gradients."""
        with tf.GradientTape() as tape:
            loss = self.loss()
        gradients = tape.gradient(loss, self.network.trainable_variables)
        self.network.optimizer.apply_gradients(zip(gradients, self.network.trainable_variables))
        return float(loss), dict(zip(self.order, gradients, strict=True))


def agree(found: dict, expected: dict, tolerance: float) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert norm(found[name]) == pytest.approx(value, rel=tolerance), name


@of_kind("regions")
def test_logits_and_embedding(case):
    drawn = Drawn(case)
    agree(drawn.start, case["weight_norms"], 1e-6)
    embedding = keras.Model(
        drawn.network.inputs[0], drawn.network.get_layer("embedding").output, name="embedder"
    )
    found = {"logits": drawn.network(drawn.x), "embedding": embedding(drawn.x)}
    agree(found, case["forward_norms"], 1e-4)
    right = np.mean(np.argmax(found["logits"], axis=1) == drawn.y)
    assert right == pytest.approx(case["accuracy"], abs=1e-9)


@of_kind("regions")
def test_losses_gradients_and_steps(case):
    """To 1e-4, also the length of a step: with Keras' place of epsilon it is off by 1e-3 or more."""
    drawn = Drawn(case)
    assert drawn.network.optimizer.epsilon == case["adamw"]["epsilon"]
    losses, after = [], None
    for number in range(len(case["losses_before_each_step"])):
        loss, gradients = drawn.step()
        losses.append(loss)
        if number == 0:
            agree(gradients, case["gradient_norms"], 1e-4)
            after = drawn.weights()
    np.testing.assert_allclose(losses, case["losses_before_each_step"], rtol=1e-4)
    agree(after, case["weight_norms_after_one_step"], 1e-4)
    agree(moved(drawn.start, after), case["step_norms_of_first_step"], 3e-4)
    agree(drawn.weights(), case["weight_norms_after_5_steps"], 1e-4)
    agree(moved(drawn.start, drawn.weights()), case["step_norms_after_all_steps"], 3e-4)


def moved(before: dict, after: dict) -> dict:
    return {name: after[name].astype(float) - before[name] for name in before}


@of_kind("regions_dropout")
def test_dropout_takes_whole_rows(case):
    """One layer, after the last hidden one. Not which rows, but how many, can be compared."""
    hp = regions.Hyperparameters.of("reference", hidden=case["hidden"], dropout=case["probability"])
    network = build_and_compile(case["n_genes"], case["n_regions"], hp)
    layers = [layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
    assert len(layers) == case["layers_with_dropout"]
    ones = layers[0](np.ones((case["rows"], case["hidden"][-1]), "float32"), training=True).numpy()
    dropped = (ones == 0).all(axis=1)
    assert ((ones == 0).any(axis=1) & ~dropped).sum() == case["rows_partly_dropped"] == 0
    np.testing.assert_allclose(ones[~dropped], case["scale_of_kept_rows"], rtol=1e-6)
    for number in (dropped.sum(), case["rows_wholly_dropped"]):
        assert likely(number, case["rows"], case["probability"])
    assert case["logits_of_dropped_rows_are_the_output_bias"]
    network.get_layer("scores").bias.assign(np.arange(case["n_regions"], dtype="float32"))
    rows = np.random.default_rng(0).normal(size=(200, case["n_genes"])).astype("float32")
    logits = network(rows, training=True).numpy()
    at_bias = np.isclose(logits, np.arange(case["n_regions"]), atol=1e-7).all(axis=1)
    assert likely(at_bias.sum(), len(rows), case["probability"])


def likely(number: int, of: int, probability: float) -> bool:
    """Within four standard deviations of what is expected."""
    return abs(number - of * probability) < 4 * np.sqrt(of * probability * (1 - probability))


@of_kind("regions_schedule")
def test_learning_rates(case):
    rates = case["learning_rate_by_epoch"]
    found = [regions.step_schedule(epoch, rates[0]) for epoch in range(len(rates))]
    np.testing.assert_allclose(found, rates, rtol=1e-6)


@of_kind("regions_rank")
def test_ranks_of_pairs(case):
    rng = np.random.default_rng(case["seed"])
    human = rng.normal(size=(case["n_human"], case["n_features"]))
    mouse = rng.normal(size=(case["n_mouse"], case["n_features"]))
    both = min(case["n_human"], case["n_mouse"])
    mouse[:both] += 0.5 * human[:both]
    drawn = [rng.integers(case[n], size=case["n_pairs"]) for n in ("n_mouse", "n_human")]
    pairs = pd.DataFrame(case["pairs"], columns=["mouse_region", "human_region"])
    assert pairs["mouse_region"].tolist() == [f"m{i}" for i in drawn[0]]
    assert pairs["human_region"].tolist() == [f"h{i}" for i in drawn[1]]
    human = pd.DataFrame(human, [f"h{i}" for i in range(len(human))])
    mouse = pd.DataFrame(mouse, [f"m{i}" for i in range(len(mouse))])
    correlation = regions.correlation_map(human, mouse)
    assert norm(correlation) == pytest.approx(case["correlation_norm"], rel=1e-6)
    assert regions.mean_rank(human, mouse, pairs) == pytest.approx(case["mean_rank"], abs=1e-9)


@of_kind("regions_split")
def test_donors_held_out(case):
    names = [(name, f"d{i}") for name, n in case["donors_by_region"].items() for i in range(n)]
    labels, donors = np.repeat(np.array(names), 3, axis=0).T  # three rows of each donor
    held_out = regions.hold_out_donors(labels, donors, case["share"], seed=1)
    for name, number in case["donors_held_out"].items():
        inside = donors[(labels == name) & held_out]
        assert len(set(inside)) == number, name
        assert case["rows_of_a_donor_together"] and len(inside) == 3 * number


def test_ranks_of_the_published_map():
    """Nine mouse regions x 22 human ones, mean correlation of the published embeddings."""
    table = pd.read_csv(golden_file("regions_published_subcortex.csv"), index_col=0).T
    pairs = regions.homologous_pairs("subcortex")
    ranks = regions.pair_ranks(table, pairs)
    found = dict(zip(ranks["mouse_region"], ranks["rank"], strict=True))
    expected = {"DG": 2, "CP": 2, "PAL": 1, "CA1": 1, "SUB": 1, "CA2": 3, "CA3": 4, "ACB": 4, "MED": 3}
    assert found == expected
    assert ranks["rank"].mean() == pytest.approx(21 / 9)
    assert regions.chance_rank(len(table)) == 11.5


def test_the_published_map_in_the_package_is_that_table():
    table = pd.read_csv(golden_file("regions_published_subcortex.csv"), index_col=0).T
    shown = regions.published_map()
    np.testing.assert_array_equal(shown.to_numpy(), table.to_numpy())
    assert set(shown.index) == set(regions.region_table("subcortex", "human")["region"])
    assert list(shown.columns) == list(table.columns)
