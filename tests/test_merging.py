"""Batches that share no cell type stay as they are; the generator's weights are averaged."""

from dataclasses import replace

import numpy as np
import pytest

import imap_keras
from imap_keras import datasets
from imap_keras.imap.balance import balanced_weights
from imap_keras.imap.hyperparameters import Hyperparameters
from imap_keras.imap.training import train_stage2
from imap_keras.nn.callbacks import AverageWeights


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


@pytest.mark.parametrize("last_epochs, expected", [(1, 6.0), (2, 5.5), (4, 4.5), (99, 3.5)])
def test_weights_are_averaged_over_the_last_epochs(last_epochs, expected):
    class Network:
        weights = [np.array(0.0)]

        def get_weights(self):
            return self.weights

        def set_weights(self, weights):
            self.weights = weights

    network = Network()
    average = AverageWeights(network, last_epochs)
    average.set_params({"epochs": 6})
    for epoch in range(6):
        network.weights = [np.array(epoch + 1.0)]
        average.on_epoch_end(epoch)
    average.on_train_end()
    assert network.weights[0] == expected


def test_the_reference_judges_no_pairs_and_averages_no_weights():
    hp = Hyperparameters.of("reference")
    assert (hp.pair_agreement, hp.average_epochs, hp.shift_start) == (0.0, 1, False)
