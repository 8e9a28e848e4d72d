"""Autoencoders of one and of several modalities: losses by hand, missing values, errors, files."""

import json
from types import SimpleNamespace

import anndata
import h5py
import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from sklearn.decomposition import PCA

from imap_keras.datasets import simulate_file, simulate_manifold, simulate_modalities
from imap_keras.nn.rows import hold_out
from imap_keras.omics import (
    BackedCells,
    Hyperparameters,
    Modality,
    MultiOmics,
    build_deep_autoencoder,
    build_image_classifier,
    encoder_of,
    fill_missing,
    fit_autoencoder,
    measure_memory,
    memory,
    minibatches,
    pca_error,
    reconstruction_error,
    train_autoencoder,
    train_image_classifier,
)
from imap_keras.omics.losses import (
    RANGES,
    before_activation,
    binary_cross_entropy,
    poisson_deviance,
    squared_error,
)
from imap_keras.omics.modalities import read_modalities
from imap_keras.omics.network import build_joint_network, layer_names, start_from
from imap_keras.omics.training import draw_cells, hide

SPECS = {
    "rna": Modality("mse", 8),
    "methylation": Modality("bce", 4, weight=2.0),
    "counts": Modality("poisson", 6),
}
TINY = {"latent_dim": 3, "batch_size": 16, "epochs": 3, "seed": 1}


@pytest.fixture(scope="module")
def cells():
    """60 cells: log values, 0 or 1, and counts."""
    found = simulate_modalities(60, {"rna": 9, "methylation": 7, "counts": 5}, n_types=3, seed=2)
    found["methylation"].X = (found["methylation"].X > 1).astype("float32")
    found["counts"].X = (
        np.random.default_rng(0).poisson(found["counts"].layers["truth"]).astype("float32")
    )
    return found


@pytest.fixture(scope="module")
def fitted(cells):
    return MultiOmics(SPECS, **TINY).fit(cells, verbose=0)


@pytest.fixture
def changed(cells):
    """A copy of the cells that may be changed."""
    return {name: adata.copy() for name, adata in cells.items()}


# ------------------------------------------------------------------ losses


def test_losses_are_means_over_what_was_measured():
    x = np.array([[0.25, np.nan], [1.0, 0.5]])
    y = np.array([[0.5, 0.9], [0.75, 0.5]])
    known, a, b = np.isfinite(x), x[np.isfinite(x)], y[np.isfinite(x)]
    assert known.sum() == 3
    assert float(squared_error(x, y)) == pytest.approx(np.mean((a - b) ** 2))
    entropy = -a * np.log(b) - (1 - a) * np.log(1 - b)
    assert float(binary_cross_entropy(x, y)) == pytest.approx(entropy.mean())
    deviance = b - a + a * np.log(a / b)
    assert float(poisson_deviance(x, y)) == pytest.approx(deviance.mean())


@pytest.mark.parametrize("loss", [squared_error, binary_cross_entropy, poisson_deviance])
def test_no_gradient_flows_from_what_was_not_measured(loss):
    output = tf.constant([[0.3, 0.4], [0.5, 0.6]])
    target = np.array([[0.0, np.nan], [np.nan, 1.0]], "float32")
    with tf.GradientTape() as tape:
        tape.watch(output)
        value = loss(target, output)
    gradient = tape.gradient(value, output).numpy()
    assert np.isfinite(gradient).all()
    assert gradient[0, 1] == gradient[1, 0] == 0 and gradient[0, 0] != 0 and gradient[1, 1] != 0


@pytest.mark.parametrize("loss", [squared_error, binary_cross_entropy, poisson_deviance])
def test_nothing_measured_is_no_loss(loss):
    assert float(loss(np.full((2, 2), np.nan, "float32"), np.ones((2, 2), "float32"))) == 0


def test_the_gradient_of_the_deviance_is_that_of_the_poisson_likelihood():
    rate, x = tf.constant([[0.5, 4.0]]), np.array([[2.0, 3.0]], "float32")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(rate)
        deviance, likelihood = poisson_deviance(x, rate), tf.reduce_mean(rate - x * tf.math.log(rate))
    np.testing.assert_allclose(
        tape.gradient(deviance, rate), tape.gradient(likelihood, rate), rtol=1e-6
    )


def test_cross_entropy_is_negative_on_logs_and_not_on_shares():
    near_one = np.full((1, 1), 0.999, "float32")
    assert float(binary_cross_entropy(np.array([[3.2]], "float32"), near_one)) < -10
    for x in np.linspace(0, 1, 11, dtype="float32"):
        for p in (0.0, 0.001, 0.5, 1.0):
            assert float(binary_cross_entropy(np.array([[x]]), np.array([[p]], "float32"))) >= 0


@pytest.mark.parametrize("activation", list(RANGES))
def test_decoders_start_at_the_mean(activation):
    mean = np.array([0.2, 0.7])
    start = before_activation(mean, activation)
    np.testing.assert_allclose(keras.activations.get(activation)(tf.constant(start)), mean, rtol=1e-5)


# ------------------------------------------------------------------ network and rows


def test_the_network_has_a_part_for_each_modality(fitted):
    n = fitted.network
    units = {name: n.get_layer(f"{name}_encoder").units for name in SPECS}
    assert units == {"rna": 8, "methylation": 4, "counts": 6}
    assert n.get_layer("code").units == 3 and n.get_layer("back").units == 18
    ends = {name: n.get_layer(f"{name}_output").activation.__name__ for name in SPECS}
    assert ends == {"rna": "linear", "methylation": "sigmoid", "counts": "exponential"}


def test_an_untrained_network_puts_out_the_means(cells):
    values = read_modalities(cells, SPECS).values
    network = build_joint_network({name: x.shape[1] for name, x in values.items()}, SPECS, 3)
    start_from(network, SPECS, values)
    nothing = {name: np.full_like(x[:1], np.nan) for name, x in values.items()}
    for layer in ("back", "rna_output", "counts_output"):
        kernel, bias = network.get_layer(layer).get_weights()
        network.get_layer(layer).set_weights([0 * kernel, bias])
    output = network(nothing)
    np.testing.assert_allclose(output["rna"][0], values["rna"].mean(0), rtol=1e-4)
    np.testing.assert_allclose(output["counts"][0], values["counts"].mean(0), rtol=1e-4)


def test_a_modality_is_centred_by_feature_and_divided_by_one_number():
    """Components keep their share of the variance; counts are standardised after the logarithm."""
    rng = np.random.default_rng(0)
    values = {"rna": rng.normal(3, [1.0, 7.0], (50, 2)), "counts": rng.poisson(4.0, (50, 2))}
    values["rna"][:10, 0], values["counts"] = np.nan, values["counts"].astype(float)
    specs = {name: SPECS[name] for name in values}
    network = build_joint_network({"rna": 2, "counts": 2}, specs, 3)
    start_from(network, specs, values)
    for name, table in (("rna", values["rna"]), ("counts", np.log1p(values["counts"]))):
        mean, scale = network.get_layer(f"{name}_standardized").get_weights()
        np.testing.assert_allclose(mean, np.nanmean(table, 0), rtol=1e-5)
        np.testing.assert_allclose(scale, np.sqrt(np.nanvar(table, 0).mean()), rtol=1e-5)


def test_a_modality_that_never_varies_is_not_divided():
    specs, values = {"rna": SPECS["rna"]}, {"rna": np.full((5, 2), 3.0)}
    network = build_joint_network({"rna": 2}, specs, 3)
    start_from(network, specs, values)
    mean, scale = network.get_layer("rna_standardized").get_weights()
    assert mean.tolist() == [3, 3] and scale.tolist() == [1, 1]


def test_what_was_not_measured_is_read_as_the_mean(fitted, cells):
    values = {name: adata.X.copy() for name, adata in cells.items()}
    mean = fitted.network.get_layer("rna_standardized").get_weights()[0]
    hidden, filled = dict(values), dict(values)
    hidden["rna"] = np.where(np.arange(9) == 4, np.nan, values["rna"]).astype("float32")
    filled["rna"] = np.where(np.arange(9) == 4, mean, values["rna"]).astype("float32")
    np.testing.assert_allclose(fitted.encoder(hidden), fitted.encoder(filled), atol=1e-5)


def test_every_cell_comes_once_an_epoch_in_another_order():
    table = np.arange(10, dtype="float32")[:, None]
    rows = iter(draw_cells({"rna": table}, Hyperparameters(batch_size=5, hide_entries=0.0, seed=3)))
    epochs = [[next(rows) for _ in range(2)] for _ in range(2)]
    orders = [np.concatenate([t["rna"].numpy().ravel() for _, t in epoch]).tolist() for epoch in epochs]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10)) and orders[0] != orders[1]
    np.testing.assert_array_equal(epochs[0][0][0]["rna"], epochs[0][0][1]["rna"])  # nothing hidden


def test_hiding_takes_its_shares_and_at_most_one_modality():
    tables = {"a": np.ones((4000, 5), "float32"), "b": np.ones((4000, 3), "float32")}
    whole = [np.isnan(x).all(1) for x in hide(tables, [0, 0], 0.0, 0.4).values()]
    assert not np.any(whole[0] & whole[1])
    assert [w.mean() for w in whole] == pytest.approx([0.2, 0.2], abs=0.03)
    entries = [np.isnan(x).mean() for x in hide(tables, [0, 1], 0.3, 0.0).values()]
    assert entries == pytest.approx([0.3, 0.3], abs=0.02)
    alone = hide({"a": tables["a"]}, [0, 2], 0.0, 0.9)["a"]
    assert not np.isnan(alone).any()  # a single modality is never hidden whole


def test_what_is_hidden_from_the_encoders_is_asked_of_the_decoders():
    """The inputs of a step lack the shares that were asked for, and its targets lack nothing."""
    table = np.random.default_rng(0).normal(size=(500, 8)).astype("float32")
    hp = Hyperparameters(batch_size=500, hide_entries=0.2, hide_modality=0.4, seed=1)
    inputs, targets = next(iter(draw_cells({"a": table, "b": 2 * table}, hp)))
    for name, factor in (("a", 1), ("b", 2)):
        x, target = inputs[name].numpy(), targets[name].numpy()
        np.testing.assert_array_equal(np.sort(target, axis=0), np.sort(factor * table, axis=0))
        seen = np.isfinite(x)
        np.testing.assert_array_equal(x[seen], target[seen])
        whole = ~seen.any(axis=1)
        assert whole.mean() == pytest.approx(0.2, abs=0.06)
        assert (~seen[~whole]).mean() == pytest.approx(0.2, abs=0.03)


def test_moments_of_many_cells_are_exact():
    """A sum of a million float32 values down the cells is off by up to a percent."""
    rng, n = np.random.default_rng(0), 400_000
    table = np.where(rng.random((n, 2)) < 0.01, rng.normal(2, 0.3, (n, 2)), 0).astype("float32")
    table += np.float32(30)
    specs = {"rna": SPECS["rna"]}
    network = build_joint_network({"rna": 2}, specs, 3)
    start_from(network, specs, {"rna": table})
    mean, scale = network.get_layer("rna_standardized").get_weights()
    exact = table.astype(float)
    np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-6)
    np.testing.assert_allclose(scale, np.sqrt(exact.var(0).mean()), rtol=1e-6)


# ------------------------------------------------------------------ fitting


def test_history_has_every_loss_and_no_cross_entropy_below_zero(fitted):
    losses = [
        f"{part}{name}" for part in ("", "val_") for name in ("loss", *(f"{n}_loss" for n in SPECS))
    ]
    assert list(fitted.history) == ["epoch", *losses]
    h = fitted.history
    weighted = h["rna_loss"] + 2 * h["methylation_loss"] + h["counts_loss"]
    np.testing.assert_allclose(h["loss"], weighted, rtol=1e-4)
    assert h[["methylation_loss", "val_methylation_loss"]].min().min() >= 0
    assert h["loss"].iloc[-1] < h["loss"].iloc[0]


def test_the_seed_decides_the_fit(fitted, cells):
    again = MultiOmics(SPECS, **TINY).fit(cells, verbose=0)
    np.testing.assert_array_equal(again.latent(cells), fitted.latent(cells))
    pd.testing.assert_frame_equal(again.history, fitted.history)


def test_mudata_and_another_order_of_cells_give_the_same(fitted, cells):
    np.testing.assert_array_equal(fitted.latent(MuData(dict(cells))), fitted.latent(cells))
    mixed = {**cells, "counts": cells["counts"][::-1].copy()}
    np.testing.assert_array_equal(fitted.latent(mixed), fitted.latent(cells))
    thin = {
        **cells,
        "rna": AnnData(sparse.csr_matrix(cells["rna"].X), obs=cells["rna"].obs, var=cells["rna"].var),
    }
    np.testing.assert_array_equal(fitted.latent(thin), fitted.latent(cells))


def test_errors_are_the_losses_of_the_reconstruction(fitted, cells):
    table, rebuilt = fitted.errors(cells), fitted.reconstruct(cells)
    error = np.mean((rebuilt["rna"].to_numpy() - cells["rna"].X) ** 2)
    assert table.loc["rna", "error"] == pytest.approx(error, rel=1e-5)
    inside = ~cells["rna"].obs_names.isin(fitted.held_out)
    mean = np.mean((cells["rna"].X[inside].mean(0) - cells["rna"].X) ** 2)
    assert table.loc["rna", "mean_predictor"] == pytest.approx(mean, rel=1e-5)
    assert inside.sum() == 48
    assert rebuilt["methylation"].columns.tolist() == cells["methylation"].var_names.tolist()
    assert rebuilt["methylation"].to_numpy().min() >= 0 and rebuilt["methylation"].to_numpy().max() <= 1


def test_a_modality_that_is_not_handed_in_counts_as_not_measured(fitted, cells, changed):
    for name in ("methylation", "counts"):
        changed[name].X[:] = np.nan
    code = fitted.latent({"rna": cells["rna"]})
    np.testing.assert_array_equal(code, fitted.latent(changed))
    assert not np.allclose(code, fitted.latent(cells))
    table = fitted.errors(cells, from_modalities=["rna"])
    assert list(table.index) == list(SPECS) and np.isfinite(table.to_numpy()).all()


def test_cells_without_a_modality_are_trained_on(changed):
    """20 cells have no RNA, 20 others no methylation; entries are missing here and there."""
    changed["rna"] = changed["rna"][20:].copy()
    changed["methylation"] = changed["methylation"][:40].copy()
    changed["counts"].X[::7, 1] = np.nan
    filled = fill_missing(changed)
    # Cells of the first modality come first, then those that only others have.
    assert filled["rna"].obs_names.tolist() == [f"cell_{i}" for i in [*range(20, 60), *range(20)]]
    assert np.isnan(filled["rna"].X[40:]).all() and not np.isnan(filled["rna"].X[:40]).any()
    assert filled["rna"].obs["cell_type"].notna().all()
    model = MultiOmics(SPECS, **TINY).fit(filled, verbose=0)
    assert np.isfinite(model.history.to_numpy()).all() and np.isfinite(model.latent(filled)).all()
    assert model.reconstruct(filled)["rna"].notna().all(axis=None)


def test_a_single_modality_and_its_weight(cells, eagerly):
    model = MultiOmics({"rna": Modality(weight=3.0)}, **TINY).fit({"rna": cells["rna"]}, verbose=0)
    np.testing.assert_allclose(model.history["loss"], 3 * model.history["rna_loss"])
    assert model.latent({"rna": cells["rna"]}).shape == (60, 3)


ODD = [
    "gene expression",
    "ATAC/peaks",
    "rna:counts",
    "ADT (µ)",
    "code",
    "back",
    "joined",
    "a/b",
    "modality_0",
    "rna_encoder",
    "rna",
    "_x",
    "",
    "../../up",
    "loss",
]


def test_any_name_of_a_modality_will_do(tmp_path, eagerly):
    """Keras' layers have names of their own; saved and loaded under the user's."""
    features = simulate_modalities(20, {"one": 3}, n_types=2, seed=1)["one"]
    cells = {name: features.copy() for name in ODD}
    model = MultiOmics(dict.fromkeys(ODD, Modality(width=2)), **TINY | {"epochs": 1})
    model.fit(cells, verbose=0).save(tmp_path / "model")
    columns = [
        f"{part}{name}" for part in ("", "val_") for name in ("loss", *(f"{n}_loss" for n in ODD))
    ]
    assert list(model.history) == ["epoch", *columns]
    total = sum(model.history[f"val_{name}_loss"] for name in ODD)
    np.testing.assert_allclose(model.history["val_loss"], total, rtol=1e-4)
    loaded = MultiOmics.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.latent({"a/b": features}), model.latent({"a/b": features}))
    assert list(loaded.reconstruct(cells)) == ODD and list(loaded.errors(cells).index) == ODD


def test_layers_are_named_by_plain_names_and_by_numbers_else():
    names = layer_names(ODD)
    assert {name: names[name] for name in ("rna_encoder", "modality_0")} == {
        "rna_encoder": "rna_encoder",
        "modality_0": "modality_8",  # "gene expression" has taken that one
    }
    assert len(set(names.values())) == len(ODD) and names["rna"] == "modality_10"
    assert layer_names(["rna", "x.1-b"]) == {"rna": "rna", "x.1-b": "x.1-b"}  # as before: models load


@pytest.mark.parametrize("name", ["a\0", "half \ud83d"])
def test_a_name_that_no_file_can_hold_is_refused(name):
    with pytest.raises(ValueError) as error:
        MultiOmics({"rna": "mse", name: "mse"})
    assert str(error.value) == (
        f"The modality name {name!r} holds a NUL or half a character (a lone surrogate), which no file "
        "can hold; give it another name."
    )


@pytest.mark.parametrize("names", [["val"], ["x", "val_x"], [1, "1"]])
def test_names_that_the_history_cannot_tell_apart_are_refused(names):
    with pytest.raises(ValueError, match=r"give two columns '.*' of the history; rename one"):
        MultiOmics(dict.fromkeys(names, "mse"))


def test_saved_and_loaded(fitted, cells, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = MultiOmics.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.latent(cells), fitted.latent(cells))
    pd.testing.assert_frame_equal(loaded.errors(cells), fitted.errors(cells), rtol=1e-6)
    pd.testing.assert_frame_equal(loaded.history, fitted.history)
    assert loaded.specs == fitted.specs and loaded.hyperparameters == fitted.hyperparameters
    assert loaded.held_out == fitted.held_out


# ------------------------------------------------------------------ errors


def test_values_outside_the_range_of_their_loss_are_named(changed):
    changed["methylation"].X = np.log1p(100 * changed["methylation"].X)
    with pytest.raises(ValueError) as error:
        MultiOmics(SPECS, **TINY).fit(changed, verbose=0)
    for part in ("'methylation'", "from 0 to 4.615", "'bce'", "values from 0 to 1", "divided by 100"):
        assert part in str(error.value)


def test_negative_counts_and_infinite_values_are_refused(changed):
    changed["counts"].X -= 1
    with pytest.raises(ValueError, match="'counts' holds values from -1 to .*'poisson'.*of 0 or more"):
        MultiOmics(SPECS).fit(changed)
    changed["counts"].X += 1
    changed["rna"].X[0, 0] = np.inf
    with pytest.raises(ValueError, match="'rna' holds values from .* to inf.*that are finite"):
        MultiOmics(SPECS).fit(changed)


def test_a_target_that_the_output_cannot_reach_is_refused(changed):
    specs = {"rna": Modality("mse", activation="sigmoid")}
    with pytest.raises(
        ValueError, match="'rna' holds values from 0 to .*'sigmoid' needs values from 0 to 1"
    ):
        MultiOmics(specs).fit({"rna": changed["rna"]})


def test_modalities_with_different_cells_are_refused(changed):
    changed["counts"] = changed["counts"][5:].copy()
    with pytest.raises(ValueError) as error:
        MultiOmics(SPECS).fit(changed)
    for part in (
        "'counts' of data holds other cells than 'rna' (55 and 60; 5 are",
        "'cell_0'",
        "fill_missing",
    ):
        assert part in str(error.value)
    with pytest.raises(ValueError, match="holds other cells"):
        MultiOmics(SPECS).fit(MuData(changed))


def test_a_cell_measured_in_no_modality_is_refused(changed):
    for adata in changed.values():
        adata.X[7] = np.nan
    with pytest.raises(
        ValueError, match=r"Cell 'cell_7' was measured in none of the modalities .*1 such"
    ):
        MultiOmics(SPECS).fit(changed)


def test_a_feature_measured_only_in_cells_held_out_is_refused(changed):
    held_out = hold_out(60, 0.2, seed=1)[1][0]
    changed["rna"].X[np.arange(60) != held_out, 3] = np.nan
    with pytest.raises(
        ValueError, match=r"Feature 'rna_3' of modality 'rna' .* held out only \(1 such"
    ):
        MultiOmics(SPECS, **TINY).fit(changed, verbose=0)


def test_other_faults_of_the_data_are_named(changed, fitted):
    with pytest.raises(TypeError, match="data is a AnnData; hand in a MuData, or a dictionary"):
        MultiOmics(SPECS).fit(changed["rna"])
    with pytest.raises(ValueError, match="data has no modality 'counts'"):
        MultiOmics(SPECS).fit({name: changed[name] for name in ("rna", "methylation")})
    with pytest.raises(ValueError, match="Modality 'protein' is unknown"):
        MultiOmics(SPECS).fit({**changed, "protein": changed["rna"]})
    with pytest.raises(ValueError, match="1 of the 9 fitted features of modality 'rna' are missing"):
        fitted.latent({"rna": changed["rna"][:, 1:].copy()})
    with pytest.raises(ValueError, match="must name at least one modality of data"):
        fitted.errors(changed, from_modalities=[])
    with pytest.raises(ValueError, match=r"from_modalities=\['counts'\] must .* which has \['rna'\]"):
        fitted.errors({"rna": changed["rna"]}, from_modalities=["counts"])
    with pytest.raises(
        TypeError, match=r"modalities\['rna'\]=.* must be the name of a loss or a Modality"
    ):
        MultiOmics({"rna": {"loss": "mse"}})
    with pytest.raises(ValueError, match="'protein' is no modality"):
        fitted.errors(changed, from_modalities=["protein"])
    with pytest.raises(ValueError, match="holds 4 cells; at least 10"):
        MultiOmics(SPECS).fit({name: adata[:4].copy() for name, adata in changed.items()})
    changed["rna"].X[:, 2] = np.nan
    with pytest.raises(ValueError, match="Feature 'rna_2' of modality 'rna' was measured in no cell"):
        MultiOmics(SPECS).fit(changed)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"loss": "mae"}, "loss='mae' is unknown"),
        ({"loss": "bce", "activation": "linear"}, "activation='linear' does not fit the loss 'bce'"),
        ({"width": 0}, "width=0 must be a whole number of at least 1"),
        ({"weight": 0}, "weight=0 must be a number, above 0"),
    ],
)
def test_impossible_modalities_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Modality(**options)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"hide_entries": 1.0}, "hide_entries=1.0 must be a number, 0 or more and below 1"),
        ({"validation": 0}, "validation=0 must be a number, above 0 and below 1"),
        ({"epochs": 0}, "epochs=0 must be a whole number"),
        ({"learning_rate": -1}, "learning_rate=-1 must be a number, above 0"),
        ({"seed": 2**32}, "must be below"),
    ],
)
def test_impossible_hyperparameters_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MultiOmics(SPECS, **options)


def test_no_modality_and_no_fit_are_refused(cells):
    with pytest.raises(ValueError, match="must name at least one modality"):
        MultiOmics({})
    for method in ("latent", "reconstruct", "errors"):
        with pytest.raises(RuntimeError, match="not fitted yet"):
            getattr(MultiOmics(SPECS), method)(cells)


# ------------------------------------------------------------------ one modality, PCA


def test_eight_and_ten_layers():
    eight = build_deep_autoencoder(50)
    ten = build_deep_autoencoder(50, (40, 30, 20, 10))
    assert [len(network.layers) - 1 for network in (eight, ten)] == [8, 10]
    assert eight.get_layer("code").activation.__name__ == "linear"
    assert eight.layers[-1].activation.__name__ == "linear"
    assert encoder_of(ten).output_shape == (None, 2)


def test_pca_error_by_hand():
    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(40, 6)), rng.normal(size=(5, 6))
    v = np.linalg.svd(x - x.mean(0))[2][:2]
    rebuilt = (new - x.mean(0)) @ v.T @ v + x.mean(0)
    assert pca_error(x, new, 2) == pytest.approx(np.mean((rebuilt - new) ** 2))


def test_a_linear_autoencoder_finds_what_pca_finds():
    """Without hidden layers the best autoencoder spans the principal components."""
    x = simulate_manifold(200, 8, 2, curvature=0, noise=0.2, seed=1).X
    network, history = fit_autoencoder(
        x, (), 2, epochs=150, batch_size=40, learning_rate=0.01, patience=150
    )
    best = np.mean((PCA(2).fit(x).inverse_transform(PCA(2).fit_transform(x)) - x) ** 2)
    assert best <= reconstruction_error(network, x) < 1.1 * best
    assert history["val_loss"].iloc[-1] < 0.2 * history["val_loss"].iloc[0]


def test_minibatches_are_target_and_input():
    rows = iter(minibatches(np.arange(6.0)[:, None], batch_size=3, seed=1))
    seen = [next(rows) for _ in range(2)]
    assert sorted(np.concatenate([x.numpy().ravel() for x, _ in seen]).tolist()) == list(range(6))
    np.testing.assert_array_equal(seen[0][0], seen[0][1])


def test_faults_of_the_cells_of_an_autoencoder_are_named():
    with pytest.raises(ValueError, match="There are 9 cells; at least 10"):
        fit_autoencoder(np.ones((9, 3)))
    with pytest.raises(ValueError, match="cells holds 1 NaN or infinite values"):
        fit_autoencoder(np.where(np.arange(36).reshape(12, 3) == 5, np.nan, 1.0))


# ------------------------------------------------------------------ from a file


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return simulate_file(tmp_path_factory.mktemp("file") / "cells.h5ad", 700, 30, seed=1)


def test_a_file_comes_in_minibatches_every_training_cell_once_an_epoch(file):
    whole = np.log1p(anndata.read_h5ad(file).X.toarray())
    cells = BackedCells(file, memory=64 * 4 * 30 * 4, seed=2)
    assert cells.block == 8 and len(cells.inside) + len(cells.held_out) == 88
    inside = np.concatenate([whole[start : start + 8] for start in cells.inside])
    rows = iter(cells.minibatches(16))
    seen = np.zeros((0, 30))
    while len(seen) < len(inside):
        x, target = next(rows)
        np.testing.assert_array_equal(x, target)
        seen = np.vstack([seen, x])
    np.testing.assert_allclose(np.sort(seen, axis=0), np.sort(inside, axis=0))
    assert not np.allclose(seen[:50], inside[:50])
    held_out = np.vstack([x for x, _ in cells.validation(16)])
    np.testing.assert_allclose(held_out, np.concatenate([whole[s : s + 8] for s in cells.held_out]))


@pytest.mark.parametrize("held, batch_size", [(64, 16), (64, 100), (64, 7), (640, 128), (640, 2000)])
def test_an_epoch_of_the_file_is_every_training_cell_once(file, held, batch_size):
    """Few cells at once leave a rest at each reading; an epoch neither drops nor repeats it."""
    cells = BackedCells(file, memory=held * 4 * 30 * 4, seed=2)
    inside = np.concatenate([cells.read(start) for start in cells.inside])
    rows, steps = iter(cells.minibatches(batch_size)), cells.steps(batch_size)
    for _ in range(2):
        seen = np.concatenate([next(rows)[0] for _ in range(steps)])
        assert len(seen) == len(inside)
        np.testing.assert_array_equal(np.sort(seen, axis=0), np.sort(inside, axis=0))


def test_a_file_written_after_preprocessing_gives_its_counts(file, tmp_path, monkeypatch):
    """X is logarithms there: the counts are in their layer, and are taken the logarithm of once."""
    adata = anndata.read_h5ad(file)
    counts = adata.X.toarray()
    adata.layers["counts"] = adata.X.copy()
    adata.X = np.log1p(adata.X.toarray() / 3)
    adata.write_h5ad(tmp_path / "logged.h5ad")
    monkeypatch.setenv("HOME", str(tmp_path))
    cells = BackedCells("~/logged.h5ad", memory=1e6)
    assert cells.name == "layers['counts']"
    np.testing.assert_array_equal(cells.read(0), np.log1p(counts[: cells.block]))
    del adata.layers["counts"]
    adata.write_h5ad(tmp_path / "only_logs.h5ad")
    with pytest.raises(ValueError, match="X of only_logs.h5ad, cells from 0 on, holds .* fractional"):
        BackedCells("~/only_logs.h5ad", memory=1e6)


def test_a_batch_size_that_is_none_is_an_error_also_of_a_file(file):
    cells = BackedCells(file, memory=1e6)
    for of in (cells.minibatches, cells.validation, cells.steps):
        with pytest.raises(ValueError, match="batch_size=-1 must be a whole number of at least 1"):
            of(-1)


def test_a_file_kept_gene_by_gene_is_refused_with_the_line_that_converts_it(
    file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    adata = anndata.read_h5ad(file)
    adata.X = adata.X.tocsc()
    adata.write_h5ad("by_genes.h5ad")
    with pytest.raises(ValueError) as error:
        BackedCells("by_genes.h5ad")
    message = str(error.value)
    assert message.startswith("X of by_genes.h5ad is kept gene by gene (CSC)")
    exec(message.split("once: ")[1].removesuffix("."), {"anndata": anndata})
    assert BackedCells("by_cells.h5ad").n_cells == 700
    with pytest.raises(ValueError, match="CSC"), memory.counts_in("by_genes.h5ad"):
        pass


def test_a_file_is_closed_after_each_look_at_it_also_one_that_fails(
    file, tmp_path, monkeypatch, eagerly
):
    opened = []

    def remembered(path, mode):
        opened.append(h5py.File(path, mode))
        return opened[-1]

    watched = SimpleNamespace(File=remembered, Dataset=h5py.Dataset)
    monkeypatch.setattr("imap_keras.omics.backed.h5py", watched)
    cells = BackedCells(file, memory=1e6)
    assert len(opened) == 2 and not any(opened)
    network = build_deep_autoencoder(30, (4,), 2)
    rows = cells.standardize().minibatches()
    train_autoencoder(network, rows, cells.steps(), 2, cells.validation())
    next(iter(rows))  # the rest of the epoch is never asked for
    assert not any(opened)
    adata = anndata.read_h5ad(file)
    adata.X.data[-1] = -1
    adata.write_h5ad(tmp_path / "wrong.h5ad")
    with pytest.raises(ValueError, match="negative values") as kept:
        BackedCells(tmp_path / "wrong.h5ad", memory=1e6).standardize()
    assert kept and not any(opened)


def test_a_file_written_anew_is_not_taken_for_the_first(file, tmp_path):
    path = tmp_path / "cells.h5ad"
    adata = anndata.read_h5ad(file)
    adata.write_h5ad(path)
    cells = BackedCells(path, memory=1e6).standardize()
    adata[::-1].write_h5ad(path)  # nobody holds it
    with pytest.raises(RuntimeError, match=r"cells.h5ad changed since .* Make BackedCells of it anew"):
        cells.read(0)
    assert BackedCells(path, memory=1e6).n_cells == 700


def test_what_is_no_file_of_cells_is_named(tmp_path):
    (tmp_path / "text.h5ad").write_text("cells")
    with pytest.raises(ValueError, match="text.h5ad cannot be read as an .h5ad file: "):
        BackedCells(tmp_path / "text.h5ad")
    AnnData(obs=pd.DataFrame(index=["a"])).write_h5ad(tmp_path / "empty.h5ad")
    with pytest.raises(ValueError, match=r"empty.h5ad holds neither layers\['counts'\] nor X"):
        BackedCells(tmp_path / "empty.h5ad")


def test_standardised_by_the_training_cells(file):
    whole = np.log1p(anndata.read_h5ad(file).X.toarray())
    cells = BackedCells(file, memory=1e6).standardize()
    inside = np.concatenate([whole[s : s + cells.block] for s in cells.inside])
    np.testing.assert_allclose(cells.mean, inside.mean(0), rtol=1e-5)
    np.testing.assert_allclose(cells.scale, np.where(inside.std(0) > 1e-3, inside.std(0), 1), rtol=1e-4)
    first = next(iter(cells.validation(16)))[0]
    np.testing.assert_allclose(
        first, (whole[cells.held_out[0] :][:16] - inside.mean(0)) / inside.std(0), rtol=1e-3, atol=1e-4
    )


def test_dense_files_and_seeds(file, tmp_path):
    adata = anndata.read_h5ad(file)
    AnnData(adata.X.toarray()).write_h5ad(tmp_path / "dense.h5ad")
    first = [
        next(iter(BackedCells(path, 1e6, seed=seed).minibatches(8)))[0].numpy()
        for path, seed in ((file, 1), (tmp_path / "dense.h5ad", 1), (file, 2))
    ]
    np.testing.assert_array_equal(first[0], first[1])
    assert not np.array_equal(first[0], first[2])


def test_what_is_held_at_once_follows_from_the_memory_given(file):
    few, many = BackedCells(file, 64 * 480), BackedCells(file, 640 * 480)
    assert few.block * BackedCells.BLOCKS_TOGETHER == 64
    assert many.block * BackedCells.BLOCKS_TOGETHER == 640


def test_faults_of_files_are_named(file, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        BackedCells(tmp_path / "none.h5ad")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        measure_memory(tmp_path / "none.h5ad")
    with pytest.raises(TypeError, match="'hiden' is no setting"):
        measure_memory(file, hiden=(5,))
    with pytest.raises(
        ValueError, match="memory=5000 bytes hold 10 cells of 30 features; give at least 30720"
    ):
        BackedCells(file, memory=5000)
    with pytest.raises(ValueError, match="held_out=0 must be between 0 and 1"):
        BackedCells(file, held_out=0)
    with pytest.raises(ValueError, match="held_out=0.99 of .* blocks .* leaves none to train on"):
        BackedCells(file, held_out=0.99)
    adata = anndata.read_h5ad(file)
    adata.X.data[:] = -1
    adata.write_h5ad(tmp_path / "negative.h5ad")
    with pytest.raises(ValueError, match="X of negative.h5ad, cells from .* negative values"):
        BackedCells(tmp_path / "negative.h5ad").standardize()


def test_memory_is_measured_with_and_without_the_matrix(file, capsys, eagerly):
    """Here in the tests' own process; the notebook measures in one of its own."""
    memory.main(json.dumps([str(file), memory.SETTINGS | {"hidden": [4], "latent_dim": 2}]))
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["dense_bytes"] == 4 * 700 * 30 and len(found["val_loss"]) == 1
    # The file is small here: a megabyte more or less is the process's own, which may shrink meanwhile.
    assert found["dense_peak"] >= found["backed_peak"] - 2**20 and found["backed_peak"] >= -(2**20)


def test_resident_memory_rises_with_what_is_held():
    before = memory.resident()
    held = np.ones(30_000_000)
    assert 0.9 * held.nbytes < memory.resident() - before < 1.2 * held.nbytes
    assert memory.highest_resident() >= memory.resident()


# ------------------------------------------------------------------ images


def test_the_classifier_of_the_lecture_has_its_parameters():
    network = build_image_classifier((28, 28, 1))
    assert network.count_params() == 3_226_474
    kinds = [type(layer).__name__ for layer in network.layers[1:]]
    assert kinds == [
        "Conv2D",
        "Dropout",
        "Conv2D",
        "MaxPooling2D",
        "Flatten",
        "Dense",
        "Dropout",
        "Dense",
    ]
    rates = [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.2, 0.5]


def test_no_unit_is_led_to_by_weights_longer_than_three():
    rng = np.random.default_rng(0)
    network = build_image_classifier((4, 4, 1), 2, filters=3, units=5)
    for layer in (network.layers[1], network.layers[3], network.layers[6]):
        layer.kernel.assign(50 * np.ones(layer.kernel.shape))
    images, labels = rng.random((20, 4, 4, 1)), rng.integers(2, size=20)
    history = train_image_classifier(network, images, labels, epochs=1, held_out=(images, labels))
    assert set(history) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}
    for layer in (network.layers[1], network.layers[3], network.layers[6]):
        kernel = layer.kernel.numpy().reshape(-1, layer.kernel.shape[-1])
        assert np.linalg.norm(kernel, axis=0).max() <= 3.0001


def test_the_seed_alone_decides_the_training_of_images(eagerly):
    """Neither TensorFlow's global seed nor anything else moves the order of the images or a mask."""
    rng = np.random.default_rng(0)
    images, labels = rng.random((20, 4, 4, 1)), rng.integers(2, size=20)
    weights = []
    for seed, elsewhere in ((0, 7), (0, 8), (1, 8)):
        tf.random.set_seed(elsewhere)
        network = build_image_classifier((4, 4, 1), 2, 3, 5, dropout=(0.3, 0.5))
        train_image_classifier(network, images, labels, epochs=2, batch_size=8, seed=seed)
        weights.append(np.concatenate([w.ravel() for w in network.get_weights()]))
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[1], weights[2])


def test_faults_of_images_are_named():
    network = build_image_classifier((4, 4, 1), 2, 3, 5)
    with pytest.raises(ValueError, match=r"images are \(5, 4, 1\); the network reads \(4, 4, 1\)"):
        train_image_classifier(network, np.ones((3, 5, 4, 1)), np.zeros(3))
    wrong = np.zeros(2), np.full(3, 2), np.full(3, 0.5), [], ["a", "b", "c"], np.eye(3)[:, :2]
    for labels in wrong:
        with pytest.raises(
            ValueError, match="labels from .* for 3 images; expected one an image, 0 ... 1"
        ):
            train_image_classifier(network, np.ones((3, 4, 4, 1)), labels)
    with pytest.raises(ValueError, match="Pixels reach from 16 to 16; scale them to"):
        train_image_classifier(network, 16 * np.ones((3, 4, 4, 1)), np.zeros(3))
    with pytest.raises(ValueError, match="at least 2 high"):
        build_image_classifier((1, 8, 1))


def test_names_that_are_numbers_set_in_place_are_text():
    cells = simulate_modalities(20, {"rna": 4, "protein": 3})
    expected = MultiOmics({"rna": "mse", "protein": "mse"}, latent_dim=2, epochs=1).fit(
        cells, verbose=0
    )
    for part in cells.values():
        for table in (part.obs, part.var):
            table["number"] = np.arange(100, 100 + len(table))
            table.set_index("number", inplace=True)
    model = MultiOmics({"rna": "mse", "protein": "mse"}, latent_dim=2, epochs=1).fit(cells, verbose=0)
    assert model.features == {"rna": ["100", "101", "102", "103"], "protein": ["100", "101", "102"]}
    assert model.history.equals(expected.history)
    # The same cell under its number and under its text is one cell.
    rna = cells["rna"].copy()
    rna.obs_names = rna.obs_names.astype(str)
    assert fill_missing({"rna": rna, "protein": cells["protein"]})["protein"].obs_names.tolist() == [
        str(number) for number in range(100, 120)
    ]


def test_a_modality_without_values_is_not_one_that_was_not_measured():
    cells = simulate_modalities(20, {"rna": 4, "protein": 3})
    cells["protein"] = AnnData(obs=cells["protein"].obs, var=cells["protein"].var)
    model = MultiOmics({"rna": "mse", "protein": "mse"}, epochs=1)
    for use in (model.fit, fill_missing):
        with pytest.raises(ValueError, match="'protein' has no values: its X is empty"):
            use(cells)


def test_errors_takes_one_name_and_names_that_are_numbers():
    cells = simulate_modalities(20, {"rna": 4, "protein": 3})
    model = MultiOmics({0: "mse", 1: "mse"}, latent_dim=2, epochs=1)
    numbered = {0: cells["rna"], 1: cells["protein"]}
    model.fit(numbered, verbose=0)
    expected = model.errors({"0": cells["rna"], "1": cells["protein"]}, ["0"])
    for names in ([0], "0"):
        pd.testing.assert_frame_equal(model.errors(numbered, names), expected)


def test_images_are_checked_before_training_those_held_out_too():
    images, labels = np.random.default_rng(0).random((8, 4, 4, 1)), np.arange(8) % 2
    network = build_image_classifier((4, 4, 1), 2, filters=2, units=3)
    start = network.get_weights()
    holed = np.where(np.arange(16).reshape(4, 4, 1) == 3, np.nan, images)
    for message, arguments in {
        "Pixels reach from nan": (holed, labels),
        "There are no images": (images[:0], labels[:0]),
        "Pixels reach .* held-out images": (images, labels, 1, 0.01, 32, (images * 255, labels)),
        "from 0 to 7 for 8 held-out images": (images, labels, 1, 0.01, 32, (images, np.arange(8))),
        "held-out images are": (images, labels, 1, 0.01, 32, (images[:, :3], labels)),
        "epochs=0 must be": (images, labels, 0),
    }.items():
        with pytest.raises(ValueError, match=message):
            train_image_classifier(network, *arguments)
    for before, after in zip(start, network.get_weights(), strict=True):
        assert np.array_equal(before, after)


def test_cells_of_an_autoencoder_may_be_sparse_and_are_checked():
    cells = np.random.default_rng(0).poisson(1.0, (20, 3)).astype("float32")
    _, expected = fit_autoencoder(cells, hidden=(), epochs=1)
    _, history = fit_autoencoder(sparse.csr_array(cells), hidden=(), epochs=1)
    assert history.equals(expected)
    with pytest.raises(ValueError, match=r"shape \(20,\); expected cells x features"):
        fit_autoencoder(cells[:, 0], hidden=(), epochs=1)
    network, rows = build_deep_autoencoder(3, (2,)), minibatches(cells, batch_size=10)
    with pytest.raises(ValueError, match="held_out holds 60 NaN"):  # was "lower learning_rate"
        train_autoencoder(network, rows, 2, 1, held_out=cells * np.nan)
    with pytest.raises(ValueError, match="reads cells x 3 features"):
        train_autoencoder(network, rows, 2, 1, held_out=pd.DataFrame(cells[:, :2]))


def test_wrong_values_in_held_out_blocks_are_found_before_training(tmp_path):
    counts = np.random.default_rng(0).poisson(1.0, (80, 5)).astype("float32")
    AnnData(counts).write_h5ad(tmp_path / "good.h5ad")
    counts[BackedCells(tmp_path / "good.h5ad").standardize().held_out[0]] = -1.5
    AnnData(counts).write_h5ad(tmp_path / "wrong.h5ad")
    with pytest.raises(ValueError, match="holds 5 negative values"):
        BackedCells(tmp_path / "wrong.h5ad").standardize()
