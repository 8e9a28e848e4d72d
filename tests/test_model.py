"""IMAP from end to end on tiny data: what it returns, its order, its seeds, its presets."""

import copy
import random

import anndata
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy import sparse
from sklearn.decomposition import PCA

import imap_keras
import imap_keras.imap.model
import imap_keras.imap.training
from imap_keras import IMAP, Hyperparameters, integrate
from imap_keras.imap.components import (
    component_weights,
    content_components,
    pair_space,
    scaled_components,
)
from imap_keras.imap.seeds import sample_cells, seed_of
from imap_keras.imap.training import find_pairs
from imap_keras.nn.callbacks import StopWhenSettled
from imap_keras.nn.fitting import run

OUTPUTS = [("obsm", "X_imap_content"), ("obsm", "X_imap"), ("layers", "imap")]


def output(adata, part, key):
    return np.asarray(getattr(adata, part)[key])


def assert_close(left, right, which=slice(None)):
    for part, key in OUTPUTS:
        np.testing.assert_allclose(
            output(left, part, key), output(right, part, key)[which], rtol=1e-4, atol=1e-5
        )


# ------------------------------------------------------------------ what comes back


def test_results_have_their_keys_and_shapes(integrated):
    assert integrated.obsm["X_imap_content"].shape == (120, 4)
    assert integrated.obsm["X_imap"].shape == (120, 5)
    assert integrated.layers["imap"].shape == (120, integrated.n_vars)
    told = {"hyperparameters", "order", "pair_counts", "losses", "preprocessing"}
    assert set(integrated.uns["imap"]) == told
    for part, key in OUTPUTS:
        assert np.isfinite(output(integrated, part, key)).all()


def test_with_the_relu_of_the_paper_corrected_expression_is_never_negative(tiny, logged, eagerly):
    tiny.update(stage1_epochs=1, stage1_steps=1, stage2_epochs=1, stage2_steps=1, critic_steps=1)
    lowest = {
        relu: integrate(logged, verbose=0, **tiny, relu_output=relu, clip_output=False)
        .layers["imap"]
        .min()
        for relu in (True, False)
    }
    assert lowest[True] >= 0 > lowest[False]


def test_cells_come_back_in_their_order_with_all_they_had(integrated, logged):
    assert logged.obs["batch"].ne(logged.obs["batch"].shift()).sum() > 40  # interleaved
    pd.testing.assert_frame_equal(integrated.obs, logged.obs)
    pd.testing.assert_frame_equal(integrated.var, logged.var)
    np.testing.assert_array_equal(integrated.X.toarray(), logged.X.toarray())
    assert set(logged.layers) <= set(integrated.layers)
    assert "imap" not in logged.layers


def test_anchor_cells_are_unchanged_and_each_query_batch_goes_through_its_generator(
    integrated, fitted, logged
):
    x, corrected = logged.X.toarray(), integrated.layers["imap"]
    batch = logged.obs["batch"].to_numpy()
    anchor = batch == fitted.order[0]
    np.testing.assert_array_equal(corrected[anchor], x[anchor])
    assert set(fitted.generators) == set(fitted.order[1:])
    for name in fitted.order[1:]:
        carried = run(fitted.generators[name], x[batch == name])
        carried = np.maximum(carried, 0)
        np.testing.assert_allclose(corrected[batch == name], carried, rtol=1e-5, atol=1e-6)
        assert np.abs(corrected[batch == name] - x[batch == name]).max() > 1e-3


def test_content_is_what_the_encoder_gives(integrated, fitted, logged):
    expected = run(fitted.encoder, logged.X.toarray())
    np.testing.assert_allclose(integrated.obsm["X_imap_content"], expected, rtol=1e-5, atol=1e-6)


def test_components_are_those_of_the_corrected_cells(integrated, fitted, logged):
    unclipped = copy.copy(fitted)
    unclipped.hyperparameters = fitted.hyperparameters.changed(clip_output=False)
    cells = unclipped.transform(logged).layers["imap"].astype("float64")
    cells /= np.linalg.norm(cells, axis=1, keepdims=True)
    expected = PCA(5, svd_solver="full").fit_transform(cells)
    signs = seed_of("component_signs", fitted.hyperparameters)
    expected *= component_weights(expected, 20, signs)
    found = integrated.obsm["X_imap"].copy()
    for name, (scale, shift) in fitted.spreads.items():
        rows = (logged.obs["batch"] == name).to_numpy()
        found[rows] = (found[rows] - shift) / scale
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-4)
    sign = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found, expected * sign, rtol=1e-2, atol=1e-4)


def test_history_has_a_row_an_epoch_and_the_losses(fitted, tiny):
    stage1, stage2 = fitted.history["stage1"], fitted.history["stage2"]
    assert set(stage1) == {"epoch", "loss", "content_loss", "reconstruction_loss"}
    assert list(stage1["epoch"]) == [1, 2, 3]
    assert set(stage2) == {
        "epoch",
        "batch",
        "critic_loss",
        "wasserstein",
        "gradient_penalty",
        "generator_loss",
        "pair_loss",
    }
    assert list(stage2["epoch"]) == [1, 2, 1, 2]
    assert list(stage2["batch"]) == np.repeat(fitted.order[1:], 2).tolist()
    hp = fitted.hyperparameters
    total = hp.lambda_content * stage1["content_loss"]
    total += hp.lambda_reconstruction * stage1["reconstruction_loss"]
    np.testing.assert_allclose(stage1["loss"], total, rtol=1e-3)
    total = hp.gradient_penalty * stage2["gradient_penalty"] - stage2["wasserstein"]
    np.testing.assert_allclose(stage2["critic_loss"], total, rtol=1e-3)
    assert stage1["loss"].iloc[-1] < stage1["loss"].iloc[0]


def test_pair_counts_are_those_of_the_pairs(fitted, logged):
    batch, table = logged.obs["batch"].to_numpy(), fitted.pair_counts.set_index("batch")
    assert list(table.index) == fitted.order[1:]
    for number, name in enumerate(fitted.order[1:], start=1):
        pairs = fitted.pairs[name]
        assert len(pairs) == table.loc[name, "rwmnn"] == 3 * table.loc[name, "agreeing"]
        assert 0 < table.loc[name, "agreeing"] <= table.loc[name, "mnn"]
        assert set(batch[pairs[:, 0]]) == {name}
        assert set(batch[pairs[:, 1]]) <= set(fitted.order[:number])


def test_uns_survives_a_file(integrated, fitted, tmp_path):
    integrated.write_h5ad(tmp_path / "result.h5ad")
    told, wrote = anndata.read_h5ad(tmp_path / "result.h5ad").uns["imap"], integrated.uns["imap"]
    assert list(told["order"]) == fitted.order
    pd.testing.assert_frame_equal(told["pair_counts"], fitted.pair_counts, check_dtype=False)
    for stage, table in fitted.history.items():
        read = told["losses"][stage][list(table)]
        pd.testing.assert_frame_equal(read, table, check_dtype=False, check_index_type=False)
    assert set(told["hyperparameters"]) == set(wrote["hyperparameters"])
    for name, value in wrote["hyperparameters"].items():
        assert np.array_equal(told["hyperparameters"][name], value), name


# ------------------------------------------------------------------ order


def total_deviation(logged, name):
    """Summed standard deviations of the genes."""
    x = logged[logged.obs["batch"] == name].X.toarray()
    return sum(x[:, gene].std() for gene in range(x.shape[1]))


def test_merge_order_is_decreasing_total_deviation(fitted, logged):
    names = ["batch_0", "batch_1", "batch_2"]
    expected = sorted(names, key=lambda name: -total_deviation(logged, name))
    assert fitted.order == expected
    assert expected != names


class Reached(Exception):
    """Training would start here."""


@pytest.fixture
def handed_to_training(monkeypatch):
    """Stops at stage I; holds what it was handed."""
    arguments = {}

    def stop(cells, codes, *rest):
        arguments.update(cells=cells, codes=codes)
        raise Reached

    monkeypatch.setattr(imap_keras.imap.model, "train_stage1", stop)
    return arguments


def test_batches_may_be_numbers(logged, handed_to_training):
    adata = logged.copy()
    adata.obs["run"] = adata.obs["batch"].cat.codes.to_numpy().astype(int) + 5
    with pytest.raises(Reached):
        IMAP().fit(adata, batch_key="run", order=[7, 5, 6], verbose=0)
    np.testing.assert_array_equal(handed_to_training["codes"], adata.obs["run"] - 5)


def test_order_may_be_given_and_pairs_go_to_the_first_batch_alone(tiny, logged, fitted, eagerly):
    """incremental=False."""
    order = fitted.order[::-1]
    tiny.update(stage1_epochs=1, stage1_steps=1, stage2_epochs=1, stage2_steps=1, critic_steps=1)
    model = IMAP(**{**tiny, "incremental": False}).fit(logged, order=order, verbose=0)
    assert model.order == order
    batch = logged.obs["batch"].to_numpy()
    for name in order[1:]:
        assert set(batch[model.pairs[name][:, 0]]) == {name}
        assert set(batch[model.pairs[name][:, 1]]) == {order[0]}
    result = model.transform(logged)
    anchor = batch == order[0]
    np.testing.assert_array_equal(result.layers["imap"][anchor], logged.X.toarray()[anchor])


def test_later_batches_look_for_pairs_among_merged_ones_too(tiny, logged, monkeypatch, eagerly):
    tiny.update(stage1_epochs=1, stage1_steps=1, stage2_epochs=1, stage2_steps=1, critic_steps=1)
    batch, searched = logged.obs["batch"].to_numpy(), []

    def recorded(content, cells, query, anchor, hp, number, searched_content):
        searched.append((set(batch[query]), set(batch[anchor])))
        return find_pairs(content, cells, query, anchor, hp, number, searched_content)

    monkeypatch.setattr("imap_keras.imap.query_batch.find_pairs", recorded)
    first, second, third = IMAP(**{**tiny, "incremental": True}).fit(logged, verbose=0).order
    assert searched == [({second}, {first}), ({third}, {first, second})]


# ------------------------------------------------------------------ seeds and input


def test_one_line_of_the_same_seed_gives_the_same_numbers(tiny, logged, integrated):
    again = integrate(logged, verbose=0, **tiny)
    for part, key in OUTPUTS:
        np.testing.assert_array_equal(output(again, part, key), output(integrated, part, key))
    pd.testing.assert_frame_equal(
        again.uns["imap"]["losses"]["stage2"], integrated.uns["imap"]["losses"]["stage2"]
    )


def test_another_seed_gives_other_numbers(tiny, logged, integrated, eagerly):
    tiny.update(seed=1, stage1_epochs=1, stage1_steps=1, stage2_epochs=1, stage2_steps=3)
    other = integrate(logged, verbose=0, **tiny)
    for part, key in OUTPUTS:
        assert not np.allclose(output(other, part, key), output(integrated, part, key), atol=1e-3)


def test_sparse_and_dense_cells_train_and_transform_alike(
    logged, fitted, integrated, handed_to_training
):
    handed = []
    for kind in (sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, np.asarray):
        adata = logged.copy()
        adata.X = kind(logged.X.toarray())
        model = IMAP()
        with pytest.raises(Reached):
            model.fit(adata, verbose=0)
        handed.append(handed_to_training["cells"])
        for part, key in OUTPUTS:
            np.testing.assert_array_equal(
                output(fitted.transform(adata), part, key), output(integrated, part, key)
            )
    handed = [cells[:] for cells in handed]  # a pool is dense where it is looked at
    assert all(cells.dtype == "float32" for cells in handed)
    spread = logged.X.toarray().std(axis=0).mean()
    for cells in handed:
        np.testing.assert_allclose(cells, logged.X.toarray() * (0.8 / spread), rtol=1e-5)


def test_the_unit_of_the_cells_does_not_matter(logged, integrated, tiny):
    smaller = logged.copy()
    smaller.X = logged.X / 64
    result = IMAP(**tiny).fit_transform(smaller, verbose=0)
    np.testing.assert_allclose(result.layers["imap"] * 64, integrated.layers["imap"], atol=1e-4)
    np.testing.assert_allclose(result.obsm["X_imap"], integrated.obsm["X_imap"], atol=1e-4)


# ------------------------------------------------------------------ transform


def test_a_subset_of_cells_gives_the_same_rows(fitted, logged, integrated):
    which = np.random.default_rng(0).permutation(120)[:31]
    assert_close(fitted.transform(logged[which]), integrated, which)


def test_one_batch_alone_can_be_carried(fitted, logged, integrated):
    which = np.flatnonzero(logged.obs["batch"] == fitted.order[1])
    assert_close(fitted.transform(logged[which]), integrated, which)


def test_genes_in_another_order_or_too_many_are_aligned(fitted, logged, integrated):
    swapped = fitted.transform(logged[:, ::-1])
    assert list(swapped.var_names) == fitted.genes
    assert_close(swapped, integrated)
    extra = logged[:, :7].copy()
    extra.var_names = [f"extra_{i}" for i in range(7)]
    more = anndata.concat([extra, logged], axis="var", merge="first")
    result = fitted.transform(more)
    assert list(result.var_names) == fitted.genes
    assert_close(result, integrated)


def test_the_batch_column_may_have_another_name(fitted, logged, integrated):
    adata = logged.copy()
    adata.obs = adata.obs.rename(columns={"batch": "donor"})
    assert_close(fitted.transform(adata, batch_key="donor"), integrated)
    with pytest.raises(KeyError, match="'batch' is not a column"):
        fitted.transform(adata)


def test_missing_genes_are_counted(fitted, logged):
    first = logged.var_names[0]
    with pytest.raises(ValueError, match=f"2 of the {logged.n_vars} fitted genes.*'{first}'"):
        fitted.transform(logged[:, 2:])


def test_a_batch_that_was_not_fitted_is_named(fitted, logged):
    adata = logged.copy()
    adata.obs["batch"] = adata.obs["batch"].astype(str).replace("batch_1", "batch_9")
    with pytest.raises(ValueError, match=r"'batch_9' was not fitted; fitted are \['batch_"):
        fitted.transform(adata)


def test_transform_checks_the_values(fitted, logged):
    adata = logged.copy()
    adata.X = adata.layers["counts"]
    with pytest.raises(ValueError, match="like counts"):
        fitted.transform(adata)


def test_before_fit_there_is_nothing_to_use(logged, tmp_path):
    for call in (lambda: IMAP().transform(logged), lambda: IMAP().save(tmp_path / "model")):
        with pytest.raises(RuntimeError, match="not fitted yet; call fit"):
            call()
    assert not (tmp_path / "model").exists()


# ------------------------------------------------------------------ neighbours


@pytest.fixture
def searched(monkeypatch):
    """What `find_pairs` asks of the searches."""
    asked = {}

    def mutual(left, right, k, **options):
        asked.update(k1=k, left=left, right=right)
        return np.array([[0, 0]])

    def graph(points, k, **options):
        asked.update(k2=k)
        return np.empty((0, 2), np.int64)

    monkeypatch.setattr(imap_keras.imap.training, "mutual_neighbors", mutual)
    monkeypatch.setattr(imap_keras.imap.training, "neighbor_graph", graph)
    return asked


@pytest.mark.parametrize(
    "n_query, n_anchor, options, k1, k2",
    [
        (450, 700, {}, 2, 4),
        (1300, 650, {}, 3, 6),
        (300, 900, {}, 1, 3),
        (40, 900, {}, 1, 1),
        (3500, 4000, {}, 15, 30),  # no more than 3000 cells are searched
        (3500, 4000, {"n_samples": 1000}, 5, 10),
        (450, 700, {"k1": 9}, 9, 4),
        (450, 700, {"k2": 9}, 2, 9),
    ],
)
def test_without_k_the_rule_of_the_paper_holds(searched, n_query, n_anchor, options, k1, k2):
    hp = Hyperparameters.of("reference", **options)
    space = np.random.default_rng(0).normal(size=(n_query + n_anchor, 3))
    query, anchor = np.arange(n_query), n_query + np.arange(n_anchor)
    pairs, n_seeds = find_pairs(space, space, query, anchor, hp)
    assert (searched["k1"], searched["k2"]) == (k1, k2)
    assert n_seeds == 1 and len(pairs) == 50


def test_pairs_are_indices_of_the_cells_that_were_searched(tiny):
    space = np.repeat([[1.0, 0.0], [0.0, 1.0]], 30, axis=0)[np.arange(60) * 7 % 60]
    space = space + 0.01 * np.random.default_rng(0).normal(size=space.shape)
    query, anchor = np.arange(0, 60, 2), np.arange(1, 60, 2)
    pairs, _ = find_pairs(space, space, query, anchor, Hyperparameters(**tiny))
    assert set(pairs[:, 0]) <= set(query) and set(pairs[:, 1]) <= set(anchor)
    kind = space.argmax(1)
    assert (kind[pairs[:, 0]] == kind[pairs[:, 1]]).all()


def test_no_more_than_n_samples_cells_are_drawn(tiny):
    hp, cells = Hyperparameters(**{**tiny, "n_samples": 20}), np.arange(100, 150)
    drawn = sample_cells(cells, "pair_sample_query", hp)
    assert len(set(drawn)) == 20 and set(drawn) <= set(cells) and (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(drawn, sample_cells(cells, "pair_sample_query", hp))
    assert not np.array_equal(drawn, sample_cells(cells, "pair_sample_anchor", hp))
    np.testing.assert_array_equal(sample_cells(cells[:20], "pair_sample_query", hp), cells[:20])


def gram(space):
    """Scalar products of all cells: they do not depend on the signs of the components."""
    return np.asarray(space, "float64") @ np.asarray(space, "float64").T


def unit_components(space, n=30):
    n = min(n, *space.shape)
    parts = PCA(n, svd_solver="full").fit_transform(np.asarray(space, "float64"))
    return parts / np.sqrt(np.mean(np.sum(parts**2, axis=1)))


def test_pair_space_is_content_or_components_or_both(tiny):
    rng = np.random.default_rng(0)
    content, cells = rng.normal(size=(80, 4)), 9 * rng.normal(size=(80, 40))
    cells += 50 * rng.normal(size=(80, 1)) * rng.normal(size=40)
    spaces = {
        name: pair_space(content_components(content, hp), scaled_components(cells, hp), hp)
        for name in ("content", "pca", "both")
        for hp in [Hyperparameters(**{**tiny, "pair_space": name})]
    }
    np.testing.assert_array_equal(spaces["content"], content)
    assert spaces["pca"].shape == (80, 30) and spaces["both"].shape == (80, 34)
    expected = {"pca": gram(unit_components(cells))}
    expected["both"] = expected["pca"] + gram(unit_components(content))
    for name, products in expected.items():
        np.testing.assert_allclose(gram(spaces[name]), products, rtol=0.05, atol=0.02)


# One made-up pair agrees in nothing: no batch is carried, and the space stays that of the cells.
@pytest.mark.filterwarnings("ignore:Batch")
def test_pairs_are_searched_in_the_pair_space(tiny, logged, searched, eagerly):
    tiny.update(stage1_epochs=1, stage1_steps=1, stage2_epochs=1, stage2_steps=1, critic_steps=1)
    order = ["batch_2", "batch_0", "batch_1"]
    model = IMAP(**{**tiny, "pair_space": "pca"}).fit(logged, order=order, verbose=0)
    cells, batch = logged.X.toarray(), logged.obs["batch"].to_numpy()
    space = scaled_components(cells, model.hyperparameters)
    np.testing.assert_allclose(gram(searched["left"]), gram(space[batch == "batch_1"]), atol=1e-3)
    merged = space[np.concatenate([np.flatnonzero(batch == name) for name in order[:2]])]
    np.testing.assert_allclose(gram(searched["right"]), gram(merged), atol=1e-3)


# ------------------------------------------------------------------ presets


def test_reference_preset_is_the_paper():
    expected = {
        "latent_dim": 256,
        "hidden": (1024, 512),
        "critic_hidden": (512, 512),
        "initialization": "reference",
        "lambda_content": 3.0,
        "lambda_reconstruction": 1.0,
        "stage1_epochs": 150,
        "stage1_steps": 20,
        "stage1_rows": 512,
        "stage1_learning_rate": 5e-4,
        "stage1_patience": None,
        "recalibrate": False,
        "n_samples": 3000,
        "k1": None,
        "k2": None,
        "cap_neighbors": False,
        "lazy_walk": True,
        "walk_length": 50,
        "pair_space": "content",
        "metric": "angular",
        "search": "annoy",
        "n_trees": 10,
        "incremental": False,
        "stage2_epochs": 150,
        "stage2_rows": 1024,
        "critic_steps": 10,
        "generator_first": True,
        "stage2_learning_rate": 2e-4,
        "gradient_penalty": 10.0,
        "keep_pairs": False,
        "lambda_pair": 0.0,
        "identity_start": False,
        "relu_output": True,
        "balance_pairs": False,
    }
    preset = IMAP(preset="reference").hyperparameters
    assert {name: getattr(preset, name) for name in expected} == expected


def test_what_the_published_code_does_differently_is_off_by_default():
    hp = Hyperparameters()
    assert (hp.lazy_walk, hp.generator_first, hp.cap_neighbors) == (False, False, True)
    with pytest.raises(ValueError, match=r"preset='papr' is unknown; choose one of \('default', 'ref"):
        IMAP("papr")


def test_a_preset_can_be_changed_value_by_value():
    changed = IMAP(preset="reference", walk_length=7).hyperparameters
    assert (changed.walk_length, changed.stage1_rows) == (7, 512)
    assert IMAP(preset="reference").hyperparameters.walk_length == 50


def test_hyperparameters_reach_the_networks(fitted, logged):
    widths = [
        int(layer.units)
        for layer in fitted.encoder.get_layer("encoder").layers
        if hasattr(layer, "units")
    ]
    assert widths == [16, 8, 4]
    generator = fitted.generators[fitted.order[1]]
    widths = [
        int(layer.units) for layer in generator.get_layer("generator").layers if hasattr(layer, "units")
    ]
    assert widths == [16, 8, 4, 8, 16, logged.n_vars]


def settled_after(losses, patience):
    """Epochs that are trained before `StopWhenSettled` stops a fit with these losses."""

    class Model:
        stop_training = False

    callback = StopWhenSettled(patience)
    callback.set_model(Model())
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"loss": loss})
        if callback.model.stop_training:
            return epoch + 1
    return None


def test_patience_waits_for_a_fall_of_one_percent_of_the_best():
    assert settled_after([1.0, 0.98, 0.975, 0.972], 2) == 4
    assert settled_after([1.0, 0.98, 0.975, 0.97], 2) is None  # 0.97 < 0.99 * 0.98
    assert settled_after([1.0, 2.0, 0.98, 2.0, 2.0, 2.0], 3) == 6
    assert settled_after([1.0, 0.5, 0.25], 1) is None


def test_weights_differ_between_stages_and_batches(fitted):
    kernels = [fitted.generators[name].get_weights()[0] for name in fitted.order[1:]]
    kernels.append(fitted.encoder.get_weights()[0])
    for i, first in enumerate(kernels):
        assert not any(np.array_equal(first, second) for second in kernels[i + 1 :])


def test_global_seeds_do_not_matter(tiny, logged, integrated):
    """Every random part is seeded by itself: the session's random state is neither used nor set."""
    np.random.seed(5)  # noqa: NPY002 - the global state is the point
    random.seed(5)
    state, pythons = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    tf.random.set_seed(5)
    again = imap_keras.IMAP(**tiny).fit_transform(logged, verbose=0)
    np.testing.assert_array_equal(again.obsm["X_imap"], integrated.obsm["X_imap"])
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert random.getstate() == pythons
