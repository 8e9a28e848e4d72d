"""Batches that share no cell type stay as they are; the generator's weights are averaged."""

from dataclasses import replace

import numpy as np
import pytest

import imap_keras
import imap_keras.imap.components
import imap_keras.imap.training
from imap_keras import datasets
from imap_keras.imap.balance import balanced_weights
from imap_keras.imap.components import (
    deviations,
    merge_order,
    scale_factor,
    scaled_components,
    total_deviation,
)
from imap_keras.imap.hyperparameters import Hyperparameters
from imap_keras.imap.training import train_stage2
from imap_keras.nn.callbacks import AverageWeights, BestEpoch, StopWhenSettled


@pytest.fixture(scope="module")
def strangers():
    """Two batches of two types each, none in common."""
    missing = {"batch_0": ["type_0", "type_1"], "batch_1": ["type_2", "type_3"]}
    raw = datasets.simulate(
        n_cells=160, n_genes=300, n_types=4, n_batches=2, type_strength=2.5, missing=missing, seed=5
    )
    return imap_keras.preprocess(raw, min_genes=5, verbose=0)


@pytest.mark.filterwarnings("ignore:Batch")
def test_batches_without_a_common_type_are_not_merged(tiny, strangers, tmp_path):
    model = imap_keras.IMAP(**{**tiny, "k1": 10}).fit(
        strangers, order=["batch_0", "batch_1"], verbose=0
    )
    assert model.generators == {}
    (row,) = model.pair_counts.to_dict("records")
    assert row["mnn"] > 0 and row["agreeing"] == row["rwmnn"] == 0
    after = model.transform(strangers)
    np.testing.assert_array_equal(after.layers["imap"], strangers.X.toarray())

    model.save(tmp_path / "model")
    loaded = imap_keras.IMAP.load(tmp_path / "model").transform(strangers)
    np.testing.assert_array_equal(loaded.obsm["X_imap"], after.obsm["X_imap"])
    after.write_h5ad(tmp_path / "after.h5ad")


def test_the_warning_names_the_batch_and_the_way_out(tiny, strangers):
    with pytest.warns(
        UserWarning, match="'batch_1' is left as it is.*'batch_0'.*pair_agreement=0.5; 0"
    ):
        imap_keras.IMAP(**tiny).fit(strangers, order=["batch_0", "batch_1"], verbose=0)


@pytest.mark.filterwarnings("ignore:Batch")
def test_components_of_the_content_are_computed_once_a_fit(tiny, logged, monkeypatch, eagerly):
    """The content is the same for all query batches; the expression is not, once one is carried."""
    analysed = []

    def recorded(points, hp):
        analysed.append(points.shape[1])
        return scaled_components(points, hp)

    for module in (imap_keras.imap.components, imap_keras.imap.training):
        monkeypatch.setattr(module, "scaled_components", recorded)
    tiny.update(stage1_epochs=1, stage1_steps=1, stage2_epochs=1, stage2_steps=1, critic_steps=1)
    imap_keras.IMAP(**tiny).fit(logged, verbose=0)
    assert analysed == [tiny["latent_dim"], logged.n_vars, logged.n_vars]


@pytest.mark.parametrize("rows", [None, np.arange(1, 5001, 2)])
def test_deviations_are_those_of_double_precision(rows):
    """In float32 the sums down these cells lose digits."""
    rng = np.random.default_rng(0)
    cells = (1000 + rng.normal(size=(5001, 4)) * [1, 0.1, 3, 0]).astype("float32")
    kept = cells if rows is None else cells[rows]
    exact = kept.astype(float).std(axis=0)
    np.testing.assert_allclose(deviations(cells, rows), exact, rtol=1e-12, atol=0)
    assert deviations(cells, rows)[3] == 0
    assert np.abs(kept.std(axis=0)[:3] / exact[:3] - 1).max() > 1e-5
    assert total_deviation(cells, rows) == pytest.approx(exact.sum(), rel=1e-12)


def test_scale_and_order_come_from_sums_in_double_precision():
    rng = np.random.default_rng(1)
    cells = (4000 + rng.normal(size=(6000, 3))).astype("float32")
    labels = np.repeat(["a", "b"], 3000)
    cells[3000:] += (0.0005 * rng.normal(size=(3000, 3))).astype("float32")
    exact = {name: cells[labels == name].astype(float).std(axis=0).sum() for name in "ab"}
    assert merge_order(cells, labels) == sorted("ab", key=exact.get, reverse=True)
    hp = Hyperparameters(spread=2.0)
    expected = 2 / cells.astype(float).std(axis=0).mean()
    assert scale_factor(cells, hp) == pytest.approx(expected, rel=1e-12)
    assert scale_factor(np.full((50, 3), 0.1, "float32"), hp) == 1.0


def test_without_agreement_every_pair_counts_as_in_the_paper(tiny, strangers):
    model = imap_keras.IMAP(**{**tiny, "pair_agreement": 0.0}).fit(strangers, verbose=0)
    (row,) = model.pair_counts.to_dict("records")
    assert row["agreeing"] == row["mnn"] > 0
    assert len(model.generators) == 1


@pytest.mark.parametrize(
    "balance_pairs, weights",
    [(False, [1 / 3, 1 / 3, 1 / 3]), (True, None)],  # None: by balanced_weights
)
def test_the_generator_starts_with_the_mean_difference_of_its_pairs(tiny, balance_pairs, weights):
    rng = np.random.default_rng(0)
    cells = rng.uniform(1, 2, (12, 5)).astype("float32")
    cells[6:] += 3
    pairs = np.array([[0, 6], [0, 7], [1, 6]])  # a cell listed twice counts twice
    weights = balanced_weights(pairs) if weights is None else np.array(weights)
    changes = {"stage2_epochs": 1, "stage2_learning_rate": 1e-9, "balance_pairs": balance_pairs}
    hp = Hyperparameters.of(**{**tiny, **changes})
    generator, _ = train_stage2(cells, pairs, np.arange(6), hp)
    shift = weights @ (cells[[6, 7, 6]] - cells[[0, 0, 1]])
    np.testing.assert_allclose(generator(cells), cells + shift, atol=1e-4)
    other, _ = train_stage2(cells, pairs, np.arange(6), replace(hp, shift_start=False))
    np.testing.assert_allclose(other(cells), cells, atol=1e-4)


class Network:
    """One weight."""

    def __init__(self, weight=0.0):
        self.weights, self.stop_training = [np.array(weight)], False

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights


def trained(callback, network, weights, planned, logs=()):
    """What Keras does: epochs that leave these weights, of so many planned."""
    callback.set_model(network)
    callback.set_params({"epochs": planned})
    network.stop_training = False
    callback.on_train_begin()
    for epoch, weight in enumerate(weights):
        network.weights = [np.array(weight)]
        callback.on_epoch_end(epoch, logs[epoch] if logs else {})
        if network.stop_training:
            break
    callback.on_train_end()
    return float(network.weights[0])


@pytest.mark.parametrize("last_epochs, expected", [(1, 6.0), (2, 5.5), (4, 4.5), (99, 3.5)])
def test_weights_are_averaged_over_the_last_epochs(last_epochs, expected):
    network = Network()
    average = AverageWeights(network, last_epochs)
    for _ in range(2):  # nothing of the first training is left in the second
        assert trained(average, network, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 6) == expected


def test_weights_of_a_training_that_stops_early_are_divided_by_the_epochs_summed():
    network = Network()
    assert trained(AverageWeights(network, 4), network, [1.0, 2.0, 3.0, 4.0], 6) == 3.5
    assert trained(AverageWeights(network, 2), network, [1.0, 2.0, 3.0], 6) == 3.0


def test_a_second_training_has_its_own_best_epoch():
    network, best = Network(), BestEpoch(2)
    losses = [{"val_loss": loss} for loss in (0.3, 0.1, 0.2)]
    assert trained(best, network, [1.0, 2.0, 3.0], 9, losses) == 2.0
    higher = [{"val_loss": loss} for loss in (0.9, 0.8, 0.7)]
    assert trained(best, network, [4.0, 5.0, 6.0], 9, higher) == 6.0
    assert not network.stop_training


def test_a_second_training_waits_anew_until_the_loss_has_settled():
    network, settled = Network(), StopWhenSettled(2)
    low = [{"loss": loss} for loss in (0.1, 0.1, 0.1)]
    trained(settled, network, [1.0, 2.0, 3.0], 9, low)
    assert network.stop_training
    trained(settled, network, [1.0, 2.0, 3.0], 9, [{"loss": loss} for loss in (0.9, 0.8, 0.7)])
    assert not network.stop_training


def test_the_reference_judges_no_pairs_and_averages_no_weights():
    hp = Hyperparameters.of("reference")
    assert (hp.pair_agreement, hp.average_epochs, hp.shift_start) == (0.0, 1, False)
