"""inClust+: masks, losses by hand, tasks, training, what comes out, saving, errors."""

import tracemalloc
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from anndata import AnnData

import imap_keras.inclust.rows
from imap_keras.datasets import simulate_modalities
from imap_keras.inclust import (
    Hyperparameters,
    InClust,
    Rows,
    generation,
    imputation,
    paired,
    paired_batches,
    three_modalities,
)
from imap_keras.inclust.evaluation import feature_correlations, ridge_prediction, type_mean_prediction
from imap_keras.inclust.network import build_network, build_parts, compile_network
from imap_keras.inclust.plots import JUDGED, MASKED, READ, draw_masks
from imap_keras.inclust.rows import draw_rows
from imap_keras.inclust.training import first_output, loss_weights, recalibrate_covariates
from imap_keras.metrics import partner_rank, predictability

SMALL = {"latent_dim": 4, "hidden": (16, 8), "decoder_hidden": (16,), "rows_per_step": 32, "epochs": 2}
PINNED = [64.601456, 62.86842, -0.605229, 0.445462, 0.399288]
PINNED += [-0.226103, 0.129629, 0.283691, 1.739919, 1.647784]
SIZES = {"rna": 9, "protein": 5, "atac": 7}


@pytest.fixture(scope="module")
def cells():
    """40 cells of two batches and two types, three modalities."""
    return simulate_modalities(40, SIZES, n_types=2, n_batches=2, n_states=2, seed=1)


@pytest.fixture(scope="module")
def two(cells):
    return {name: cells[name] for name in ("rna", "protein")}


@pytest.fixture(scope="module")
def halves(cells):
    """Reference and query, and the genes to impute."""
    rna = cells["rna"]
    return rna[:25].copy(), rna[25:].copy(), ["rna_2", "rna_7"]


@pytest.fixture(scope="module")
def paired_rows(two):
    return paired_batches(two, "batch", "cell_type")


@pytest.fixture(scope="module", autouse=True)
def without_graphs():
    """Building TensorFlow graphs takes longer than these tiny fits."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def with_graphs():
    """For a fit of many steps, where the graph pays."""
    tf.config.run_functions_eagerly(False)
    yield
    tf.config.run_functions_eagerly(True)


@pytest.fixture(scope="module")
def fitted(paired_rows):
    return InClust(**SMALL).fit(paired_rows, verbose=0)


def network_and_inputs(n_rows=6, seed=0):
    """A network with weights of visible size, and random inputs for it."""
    rng = np.random.default_rng(seed)
    network = build_network(**build_parts(7, 2, 3, 4, (8, 6), (8,), seed=seed), seed=seed)
    for variable in network.weights:
        variable.assign(rng.normal(0, 0.5, variable.shape).astype("float32"))
    inputs = {
        "cells": rng.random((n_rows, 7)),
        "input_mask": rng.integers(0, 2, (n_rows, 7)),
        "output_mask": rng.integers(0, 2, (n_rows, 7)),
        "covariate": np.eye(2)[rng.integers(0, 2, n_rows)],
        "noise": rng.normal(size=(n_rows, 4)),
    }
    return network, {name: value.astype("float32") for name, value in inputs.items()}


# ------------------------------------------------------------------ masks


@pytest.mark.parametrize("other", [1e6, -3.0, np.nan, np.inf])
def test_masked_inputs_do_not_change_a_bit_of_any_output(other):
    network, inputs = network_and_inputs()
    before = network(inputs)
    changed = np.where(inputs["input_mask"] == 0, np.float32(other), inputs["cells"])
    assert (changed != inputs["cells"]).sum() > 10
    after = network({**inputs, "cells": changed})
    for name in before:
        np.testing.assert_array_equal(before[name].numpy(), after[name].numpy(), name)


def test_inputs_that_are_not_masked_do_change_the_outputs():
    network, inputs = network_and_inputs()
    changed = np.where(inputs["input_mask"] == 1, inputs["cells"] + 1, inputs["cells"])
    after = network({**inputs, "cells": changed})["label"]
    assert (after.numpy() != network(inputs)["label"].numpy()).any(axis=1).all()


def test_no_gradient_comes_through_masked_outputs():
    network, inputs = network_and_inputs()
    inputs["output_mask"][:, [1, 4]] = 0
    inputs["output_mask"][:, [0, 2]] = 1
    kernel, bias = network.get_layer("decoder").layers[-1].trainable_variables
    bias.assign(tf.ones(7))  # every output ReLU open
    with tf.GradientTape() as tape:
        output = network(inputs)["reconstruction"]
        target = inputs["cells"] * inputs["output_mask"]
        loss = tf.reduce_sum((target - output) ** 2)
    of_kernel, of_bias = tape.gradient(loss, [kernel, bias])
    assert not of_kernel.numpy()[:, [1, 4]].any() and not of_bias.numpy()[[1, 4]].any()
    assert of_kernel.numpy()[:, [0, 2]].any(axis=0).all() and of_bias.numpy()[[0, 2]].all()
    assert not output.numpy()[inputs["output_mask"] == 0].any()


def test_targets_behind_the_output_mask_do_not_change_training():
    """Two trainings whose query rows differ at masked features end with the same weights."""
    parts = simulate_modalities(30, SIZES, n_types=2, seed=3)
    rows = paired({"rna": parts["rna"], "protein": parts["protein"]}, "cell_type")
    rows = rows.keep(["rna->rna"])
    values = rows.values.copy()
    values[:, np.array(rows.modalities) == "protein"] = 1e3
    ends = [
        InClust(**SMALL).fit(r, verbose=0).network.get_weights()
        for r in (rows, replace(rows, values=values))
    ]
    # The decoder starts from the mean of what is judged, so masked values do not enter there either.
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)


# ------------------------------------------------------------------ the network by hand


def test_network_is_the_formula():
    network, inputs = network_and_inputs()
    get = {layer.name: layer for layer in network.layers}
    z_mean, log_var = get["encoder"]([inputs["cells"], inputs["input_mask"]])
    z_mean, log_var = z_mean.numpy(), log_var.numpy()
    yh = get["covariates"](inputs["covariate"]).numpy()
    z, means = z_mean - yh, get["clusters"].means.numpy()
    y = get["classifier"](z).numpy()
    out = {name: value.numpy() for name, value in network(inputs).items()}
    np.testing.assert_allclose(out["label"], y, rtol=1e-5)
    # KL of one-dimensional Gaussians, summed over dimensions, cluster by cluster.
    divergence = np.zeros((6, 3))
    for c in range(3):
        away = z_mean - (means[c] + yh)
        divergence[:, c] = 0.5 * (np.exp(log_var) + away**2 - 1 - log_var).sum(axis=1)
    np.testing.assert_allclose(out["divergence"][:, 0], (y * divergence).sum(1), rtol=1e-4)
    np.testing.assert_allclose(out["entropy"][:, 0], (y * np.log(y)).sum(1), rtol=1e-4)
    latent = z_mean + np.exp(log_var / 2) * inputs["noise"]
    decoded = get["decoder"](latent).numpy() * inputs["output_mask"]
    np.testing.assert_allclose(out["reconstruction"], decoded, rtol=1e-4, atol=1e-5)


def test_loss_is_the_weighted_sum_of_the_paper():
    network, inputs = network_and_inputs()
    compile_network(network, 5.0, 1.0, 2.0, 50.0)
    labels = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]], "float32")
    target = inputs["cells"] * inputs["output_mask"]
    none = np.zeros((6, 1), "float32")
    targets = {"reconstruction": target, "divergence": none, "entropy": none, "label": labels}
    out = {name: value.numpy() for name, value in network(inputs).items()}
    squared = 0.5 * ((target - out["reconstruction"]) ** 2).sum(axis=1)
    cross = -(labels * np.log(out["label"])).sum(axis=1)  # 0 for the two unlabelled rows
    by_hand = 5 * squared + out["divergence"][:, 0] + 2 * out["entropy"][:, 0] + 50 * cross
    got = network.evaluate(inputs, targets, batch_size=6, verbose=0, return_dict=True)["loss"]
    assert got == pytest.approx(by_hand.mean(), rel=1e-4)


def test_covariate_starts_without_effect_and_the_decoder_at_the_mean():
    parts = build_parts(3, 2, 2, 4, (8,), (8,), "sigmoid", 0, np.array([0.1, 0.5, 0.9]))
    assert not parts["covariates"](np.eye(2)).numpy().any()
    decoded = parts["decoder"](np.random.default_rng(0).normal(size=(5, 4))).numpy()
    np.testing.assert_allclose(decoded, np.tile([0.1, 0.5, 0.9], (5, 1)), rtol=1e-5)


# ------------------------------------------------------------------ rows


def test_every_row_comes_once_an_epoch_with_its_masks(paired_rows):
    n = len(paired_rows)
    assert n == 160
    steps = draw_rows(paired_rows, 2, 4, 40, seed=3).take(8)
    seen = [], []
    for number, (inputs, targets) in enumerate(steps):
        numpy = {name: value.numpy() for name, value in inputs.items()}
        for i in range(40):
            cell = int(np.flatnonzero((paired_rows.values == numpy["cells"][i]).all(axis=1))[0])
            masks = paired_rows.input_masks, paired_rows.output_masks
            block = [
                b
                for b in range(4)
                if (masks[0][b] == numpy["input_mask"][i]).all()
                and (masks[1][b] == numpy["output_mask"][i]).all()
            ]
            seen[number // 4].append((cell, block[0]))
            assert numpy["covariate"][i].argmax() == paired_rows.covariate[cell]
            assert targets["label"].numpy()[i].argmax() == paired_rows.label[cell]
        judged = numpy["cells"] * numpy["output_mask"]
        np.testing.assert_array_equal(targets["reconstruction"].numpy(), judged)
    wanted = sorted(zip(paired_rows.cell.tolist(), paired_rows.block.tolist()))
    assert sorted(seen[0]) == wanted and sorted(seen[1]) == wanted
    assert seen[0] != seen[1]


def test_unlabelled_rows_have_an_all_zero_label(two):
    two = {name: adata.copy() for name, adata in two.items()}
    for adata in two.values():
        adata.obs["cell_type"] = adata.obs["cell_type"].astype(object)
        adata.obs.loc[adata.obs_names[::2], "cell_type"] = np.nan
    rows = paired(two, "cell_type")
    assert rows.supervision == "semi-supervised"
    assert (rows.label[::2] == -1).all() and (rows.label[1::2] >= 0).all()
    inputs, targets = next(iter(draw_rows(rows, 2, 4, 160)))
    assert targets["label"].numpy().sum() == 80
    assert paired(two).supervision == "unsupervised"


def test_keep_drops_blocks_and_renumbers(paired_rows):
    kept = paired_rows.keep(["protein->rna", "rna->rna"])
    assert kept.blocks == ["rna->rna", "protein->rna"] and len(kept) == 80
    assert kept.of_block("protein->rna").tolist() == list(range(40))
    assert kept.input_masks.sum(axis=1).tolist() == [9, 5]
    assert kept.output_masks.sum(axis=1).tolist() == [9, 9]
    with pytest.raises(ValueError, match="block='a' is unknown; choose one of"):
        paired_rows.keep(["a"])


# ------------------------------------------------------------------ tasks


def test_imputation_hides_the_targets_from_all_and_judges_the_reference_by_them(halves):
    reference, query, targets = halves
    rows = imputation(reference, query, targets, label_key="cell_type")
    is_target = np.isin(rows.features, targets)
    assert rows.blocks == ["reference", "query"] == rows.covariates
    np.testing.assert_array_equal(rows.input_masks, [~is_target, ~is_target])
    np.testing.assert_array_equal(rows.output_masks, [np.ones(9), ~is_target])
    np.testing.assert_array_equal(rows.values[:25], reference.X)
    np.testing.assert_array_equal(rows.values[25:], np.where(is_target, 0, query.X))
    assert rows.covariate.tolist() == [0] * 25 + [1] * 15
    lacking = query[:, [n for n in query.var_names if n not in targets]].copy()
    again = imputation(reference, lacking[:, ::-1].copy(), label_key="cell_type")
    np.testing.assert_array_equal(again.values, rows.values)
    np.testing.assert_array_equal(again.output_masks, rows.output_masks)


def test_genes_named_by_numbers_are_found(halves):
    """AnnData turns such names into text; so the target genes are compared as text."""
    reference, query, targets = halves
    named = imputation(reference, query, targets)
    numbered = [adata.copy() for adata in (reference, query)]
    for adata in numbered:
        adata.var_names = [str(number) for number in range(9)]
    rows = imputation(*numbered, [2, 7])
    np.testing.assert_array_equal(rows.input_masks, named.input_masks)
    np.testing.assert_array_equal(rows.values, named.values)


def test_paired_reads_each_and_judges_each(two, paired_rows):
    rna = np.array(paired_rows.modalities) == "rna"
    np.testing.assert_array_equal(paired_rows.input_masks, [rna, ~rna, rna, ~rna])
    np.testing.assert_array_equal(paired_rows.output_masks, [rna, ~rna, ~rna, rna])
    np.testing.assert_array_equal(paired_rows.values, np.hstack([two["rna"].X, two["protein"].X]))
    assert paired_rows.covariates == ["batch_0", "batch_1"]
    assert paired(two, "cell_type").covariates == ["data"]


def test_one_table_is_read_from_anndata_dictionary_and_mudata(two, paired_rows):
    joined = AnnData(
        np.hstack([two["protein"].X, two["rna"].X]),
        obs=two["rna"].obs,
        var=pd.DataFrame(
            {"modality": ["protein"] * 5 + ["rna"] * 9},
            index=[*two["protein"].var_names, *two["rna"].var_names],
        ),
    )
    order = np.r_[5:14, 0:5]
    from_anndata = paired_batches(joined[:, order].copy(), "batch", "cell_type")

    class MuDataLike:
        mod, obs = two, two["rna"].obs

    shuffled = {"rna": two["rna"], "protein": two["protein"][::-1]}
    for rows in (
        from_anndata,
        *(paired_batches(d, "batch", "cell_type") for d in (MuDataLike, shuffled)),
    ):
        np.testing.assert_array_equal(rows.values, paired_rows.values)
        np.testing.assert_array_equal(rows.label, paired_rows.label)
        assert rows.modalities == paired_rows.modalities


def test_real_mudata_is_read(two, paired_rows):
    mudata = pytest.importorskip("mudata")
    rows = paired_batches(mudata.MuData({n: a.copy() for n, a in two.items()}), "batch", "cell_type")
    np.testing.assert_array_equal(rows.values, paired_rows.values)


def test_three_modalities_have_six_blocks_through_the_shared_one(cells):
    first = {name: cells[name][:20] for name in ("rna", "protein")}
    second = {"protein": cells["protein"][20:, ::-1], "atac": cells["atac"][20:]}
    rows = three_modalities(first, second, label_key="cell_type")
    assert rows.blocks == [
        "first: rna->rna",
        "first: protein->protein",
        "second: protein->protein",
        "second: atac->atac",
        "first: protein->rna",
        "second: protein->atac",
    ]
    modality = np.array(rows.modalities)
    for block, read, judged in zip(rows.blocks, rows.input_masks, rows.output_masks):
        one, other = block.split(": ")[1].split("->")
        assert set(modality[read == 1]) == {one} and set(modality[judged == 1]) == {other}
        own = rows.of_block(block)
        assert own.tolist() == list(range(20) if block.startswith("first") else range(20, 40))
    protein = rows.values[20:, modality == "protein"]
    np.testing.assert_array_equal(protein, cells["protein"][20:].X)
    assert not rows.values[:20, modality == "atac"].any()


def test_generation_leaves_the_query_unlabelled(cells):
    reference = {name: cells[name][:20] for name in ("rna", "protein")}
    rows = generation(reference, {"rna": cells["rna"][20:]}, label_key="cell_type")
    assert rows.blocks == ["reference: rna->rna", "reference: rna->protein", "query: rna->rna"]
    assert (rows.label[:20] >= 0).all() and (rows.label[20:] == -1).all()
    assert not rows.values[20:, np.array(rows.modalities) == "protein"].any()
    assert rows.labels == ["type_0", "type_1"]


# ------------------------------------------------------------------ fit and after


def test_training_lowers_the_loss_and_the_seed_decides(paired_rows, fitted):
    again, other = (InClust(**SMALL, seed=s).fit(paired_rows, verbose=0) for s in (0, 1))
    for one, two in zip(fitted.network.get_weights(), again.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(
        (a != b).any() for a, b in zip(fitted.network.get_weights(), other.network.get_weights())
    )
    assert fitted.history["loss"].iloc[-1] < fitted.history["loss"].iloc[0]


# A value of each hyperparameter other than that of the tiny fit.
CHANGES = {
    "latent_dim": 5,
    "hidden": (12, 8),
    "decoder_hidden": (12,),
    "activation": "tanh",
    "output": "sigmoid",
    "n_clusters": 3,
    "reconstruction_weight": 4.0,
    "divergence_weight": 2.0,
    "entropy_weight": 3.0,
    "entropy_until": "unsupervised",
    "label_weight": 40.0,
    "pool_size": 10,
    "cluster_start": "zero",
    "covariate_start": "random",
    "decoder_start": "random",
    "recalibrate": False,
    "learning_rate": 1e-2,
    "epochs": 1,
    "rows_per_step": 16,
    "seed": 1,
}


@pytest.fixture(scope="module")
def few_rows(two):
    """Rows of which some have a label, values in [0, 1]."""
    some = {name: adata[:20].copy() for name, adata in two.items()}
    for adata in some.values():
        adata.X /= adata.X.max()
        adata.obs["cell_type"] = adata.obs["cell_type"].astype(object)
        adata.obs.loc[adata.obs_names[::3], "cell_type"] = np.nan
    return paired_batches(some, "batch", "cell_type")


def what_comes_out(rows, **changes):
    model = InClust(**SMALL | changes).fit(rows, verbose=0)
    table = model.generate(rows, "rna->rna", "protein")
    return [model.history["loss"].to_numpy(), model.latent(rows, "rna->rna"), table.to_numpy()]


@pytest.fixture(scope="module")
def unchanged(few_rows):
    return what_comes_out(few_rows)


@pytest.mark.parametrize("name", [field.name for field in fields(Hyperparameters)])
def test_every_hyperparameter_does_something(name, few_rows, unchanged, monkeypatch):
    if name == "pool_size":  # of more than 20,000 cells; here of any number
        monkeypatch.setattr(imap_keras.inclust.rows, "AT_ONCE", 0)
    changed = what_comes_out(few_rows, **{name: CHANGES[name]})
    same = [a.shape == b.shape and np.allclose(a, b, 1e-6) for a, b in zip(unchanged, changed)]
    assert not all(same)


def test_ten_numbers_of_a_tiny_fit(paired_rows, fitted):
    """A silent change of a default, of the rows or of Keras moves them."""
    latent = fitted.latent(paired_rows, "rna->rna")
    table = fitted.generate(paired_rows, "rna->rna", "protein").to_numpy()
    found = [*fitted.history["loss"], *latent[0], *latent.std(axis=0)[:2], *table[3, :2]]
    np.testing.assert_allclose(found, PINNED, rtol=1e-3)


def test_defaults_are_those_of_the_published_code():
    hp = Hyperparameters()
    assert (hp.latent_dim, hp.hidden, hp.decoder_hidden) == (50, (200, 50), (200,))
    assert (hp.activation, hp.output) == ("relu", "relu")
    weights = hp.reconstruction_weight, hp.divergence_weight, hp.entropy_weight, hp.label_weight
    assert weights == (5, 1, 1, 50)
    assert (hp.learning_rate, hp.epochs, hp.rows_per_step) == (1e-3, 50, 500)


@pytest.mark.parametrize(
    "supervision, until, weight",
    [
        ("unsupervised", "unsupervised", 2.0),
        ("semi-supervised", "unsupervised", 0.0),
        ("supervised", "unsupervised", 0.0),
        ("unsupervised", "semi-supervised", 2.0),
        ("semi-supervised", "semi-supervised", 2.0),
        ("supervised", "semi-supervised", 0.0),
        ("supervised", "supervised", 2.0),
    ],
)
def test_supervision_decides_whether_the_entropy_counts(supervision, until, weight):
    hp = Hyperparameters(entropy_weight=2.0, entropy_until=until)
    assert loss_weights(supervision, hp) == {
        "reconstruction_weight": 5.0,
        "divergence_weight": 1.0,
        "entropy_weight": weight,
        "label_weight": 50.0,
    }


def test_entropy_has_no_weight_in_a_supervised_fit(paired_rows, few_rows):
    """The whole loss is the weighted sum of its parts, with the entropy's weight as it should be."""
    for rows, weight in ((paired_rows, 0.0), (few_rows, 1.0)):
        history = InClust(**SMALL).fit(rows, verbose=0).history
        without = 5 * history["reconstruction_loss"] + history["divergence_loss"]
        without += 50 * history["label_loss"]
        np.testing.assert_allclose(
            history["loss"] - without, weight * history["entropy_loss"], atol=2e-4
        )
        assert (history["entropy_loss"] < -0.1).all()


def test_reference_preset_starts_as_the_published_code(few_rows):
    parts = build_parts(9, 2, 2, 4, (8,), (8,), covariate_start="random")
    assert parts["covariates"](np.eye(2)).numpy().all()
    network = build_network(**parts, cluster_start="zero")
    assert not network.get_layer("clusters").means.numpy().any()
    assert build_network(**parts).get_layer("clusters").means.numpy().all()
    model = InClust("reference", **SMALL)
    assert model.hyperparameters == Hyperparameters.of("reference", **SMALL)
    assert model.fit(few_rows, verbose=0).hyperparameters.recalibrate is False
    with pytest.raises(ValueError, match=r"preset='paper' is unknown; choose one of .*'reference'"):
        InClust("paper")


@pytest.mark.parametrize("output", ["relu", "sigmoid", "tanh"])
def test_the_decoder_starts_at_the_mean_of_what_is_judged(output, few_rows):
    mean = first_output(few_rows, Hyperparameters(output=output))
    parts = build_parts(14, 2, 2, 4, (8,), (8,), output, start=mean)
    decoded = parts["decoder"](np.random.default_rng(0).normal(size=(3, 4))).numpy()
    np.testing.assert_allclose(decoded, np.tile(mean, (3, 1)), rtol=1e-5)
    by_hand = few_rows.values[few_rows.of_block("rna->rna")].mean(axis=0)
    np.testing.assert_allclose(mean, np.maximum(by_hand, 0.01), rtol=1e-5)


def test_means_are_summed_in_double_precision_and_slice_by_slice():
    n = 200_000
    values = np.full((n, 8), np.float32(0.1))
    every, none = np.ones((2, 8)), np.arange(n)
    rows = Rows(
        values=values,
        input_masks=every,
        output_masks=every,
        cell=np.concatenate([none, none]),
        block=np.repeat([0, 1], n),
        blocks=["one", "two"],
        features=list("abcdefgh"),
        modalities=["rna"] * 8,
        cells=[str(i) for i in range(n)],
        covariate=np.zeros(n, "int32"),
        covariates=["batch"],
        label=np.full(n, -1),
        labels=[],
    )
    tracemalloc.start()
    mean = rows.judged_mean()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(mean, np.float64(np.float32(0.1)), rtol=1e-12)
    assert peak < 0.6 * values.nbytes  # numbers of the cells of a block take most of it


def test_what_stands_where_nothing_is_read_or_judged_has_no_effect(two):
    """Not even NaN, which no product with a mask would take away."""
    rows = paired(two, "cell_type").keep(["rna->rna"])
    values = rows.values.copy()
    values[:, np.array(rows.modalities) == "protein"] = np.nan
    one, other = (InClust(**SMALL).fit(r, verbose=0) for r in (rows, replace(rows, values=values)))
    assert np.isfinite(other.history.to_numpy()).all()
    for a, b in zip(one.network.get_weights(), other.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_largest_seed_is_a_seed(few_rows):
    losses, latent, _ = what_comes_out(few_rows, seed=2**32 - 1, epochs=1)
    assert np.isfinite(losses).all() and np.isfinite(latent).all()


def test_latent_is_the_mean_without_the_covariate(paired_rows, fitted):
    z = fitted.latent(paired_rows, "rna->rna")
    z_mean = fitted.latent(paired_rows, "rna->rna", with_covariate=True)
    yh = fitted.covariates(np.eye(2, dtype="float32")).numpy()
    np.testing.assert_allclose(z_mean - z, yh[paired_rows.covariate], atol=1e-6)
    np.testing.assert_array_equal(z, fitted.latent(paired_rows, "rna->protein"))
    assert (z != fitted.latent(paired_rows, "protein->protein")).any()
    probability = fitted.classifier(z).numpy()
    table = fitted.predict_labels(paired_rows, "rna->rna")
    assert table["label"].tolist() == [fitted.labels[i] for i in probability.argmax(1)]
    np.testing.assert_allclose(table["probability"], probability.max(1), rtol=1e-6)


def test_generated_features_are_the_decoded_mean(paired_rows, fitted):
    table = fitted.generate(paired_rows, "rna->rna", "protein")
    z_mean = fitted.latent(paired_rows, "rna->rna", with_covariate=True)
    decoded = fitted.decoder(z_mean).numpy()
    assert list(table.columns) == [f"protein_{i}" for i in range(5)]
    np.testing.assert_allclose(table, decoded[:, 9:], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(table, fitted.impute(paired_rows, "rna->rna"))
    yh = fitted.covariates(np.eye(2, dtype="float32")).numpy()
    moved = fitted.latent(paired_rows, "rna->rna") + yh[1]
    as_one = fitted.generate(paired_rows, "rna->rna", "protein", as_covariate="batch_1")
    np.testing.assert_allclose(as_one, fitted.decoder(moved).numpy()[:, 9:], rtol=1e-5, atol=1e-6)


def test_training_recovers_hidden_genes_and_labels(with_graphs):
    """Small but real: imputation beats the type mean, labels arrive at an unlabelled query."""
    rna = simulate_modalities(300, {"rna": 60}, n_types=3, n_batches=1, seed=2)["rna"]
    targets = list(rna.var_names[::6])
    reference, query = rna[:200].copy(), rna[200:].copy()
    query.obs = query.obs.drop(columns="cell_type")
    rows = imputation(reference, query, targets, label_key="cell_type")
    model = InClust(latent_dim=10, hidden=(64, 32), decoder_hidden=(64,), epochs=40, rows_per_step=50)
    imputed = model.fit(rows, verbose=0).impute(rows)[targets]
    truth, types = rna[200:, targets].X, rna.obs["cell_type"].to_numpy()
    by_type = type_mean_prediction(reference[:, targets].X, types[:200], types[200:])
    ours, theirs = (np.median(feature_correlations(truth, p)) for p in (imputed, by_type))
    assert ours > theirs + 0.05
    assert (model.predict_labels(rows, "query")["label"].to_numpy() == types[200:]).mean() > 0.85


def test_recalibrated_covariates_are_the_minimum_of_the_divergence(paired_rows):
    def divergence(network, shift=0.0):
        kernel, bias = network.get_layer("covariates").layers[-1].get_weights()
        yh, total = np.eye(2)[paired_rows.covariate] @ (kernel + shift) + bias, 0
        for block, mask in enumerate(paired_rows.input_masks):
            values = paired_rows.values[paired_rows.of_block(paired_rows.blocks[block])]
            z_mean = network.get_layer("encoder")([values, np.broadcast_to(mask, values.shape)])[0]
            centre = classes[block] @ network.get_layer("clusters").means.numpy()
            total += ((z_mean.numpy() - yh - centre) ** 2).sum()
        return total

    model = InClust(**SMALL, recalibrate=False).fit(paired_rows, verbose=0)
    classes = [model.classifier(model.latent(paired_rows, b)).numpy() for b in paired_rows.blocks]
    trained = divergence(model.network)
    recalibrate_covariates(model.network, paired_rows)
    least = divergence(model.network)
    assert least < trained
    rng = np.random.default_rng(0)
    assert all(divergence(model.network, rng.normal(0, 0.05, (2, 4))) > least for _ in range(5))


def test_new_cells_are_read_like_those_of_the_fit(two, paired_rows, fitted):
    batch = (two["rna"].obs["batch"] == "batch_1").to_numpy()
    new = fitted.rows_of(two["rna"][batch][:, ::-1], "batch_1", "rna")
    np.testing.assert_array_equal(
        fitted.generate(new, "new", "protein"),
        fitted.generate(paired_rows, "rna->rna", "protein")[batch],
    )
    with pytest.raises(
        ValueError, match="1 of the 9 features that the model reads are missing.*'rna_0'"
    ):
        fitted.rows_of({"rna": two["rna"][:, 1:]}, "batch_1", "rna")
    with pytest.raises(ValueError, match="covariate='b' is unknown; fitted are"):
        fitted.rows_of(two, "b", "rna")
    with pytest.raises(ValueError, match="modality=None: say which one to read"):
        fitted.rows_of(two, "batch_0")


def test_saved_model_gives_the_same_numbers(tmp_path, paired_rows, fitted):
    fitted.save(tmp_path / "model")
    loaded = InClust.load(tmp_path / "model")
    assert {path.suffix for path in (tmp_path / "model").iterdir()} == {".keras", ".json"}
    assert loaded.hyperparameters == fitted.hyperparameters
    pd.testing.assert_frame_equal(loaded.history, fitted.history)
    for method, block in ((loaded.latent, "rna->rna"), (loaded.impute, "protein->protein")):
        again = getattr(fitted, method.__name__)(paired_rows, block)
        np.testing.assert_array_equal(method(paired_rows, block), again)
    pd.testing.assert_frame_equal(
        loaded.predict_labels(paired_rows, "rna->rna"), fitted.predict_labels(paired_rows, "rna->rna")
    )


# ------------------------------------------------------------------ errors


def test_masks_of_another_shape_are_refused(paired_rows):
    with pytest.raises(ValueError, match=r"input_masks has the shape \(4, 13\); expected .*\(4, 14\)"):
        replace(paired_rows, input_masks=paired_rows.input_masks[:, 1:])
    with pytest.raises(ValueError, match=r"output_masks has the shape \(3, 14\)"):
        replace(paired_rows, output_masks=paired_rows.output_masks[1:])
    with pytest.raises(ValueError, match="output_masks holds 2.0; a mask is made of 0 and 1"):
        replace(paired_rows, output_masks=2 * paired_rows.output_masks)


@pytest.mark.parametrize("side", ["input", "output"])
def test_a_row_with_everything_masked_is_refused(paired_rows, side):
    masks = getattr(paired_rows, f"{side}_masks").copy()
    masks[2] = 0
    with pytest.raises(ValueError, match=f"Block 'rna->protein' has every {side} masked"):
        replace(paired_rows, **{f"{side}_masks": masks})


def test_a_target_gene_the_reference_lacks_is_refused(halves):
    reference, query, _ = halves
    with pytest.raises(ValueError, match="lacks 1 of the 2 target genes, the first is 'rna_99'"):
        imputation(reference, query, ["rna_2", "rna_99"])
    with pytest.raises(ValueError, match="no gene to impute: the reference has 9 genes"):
        imputation(reference, query)
    with pytest.raises(ValueError, match="no shared gene besides the target genes"):
        imputation(reference, query, list(reference.var_names))


def test_unknown_label_values_are_refused(halves, paired_rows):
    reference, query, targets = halves
    query = query.copy()
    query.obs["cell_type"] = "neuron"
    with pytest.raises(ValueError, match=r"label 'neuron' of query is unknown; known are \['type_0'"):
        imputation(reference, query, targets, label_key="cell_type")
    with pytest.raises(ValueError, match="label holds 7, unknown among 2 names"):
        replace(paired_rows, label=np.full(40, 7))
    with pytest.raises(KeyError, match="'kind' is not a column of the obs of reference"):
        imputation(reference, query, targets, label_key="kind")


def test_a_modality_without_a_shared_block_is_refused(cells):
    first = {name: cells[name] for name in ("rna", "protein")}
    with pytest.raises(ValueError, match="share 0, expected is one. Without a shared block"):
        three_modalities(first, {"atac": cells["atac"]})
    renamed = cells["protein"].copy()
    renamed.var_names = [f"antibody_{i}" for i in range(5)]
    with pytest.raises(ValueError, match="'protein', but none of its features"):
        three_modalities(first, {"protein": renamed, "atac": cells["atac"]})
    with pytest.raises(ValueError, match="share 0"):
        generation(first, {"atac": cells["atac"]})
    with pytest.raises(ValueError, match="must have one of its own"):
        three_modalities(first, {"protein": cells["protein"]})
    with pytest.raises(ValueError, match="expected are two and one of these two"):
        generation({"rna": cells["rna"]}, {"rna": cells["rna"]})


def test_other_wrong_data_are_refused(cells, two):
    with pytest.raises(ValueError, match=r"Two modalities are expected, the data hold \['rna'"):
        paired(cells)
    with pytest.raises(KeyError, match="no column .*modality.* in var"):
        paired(cells["rna"])
    with pytest.raises(ValueError, match="'protein' of data holds other cells than 'rna'"):
        paired({"rna": two["rna"], "protein": two["protein"][:30]})
    broken = {"rna": two["rna"].copy(), "protein": two["protein"]}
    broken["rna"].X[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        paired(broken)
    empty = {name: adata.copy() for name, adata in two.items()}
    for adata in empty.values():
        adata.obs["batch"] = adata.obs["batch"].astype(object)
        adata.obs.loc["cell_3", "batch"] = np.nan
    with pytest.raises(ValueError, match="'batch' is empty for 1 cells"):
        paired_batches(empty)
    with pytest.raises(ValueError, match="n_cells=3 is too few"):
        simulate_modalities(3)


def test_wrong_models_are_refused(two, paired_rows, fitted):
    with pytest.raises(RuntimeError, match="not fitted yet"):
        InClust().latent(paired_rows, "rna->rna")
    with pytest.raises(RuntimeError, match="not fitted yet"):
        InClust().save("nowhere")
    with pytest.raises(ValueError, match="say how many clusters"):
        InClust(**SMALL).fit(paired(two), verbose=0)
    with pytest.raises(ValueError, match="n_clusters=1 is fewer than the 2 labels"):
        InClust(**SMALL, n_clusters=1).fit(paired_rows, verbose=0)
    with pytest.raises(ValueError, match="a sigmoid at most 1"):
        InClust(**SMALL, output="sigmoid").fit(paired_rows, verbose=0)
    with pytest.raises(ValueError, match="other covariates than those of"):
        fitted.latent(paired(two, "cell_type"), "rna->rna")
    with pytest.raises(ValueError, match="as_covariate='b' is unknown"):
        fitted.impute(paired_rows, "rna->rna", "b")
    with pytest.raises(ValueError, match="modality='lipid' is unknown"):
        fitted.generate(paired_rows, "rna->rna", "lipid")
    with pytest.raises(AttributeError, match="no attribute 'decode'"):
        fitted.decode  # noqa: B018


@pytest.mark.parametrize(
    "option, message",
    [
        ({"output": "softplus"}, "output='softplus' is unknown"),
        ({"epochs": 0}, "epochs=0 must be a whole number of at least 1"),
        ({"hidden": ()}, "hidden=.* must be one or more"),
        ({"label_weight": -1}, "label_weight=-1 must be a number, 0 or more"),
        ({"learning_rate": 0}, "learning_rate=0 must be a number, above 0"),
        ({"seed": 2**32}, "must be below"),
    ],
)
def test_hyperparameters_out_of_range_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        Hyperparameters(**option)


# ------------------------------------------------------------------ evaluation and pictures


def test_correlations_and_baselines_by_hand():
    rng = np.random.default_rng(0)
    truth, predicted = rng.normal(size=(2, 50, 3))
    predicted[:, 2] = 1.0
    by_numpy = [np.corrcoef(truth[:, i], predicted[:, i])[0, 1] for i in range(2)]
    np.testing.assert_allclose(feature_correlations(truth, predicted), [*by_numpy, 0])
    with pytest.raises(ValueError, match="they must agree"):
        feature_correlations(truth, predicted[:, :2])
    weights = rng.normal(size=(3, 2))
    np.testing.assert_allclose(
        ridge_prediction(truth, truth @ weights, predicted), predicted @ weights, atol=0.05
    )


def test_predictability_and_partner_rank_know_chance_and_certainty():
    rng = np.random.default_rng(0)
    space = rng.normal(size=(400, 3))
    labels = np.arange(400) % 2
    assert predictability(space, labels) == pytest.approx(0.5, abs=0.08)
    assert predictability(space + 8 * labels[:, None], labels) == 1
    assert partner_rank(space, space) == 0
    assert partner_rank(space, rng.normal(size=(400, 3))) == pytest.approx(0.5, abs=0.04)


def test_drawn_masks_are_the_masks(halves):
    from matplotlib.colors import to_rgb

    reference, query, targets = halves
    rows = imputation(reference, query, targets)
    figure = draw_masks({"imputation": rows})
    for axis, masks, color in zip(figure.axes, (rows.input_masks, rows.output_masks), (READ, JUDGED)):
        (image,) = axis.get_images()
        drawn = image.get_array()
        assert drawn.sum() == masks.sum() and drawn.shape == masks.shape
        np.testing.assert_allclose(image.cmap(0)[:3], to_rgb(MASKED))
        np.testing.assert_allclose(image.cmap(1)[:3], to_rgb(color), atol=0.01)
    # Masked alike, side by side: the two hidden genes are at one end.
    assert figure.axes[0].get_images()[0].get_array()[0].tolist() == [1] * 7 + [0] * 2


def test_simulated_modalities_share_their_cells_and_know_the_truth():
    one, again = (simulate_modalities(60, {"a": 30, "b": 10}, n_batches=2, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one["a"].X, again["a"].X)
    assert one["a"].obs.equals(one["b"].obs) and one["a"].X.min() >= 0
    free = (one["a"].obs["batch"] == "batch_0").to_numpy()
    error = (one["a"].X - one["a"].layers["truth"])[free]
    assert np.abs(error.mean()) < 0.1 and error.std() == pytest.approx(0.45, abs=0.1)
    shift = (one["a"].X - one["a"].layers["truth"])[~free].mean(axis=0)
    assert shift.std() > 0.3
