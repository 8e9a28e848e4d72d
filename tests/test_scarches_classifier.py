"""scArches' classifier head: what it learns from, what it leaves alone, what it says of a query."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy.special import log_softmax, softmax

import imap_keras
from imap_keras.scarches import CVAE, Reference, ReferenceHyperparameters, training_rows
from imap_keras.scarches.classifier import cross_entropy, label_codes
from imap_keras.scarches.surgery import build_networks
from imap_keras.scarches.training import validation_rows

SMALL = {
    "latent_dim": 4,
    "hidden": (12,),
    "dropout": 0.0,
    "epochs": 8,
    "batch_size": 12,
    "learning_rate": 0.02,
    "query_learning_rate": 0.05,
    "adam_epsilon": 1e-8,
    "seed": 2,
}


@pytest.fixture(scope="module", autouse=True)
def no_graphs():
    """Building graphs takes longer than these fits."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def split():
    """The reference, a third of its cells without label, and the query."""
    counts = imap_keras.datasets.simulate(180, 60, 3, type_strength=3.0, batch_strength=0.3, seed=2)
    query = (counts.obs["batch"] == "batch_2").to_numpy()
    cells, query = counts[~query].copy(), counts[query].copy()
    cells.obs["label"] = cells.obs["cell_type"].astype(str)
    cells.obs.loc[cells.obs_names[::3], "label"] = "Unknown"
    return cells, query


@pytest.fixture(scope="module")
def reference(split):
    return Reference(**SMALL, label_weight=50.0).fit(split[0], verbose=0, label_key="label")


@pytest.fixture(scope="module")
def grown(reference, split):
    return reference.map_query(split[1], verbose=0)


def same_weights(left, right):
    return all(
        np.array_equal(a, b) for a, b in zip(left.get_weights(), right.get_weights(), strict=True)
    )


# ------------------------------------------------------------------ the loss


def test_cross_entropy_is_the_mean_over_labelled_rows():
    rng = np.random.default_rng(0)
    logits, codes = rng.normal(0, 2, (5, 3)).astype("float32"), np.array([2, -1, 0, -1, 1], "int32")
    expected = -np.mean([log_softmax(logits[row])[codes[row]] for row in (0, 2, 4)])
    assert float(cross_entropy(logits, codes)) == pytest.approx(expected, rel=1e-5)
    assert float(cross_entropy(logits, np.full(5, -1, "int32"))) == 0


def test_the_weighted_cross_entropy_of_the_sampled_code_joins_the_loss():
    hp = ReferenceHyperparameters(latent_dim=3, hidden=(8,))
    networks = build_networks(9, 2, hp, n_labels=3)
    cells = tf.constant(np.random.default_rng(0).poisson(3, (4, 9)), tf.float32)
    batch, codes = tf.one_hot([0, 0, 1, 1], 2), tf.constant([2, -1, 0, 1])
    noise = tf.fill((4, 3), 0.5)
    without = CVAE(networks["encoder"], networks["decoder"]).losses_of(cells, batch, noise, 0.25)
    found = CVAE(**networks, label_weight=7.0).losses_of(cells, batch, noise, 0.25, codes)
    mean, log_variance = (np.asarray(v) for v in networks["encoder"]([cells, batch]))
    kernel, bias = networks["classifier"].get_weights()
    log_share = log_softmax((mean + 0.5 * np.exp(log_variance / 2)) @ kernel + bias, axis=1)
    expected = -(log_share[0, 2] + log_share[2, 0] + log_share[3, 1]) / 3
    assert float(found["label"]) == pytest.approx(expected, rel=1e-4)
    assert float(found["loss"]) == pytest.approx(float(without["loss"]) + 7 * expected, rel=1e-5)


def test_labels_train_the_encoder_too():
    hp = ReferenceHyperparameters(latent_dim=3, hidden=(8,))
    networks = build_networks(9, 1, hp, n_labels=2)
    cells, batch, noise = tf.ones((4, 9)), tf.ones((4, 1)), tf.zeros((4, 3))

    def gradients(codes):
        cvae = CVAE(**networks, label_weight=50.0)
        values = cvae.gradients_of(cells, batch, noise, 0.0, tf.constant(codes))[1]
        return {w.path if hasattr(w, "path") else w.name: v for w, v in zip(cvae.weights, values)}

    one, other = gradients([0, 0, 0, 0]), gradients([1, 1, 1, 1])
    moved = {name for name in one if not np.array_equal(one[name], other[name])}
    assert {name.split("/")[0].split(":")[0] for name in moved} >= {"encoder_mean", "label_logits"}
    assert not any("decoder" in name for name in moved)


def test_labels_come_with_their_own_rows():
    codes, labels = np.repeat([0, 1], 10), np.arange(20, dtype="int32")
    cells = np.arange(20, dtype="float32")[:, None]
    drawn = (
        training_rows(cells, codes, 2, 6, seed=0, labels=labels).take(3),
        validation_rows(cells, codes, 2, 6, labels=labels),
    )
    for rows in drawn:
        for some, _, those in rows.as_numpy_iterator():
            np.testing.assert_array_equal(some[:, 0], those)
    plain = next(iter(training_rows(cells, codes, 2, 6, seed=0)))
    np.testing.assert_array_equal(plain[0], next(iter(drawn[0]))[0])


# ------------------------------------------------------------------ off, on


def test_a_weight_of_next_to_nothing_moves_no_bit(split):
    """With a weight of 0 there is no classifier; one that counts for nothing changes nothing else."""
    options = SMALL | {"epochs": 1}
    off = Reference(**options).fit(split[0], verbose=0)
    on = Reference(**options, label_weight=1e-35).fit(split[0], verbose=0, label_key="label")
    assert set(off.networks) == {"encoder", "decoder"}
    assert off.classifier is None and off.labels == []
    assert set(on.history) - set(off.history) == {"label", "val_label"}
    for name, network in off.networks.items():
        assert same_weights(network, on.networks[name])


def test_labels_are_learnt_and_given_to_cells_without_one(reference, split):
    cells = split[0]
    assert reference.labels == sorted(set(cells.obs["cell_type"]))
    assert reference.history["val_label"].iloc[-1] < 0.5 * reference.history["val_label"].iloc[0]
    table = reference.predict_labels(cells, threshold=1.0)
    right = (table["label"] == cells.obs["cell_type"].astype(str)).to_numpy()
    assert right[::3].mean() >= 0.9  # these had none
    assert right.mean() >= 0.9


def test_an_empty_label_is_no_label_either(split):
    cells = split[0].copy()
    names, codes = label_codes(cells, "label", 1.0)
    assert (codes == -1).sum() == (cells.obs["label"] == "Unknown").sum() == 40
    assert [names[code] for code in codes[1:3]] == cells.obs["label"].tolist()[1:3]
    cells.obs["label"] = cells.obs["label"].replace("Unknown", np.nan)
    for filled in (cells.obs["label"], cells.obs["label"].fillna("?").astype("category")):
        cells.obs["label"] = filled
        again = label_codes(cells, "label", 1.0, unlabelled="?")
        assert again[0] == names
        np.testing.assert_array_equal(again[1], codes)


# ------------------------------------------------------------------ surgery


@pytest.mark.parametrize("degree", ["batch", "first_layer", "all"])
def test_surgery_leaves_the_classifier_as_it_is(reference, grown, split, degree):
    if degree != "batch":
        grown = reference.map_query(split[1], degree=degree, verbose=0, epochs=1)
    assert same_weights(grown.classifier, reference.classifier)
    table = grown.parameter_table()
    assert table.loc["label_logits", "trained"] == 0
    assert table.loc["label_logits", "all"] == (SMALL["latent_dim"] + 1) * len(reference.labels)
    assert reference.parameter_table().loc["label_logits", "trained"] > 0  # the reference's own is free
    assert "label" not in grown.history


def test_a_query_needs_no_label_and_gets_one(grown, split):
    query = split[1].copy()
    truth = query.obs.pop("cell_type").astype(str)
    shares = grown.label_probabilities(query)
    assert shares.index.equals(query.obs_names) and list(shares) == grown.labels
    kernel, bias = grown.classifier.get_weights()
    expected = softmax(grown.latent(query) @ kernel + bias, axis=1)
    np.testing.assert_allclose(shares, expected, rtol=1e-4, atol=1e-6)
    table = grown.predict_labels(query)
    assert table["best"].tolist() == shares.idxmax(axis=1).tolist()
    np.testing.assert_allclose(table["uncertainty"], 1 - expected.max(axis=1), atol=1e-5)
    assert (table["best"] == truth).mean() >= 0.9


def test_a_label_is_unknown_where_it_is_unsure_or_far_out(grown, split):
    query = split[1]
    sure = grown.predict_labels(query)["uncertainty"].to_numpy()
    threshold, far = np.median(sure), np.arange(query.n_obs) % 2 + 0.5
    table = grown.predict_labels(query, threshold=threshold, novelty=far)
    unknown = table["label"] == "Unknown"
    np.testing.assert_array_equal(unknown, (sure > threshold) | (far > 1))
    assert set(zip(sure > threshold, far > 1, strict=True)) == {
        (unsure, out) for unsure in (False, True) for out in (False, True)
    }
    assert (table["label"] == table["best"])[~unknown].all()
    np.testing.assert_array_equal(table["novelty"], far)


def test_saved_and_shared_with_its_classifier(reference, grown, split, tmp_path):
    reference.save(tmp_path / "reference")
    grown.save_adaptor(tmp_path / "adaptor", "batch_2")
    loaded = Reference.load(tmp_path / "reference")
    assert loaded.labels == reference.labels
    assert loaded.hyperparameters.label_weight == 50
    for cells, model in (
        (split[0], loaded),
        (split[1], loaded.attach(tmp_path / "adaptor")),
        (split[1], loaded.map_query(split[1], verbose=0)),
    ):
        pd.testing.assert_frame_equal(model.predict_labels(cells), grown.predict_labels(cells))


# ------------------------------------------------------------------ refusals


@pytest.fixture
def no_training(monkeypatch):
    def reached(*args, **kwargs):
        pytest.fail("training started")

    monkeypatch.setattr(imap_keras.scarches.model, "train", reached)


def refused(model, cells, **options):
    with pytest.raises(ValueError) as caught:
        model.fit(cells, verbose=0, **options)
    return str(caught.value)


def test_a_weight_needs_labels_and_labels_a_weight(split, no_training):
    assert refused(Reference(label_weight=50.0), split[0]) == (
        "label_weight=50.0 trains a classifier, which needs labels: give label_key, or leave "
        "label_weight at 0."
    )
    assert refused(Reference(), split[0], label_key="label") == (
        "label_key='label' is given, but label_weight=0 trains no classifier; give label_weight a "
        "number above 0 (scANVI's is 50), or leave label_key out."
    )
    with pytest.raises(KeyError, match="label_key='kind' is not a column"):
        Reference(label_weight=50.0).fit(split[0], label_key="kind")
    with pytest.raises(ValueError, match="label_weight=-1"):
        Reference(label_weight=-1)


@pytest.mark.parametrize("nothing", ["Unknown", None, np.nan])
def test_cells_without_any_label_or_of_one_type(split, no_training, nothing):
    cells, model = split[0].copy(), Reference(label_weight=50.0)
    cells.obs["label"] = pd.Series(nothing, cells.obs_names, dtype=object)
    n = cells.n_obs
    end = "a classifier needs two or more. Leave label_weight at 0, or give another column."
    assert refused(model, cells, label_key="label") == (
        f"adata.obs['label'] holds no label ({n} of {n} cells are empty or 'Unknown'); {end}"
    )
    cells.obs.loc[cells.obs_names[:5], "label"] = "T"
    assert refused(model, cells, label_key="label") == (
        f"adata.obs['label'] holds one label alone, 'T' ({n - 5} of {n} cells are empty or 'Unknown'); "
        + end
    )


def test_labels_by_number_are_text(split):
    cells = split[0][:4].copy()
    cells.obs["label"] = [2.0, np.nan, 1.0, 2.0]
    names, codes = label_codes(cells, "label", 1.0)
    assert (names, codes.tolist()) == (["1.0", "2.0"], [1, -1, 0, 1])


def test_a_reference_without_a_classifier_says_how_to_get_one(split, reference, no_training):
    plain = Reference(**SMALL)
    for call in (plain.label_probabilities, plain.predict_labels):
        with pytest.raises(RuntimeError, match="not fitted yet"):
            call(split[0])
    with pytest.raises(ValueError, match="label_weight is the reference's"):
        reference.map_query(split[1], label_weight=1.0, verbose=0)
    with pytest.raises(ValueError, match=r"threshold=1.5 must be between 0 and 1"):
        reference.predict_labels(split[0], threshold=1.5)
    with pytest.raises(ValueError, match=r"novelty has the shape \(3,\)"):
        reference.predict_labels(split[0], novelty=np.ones(3))


def test_no_classifier_no_prediction(split):
    plain = Reference(**SMALL | {"epochs": 1}).fit(split[0], verbose=0)
    for call in (plain.label_probabilities, plain.predict_labels):
        with pytest.raises(ValueError) as caught:
            call(split[0])
        assert str(caught.value) == (
            "This reference has no classifier; fit it with label_weight above 0 and label_key, or "
            "label the query by its neighbours with transfer_labels."
        )


def test_the_classifier_is_one_dense_layer(reference):
    layers = [layer for layer in reference.classifier.layers if layer.weights]
    assert [type(layer) for layer in layers] == [keras.layers.Dense]
