"""scArches against numbers that the published trVAE computed: steps, surgery, schedule, labels.

Sizes, seeds and options come from the file, see ``golden.py``.
"""

import numpy as np
import pytest
import tensorflow as tf
from golden import case_name, draw_weights, golden_cases, norm

from imap_keras.scarches import ReferenceHyperparameters, grow, mmd, neighbor_weights
from imap_keras.scarches.losses import WIDTHS
from imap_keras.scarches.network import BatchTable
from imap_keras.scarches.surgery import build_networks, copy_weights, freeze
from imap_keras.scarches.training import build_cvae
from imap_keras.scarches.transfer import vote

CASES = golden_cases("trvae.json")
TABLES = {
    "theta": ("decoder", "log_dispersion"),
    "encoder.FC.L0.cond_L.weight": ("encoder", "encoder_batch"),
    "decoder.FirstL.L0.cond_L.weight": ("decoder", "decoder_batch"),
}
HEADS = {
    "encoder.mean_encoder": "encoder_mean",
    "encoder.log_var_encoder": "encoder_log_variance",
    "decoder.mean_decoder.0": "decoder_mean",
    "decoder.recon_decoder.0": "decoder_mean",
    "decoder.dropout_decoder": "zero_logit",
}


def cases(kind):
    found = [case for case in CASES if case["kind"] == kind]
    return pytest.mark.parametrize("case", found, ids=case_name)


@pytest.fixture(autouse=True)
def no_graphs(eagerly):
    """Building graphs takes longer than one step."""


# ------------------------------------------------------------------ the recipe


def drawn_rows(rng, case, n_groups):
    shape = (n_groups * case["rows_per_batch"], case["n_genes"])
    if case["likelihood"] == "mse":
        cells = np.maximum(rng.normal(0.5, 1, size=shape), 0)
    else:
        cells = np.floor(np.exp(rng.normal(0, 1, size=shape)))
    noise = rng.normal(size=(len(cells), case["latent_dim"]))
    return tf.constant(cells, tf.float32), tf.constant(noise, tf.float32)


def hyperparameters(case):
    return ReferenceHyperparameters.of(
        "reference",
        likelihood=case["likelihood"],
        hidden=case["hidden"],
        latent_dim=case["latent_dim"],
        dropout=case.get("dropout", 0.0),
        kl_weight=case["kl_weight"],
        mmd_weight=case["beta"] if case.get("use_mmd", True) else 0.0,
        learning_rate=case["learning_rate"],
        adam_epsilon=case["adam_epsilon"],
        weight_decay=case["weight_decay"],
        **({"norm_epsilon": case["layer_norm_epsilon"]} if "layer_norm_epsilon" in case else {}),
    )


def place(name):
    """Network, layer and position among the layer's weights of a name of the original."""
    stem, kind = name.rsplit(".", 1)
    if stem in HEADS:
        layer = HEADS[stem]
    else:
        depth = next(int(part[1:]) for part in stem.split(".") if part[1:].isdigit())
        layer = f"{stem.split('.')[0]}_dense_{depth + 1}"
    return name.split(".")[0], layer, 0 if kind == "weight" else 1


def assign(networks, weights):
    for name, value in weights.items():
        if name in TABLES:
            part, layer = TABLES[name]
            networks[part].get_layer(layer).set_rows(value.T)
        else:
            part, layer, position = place(name)
            variable = networks[part].get_layer(layer).weights[position]
            assert tuple(variable.shape) == value.T.shape, name
            variable.assign(value.T)
    mine = sum(np.size(w) for network in networks.values() for w in network.get_weights())
    assert mine == sum(value.size for value in weights.values())  # the original has no other weights


def value_of(networks, name):
    if name in TABLES:
        return networks[TABLES[name][0]].get_layer(TABLES[name][1]).rows().T
    part, layer, position = place(name)
    return np.asarray(networks[part].get_layer(layer).weights[position]).T


def variable_of(networks, name):
    if name in TABLES:
        return networks[TABLES[name][0]].get_layer(TABLES[name][1]).new
    part, layer, position = place(name)
    return networks[part].get_layer(layer).weights[position]


def gradients_by_name(cvae, networks, names, gradients):
    """Gradients of what is trained, by the original's names, the weight decay taken out."""
    found = {id(v): (v, g) for v, g in zip(cvae.trainable_variables, gradients, strict=True)}
    assert {id(variable_of(networks, name)) for name in names} == set(found)  # nothing else is trained
    pairs = {name: found[id(variable_of(networks, name))] for name in names}
    return {name: np.asarray(g) - cvae.weight_decay * np.asarray(v) for name, (v, g) in pairs.items()}


def same(found, expected, rtol=1e-4):
    assert float(found) == pytest.approx(expected, rel=rtol, abs=1e-6)


def same_losses(found, expected, beta):
    for name in ("reconstruction", "kl"):
        same(found[name], expected[name])
    same(beta * float(found["mmd"]), expected["mmd_times_beta"])
    if "loss" in expected:
        same(found["loss"], expected["loss"])


# ------------------------------------------------------------------ one step


@cases("trvae")
def test_one_step_is_the_published_step(case):
    hp, n, rng = hyperparameters(case), case["n_batches"], np.random.default_rng(case["seed"])
    networks = build_networks(case["n_genes"], n, hp, dropout=hp.dropout)
    weights = draw_weights(rng, case["parameter_order"], theta=1.0)
    assign(networks, weights)
    for name, length in case["weight_norms"].items():
        same(norm(value_of(networks, name)), length, 1e-6)
    cells, noise = drawn_rows(rng, case, n)
    batch = tf.one_hot(np.repeat(np.arange(n), case["rows_per_batch"]), n)
    cvae = build_cvae(**networks, hp=hp, n_groups=n)
    same_forward(case, cvae, cells, batch, noise)
    losses, gradients = cvae.gradients_of(cells, batch, noise, case["kl_weight"])
    same_losses(losses, case["losses"], hp.mmd_weight)
    found = gradients_by_name(cvae, networks, weights, gradients)
    for name, length in case["gradient_norms"].items():
        same(norm(found[name]), length)
    cvae.optimizer.apply_gradients(zip(gradients, cvae.trainable_variables))
    for name, length in case["weight_norms_after_one_step"].items():
        after, before = norm(value_of(networks, name)), case["weight_norms"][name]
        same(after, length, 1e-3)
        # A step changes a norm by a thousandth: what it changes it by has to agree as well.
        assert after - before == pytest.approx(length - before, rel=5e-3, abs=2e-6)
    same_losses(cvae.losses_of(cells, batch, noise, 1.0), case["losses_after"], hp.mmd_weight)


def same_forward(case, cvae, cells, batch, noise):
    mean, log_variance = cvae.encoder([cells, batch], training=True)
    z = mean + noise * tf.sqrt(tf.exp(log_variance) + cvae.least_variance)
    outputs = cvae.decoder([z, batch], training=True)
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    names = ["share", "log_dispersion_rows", "zero_logit"]
    found = dict(zip(names, outputs)) | {
        "latent_mean": mean,
        "latent_log_variance": log_variance,
        "z": z,
    }
    for name in set(found) & set(case["forward_norms"]):
        same(norm(found[name]), case["forward_norms"][name])
    if "mmd_of_first_pair" in case:
        pair = z[: 2 * case["rows_per_batch"]]
        same(mmd(pair, 2, WIDTHS["published"]), case["mmd_of_first_pair"])


# ------------------------------------------------------------------ surgery


@cases("surgery")
def test_surgery_moves_what_the_original_moves(case):
    hp, n, n_new = hyperparameters(case), case["n_batches"], case["n_new"]
    rng, degree = np.random.default_rng(case["seed"]), case["degree"]
    networks = build_networks(case["n_genes"], n, hp)
    weights = draw_weights(rng, case["parameter_order"], theta=1.0)
    assign(networks, weights)
    query = hp.for_query(degree, weight_decay=case["weight_decay"], learning_rate=case["learning_rate"])
    grown = grow(networks, n_new, degree, query)
    if case["weight_decay"]:  # the original lets known columns decay; here they are frozen all the same
        grown = unfrozen(networks, case, query)
    columns = draw_weights(rng, case["grown_columns"], theta=1.0)
    for name, value in columns.items():
        table = grown[TABLES[name][0]].get_layer(TABLES[name][1])
        table.set_rows(np.concatenate([table.rows()[:n], value.T]))
    before = {name: value_of(grown, name).copy() for name in weights}
    for name, value in weights.items():
        np.testing.assert_array_equal(before[name][:, :n] if name in TABLES else before[name], value)

    cells, noise = drawn_rows(rng, case, n_new)
    batch = tf.one_hot(np.repeat(n + np.arange(n_new), case["rows_per_batch"]), n + n_new)
    cvae = build_cvae(**grown, hp=query, n_groups=n_new)
    losses, gradients = cvae.gradients_of(cells, batch, noise, case["kl_weight"])
    same_losses(losses, case["losses"], hp.mmd_weight)
    trained = [name for name, trains in case["requires_grad"].items() if trains]
    found = gradients_by_name(cvae, grown, trained, gradients)
    for name, length in case["gradient_norms"].items():
        same(norm(found[name]), length)

    cvae.optimizer.apply_gradients(zip(gradients, cvae.trainable_variables))
    after = {name: value_of(grown, name) for name in weights}
    for name, length in case["weight_norms_after_one_step"].items():
        same(norm(after[name]), length, 1e-3)
    for name, length in case["new_column_norms_after_one_step"].items():
        same(norm(after[name][:, n:]), length, 1e-3)
    for name, moved in case["moved"].items():
        differs = after[name] != before[name]
        if name in TABLES:
            assert moved == {"old_columns": differs[:, :n].any(), "new_columns": differs[:, n:].any()}
        else:
            assert moved == differs.any(), name


def unfrozen(networks, case, hp):
    """The grown networks with known columns that are trained too."""
    sizes = case["n_genes"], case["n_batches"] + case["n_new"]
    grown = build_networks(*sizes, hp, n_frozen=0)
    for part, network in grown.items():
        copy_weights(networks[part], network)
        freeze(network, case["degree"])
    return grown


@cases("surgery")
def test_known_columns_are_frozen_whatever_decays(case):
    hp = hyperparameters(case)
    networks = build_networks(case["n_genes"], case["n_batches"], hp)
    grown = grow(networks, case["n_new"], case["degree"], hp)
    for network in grown.values():
        for layer in network.layers:
            if isinstance(layer, BatchTable) and case["degree"] != "all":
                assert [tuple(w.shape) for w in layer.trainable_weights] == [
                    (case["n_new"], layer.units)
                ]


# ------------------------------------------------------------------ schedule and labels


@cases("kl_schedule")
def test_the_weight_of_the_kl_term_rises_as_published(case):
    for row in case["rows"]:
        steps, by_epoch = row["iterations_per_epoch"], "alpha_epoch_anneal" in row
        span = row["alpha_epoch_anneal"] if by_epoch else row["alpha_iter_anneal"]
        if not span:
            continue  # no annealing: the weight itself
        hp = ReferenceHyperparameters.of("reference", hidden=(2,), kl_stairs=by_epoch, kl_epochs=span)
        cvae = build_cvae(**build_networks(3, 1, hp), hp=hp, steps=steps)
        if not by_epoch:
            cvae.kl_steps = span  # counted in steps, not epochs
        step = row["epoch"] * steps + row["iteration_of_epoch"]
        same(cvae.kl_weight_at(tf.constant(step, tf.int64)), row["kl_weight"])


@cases("label_transfer")
def test_labels_are_transferred_as_published(case):
    rng, k, n = np.random.default_rng(case["seed"]), case["k"], case["n_query"]
    distances = rng.uniform(0, 6, size=(n, k)) * rng.uniform(0.2, 1.5, size=(n, 1))
    distances = np.sort(distances, axis=1)
    neighbors = np.stack([rng.permutation(case["n_reference"])[:k] for _ in range(n)])
    others = rng.uniform(size=case["n_reference"]) < 0.6
    codes = np.where(others, 0, rng.integers(len(case["labels"]), size=case["n_reference"]))
    labels = np.array(case["labels"])[codes]
    weights = neighbor_weights(distances)
    same(norm(weights), case["weight_norm"])
    np.testing.assert_allclose(weights[0], case["first_row_weights"], rtol=1e-4)
    np.testing.assert_allclose(weights.max(axis=1), case["largest_weight_per_cell"], rtol=1e-4)
    for threshold, name in (
        (1.0, "label"),
        (0.5, "label_unknown_below_0_5"),
        (0.3, "label_unknown_below_0_7"),
    ):
        table = vote(distances, neighbors, labels, threshold)
        np.testing.assert_allclose(table["uncertainty"], case["uncertainty"], rtol=1e-4, atol=1e-6)
        assert table["label"].tolist() == case[name]
