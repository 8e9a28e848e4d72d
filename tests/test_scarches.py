"""A scArches reference from end to end on tiny data: what stays, what is trained, what is refused."""

import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import imap_keras
from imap_keras.scarches import Reference, align_genes
from imap_keras.scarches.hyperparameters import UNNAMED
from imap_keras.scarches.surgery import batch_tables

SMALL = {
    "latent_dim": 3,
    "hidden": (12, 8),
    "dropout": 0.0,  # TensorFlow 2.15 repeats dropout in graphs only
    "epochs": 6,
    "batch_size": 32,
    "kl_epochs": 3,
    "seed": 2,
}


@pytest.fixture(scope="module", autouse=True)
def no_graphs():
    """Building graphs takes longer than these fits; one test below trains with them."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def split(counts):
    is_query = (counts.obs["batch"] == "batch_2").to_numpy()
    return counts[~is_query].copy(), counts[is_query].copy()


@pytest.fixture(scope="module")
def reference(split):
    return Reference(**SMALL).fit(split[0], verbose=0)


@pytest.fixture(scope="module")
def grown(reference, split):
    return reference.map_query(split[1], verbose=0)


def weights(model):
    """All weights by layer; of batch tables the rows, so that models of more batches compare."""
    tables = batch_tables(model.networks)
    return {
        (part, layer.name): [layer.rows()] if layer.name in tables else layer.get_weights()
        for part, network in model.networks.items()
        for layer in network.layers
        if layer.weights
    }


def changed(before, after):
    """Names of the layers whose weights differ, new rows of batch tables left out."""
    after = weights(after)
    return {
        name
        for (part, name), old in weights(before).items()
        if not all(np.array_equal(a, b[: len(a)]) for a, b in zip(old, after[part, name], strict=True))
    }


# ------------------------------------------------------------------ fit


def test_the_loss_falls_and_every_epoch_is_told(reference):
    history = reference.history
    assert list(history["epoch"]) == [1, 2, 3, 4, 5, 6]
    assert {"loss", "reconstruction", "kl", "mmd", "val_loss"} <= set(history)
    assert history["val_loss"].iloc[-1] < history["val_loss"].iloc[0]
    assert reference.batches == ["batch_0", "batch_1"]


def test_the_seed_decides_the_numbers(reference, split):
    again = Reference(**SMALL).fit(split[0], verbose=0)
    assert not changed(reference, again)
    np.testing.assert_array_equal(again.latent(split[0]), reference.latent(split[0]))
    other = Reference(**SMALL | {"seed": 3, "epochs": 1}).fit(split[0], verbose=0)
    assert not np.allclose(other.latent(split[0]), reference.latent(split[0]), atol=1e-2)


def test_training_in_a_graph_is_repeatable_dropout_included(split):
    tf.config.run_functions_eagerly(False)
    try:
        options = SMALL | {"dropout": 0.2, "epochs": 2}
        first, second = (Reference(**options).fit(split[0], verbose=0) for _ in range(2))
    finally:
        tf.config.run_functions_eagerly(True)
    assert not changed(first, second)


@pytest.mark.parametrize("likelihood", ["zinb", "mse"])
def test_other_likelihoods_learn_and_take_queries(split, logged, likelihood):
    cells, query = split
    if likelihood == "mse":
        is_query = (logged.obs["batch"] == "batch_2").to_numpy()
        cells, query = logged[~is_query].copy(), logged[is_query].copy()
    model = Reference(**SMALL | {"likelihood": likelihood}).fit(cells, verbose=0)
    assert model.history["val_loss"].iloc[-1] < model.history["val_loss"].iloc[0]
    grown = model.map_query(query, verbose=0, epochs=2)
    assert not changed(model, grown)
    assert np.isfinite(grown.latent(query)).all()
    trained = grown.parameter_table().loc["total", "trained"]
    assert trained == 12 + 8 + (60 if likelihood == "zinb" else 0)


def test_sparse_dense_and_shuffled_cells_have_the_same_latent_means(reference, split):
    cells, z = split[0], reference.latent(split[0])
    dense = cells.copy()
    dense.layers["counts"] = cells.layers["counts"].toarray()
    np.testing.assert_array_equal(reference.latent(dense), z)
    which = np.random.default_rng(0).permutation(cells.n_obs)[:31]
    np.testing.assert_allclose(reference.latent(cells[which]), z[which], rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------ surgery


def test_the_frozen_weights_are_the_same_bits_and_so_are_the_reference_cells(reference, grown, split):
    assert grown.batches == ["batch_0", "batch_1", "batch_2"]
    assert not changed(reference, grown)
    np.testing.assert_array_equal(grown.latent(split[0]), reference.latent(split[0]))


def test_the_new_columns_were_trained_and_only_they(reference, grown, split):
    untrained = reference.map_query(split[1], verbose=0, epochs=1, learning_rate=1e-30)
    for name, table in batch_tables(grown.networks).items():
        assert not np.array_equal(table.rows()[2], batch_tables(untrained.networks)[name].rows()[2])
    total = grown.parameter_table().loc["total"]
    assert total["trained"] == 12 + 8 + 60  # both first layers and a dispersion for each gene
    assert total["all"] == sum(w.size for layer in weights(grown).values() for w in layer)
    losses = grown.history["val_loss"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_two_new_batches_come_together_or_one_after_the_other(reference, counts, split):
    alone = Reference(**SMALL | {"epochs": 2})
    alone.fit(counts[counts.obs["batch"] == "batch_0"].copy(), verbose=0)
    both = alone.map_query(counts[counts.obs["batch"] != "batch_0"].copy(), verbose=0)
    assert both.batches == ["batch_0", "batch_1", "batch_2"]
    assert both.parameter_table().loc["total", "trained"] == 2 * (12 + 8 + 60)
    first = alone.map_query(counts[counts.obs["batch"] == "batch_2"].copy(), verbose=0)
    second = first.map_query(counts[counts.obs["batch"] == "batch_1"].copy(), verbose=0)
    assert second.batches == ["batch_0", "batch_2", "batch_1"]
    assert not changed(first, second)  # query 1 stays where it was while query 2 is mapped
    np.testing.assert_array_equal(second.latent(split[1]), first.latent(split[1]))


@pytest.mark.parametrize(
    "degree, moved",
    [("first_layer", {"encoder_dense_1", "decoder_dense_1"}), ("all", None)],
)
def test_further_degrees_move_what_they_free(reference, split, degree, moved):
    grown = reference.map_query(split[1], degree=degree, verbose=0)
    tables = set(batch_tables(reference.networks))
    everything = {name for _, name in weights(reference)} - tables
    # Rows of old batches never move: no query cell reads them, and nothing decays.
    assert changed(reference, grown) == (everything if moved is None else moved)
    assert not np.array_equal(grown.latent(split[0]), reference.latent(split[0]))


def test_known_batches_may_come_beside_a_new_one(reference, counts, split):
    grown = reference.map_query(counts, verbose=0, epochs=2)
    assert grown.batches == ["batch_0", "batch_1", "batch_2"]
    assert not changed(reference, grown)
    np.testing.assert_array_equal(grown.latent(split[0]), reference.latent(split[0]))
    alone = reference.map_query(split[1], verbose=0, epochs=2)
    rows = (batch_tables(model.networks)["encoder_batch"].rows()[2] for model in (grown, alone))
    assert not np.array_equal(*rows)  # they take part in the discrepancy between batches


# ------------------------------------------------------------------ expression and novelty


def test_expression_is_what_the_decoder_expects_of_the_latent_mean(grown, split):
    query, z = split[1], grown.latent(split[1])
    counts = query.layers["counts"].toarray()
    for as_batch, column in ((None, 2), ("batch_0", 0)):
        one_hot = np.tile(np.eye(3, dtype="float32")[column], (query.n_obs, 1))
        share = np.asarray(grown.decoder([z, one_hot])[0])
        found = grown.expression(query, as_batch)
        np.testing.assert_allclose(found, share * counts.sum(axis=1, keepdims=True), rtol=1e-4)
        np.testing.assert_allclose(found.sum(axis=1), counts.sum(axis=1), rtol=1e-4)
    assert not np.allclose(grown.expression(query), grown.expression(query, "batch_0"), rtol=1e-3)
    with pytest.raises(ValueError, match="'batch_9' is not in the reference, which knows"):
        grown.expression(query, "batch_9")


def test_expression_of_log_values_is_the_decoders_own(logged):
    model = Reference(**SMALL | {"likelihood": "mse", "epochs": 1}).fit(logged, verbose=0)
    column = [model.batches.index(name) for name in logged.obs["batch"]]
    one_hot = np.eye(3, dtype="float32")[column]
    expected = model.decoder([model.latent(logged), one_hot])
    expected = expected[0] if isinstance(expected, list | tuple) else expected
    np.testing.assert_allclose(model.expression(logged), expected, rtol=1e-4, atol=1e-5)


def test_novelty_is_counted_in_the_references_own_distances(reference, grown, split, tmp_path):
    points, radius = reference.landmarks
    z = reference.latent(split[0])
    expected = np.sqrt(((z[:, None] - points[None]) ** 2).sum(axis=2).min(axis=1))
    np.testing.assert_allclose(reference.novelty(split[0]), expected / radius, rtol=1e-4)
    assert len(points) == len(z) // 5  # no cell is kept
    assert np.mean(reference.novelty(split[0]) > 1) == pytest.approx(0.01, abs=0.01)
    np.testing.assert_array_equal(grown.novelty(split[0]), reference.novelty(split[0]))
    strange = split[1].copy()
    strange.layers["counts"] = np.random.default_rng(0).permuted(
        strange.layers["counts"].toarray(), axis=1
    )
    assert grown.novelty(strange).mean() > 1.5 * grown.novelty(split[1]).mean()
    grown.save(tmp_path / "model")
    loaded = Reference.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.novelty(split[1]), grown.novelty(split[1]), rtol=1e-6)


def test_novelty_of_a_reference_that_has_moved_is_refused(reference, split):
    moved = reference.map_query(split[1], degree="all", verbose=0, epochs=1)
    with pytest.raises(ValueError, match="does not know how far its own cells lie.*degree='batch'"):
        moved.novelty(split[1])


# ------------------------------------------------------------------ genes


def test_genes_are_found_by_name(grown, split, capsys):
    query, z = split[1], grown.latent(split[1])
    extra = query[:, :5].copy()
    extra.var_names = [f"other_{i}" for i in range(5)]
    more = anndata.concat([extra, query[:, ::-1]], axis="var", merge="first")
    np.testing.assert_array_equal(grown.latent(more), z)
    missing = query.copy()
    missing.layers["counts"] = missing.layers["counts"].toarray()
    missing.layers["counts"][:, [3, 8]] = 0
    np.testing.assert_array_equal(
        grown.latent(query[:, np.setdiff1d(np.arange(60), [3, 8])]), grown.latent(missing)
    )
    align_genes(more[:, :40], grown.genes, "nb")
    told = "35 of the reference's 60 genes found, 25 missing filled with 0; 5 other genes left out."
    assert capsys.readouterr().out.strip() == told


def test_more_than_half_of_the_genes_missing_is_an_error_with_its_remedy(
    reference, grown, split, no_training
):
    with pytest.raises(ValueError) as caught:
        reference.map_query(split[1][:, :29], verbose=0)
    assert str(caught.value) == (
        "31 of the reference's 60 genes are missing (52%, at most 50% may be), the first is 'gene_29'. "
        "Hand in counts of all genes, or prepare them with preprocess(new, genes=reference). "
        "If they were not measured, fit the reference again on the genes that both have."
    )
    with pytest.raises(ValueError, match="31 of the reference's 60 genes are missing"):
        grown.latent(split[1][:, :29])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        align_genes(split[1][:, :30], grown.genes, "nb", verbose=0)
    stranger = split[1].copy()
    stranger.var_names = [f"ENSG{i}" for i in range(60)]
    with pytest.raises(
        ValueError, match="None of the 60 genes of the reference is there.*'ENSG0'.*'gene_0'"
    ):
        grown.latent(stranger)


# ------------------------------------------------------------------ refusals


@pytest.fixture
def no_training(monkeypatch):
    def reached(*args, **kwargs):
        pytest.fail("training started")

    monkeypatch.setattr(imap_keras.scarches.model, "train", reached)


def test_a_query_without_its_batch_column(reference, split, no_training):
    with pytest.raises(KeyError, match="'donor' is not a column.*batch, cell_type"):
        reference.map_query(split[1], batch_key="donor")
    query = split[1].copy()
    del query.obs["batch"]
    with pytest.raises(KeyError, match="'batch' is not a column"):
        reference.map_query(query)


def test_a_batch_the_reference_has_and_one_it_lacks(reference, split, no_training):
    with pytest.raises(
        ValueError, match=r"\['batch_0', 'batch_1'\] already; give a new batch another name"
    ):
        reference.map_query(split[0])
    with pytest.raises(ValueError, match="'batch_2' is not in the reference.*map_query"):
        reference.latent(split[1])


@pytest.mark.parametrize("value, fault", [(-1, "1 negative values"), (0.5, "1 fractional values")])
@pytest.mark.parametrize("likelihood", ["nb", "zinb"])
def test_what_is_no_count(split, reference, no_training, value, fault, likelihood):
    cells, query = split[0].copy(), split[1].copy()
    for adata in (cells, query):
        adata.layers["counts"] = adata.layers["counts"].toarray()
        adata.layers["counts"][3, 4] = value
    with pytest.raises(ValueError, match=rf"layers\['counts'\] holds {fault}"):
        Reference(likelihood=likelihood).fit(cells)
    with pytest.raises(ValueError, match=rf"layers\['counts'\] holds {fault}"):
        reference.map_query(query, verbose=0)


def test_other_wrong_input(split, logged, reference, no_training):
    raw = logged.copy()
    raw.X = raw.layers["counts"]
    with pytest.raises(ValueError, match="like counts"):
        Reference(likelihood="mse").fit(raw)
    with pytest.raises(ValueError, match="'batch_2' has 9 cells; at least 10 are needed to train on"):
        reference.map_query(split[1][:9])
    with pytest.raises(ValueError, match="degree='some' is unknown"):
        reference.map_query(split[1], degree="some", verbose=0)
    with pytest.raises(ValueError, match="epochs=0"):
        reference.map_query(split[1], epochs=0)
    with pytest.raises(ValueError, match="latent_dim is the reference's"):
        reference.map_query(split[1], latent_dim=4)


def emptied(adata, which):
    adata = adata.copy()
    adata.layers["counts"] = adata.layers["counts"].toarray()
    adata.layers["counts"][which] = 0
    return adata


def advised(error, **names):
    """What the advice at the end of a message gives."""
    return eval(str(error).split("out: ")[1], {"numpy": np} | names)


def test_cells_without_counts_are_named_and_the_advice_leaves_them_out(split, reference, no_training):
    adata = emptied(split[0], [2, 5])
    with pytest.raises(ValueError, match="has no counts in 2 cells: 'cell_") as error:
        Reference().fit(adata)
    assert all(repr(name) in str(error.value) for name in adata.obs_names[[2, 5]])
    kept = advised(error.value, adata=adata).obs_names
    assert set(adata.obs_names) - set(kept) == set(adata.obs_names[[2, 5]])


def test_counts_outside_the_genes_of_the_reference_do_not_count(split, reference, no_training):
    """Filtering by all genes, as was advised once, removed nobody."""
    query = emptied(split[1], range(7))
    extra = anndata.AnnData(np.ones((query.n_obs, 2), "float32"), query.obs)
    extra.var_names = ["other_0", "other_1"]
    extra.layers["counts"] = extra.X
    query = anndata.concat([query, extra], axis="var", merge="first")
    with pytest.raises(
        ValueError, match=r"in the genes of the reference in 7 cells.*, \.\.\."
    ) as error:
        reference.map_query(query, verbose=0)
    kept = advised(error.value, adata=query, reference=reference)
    assert kept.obs_names.tolist() == query.obs_names[7:].tolist()
    with pytest.raises(pytest.fail.Exception, match="training started"):
        reference.map_query(kept, verbose=0)


def test_log_values_are_told_of_their_likelihood(logged, split, reference, no_training):
    log = logged[logged.obs["batch"] == "batch_2"].copy()
    del log.layers["counts"]
    for call in (Reference().fit, reference.map_query):
        with pytest.raises(ValueError, match='use likelihood="mse", which reads') as error:
            call(log, verbose=0)
        assert "integrate" not in str(error.value)


def test_genes_named_by_whole_numbers_are_compared_as_text(split, tmp_path):
    cells, query = (adata.copy() for adata in split)
    for adata in (cells, query):
        adata.var.index = pd.Index(range(adata.n_vars))
    model = Reference(**SMALL | {"epochs": 1}).fit(cells, verbose=0)
    assert model.genes[:2] == ["0", "1"]
    grown = model.map_query(query, verbose=0)
    named = query.copy()
    named.var.index = pd.Index([str(i) for i in range(query.n_vars)])
    np.testing.assert_array_equal(grown.latent(query), grown.latent(named[:, ::-1]))


def test_no_network_is_built_for_a_query_that_is_refused(split, reference, monkeypatch):
    monkeypatch.setattr(imap_keras.scarches.model, "grow", lambda *a, **k: pytest.fail("grown"))
    stranger = split[1].copy()
    stranger.var_names = [f"ENSG{i}" for i in range(60)]
    with pytest.raises(ValueError, match="None of the 60 genes of the reference"):
        reference.map_query(stranger, verbose=0)


def test_the_largest_seed_trains(split):
    model = Reference(**SMALL | {"seed": 2**32 - 1, "epochs": 1}).fit(split[0], verbose=0)
    assert np.isfinite(model.map_query(split[1], verbose=0).latent(split[1])).all()


# ------------------------------------------------------------------ numbers

# Every hyperparameter by name: the defaults may change, these numbers may not.
NAMED = {
    "likelihood": "nb",
    "latent_dim": 3,
    "hidden": (10, 6),
    "dropout": 0.0,  # its masks differ between Keras 2 and 3
    "kl_weight": 0.7,
    "kl_epochs": 3,
    "kl_stairs": True,
    "mmd_weight": 2.0,
    "mmd_widths": "published",
    "label_weight": 0.0,
    "least_variance": 1e-4,
    "norm_epsilon": 1e-5,
    "decoder_bias": False,
    "initialization": "published",
    "learning_rate": 0.01,
    "batch_size": 32,
    "epochs": 4,
    "adam_epsilon": 0.01,
    "corrected_epsilon": True,
    "weight_decay": 0.04,
    "query_learning_rate": 0.02,
    "query_epochs": 3,
    "patience": 20,
    "plateau": 13,
    "validation": 0.1,
    "seed": 3,
}
PINNED = {
    "first loss": 360.645,
    "last loss": 300.798,
    "held-out loss": 299.118,
    "KL": 0.547969,
    "MMD": 0.964386,
    "reference": 0.580182,
    "query loss": 331.848,
    "held-out query loss": 312.514,
    "query": 0.568567,
    "expression": 4.02295,
}


def test_ten_numbers_of_a_tiny_fit(split):
    """A change of a draw, of a loss or of Keras that moves a fit shows here first."""
    cells, query = split
    model = Reference(**NAMED).fit(cells, verbose=0)
    grown = model.map_query(query, verbose=0)
    z, mapped = model.latent(cells), grown.latent(query)
    last, last_of_query = model.history.iloc[-1], grown.history.iloc[-1]
    found = {
        "first loss": model.history["loss"].iloc[0],
        "last loss": last["loss"],
        "held-out loss": last["val_loss"],
        "KL": last["kl"],
        "MMD": last["mmd"],
        "reference": np.abs(z).mean(),
        "query loss": last_of_query["loss"],
        "held-out query loss": last_of_query["val_loss"],
        "query": np.abs(mapped).mean(),
        "expression": np.abs(np.log1p(grown.expression(query))).mean(),
    }
    assert found == pytest.approx(PINNED, rel=1e-3)


# ------------------------------------------------------------------ hyperparameters


CHANGED = {
    "likelihood": "zinb",
    "latent_dim": 2,
    "hidden": (12, 7),
    "dropout": 0.3,
    "kl_weight": 5.0,
    "kl_epochs": 1,
    "kl_stairs": None,  # what it was once
    "mmd_weight": 9.0,
    "mmd_widths": None,
    "label_weight": 3.0,
    "least_variance": 0.5,
    "norm_epsilon": 0.5,
    "decoder_bias": None,
    "initialization": None,
    "learning_rate": 3e-3,
    "batch_size": 12,
    "epochs": 2,
    "adam_epsilon": 0.3,
    "corrected_epsilon": None,
    "weight_decay": 1.0,
    "query_learning_rate": 5e-2,
    "query_epochs": 1,
    "patience": 1,
    "plateau": 1,
    "validation": 0.3,
    "seed": 5,
}
SHORT = SMALL | {"epochs": 3, "kl_epochs": 3, "hidden": (6, 5), "latent_dim": 3, "batch_size": 24}


@pytest.fixture(scope="module")
def trained(split):
    """Histories of a tiny fit and of a query mapped onto it, by hyperparameters."""
    cells, query = split[0][:40, :15].copy(), split[1][:16, :15].copy()

    def fit(**changes):
        label_key = "cell_type" if "label_weight" in changes else None
        model = Reference(**SHORT | changes).fit(cells, verbose=0, label_key=label_key)
        both = model.history, model.map_query(query, verbose=0).history
        return [history.drop(columns="seconds").to_numpy(float) for history in both]

    return fit, fit()


def test_every_hyperparameter_is_tried():
    # What a pool does is in test_parts.
    assert {*CHANGED, "pool_size"} == set(Reference().hyperparameters.as_dict())


@pytest.mark.parametrize("name", CHANGED)
def test_every_hyperparameter_does_something(trained, name):
    fit, before = trained
    value = CHANGED[name]
    if value is None:
        value = UNNAMED[name]
    still = {"learning_rate": 1e-30} if name in ("patience", "plateau") else {}  # the loss never falls
    before = fit(**still) if still else before
    after = fit(**still, **{name: value})
    assert any(
        a.shape != b.shape or not np.allclose(a, b, rtol=1e-6, atol=0) for a, b in zip(before, after)
    )


def test_before_fit_there_is_nothing_to_use(split, tmp_path):
    new = Reference()
    for call in (
        lambda: new.latent(split[0]),
        lambda: new.map_query(split[1]),
        lambda: new.save(tmp_path / "model"),
        lambda: new.save_adaptor(tmp_path / "model", "batch_0"),
        lambda: new.attach(tmp_path / "model"),
        lambda: new.expression(split[0]),
        lambda: new.novelty(split[0]),
    ):
        with pytest.raises(RuntimeError, match="not fitted yet"):
            call()
    assert not (tmp_path / "model").exists()


# ------------------------------------------------------------------ sharing


def test_a_loaded_reference_is_the_saved_one_and_takes_queries(reference, grown, split, tmp_path):
    for number, model in enumerate((reference, grown)):
        model.save(tmp_path / str(number))
        loaded = Reference.load(tmp_path / str(number))
        assert not changed(model, loaded)
        assert (loaded.batches, loaded.genes) == (model.batches, model.genes)
        assert loaded.hyperparameters == model.hyperparameters
        pd.testing.assert_frame_equal(loaded.history, model.history)
        pd.testing.assert_frame_equal(loaded.parameter_table(), model.parameter_table())
    np.testing.assert_array_equal(loaded.latent(split[1]), grown.latent(split[1]))
    again = Reference.load(tmp_path / "0").map_query(split[1], verbose=0)
    np.testing.assert_array_equal(again.latent(split[1]), grown.latent(split[1]))
    assert {path.suffix for path in (tmp_path / "0").iterdir()} == {".keras", ".json"}


def test_a_folder_that_is_no_reference_or_was_cut_short(reference, fitted, tmp_path):
    with pytest.raises(FileNotFoundError, match="not a saved model"):
        Reference.load(tmp_path)
    fitted.save(tmp_path / "imap")
    with pytest.raises(ValueError, match="kind 'imap', expected 'scarches'"):
        Reference.load(tmp_path / "imap")
    reference.save(tmp_path / "model")
    file = sorted((tmp_path / "model").glob("*.keras"))[0]
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(ValueError, match="damaged or was cut short"):
        Reference.load(tmp_path / "model")
    file.unlink()
    with pytest.raises(FileNotFoundError, match="incomplete"):
        Reference.load(tmp_path / "model")


def test_an_adaptor_comes_back_exactly(reference, grown, split, tmp_path):
    reference.save(tmp_path / "reference")
    grown.save_adaptor(tmp_path / "adaptor", "batch_2")
    attached = Reference.load(tmp_path / "reference").attach(tmp_path / "adaptor")
    assert attached.batches == grown.batches
    assert not changed(grown, attached)
    for cells in split:
        np.testing.assert_array_equal(attached.latent(cells), grown.latent(cells))
    size = sum(path.stat().st_size for path in (tmp_path / "adaptor").iterdir())
    assert size < sum(path.stat().st_size for path in (tmp_path / "reference").iterdir())


def test_an_adaptor_is_attached_to_its_own_reference_alone(reference, grown, split, tmp_path):
    grown.save_adaptor(tmp_path / "adaptor", "batch_2")
    with pytest.raises(ValueError, match="has a batch 'batch_2' already"):
        grown.attach(tmp_path / "adaptor")
    other = Reference(**SMALL | {"epochs": 1, "seed": 8}).fit(split[0], verbose=0)
    with pytest.raises(ValueError, match="'batch_2' was trained on another reference"):
        other.attach(tmp_path / "adaptor")
    moved = reference.map_query(split[1], degree="first_layer", verbose=0, epochs=2)
    moved.save_adaptor(tmp_path / "moved", "batch_2")
    with pytest.raises(ValueError, match="a degree that changed it"):
        reference.attach(tmp_path / "moved")
    with pytest.raises(ValueError, match="'batch_9' is not in the reference"):
        grown.save_adaptor(tmp_path / "none", "batch_9")
    reference.save(tmp_path / "reference")
    with pytest.raises(ValueError, match="expected 'scarches adaptor'"):
        reference.attach(tmp_path / "reference")
