"""Variational layers and classifiers: divergence and draws by hand, what is certain, errors, files."""

import anndata
import dask.array
import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from anndata import AnnData
from scipy import sparse

from imap_keras.bayes import (
    AnnealDivergence,
    BayesianClassifier,
    VariationalDense,
    accuracy_of_certain,
    build_classifier,
    calibration_error,
    entropy,
    kl_to_prior,
    mutual_information,
    posterior_draws,
    rejection_curve,
    reliability,
)
from imap_keras.bayes.layers import variational_layers
from imap_keras.bayes.network import FIRST_DRAW
from imap_keras.inputs.cells import Cells, matrix_in, opened


@pytest.fixture(scope="module")
def clouds():
    """Two classes in the plane, overlapping a little."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b"], 60)
    return rng.normal(0, 1, (120, 2)) + np.where(labels == "a", -1.5, 1.5)[:, None], labels


@pytest.fixture(scope="module")
def fitted(clouds):
    return BayesianClassifier(epochs=60, kl_epochs=20, batch_size=40, learning_rate=0.03).fit(
        *clouds, verbose=0
    )


# ------------------------------------------------------------------ layer


def test_divergence_by_hand():
    mean, scale = np.array([[0.3, -1.0]]), np.array([[0.5, 2.0]])
    by_hand = sum(
        np.log(1.5 / s) + (s**2 + m**2) / (2 * 1.5**2) - 0.5
        for m, s in zip(mean.ravel(), scale.ravel())
    )
    assert float(kl_to_prior(mean, scale, 1.5)) == pytest.approx(by_hand)
    assert float(kl_to_prior(np.zeros(3), np.full(3, 1.5), 1.5)) == pytest.approx(0)


def test_draws_have_the_mean_and_the_scale_of_the_layer():
    layer = VariationalDense(2, seed=4, start_scale=0.3)
    layer.build((None, 3))
    draws = np.stack([layer.sample() for _ in range(2000)])
    np.testing.assert_allclose(draws.mean(0), layer.mean.numpy(), atol=0.04)
    np.testing.assert_allclose(draws.std(0), 0.3, atol=0.03)
    assert draws.shape == (2000, 4, 2)  # the last row are the biases


def test_training_mode_draws_and_inference_mode_takes_the_means():
    layer, x = VariationalDense(2, "elu", seed=1), np.ones((3, 4), "float32")
    still = layer(x)
    w = layer.mean.numpy()
    np.testing.assert_allclose(still, keras.activations.elu(tf.constant(x @ w[:-1] + w[-1])), rtol=1e-5)
    np.testing.assert_array_equal(still, layer(x))
    assert not np.array_equal(layer(x, training=True), layer(x, training=True))


def test_gradients_reach_mean_and_scale_through_the_noise():
    layer, x = VariationalDense(1, seed=1), np.array([[2.0]], "float32")
    layer.build((None, 1))
    layer.draw.assign(5)
    seeds = np.array([1, 5])
    noise = tf.random.stateless_normal((2, 1), seeds).numpy()
    with tf.GradientTape() as tape:
        output = layer(x, training=True)
    variables = layer.trainable_variables
    by_name = {
        v.name.split("/")[-1].split(":")[0]: g
        for v, g in zip(variables, tape.gradient(output, variables))
    }
    np.testing.assert_allclose(by_name["mean"], [[2.0], [1.0]], rtol=1e-5)
    slope = 1 / (1 + np.exp(-layer.rho.numpy()))  # of softplus
    np.testing.assert_allclose(by_name["rho"], [[2.0], [1.0]] * noise * slope, rtol=1e-4)


def test_the_divergence_is_in_the_loss_over_the_rows_and_annealed():
    network = build_classifier(4, 3, hidden=(5,), n_rows=50)
    layers = variational_layers(network)
    total = sum(float(layer.divergence()) for layer in layers)
    network(np.ones((2, 4), "float32"))
    assert float(sum(network.losses)) == pytest.approx(total / 50, rel=1e-5)
    for layer in layers:
        layer.annealing.assign(0.25)
    network(np.ones((2, 4), "float32"))
    assert float(sum(network.losses)) == pytest.approx(0.25 * total / 50, rel=1e-5)


def test_the_weight_of_the_divergence_grows_to_one(fitted):
    weight = fitted.history["divergence_weight"]
    np.testing.assert_allclose(weight[:20], np.arange(1, 21) / 20)
    assert (weight[19:] == 1).all()
    assert float(variational_layers(fitted.network)[0].annealing) == 1
    assert AnnealDivergence(5).divergence == []


# ------------------------------------------------------------------ draws and classifier


def test_a_draw_is_one_set_of_weights_for_all_cells():
    network, x = build_classifier(4, 3, n_rows=10, seed=2), np.random.default_rng(0).normal(size=(6, 4))
    draws = posterior_draws(network, x, 3)
    (layer,) = variational_layers(network)
    assert int(layer.draw) == 0  # unchanged
    layer.draw.assign(FIRST_DRAW + 1)
    w = layer.sample().numpy()
    logits = x @ w[:-1] + w[-1]
    by_hand = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(draws[1], by_hand, rtol=1e-4)
    layer.draw.assign(0)
    np.testing.assert_array_equal(posterior_draws(network, x, 3), draws)
    np.testing.assert_allclose(posterior_draws(network, x[4:], 3), draws[:, 4:], rtol=1e-5)


def test_it_classifies_and_is_sure_where_it_may_be(fitted, clouds):
    values, labels = clouds
    table = fitted.predict(values)
    correct = table["label"].to_numpy() == labels
    assert fitted.classes == ["a", "b"] and correct.mean() >= 0.95
    middle, far = fitted.predict(np.array([[0.0, 0.0], [3.0, 3.0]]))["entropy"]
    assert middle > 0.4 > 0.1 > far
    assert table["entropy"][~correct].mean() > table["entropy"][correct].mean()


def test_sparse_values_give_what_dense_ones_give(fitted, clouds):
    thin = sparse.csr_matrix(clouds[0])
    np.testing.assert_array_equal(fitted.draws(thin, 3), fitted.draws(clouds[0], 3))
    own = BayesianClassifier(epochs=1, seed=3)
    from_thin = own.fit(thin, clouds[1], verbose=0).draws(thin, 2)
    np.testing.assert_array_equal(own.fit(*clouds, verbose=0).draws(thin, 2), from_thin)


def test_rows_may_lie_on_disk_and_are_read_in_blocks(fitted, tmp_path, monkeypatch):
    """The same table to the bit from memory, CSR or dense, from a backed file and from Dask."""
    many = np.random.default_rng(1).normal(size=(9000, 2)).astype("float32")
    many[many < -0.5] = 0
    expected = fitted.predict(many, 3)
    read = []
    block = Cells.block

    def watched(self, start, stop):
        read.append(min(stop, len(self)) - start)
        return block(self, start, stop)

    monkeypatch.setattr(Cells, "block", watched)
    for name, matrix in (("dense", many), ("sparse", sparse.csr_matrix(many))):
        AnnData(matrix).write_h5ad(tmp_path / f"{name}.h5ad")
        AnnData(matrix).write_zarr(tmp_path / f"{name}.zarr")
        for values in (
            matrix,
            anndata.read_h5ad(tmp_path / f"{name}.h5ad", backed="r").X,
            matrix_in(opened(tmp_path / f"{name}.zarr"), "X"),
        ):
            pd.testing.assert_frame_equal(fitted.predict(values, 3), expected)
    lazy = dask.array.from_array(many, chunks=(3000, 1))
    pd.testing.assert_frame_equal(fitted.predict(lazy, 3), expected)
    assert max(read) <= 4096
    with pytest.raises(ValueError, match="There are 9000 cells and 2 names; they must agree"):
        fitted.predict(lazy, 3, ["a", "b"])


def test_no_cells_give_an_empty_table(fitted):
    assert fitted.predict(np.zeros((0, 2)), 3).shape == (0, 4)


def test_the_table_keeps_the_names_of_the_cells(fitted, clouds):
    """So that ``adata.obs["label"] = model.predict(...)["label"]`` is not a column of NaN."""
    adata = AnnData(sparse.csr_matrix(clouds[0][:3]), obs=pd.DataFrame(index=["c1", "c2", "c3"]))
    plain = fitted.predict(adata.X, 5)
    assert plain.index.tolist() == [0, 1, 2]
    for table in (fitted.predict(adata.to_df(), 5), fitted.predict(adata.X, 5, adata.obs_names)):
        adata.obs["label"] = table["label"]
        assert adata.obs["label"].tolist() == plain["label"].tolist()
    with pytest.raises(ValueError, match="There are 3 cells and 2 names; they must agree"):
        fitted.predict(adata.X, 5, ["c1", "c2"])


def test_an_anndata_gets_one_sentence(fitted, clouds):
    said = (
        "values are an AnnData; hand in a matrix of it: adata.X, adata.obsm[...] or adata.to_df() "
        "(which keeps the cells' names)."
    )
    adata = AnnData(clouds[0])
    for call in (
        lambda: fitted.predict(adata),
        lambda: fitted.draws(adata),
        lambda: BayesianClassifier().fit(adata, clouds[1]),
    ):
        with pytest.raises(TypeError) as error:
            call()
        assert str(error.value) == said


def test_few_cells_leave_wider_weights_than_many(clouds):
    values, labels = clouds
    scales = []
    for n in (1, 30):
        own = np.r_[0:n, 60 : 60 + n]
        model = BayesianClassifier(epochs=40, kl_epochs=10, batch_size=60, learning_rate=0.05)
        model.fit(values[own], labels[own], verbose=0)
        rho = variational_layers(model.network)[0].rho
        scales.append(float(tf.reduce_mean(tf.nn.softplus(rho))))
    assert scales[0] > 1.2 * scales[1]


def test_the_seed_decides_the_fit(fitted, clouds):
    again = BayesianClassifier(**fitted.hyperparameters.as_dict()).fit(*clouds, verbose=0)
    np.testing.assert_array_equal(again.draws(clouds[0], 5), fitted.draws(clouds[0], 5))


def test_saved_and_loaded(fitted, clouds, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = BayesianClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.draws(clouds[0], 5), fitted.draws(clouds[0], 5))
    pd.testing.assert_frame_equal(loaded.history, fitted.history)
    assert loaded.classes == fitted.classes and loaded.hyperparameters == fitted.hyperparameters


def test_hidden_layers_separate_what_a_line_cannot():
    rng = np.random.default_rng(1)
    values = rng.uniform(-1, 1, (300, 2))
    labels = np.where(values.prod(1) > 0, "same", "other")
    options = {"epochs": 60, "kl_epochs": 40, "batch_size": 100, "learning_rate": 0.03}
    model = BayesianClassifier(hidden=(16,), **options).fit(values, labels, verbose=0)
    assert (model.predict(values, 20)["label"] == labels).mean() > 0.85


# ------------------------------------------------------------------ uncertainty


def test_entropy_and_information_by_hand():
    draws = np.array([[[0.9, 0.1], [0.5, 0.5]], [[0.1, 0.9], [0.5, 0.5]]])
    own = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    np.testing.assert_allclose(entropy(draws.mean(0)), [np.log(2)] * 2)
    np.testing.assert_allclose(mutual_information(draws), [np.log(2) - own, 0], atol=1e-12)
    assert entropy(np.array([[1.0, 0.0, 0.0]])).tolist() == [0.0]


def test_rejection_by_hand():
    curve = rejection_curve(np.array([0.3, 0.1, 0.9, 0.2]), np.array([True, True, False, False]))
    assert curve["kept"].tolist() == [0.25, 0.5, 0.75, 1.0]
    np.testing.assert_allclose(curve["accuracy"], [1, 1 / 2, 2 / 3, 1 / 2])
    assert accuracy_of_certain(np.array([0.3, 0.1, 0.9, 0.2]), np.array([1, 1, 0, 0]), 0.75) == 2 / 3


def test_reliability_by_hand():
    table = reliability(np.array([1.0, 0.92, 0.31, 0.35]), np.array([True, False, True, False]))
    assert table.index.tolist() == [3, 9] and table["cells"].tolist() == [2, 2]
    np.testing.assert_allclose(table["claimed"], [0.33, 0.96])
    np.testing.assert_allclose(table["true"], [0.5, 0.5])
    assert calibration_error(table) == pytest.approx((0.17 + 0.46) / 2)


# ------------------------------------------------------------------ errors


def test_faults_are_named(clouds, fitted):
    values, labels = clouds
    model = BayesianClassifier()
    with pytest.raises(RuntimeError, match="not fitted yet"):
        model.draws(values)
    with pytest.raises(ValueError, match="There are 120 cells and 119 labels"):
        model.fit(values, labels[1:])
    with pytest.raises(ValueError, match="1 cells have no label"):
        model.fit(values, [None, *labels[1:]])
    with pytest.raises(ValueError, match="All cells are of one class, 'a'"):
        model.fit(values[:60], labels[:60])
    with pytest.raises(ValueError, match="values holds 1 NaN or infinite values"):
        model.fit(np.where(np.arange(240).reshape(120, 2) == 3, np.nan, values), labels)
    with pytest.raises(ValueError, match=r"values have the shape \(120,\); expected cells x features"):
        model.fit(values[:, 0], labels)
    with pytest.raises(ValueError, match="Cells have 1 features; fit\\(\\) saw 2"):
        fitted.predict(values[:, :1])
    with pytest.raises(ValueError, match="n_draws=0 must be a whole number of at least 1"):
        fitted.predict(values, 0)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"hidden": (0,)}, "hidden=\\(0,\\) must be zero or more whole numbers"),
        ({"prior_scale": 0}, "prior_scale=0 must be a number, above 0"),
        ({"kl_epochs": 0}, "kl_epochs=0 must be a whole number"),
        ({"seed": -1}, "seed=-1 must be a whole number"),
    ],
)
def test_impossible_hyperparameters_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BayesianClassifier(**options)


def test_faults_of_what_is_measured_are_named():
    with pytest.raises(ValueError, match="uncertainty is of 2 cells, correct of 1"):
        rejection_curve(np.ones(2), np.ones(1))
    with pytest.raises(ValueError, match="probability holds 1.2"):
        reliability(np.array([1.2]), np.array([True]))
    with pytest.raises(ValueError, match="2 probabilities and 1 cells"):
        reliability(np.ones(2), np.ones(1))


def test_features_of_a_table_are_found_by_name_after_loading_too(tmp_path):
    labels = np.repeat(["B", "T"], 20)
    values = np.random.default_rng(0).normal([3.0, 0.0] * (labels == "B")[:, None], size=(40, 2))
    table = pd.DataFrame(values, columns=["CD19", 7])
    model = BayesianClassifier(epochs=3, kl_epochs=1).fit(table, labels, verbose=0)
    expected = model.predict(table, 5)
    model.save(tmp_path / "model")
    for same in (model, BayesianClassifier.load(tmp_path / "model")):
        turned = table[[7, "CD19"]].assign(other=1.0)
        pd.testing.assert_frame_equal(same.predict(turned, 5), expected)
        pd.testing.assert_frame_equal(same.predict(values, 5), expected)
        with pytest.raises(ValueError, match="1 of the 2 features .* the first is 'CD19'"):
            same.predict(table[[7]])
    assert model.fit(values, labels, verbose=0).features is None


def test_labels_in_another_order_than_the_cells_are_refused():
    labels = pd.Series(["B", "T"] * 10, [f"cell_{i}" for i in range(20)])
    values = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 2)), labels.index)
    model = BayesianClassifier(epochs=1)
    with pytest.raises(ValueError, match=r"another order .* labels.loc\[values.index\]"):
        model.fit(values, labels[::-1], verbose=0)
    assert model.network is None
    assert model.fit(values, labels.reset_index(drop=True), verbose=0).classes == ["B", "T"]


def test_no_cells_and_values_too_large_are_said():
    values, labels = np.random.default_rng(0).normal(size=(20, 2)), ["B", "T"] * 10
    with pytest.raises(ValueError, match="no cells to train on"):
        BayesianClassifier(epochs=1).fit(values[:0], [], verbose=0)
    model = BayesianClassifier(epochs=1).fit(values, labels, verbose=0)
    with pytest.raises(ValueError, match="too large for float32"):  # were labels of probability NaN
        model.predict(values * 1e200)


def test_cells_of_unknown_class_are_neither_right_nor_wrong():
    with pytest.raises(ValueError, match="correct is missing .* for 1 cells"):
        rejection_curve([0.3, 0.1], np.array([True, np.nan], object))
    with pytest.raises(ValueError, match="correct is missing .* for 1 cells"):
        reliability([0.3, 0.1], [True, None])
    with pytest.raises(ValueError, match="uncertainty of 1 cells is NaN"):
        rejection_curve([np.nan, 0.1], [True, False])
    with pytest.raises(ValueError, match="kept=50 must be a share"):
        accuracy_of_certain([0.3, 0.1], [True, False], 50)
    with pytest.raises(ValueError, match="There are no cells"):
        reliability([], [])
    with pytest.raises(ValueError, match="n_bins=0 must be"):
        reliability([0.3], [True], 0)


def test_features_of_one_name_are_refused_before_training():
    values = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["g", "h"])
    model = BayesianClassifier(hidden=(4,), epochs=1)
    message = "values have several columns called '{}' .1 names are used twice.. Each feature needs"
    for names, first in ((["g", "g"], "g"), ([7, "7"], "7")):  # 7 and "7" are one name in a file
        with pytest.raises(ValueError, match=message.format(first)):
            model.fit(values.set_axis(names, axis="columns"), ["a", "b"] * 20, verbose=0)
    model.fit(values, ["a", "b"] * 20, verbose=0)
    foreign = pd.DataFrame(np.zeros((40, 2)), columns=["z", "z"])  # not read, so of no matter
    with_foreign = pd.concat([foreign, values], axis=1)
    pd.testing.assert_frame_equal(model.predict(with_foreign, 5), model.predict(values, 5))
    with pytest.raises(ValueError, match=message.format("h")):
        model.predict(values[["g", "h", "h"]], 5)
