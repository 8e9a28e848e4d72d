"""scArches piece by piece: likelihoods, networks, training rows, surgery, label transfer."""

import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit
from scipy.stats import nbinom

from imap_keras.nn.callbacks import BestEpoch
from imap_keras.scarches import (
    CVAE,
    BatchTable,
    ReferenceHyperparameters,
    build_conditional_decoder,
    build_conditional_encoder,
    copy_weights,
    freeze,
    grow,
    kl_divergence,
    mmd,
    negative_binomial,
    neighbor_weights,
    parameter_table,
    training_rows,
    transfer_labels,
    zero_inflated,
)
from imap_keras.scarches.losses import WIDTHS
from imap_keras.scarches.surgery import batch_tables, build_networks
from imap_keras.scarches.training import validation_rows

HP = ReferenceHyperparameters(latent_dim=3, hidden=(8, 6), seed=1)


def some_counts(rows=7, genes=9, seed=0):
    return np.random.default_rng(seed).poisson(3, (rows, genes)).astype("float32")


def one_hot(codes, n):
    return np.eye(n, dtype="float32")[codes]


def values(network):
    return {layer.name: layer.get_weights() for layer in network.layers if layer.weights}


def same(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


# ------------------------------------------------------------------ losses


def test_negative_binomial_is_scipys():
    rng, counts = np.random.default_rng(0), some_counts()
    mean, dispersion = rng.uniform(0.1, 9, counts.shape), rng.uniform(0.2, 5, counts.shape)
    found = negative_binomial(counts, mean.astype("float32"), dispersion.astype("float32"))
    expected = nbinom.logpmf(counts, dispersion, dispersion / (dispersion + mean))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_zero_inflation_adds_zeros_and_thins_the_rest():
    rng, counts = np.random.default_rng(1), np.maximum(some_counts() - 2, 0)
    mean, dispersion = rng.uniform(0.1, 9, counts.shape), rng.uniform(0.2, 5, counts.shape)
    logit = rng.normal(0, 3, counts.shape)
    found = zero_inflated(*(v.astype("float32") for v in (counts, mean, dispersion, logit)))
    p = nbinom.pmf(counts, dispersion, dispersion / (dispersion + mean))
    expected = np.log(expit(logit) * (counts == 0) + (1 - expit(logit)) * p)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_kl_divergence_is_that_of_many_draws():
    mean, log_variance = np.array([[0.5, -1.0]]), np.array([[0.3, -0.8]])
    z = mean + np.exp(log_variance / 2) * np.random.default_rng(0).normal(size=(200_000, 2))
    log_q = -0.5 * ((z - mean) ** 2 / np.exp(log_variance) + log_variance)
    expected = np.mean(np.sum(log_q + 0.5 * z**2, axis=1))
    assert float(kl_divergence(mean, log_variance)[0]) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("kind, n_widths", [("decades", 13), ("published", 19)])
def test_mmd_is_the_sum_over_pairs_of_batches(kind, n_widths):
    z = (
        np.random.default_rng(0).normal(size=(12, 2)).astype("float32")
        + np.repeat([0, 1, 3], 4)[:, None]
    )

    def kernel(a, b):
        squared = np.sum((a[:, None] - b[None]) ** 2, axis=-1)
        return np.mean(sum(np.exp(-squared / (2 * width)) for width in WIDTHS[kind]))

    groups, expected = np.split(z.astype("float64"), 3), 0.0
    for i, j in ((0, 1), (0, 2), (1, 2)):
        a, b = groups[i], groups[j]
        expected += kernel(a, a) + kernel(b, b) - 2 * kernel(a, b)
    found = mmd(tf.constant(z.astype("float32")), 3, WIDTHS[kind])
    assert float(found) == pytest.approx(expected, rel=1e-4)
    assert len(set(WIDTHS[kind])) == n_widths
    assert expected > 1


# ------------------------------------------------------------------ networks


def layer_norm(x):
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)


def linear(network, name, x):
    kernel, *bias = network.get_layer(name).get_weights()
    return x @ kernel + (bias[0] if bias else 0)


def by_hand(network, x, batch, first, table, prefix, n_hidden, head):
    x = linear(network, first, x) + batch @ network.get_layer(table).rows()
    for number in range(1, n_hidden + 1):
        if number > 1:
            x = linear(network, f"{prefix}_dense_{number}", x)
        x = np.maximum(layer_norm(x), 0)
    return linear(network, head, x)


def test_dropout_follows_its_own_seed_alone():
    cells, batch = np.ones((6, 20), "float32"), np.tile(np.eye(2, dtype="float32"), (3, 1))

    def codes(global_seed):
        tf.random.set_seed(global_seed)
        network = build_conditional_encoder(20, 2, hidden=(8, 8), dropout=0.5, seed=3)
        return tf.function(lambda: network([cells, batch], training=True))()[0].numpy()

    assert np.ptp(codes(1)[::2], axis=0).max() > 0.01  # it is on
    np.testing.assert_array_equal(codes(1), codes(2))


def test_encoder_by_hand():
    encoder, counts = build_conditional_encoder(9, 4, 3, (8, 6), seed=5), some_counts()
    batch = one_hot([0, 1, 2, 3, 0, 1, 2], 4)
    for head, found in zip(("mean", "log_variance"), encoder([counts, batch]), strict=True):
        names = ("encoder_dense_1", "encoder_batch", "encoder", 2, f"encoder_{head}")
        expected = by_hand(encoder, np.log1p(counts), batch, *names)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "mse"])
def test_decoder_by_hand(likelihood):
    decoder = build_conditional_decoder(9, 4, 3, (6, 8), likelihood, seed=5)
    code = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    batch = one_hot([0, 1, 2, 3, 1], 4)
    outputs = decoder([code, batch])
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    names = ("decoder_dense_1", "decoder_batch", "decoder", 2)
    out = by_hand(decoder, code, batch, *names, "decoder_mean")
    if likelihood == "mse":
        (found,), expected = outputs, np.maximum(out, 0)
    else:
        found, expected = outputs[0], np.exp(out) / np.exp(out).sum(1, keepdims=True)
        rows = decoder.get_layer("log_dispersion").rows()
        np.testing.assert_allclose(outputs[1], batch @ rows, rtol=1e-6)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    if likelihood == "zinb":
        logit = by_hand(decoder, code, batch, *names, "zero_logit")
        np.testing.assert_allclose(outputs[2], logit, rtol=1e-4, atol=1e-6)


def test_batch_table_splits_its_rows_and_comes_back_from_its_config():
    table = BatchTable(4, n_batches=3, n_frozen=2, seed=7, name="batch")
    table.build((None, 3))
    rows = np.arange(12, dtype="float32").reshape(3, 4)
    table.set_rows(rows)
    np.testing.assert_array_equal(table(one_hot([2, 0], 3)), rows[[2, 0]])
    np.testing.assert_array_equal(np.asarray(table.trainable_weights[0]), rows[2:])
    again = BatchTable.from_config(table.get_config())
    assert (again.units, again.n_batches, again.n_frozen, again.seed) == (4, 3, 2, 7)


# ------------------------------------------------------------------ the loss


def small_cvae(likelihood="nb", **options):
    networks = build_networks(
        9, 2, ReferenceHyperparameters(**HP.as_dict() | {"likelihood": likelihood})
    )
    cvae = CVAE(**networks, likelihood=likelihood, n_groups=2, **options)
    cvae.compile(optimizer=keras.optimizers.Adam(1e-3, name="adam"), jit_compile=False)
    return cvae


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "mse"])
def test_loss_is_its_terms(likelihood):
    cvae, counts = small_cvae(likelihood, mmd_weight=2.0), some_counts(8)
    batch, noise = one_hot([0] * 4 + [1] * 4, 2), np.full((8, 3), 0.5, "float32")
    mean, log_variance = (np.asarray(v) for v in cvae.encoder([counts, batch]))
    z = mean + 0.5 * np.exp(log_variance / 2)
    outputs = cvae.decoder([z.astype("float32"), batch])
    if likelihood == "mse":
        outputs = outputs[0] if isinstance(outputs, list | tuple) else outputs
        reconstruction = np.mean(np.sum((np.asarray(outputs) - counts) ** 2, axis=1))
    else:
        share, log_dispersion, *logit = (np.asarray(v) for v in outputs)
        mu, r = share * counts.sum(1, keepdims=True), np.exp(log_dispersion)
        p = nbinom.pmf(counts, r, r / (r + mu))
        if logit:
            p = expit(logit[0]) * (counts == 0) + (1 - expit(logit[0])) * p
        reconstruction = -np.mean(np.sum(np.log(p), axis=1))
    found = cvae.losses_of(tf.constant(counts), tf.constant(batch), noise, 0.25)
    assert float(found["reconstruction"]) == pytest.approx(reconstruction, rel=1e-4)
    assert float(found["kl"]) == pytest.approx(
        float(np.mean(kl_divergence(mean, log_variance))), rel=1e-4
    )
    assert float(found["mmd"]) == pytest.approx(float(mmd(tf.constant(z), 2)), rel=1e-3)
    total = found["reconstruction"] + 0.25 * found["kl"] + 2.0 * found["mmd"]
    assert float(found["loss"]) == pytest.approx(float(total), rel=1e-6)


def test_kl_weight_grows_from_zero_and_stays_at_its_end(eagerly):
    cvae, seen = small_cvae(kl_weight=3.0, kl_steps=4), []
    whole = cvae.losses_of
    cvae.losses_of = lambda *args: seen.append(float(args[3])) or whole(*args)
    data = (tf.constant(some_counts(8)), tf.constant(one_hot([0] * 4 + [1] * 4, 2)))
    for _ in range(6):
        cvae.train_step(data)
    np.testing.assert_allclose(seen, [0, 0.75, 1.5, 2.25, 3, 3], rtol=1e-6)


# ------------------------------------------------------------------ rows


def test_minibatches_hold_every_batch_alike_however_small():
    codes = np.array([1, 2, 1, 1, 1, 1, 2, 1, 1, 1])
    cells = np.arange(10, dtype="float32")[:, None]
    drawn = list(training_rows(cells, codes, 4, 50, seed=2).take(8).as_numpy_iterator())
    found = np.concatenate([rows[:, 0].astype(int) for rows, _ in drawn])
    batch = np.concatenate([batch.argmax(1) for _, batch in drawn])
    np.testing.assert_array_equal(codes[found], batch)
    assert drawn[0][1].shape == (100, 4)
    np.testing.assert_array_equal(drawn[0][1].argmax(1), np.repeat([1, 2], 50))
    share = np.bincount(found, minlength=10) / len(found)
    np.testing.assert_allclose(share[codes == 1], 1 / 16, atol=0.03)
    np.testing.assert_allclose(share[codes == 2], 1 / 4, atol=0.05)
    again = next(iter(training_rows(cells, codes, 4, 50, seed=2)))[0].numpy()
    np.testing.assert_array_equal(again, drawn[0][0])
    assert not np.array_equal(drawn[0][0], drawn[1][0])


def test_validation_sees_every_held_out_cell_grouped_by_batch():
    codes = np.repeat([0, 1, 0], [7, 3, 5])
    cells, held_out = np.arange(15, dtype="float32")[:, None], np.arange(10)
    rows = list(validation_rows(cells, codes, 2, 4, held_out).as_numpy_iterator())
    assert [len(x) for x, _ in rows] == [8, 8]
    assert all(batch.argmax(1).tolist() == [0] * 4 + [1] * 4 for _, batch in rows)
    found = np.concatenate([x[:, 0] for x, _ in rows]).astype(int)
    assert set(found) == set(held_out)
    np.testing.assert_array_equal(np.tile(np.repeat([0, 1], 4), 2), codes[found])


def test_training_draws_of_the_cells_that_are_not_held_out_alone():
    codes = np.repeat([0, 1], 10)
    cells, inside = np.arange(20, dtype="float32")[:, None], np.array([1, 2, 5, 12, 17])
    rows = training_rows(cells, codes, 2, 6, seed=0, index=inside).take(9)
    found = np.concatenate([x[:, 0] for x, _ in rows.as_numpy_iterator()]).astype(int)
    assert set(found) == set(inside)


def test_a_small_batch_is_repeated_as_numbers_not_as_cells():
    """2,180 cells in 10 batches were copied 22 times over."""
    codes = np.repeat(np.arange(10), [2000] + 9 * [20])
    cells = np.ones((len(codes), 500), "float32")
    tracemalloc.start()
    try:
        rows = validation_rows(cells, codes, 10, 12)
        assert sum(len(x) for x, _ in rows.take(1).as_numpy_iterator()) == 120
        assert tracemalloc.get_traced_memory()[1] < 1.5 * cells.nbytes  # one copy, TensorFlow's
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "losses, stops_at", [([5, 4, 6, 7, 8, 9], 4), ([5, 6, 4], None), ([5, 3, 4], None)]
)
def test_the_best_weights_come_back_however_training_ends(losses, stops_at):
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, name="d")])
    network.stop_training = False
    best = BestEpoch(patience=3)
    best.set_model(network)
    ended = None
    for epoch, loss in enumerate(losses):
        network.layers[-1].set_weights([np.full((1, 1), epoch, "float32")])
        best.on_epoch_end(epoch, {"val_loss": loss})
        if network.stop_training:
            ended = epoch
            break
    best.on_train_end()
    assert ended == stops_at
    assert float(network.get_weights()[0][0, 0]) == int(np.argmin(losses))


# ------------------------------------------------------------------ surgery


@pytest.mark.parametrize("degree", ["batch", "first_layer", "all"])
def test_grown_networks_compute_the_same_for_old_batches(degree):
    old = build_networks(9, 2, HP, dropout=0.2, seed=1)
    grown = grow(old, 2, degree, HP, seed=9)
    counts, codes = some_counts(), [0, 1, 0, 1, 1, 0, 1]
    for before, after in zip(
        old["encoder"]([counts, one_hot(codes, 2)], training=False),
        grown["encoder"]([counts, one_hot(codes, 4)], training=True),  # dropout is gone
        strict=True,
    ):
        np.testing.assert_array_equal(before, after)
    kinds = {type(layer).__name__ for network in grown.values() for layer in network.layers}
    assert "Dropout" in {type(layer).__name__ for layer in old["encoder"].layers}
    assert "Dropout" not in kinds


@pytest.mark.parametrize(
    "likelihood, per_batch", [("nb", 2 * 8 + 9), ("zinb", 2 * 8 + 9), ("mse", 2 * 8)]
)
@pytest.mark.parametrize("n_new", [1, 3])
def test_number_of_new_trainables(likelihood, per_batch, n_new):
    hp = ReferenceHyperparameters(likelihood=likelihood, latent_dim=3, hidden=(8, 8))
    table = parameter_table(grow(build_networks(9, 2, hp), n_new, "batch", hp))
    assert table.loc["total", "trained"] == per_batch * n_new
    trained = table.index[table["trained"] > 0].drop("total")
    assert set(trained) <= {"encoder_batch", "decoder_batch", "log_dispersion"}


def test_degrees_free_what_they_say():
    networks = build_networks(9, 2, HP, n_frozen=1)
    for degree, expected in (
        ("batch", set()),
        ("first_layer", {"encoder_dense_1", "decoder_dense_1"}),
        ("all", {name for net in networks.values() for name in values(net)}),
    ):
        for network in networks.values():
            freeze(network, degree)
        free = {
            layer.name
            for network in networks.values()
            for layer in network.layers
            if layer.trainable_weights and not isinstance(layer, BatchTable)
        }
        assert free == expected - set(batch_tables(networks))
    every = parameter_table(grow(networks, 1, "all", HP)).loc["total"]
    assert every["trained"] == every["all"]
    with pytest.raises(ValueError, match="degree='half' is unknown"):
        grow(networks, 1, "half", HP)


def test_copy_weights_leaves_new_rows_as_drawn():
    old, new = (build_conditional_encoder(9, n, 3, (8, 6), seed=n) for n in (2, 4))
    drawn = new.get_layer("encoder_batch").rows()
    copy_weights(old, new)
    rows = new.get_layer("encoder_batch").rows()
    np.testing.assert_array_equal(rows[:2], old.get_layer("encoder_batch").rows())
    np.testing.assert_array_equal(rows[2:], drawn[2:])
    for name, weights in values(old).items():
        assert name == "encoder_batch" or same(weights, values(new)[name])


# ------------------------------------------------------------------ label transfer


def test_neighbor_weights_by_hand():
    distances = np.array([[1.0, 2.0, 6.0], [0.0, 0.0, 0.0]])
    s = np.std([1.0, 2.0, 6.0])
    expected = np.exp(-distances[0] / (2 / s) ** 2)
    weights = neighbor_weights(distances)
    np.testing.assert_allclose(weights[0], expected / expected.sum())
    np.testing.assert_allclose(weights[1], 1 / 3)  # no spread: everyone counts alike
    np.testing.assert_allclose(neighbor_weights(np.array([[1e4, 2e4]])), [[1.0, 0.0]])


def test_labels_by_a_weighted_vote():
    reference = np.array([[0.0], [1.0], [2.0], [9.0]])
    labels = np.array(["B", "T", "T", "B"])
    table = transfer_labels(reference, labels, np.array([[0.4], [8.0]]), k=3, threshold=0.4)
    for row, (near, votes_for) in enumerate(
        [([0.4, 0.6, 1.6], [False, True, True]), ([1.0, 6.0, 7.0], [True, False, False])]
    ):
        weights = neighbor_weights(np.array([near]))[0]
        assert table["uncertainty"][row] == pytest.approx(1 - weights[votes_for].sum())
    assert table["best"].tolist() == ["T", "B"]
    assert (table["label"] == "Unknown").tolist() == (table["uncertainty"] > 0.4).tolist()
    assert transfer_labels(reference, labels, reference, k=99)["uncertainty"].between(0, 1).all()


def test_a_cell_far_out_is_unknown_however_much_its_neighbors_agree():
    reference, query = np.zeros((4, 1)), np.array([[0.1], [9.0]])
    table = transfer_labels(reference, ["T"] * 4, query, novelty=np.array([1.0, 1.2]))
    assert table["label"].tolist() == ["T", "Unknown"]
    assert table["best"].tolist() == ["T", "T"]
    assert table["uncertainty"].tolist() == [0, 0]
    assert table["novelty"].tolist() == [1.0, 1.2]


def test_unknown_by_disagreement_by_distance_or_by_both():
    reference, labels = np.array([[0.0], [0.0], [5.0], [5.0]]), ["B", "T", "T", "T"]
    query, far = np.array([[0.0], [5.0], [0.0], [5.0]]), np.array([0.5, 0.5, 1.5, 1.5])
    table = transfer_labels(reference, labels, query, k=2, threshold=0.4, novelty=far)
    assert table["uncertainty"].tolist() == [0.5, 0, 0.5, 0]
    assert table["label"].tolist() == ["Unknown", "T", "Unknown", "Unknown"]


def test_what_cannot_vote_is_refused():
    cells = np.zeros((2, 1))
    with pytest.raises(ValueError, match=r"novelty has the shape \(3,\) for 2 query cells"):
        transfer_labels(cells, ["B", "T"], cells, novelty=np.ones(3))
    with pytest.raises(ValueError, match="1 labels for 2 reference cells"):
        transfer_labels(cells, ["B"], cells)
    with pytest.raises(ValueError, match="has no label"):
        transfer_labels(cells, np.array(["B", None], dtype=object), cells)
    with pytest.raises(ValueError, match="k=0 must be a whole number of at least 1"):
        transfer_labels(cells, ["B", "T"], cells, k=0)
    with pytest.raises(ValueError, match="threshold=1.5 must be between 0 and 1"):
        transfer_labels(cells, ["B", "T"], cells, threshold=1.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"likelihood": "poisson"},
        {"hidden": ()},
        {"latent_dim": 0},
        {"dropout": 1.0},
        {"validation": 0.0},
        {"learning_rate": 0},
        {"mmd_weight": -1},
        {"seed": -1},
    ],
    ids=str,
)
def test_hyperparameters_out_of_range_name_themselves(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        ReferenceHyperparameters(**wrong)
