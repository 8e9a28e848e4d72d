"""Omics and bayes: every hyperparameter reaches the training, and a tiny fit gives pinned numbers."""

from dataclasses import fields

import numpy as np
import pytest

from imap_keras.bayes import BayesianClassifier
from imap_keras.bayes import Hyperparameters as BayesHyperparameters
from imap_keras.datasets import simulate_modalities
from imap_keras.omics import Hyperparameters, Modality, MultiOmics

# Of the fits below, the same in Keras 2 and Keras 3.
PINNED = {
    "omics": [4, 2.525909, 0.6651134, 1.860795, 1.183339, 0.6410166]
    + [1.046613, -0.778537, 0.6224208, 0.9111494],
    "bayes": [3, 3.05564, 70.74021, 1, 0.6554993, 0.5153611]
    + [0.6439757, 0.6926752, 0.005247321, 0.002794538],
}

OMICS = {"latent_dim": 2, "batch_size": 8, "epochs": 4, "learning_rate": 0.05, "seed": 1}
OMICS_CHANGES = {
    "latent_dim": 3,
    "hide_entries": 0.4,
    "hide_modality": 0.5,
    "learning_rate": 0.01,
    "batch_size": 5,
    "epochs": 2,
    "validation": 0.4,
    "patience": 1,
    "seed": 2,
}
MODALITY_CHANGES = {
    "loss": "poisson",
    "width": 5,
    "weight": 2.0,
    "activation": "softplus",
    "encoder": "linear",
}
BAYES = {"hidden": (3,), "epochs": 3, "kl_epochs": 2, "batch_size": 8, "seed": 1}
BAYES_CHANGES = {
    "hidden": (4,),
    "prior_scale": 0.5,
    "epochs": 2,
    "kl_epochs": 5,
    "learning_rate": 0.1,
    "batch_size": 5,
    "seed": 2,
}


@pytest.fixture(scope="module")
def cells():
    return simulate_modalities(30, {"rna": 6, "protein": 4}, n_types=2, n_states=2, seed=1)


@pytest.fixture(scope="module")
def base(cells):
    """The same fits without a change, by the code as it is now."""
    return {"omics": omics_numbers(cells), "bayes": bayes_numbers(cells)}


def omics_numbers(cells, spec=None, **changes) -> list[float]:
    """Losses, two codes, and the error of each modality of a tiny fit."""
    specs = {"rna": Modality(**{"width": 4} | (spec or {})), "protein": Modality(width=3)}
    model = MultiOmics(specs, **OMICS | changes).fit(cells, verbose=0)
    last = model.history.iloc[-1]
    return [
        len(model.history),
        *last[["loss", "rna_loss", "protein_loss", "val_loss", "val_rna_loss"]],
        *model.latent(cells)[0, :2],
        *model.errors(cells)["error"],
    ]


def bayes_numbers(cells, **changes) -> list[float]:
    """Losses and divergence, what is told of two cells, and the mean draws of a tiny fit."""
    x, labels = cells["rna"].X, cells["rna"].obs["cell_type"]
    model = BayesianClassifier(**BAYES | changes).fit(x, labels, verbose=0)
    told = model.predict(x, 10)
    last = model.history.iloc[-1]
    return [
        len(model.history),
        *last[["loss", "divergence", "divergence_weight"]],
        *told["probability"][:2],
        *told["entropy"][:2],
        *told["mutual_information"][:2],
    ]


def same(first, second) -> bool:
    return len(first) == len(second) and np.allclose(first, second, rtol=1e-3, atol=1e-6)


def test_every_field_is_changed_below():
    for changes, parameters in (
        (OMICS_CHANGES, Hyperparameters),
        (MODALITY_CHANGES, Modality),
        (BAYES_CHANGES, BayesHyperparameters),
    ):
        assert set(changes) == {field.name for field in fields(parameters)}


@pytest.mark.parametrize("name", OMICS_CHANGES)
def test_every_hyperparameter_of_omics_does_something(name, cells, base, eagerly):
    if name == "patience":  # with such steps the loss of the cells held out rises soon
        assert omics_numbers(cells, learning_rate=1.0, epochs=8, patience=1)[0] < 8
        return
    changed = omics_numbers(cells, **{name: OMICS_CHANGES[name]})
    assert not same(changed, base["omics"]), changed


@pytest.mark.parametrize("name", MODALITY_CHANGES)
def test_everything_said_of_a_modality_does_something(name, cells, base, eagerly):
    changed = omics_numbers(cells, spec={name: MODALITY_CHANGES[name]})
    assert not same(changed, base["omics"]), changed


@pytest.mark.parametrize("name", BAYES_CHANGES)
def test_every_hyperparameter_of_bayes_does_something(name, cells, base, eagerly):
    changed = bayes_numbers(cells, **{name: BAYES_CHANGES[name]})
    assert not same(changed, base["bayes"]), changed


def test_ten_numbers_of_a_tiny_fit_stay(base):
    """A silent change of a default, of a loss or of Keras shows here."""
    for method, found in base.items():
        pinned = PINNED[method]
        assert len(found) == len(pinned) == 10
        np.testing.assert_allclose(found, pinned, rtol=1e-3, atol=1e-6)
