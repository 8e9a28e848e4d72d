"""Cells as users have them, for scArches and inClust+: names that are numbers, columns half empty."""

import anndata
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from anndata import AnnData
from scipy import sparse

from imap_keras import preprocess
from imap_keras.datasets import simulate, simulate_modalities
from imap_keras.inclust import InClust, imputation, paired, paired_batches
from imap_keras.inclust.evaluation import (
    feature_correlations,
    ridge_prediction,
    type_mean_prediction,
)
from imap_keras.inputs import parts
from imap_keras.scarches import Reference, align_genes, transfer_labels
from imap_keras.scarches import model as scarches_model

TINY = {"latent_dim": 2, "hidden": (6,), "epochs": 1, "seed": 1}
SCARCHES = TINY | {"batch_size": 32}
INCLUST = TINY | {"decoder_hidden": (6,), "rows_per_step": 16}


@pytest.fixture(scope="module", autouse=True)
def without_graphs():
    """Building TensorFlow graphs takes longer than these tiny fits."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def cells() -> AnnData:
    """Counts of two batches of a reference."""
    return simulate(n_cells=60, n_genes=20, n_batches=2, n_types=2, seed=0)


@pytest.fixture
def query(cells) -> AnnData:
    """A batch that the reference has not seen."""
    new = cells[cells.obs["batch"] == "batch_1"].copy()
    new.obs["batch"] = "new"
    return new


@pytest.fixture(scope="module")
def reference(cells) -> Reference:
    return Reference(**SCARCHES).fit(cells, verbose=0)


@pytest.fixture(scope="module")
def by_number(cells) -> Reference:
    """A reference whose batches are named by numbers."""
    numbered = cells.copy()
    numbered.obs["batch"] = np.where(cells.obs["batch"] == "batch_1", 1, 0)
    return Reference(**SCARCHES).fit(numbered, verbose=0)


@pytest.fixture(scope="module")
def two() -> dict[str, AnnData]:
    """40 cells of two types and two batches, two modalities."""
    sizes = {"rna": 9, "protein": 5}
    return simulate_modalities(40, sizes, n_types=2, n_batches=2, n_states=2, seed=1)


@pytest.fixture(scope="module")
def halves(two) -> tuple[AnnData, AnnData]:
    return two["rna"][:25].copy(), two["rna"][25:].copy()


@pytest.fixture(scope="module")
def on_pairs(two) -> InClust:
    return InClust(**INCLUST).fit(paired_batches(two, "batch", "cell_type"), verbose=0)


@pytest.fixture
def no_training(monkeypatch):
    """What is refused, is refused before anything is trained."""
    monkeypatch.setattr(scarches_model, "train", None)
    monkeypatch.setattr("imap_keras.inclust.model.train", None)


def first_ones(values, said) -> np.ndarray:
    """The values as objects, those of the first five cells replaced."""
    some = np.array(values, dtype=object)
    some[:5] = said
    return some


# ------------------------------------------------------------------ scArches: names that are numbers


@pytest.mark.filterwarnings("error:Transforming to str index")
def test_genes_renamed_in_place_to_numbers_are_found_in_another_order(cells):
    genes = [f"gene_{number}" for number in reversed(range(20))]
    turned = cells[:, genes].copy()
    turned.var["entrez"] = np.arange(119, 99, -1)
    turned.var.set_index("entrez", inplace=True)  # anndata does not see it
    found, _ = align_genes(turned, [str(number) for number in range(100, 120)], "nb", verbose=0)
    np.testing.assert_array_equal(found, cells.layers["counts"].toarray())
    assert turned.var_names[0] == 119  # the user's own table stays as it was


def test_a_batch_is_called_by_the_number_it_has_in_obs(by_number, cells, tmp_path):
    cells = cells.copy()
    cells.obs["batch"] = np.where(cells.obs["batch"] == "batch_1", 1, 0)
    np.testing.assert_array_equal(
        by_number.expression(cells, as_batch=1), by_number.expression(cells, as_batch="1")
    )
    by_number.save_adaptor(tmp_path / "one", 1)
    with pytest.raises(ValueError, match="has a batch '1' already"):
        by_number.attach(tmp_path / "one")
    with pytest.raises(ValueError, match=r"Batch 2 is not in the reference, which knows \['0', '1'\]"):
        by_number.expression(cells, as_batch=2)


def test_a_batch_that_pandas_made_a_fraction_of_is_the_known_one(by_number, cells):
    cells = cells.copy()
    cells.obs["batch"] = np.where(cells.obs["batch"] == "batch_1", 1, 0)
    expected = by_number.latent(cells)
    cells.obs["batch"] = cells.obs["batch"].astype(float)
    np.testing.assert_array_equal(by_number.latent(cells), expected)
    cells.obs.loc[cells.obs["batch"] == 1, "batch"] = 2.0
    assert by_number.map_query(cells, verbose=0).batches == ["0", "1", "2"]
    cells.obs["batch"] += 0.5
    with pytest.raises(ValueError, match="Batch '0.5' is not in the reference"):
        by_number.latent(cells)


# ------------------------------------------------------------------ scArches: labels


def test_a_label_that_no_drawn_cell_has_is_told(cells, monkeypatch):
    monkeypatch.setattr(parts, "AT_ONCE", 20)
    cells, drawn = cells.copy(), parts.drawn_of_each(cells.obs["batch"].to_numpy(), 10, TINY["seed"])
    cells.obs["label"] = cells.obs["cell_type"].astype(str)
    cells.obs.iloc[np.setdiff1d(np.arange(60), drawn)[0], -1] = "rare"
    model = Reference(label_weight=5.0, pool_size=10, **SCARCHES)
    with pytest.warns(UserWarning, match="No cell of 'rare' is among the at most 10 of a batch"):
        model.fit(cells, verbose=0, label_key="label")
    assert model.labels == ["type_0", "type_1"]


@pytest.mark.parametrize(
    "said, as_type, unlabelled, names",
    [
        (-1, int, -1, ["0", "1"]),
        (-1, float, -1, ["0.0", "1.0"]),
        ("-1", object, -1, ["0", "1"]),
        ("", object, "Unknown", ["0", "1"]),
        (np.nan, float, "Unknown", ["0.0", "1.0"]),
        (pd.NA, "Int64", "Unknown", ["0", "1"]),
        ("Unknown", object, "Unknown", ["0", "1"]),
    ],
)
def test_cells_without_label_are_no_class_of_their_own(cells, said, as_type, unlabelled, names):
    cells, number = cells.copy(), (cells.obs["cell_type"] == "type_1").astype(int)
    cells.obs["label"] = pd.Series(first_ones(number, said), index=cells.obs_names).astype(as_type)
    model = Reference(label_weight=5.0, **SCARCHES)
    model.fit(cells, verbose=0, label_key="label", unlabelled=unlabelled)
    assert model.labels == names
    assert model.classifier.output_shape == (None, 2)


def test_a_missing_novelty_calls_no_cell_known():
    latent, labels = np.array([[0.0], [0.1], [5.0], [5.1]]), np.array(list("BBTT"))
    with pytest.raises(ValueError, match="novelty is NaN for 1 query cells"):
        transfer_labels(latent, labels, latent[:2], k=2, novelty=np.array([np.nan, 0.5]))
    told = transfer_labels(latent, labels, latent[:2], k=2, novelty=[np.inf, 0.5])
    assert told["label"].tolist() == ["Unknown", "B"]


def test_a_vote_without_cells_says_which_are_not_there():
    latent = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"no reference cells \(the shape of reference is \(0, 2\)\)"):
        transfer_labels(latent[:0], np.array([]), latent)
    with pytest.raises(ValueError, match=r"no query cells \(the shape of query is \(0, 2\)\)"):
        transfer_labels(latent, np.array(list("BBT")), latent[:0])
    with pytest.raises(ValueError, match="A reference cell has no label"):
        transfer_labels(latent, np.array(["B", "", "T"]), latent)


def test_a_vote_of_sparse_latents_is_refused_with_what_to_do():
    latent, labels = np.ones((3, 2)), np.array(list("BBT"))
    with pytest.raises(ValueError, match=r"query is sparse; hand in a dense array .* query\.toarray"):
        transfer_labels(latent, labels, sparse.csr_matrix(latent))


# ------------------------------------------------------------------ scArches: before any work


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_counts_beyond_32_bits_are_found_before_training(cells, no_training):
    cells = cells.copy()
    counts = cells.layers["counts"].toarray().astype(float)
    counts[7, 3] = 1e39
    cells.layers["counts"] = counts
    with pytest.raises(ValueError, match=r"layers\['counts'\] holds larger counts .* cell 'cell_7'"):
        Reference(**SCARCHES).fit(cells, verbose=0)


@pytest.mark.parametrize("value, fault", [(np.nan, "1 NaN"), (-2.0, "1 negative"), (0.0, "no counts")])
@pytest.mark.parametrize("on_disk", [False, True])
def test_of_many_cells_those_that_are_not_trained_on_are_looked_at_too(
    cells, query, reference, tmp_path, monkeypatch, no_training, value, fault, on_disk
):
    monkeypatch.setattr(parts, "AT_ONCE", 20)
    for call, adata in ((Reference(pool_size=10, **SCARCHES).fit, cells), (mapped(reference), query)):
        drawn = parts.drawn_of_each(adata.obs["batch"].to_numpy(), 10, SCARCHES["seed"])
        other = np.setdiff1d(np.arange(adata.n_obs), drawn)[0]
        counts = adata.layers["counts"].toarray().astype(float)
        counts[other, slice(None) if value == 0 else 0] = value
        source = AnnData(counts, obs=adata.obs, var=adata.var)
        if on_disk:
            source.write_h5ad(tmp_path / "cells.h5ad")
            source = tmp_path / "cells.h5ad"
        with pytest.raises(ValueError, match=fault):
            call(source, verbose=0)


def mapped(reference):
    return lambda adata, **told: reference.map_query(adata, pool_size=10, **told)


def test_many_cells_that_are_right_train_what_they_trained(cells, monkeypatch):
    monkeypatch.setattr(parts, "AT_ONCE", 20)
    model = Reference(pool_size=10, **SCARCHES).fit(cells, verbose=0)
    drawn = parts.drawn_of_each(cells.obs["batch"].to_numpy(), 10, SCARCHES["seed"])
    monkeypatch.setattr(parts, "AT_ONCE", 1000)
    few = Reference(pool_size=10, **SCARCHES).fit(cells[drawn].copy(), verbose=0)
    for ours, theirs in zip(model.encoder.get_weights(), few.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(model.landmarks[0], few.landmarks[0])
    assert model.landmarks[1] == few.landmarks[1]


def test_a_fit_that_fails_leaves_the_earlier_one_whole(cells, monkeypatch, tmp_path):
    model = Reference(**SCARCHES).fit(cells, verbose=0)
    before = model.latent(cells)
    other = cells[:, :15].copy()
    other.obs["batch"] = "other"

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(scarches_model, "landmarks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(other, verbose=0)
    assert model.batches == ["batch_0", "batch_1"] and len(model.genes) == 20
    np.testing.assert_array_equal(model.latent(cells), before)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(Reference.load(tmp_path / "model").latent(cells), before)


def test_what_no_novelty_or_degree_is_known_for_is_said_before_cells_are_read(reference, query):
    moved = reference.map_query(query, degree="all", verbose=0)
    with pytest.raises(ValueError, match="does not know how far its own cells lie"):
        moved.novelty("no_such_file.h5ad")
    with pytest.raises(ValueError, match="degree='layer' is unknown"):
        reference.map_query("no_such_file.h5ad", degree="layer")


# ------------------------------------------------------------------ scArches: adaptors


def test_an_adaptor_replaces_neither_a_model_nor_another_adaptor(reference, cells, tmp_path):
    reference.save(tmp_path / "model")
    with pytest.raises(FileExistsError, match="model holds a model of kind 'scarches'"):
        reference.save_adaptor(tmp_path / "model", "batch_0")
    np.testing.assert_array_equal(
        Reference.load(tmp_path / "model").latent(cells), reference.latent(cells)
    )
    reference.save_adaptor(tmp_path / "own", "batch_0")
    with pytest.raises(FileExistsError, match="own holds the adaptor of batch 'batch_0'"):
        reference.save_adaptor(tmp_path / "own", "batch_1")
    reference.save_adaptor(tmp_path / "own", "batch_0")  # the same one once more
    with pytest.raises(ValueError, match="has a batch 'batch_0' already"):
        reference.attach(tmp_path / "own")


def test_an_adaptor_that_was_cut_short_may_be_written_again(reference, tmp_path):
    reference.save_adaptor(tmp_path / "own", "batch_0")
    (tmp_path / "own" / "model.json").write_text("{")
    reference.save_adaptor(tmp_path / "own", "batch_1")
    with pytest.raises(ValueError, match="has a batch 'batch_1' already"):
        reference.attach(tmp_path / "own")


# ------------------------------------------------------------------ inClust+: columns of obs


@pytest.mark.parametrize("empty_in", [0, 1])
def test_labels_by_number_are_the_same_where_one_is_missing(halves, empty_in):
    both = [half.copy() for half in halves]
    for number, half in enumerate(both):
        cluster = (half.obs["cell_type"] == "type_1").astype(int)
        if number == empty_in:  # pandas makes fractions of a column that lacks an entry
            cluster = pd.Series(first_ones(cluster, np.nan), index=half.obs_names).astype(float)
        half.obs["cluster"] = cluster
    rows = imputation(*both, ["rna_2"], label_key="cluster")
    expected = np.concatenate([half.obs["cluster"].fillna(-1).astype(int) for half in both])
    assert rows.labels == ["0", "1"]
    assert rows.label.tolist() == expected.tolist()


def test_fractions_that_all_data_sets_have_keep_their_names(halves):
    both = [half.copy() for half in halves]
    for half in both:
        half.obs["dose"] = np.where(half.obs["cell_type"] == "type_1", 1.0, 2.0)
    assert imputation(*both, ["rna_2"], batch_key="dose").covariates == ["1.0", "2.0"]


def test_batches_by_number_are_the_same_in_both_data_sets(halves):
    both = [half.copy() for half in halves]
    for half, kind in zip(both, (int, float), strict=True):
        half.obs["run"] = (half.obs["batch"] == "batch_1").astype(int).astype(kind)
    assert imputation(*both, ["rna_2"], batch_key="run").covariates == ["0", "1"]


def test_empty_text_is_no_label_and_no_batch(halves):
    one, other = (half.copy() for half in halves)
    for half in (one, other):
        half.obs["label"] = first_ones(half.obs["cell_type"], "")
    rows = imputation(one, other, ["rna_2"], label_key="label")
    assert rows.labels == ["type_0", "type_1"]
    assert np.flatnonzero(rows.label < 0).tolist() == [*range(5), *range(25, 30)]
    with pytest.raises(ValueError, match="'label' is empty for 10 cells. Give every cell a batch"):
        imputation(one, other, ["rna_2"], batch_key="label")


def test_a_column_that_is_empty_throughout_is_no_column_of_labels(halves):
    one, other = (half.copy() for half in halves)
    one.obs["label"] = None
    with pytest.raises(ValueError, match="'label' is empty for all cells of reference"):
        imputation(one, other, ["rna_2"], label_key="label")


def test_two_columns_of_one_name_are_named(halves):
    one, other = (half.copy() for half in halves)
    other.obs = pd.concat([other.obs, other.obs[["cell_type"]]], axis=1)
    with pytest.raises(ValueError, match="'cell_type' names 2 columns of the obs of query"):
        imputation(one, other, ["rna_2"], label_key="cell_type")


# ------------------------------------------------------------------ inClust+: what is handed in


def test_an_anndata_is_told_how_it_becomes_rows(halves, on_pairs, no_training):
    with pytest.raises(TypeError, match="rows=AnnData are no rows: build them with a task function"):
        InClust(**INCLUST).fit(halves[0])
    with pytest.raises(TypeError, match="rows=AnnData are no rows"):
        on_pairs.latent(halves[0], "query")


def test_data_sets_without_cells_are_refused(halves, two, on_pairs):
    one, other = halves
    with pytest.raises(ValueError, match=r"reference has no cells \(its shape is 0 x 9\)"):
        imputation(one[:0], other, ["rna_2"])
    with pytest.raises(ValueError, match="query has no cells"):
        imputation(one, other[:0], ["rna_2"])
    with pytest.raises(ValueError, match="data has no cells"):
        paired({name: part[:0] for name, part in two.items()})
    with pytest.raises(ValueError, match="data has no cells"):
        on_pairs.rows_of(two["rna"][:0], "batch_0", "rna")


def test_one_target_gene_is_a_list_of_one(halves):
    with pytest.raises(TypeError, match=r"target_genes='rna_2' must be a list of genes: \['rna_2'\]"):
        imputation(*halves, "rna_2")


def test_covariates_and_modalities_are_called_by_the_number_they_have(two):
    whole = anndata.concat(two, axis="var", merge="first")
    whole.var["modality"] = np.repeat([1, 2], [9, 5])
    whole.obs["batch"] = (whole.obs["batch"] == "batch_1").astype(int).to_numpy()
    rows = paired_batches(whole, "batch", "cell_type")
    model = InClust(**INCLUST).fit(rows, verbose=0)
    expected = model.generate(rows, "1->1", "2", as_covariate="1")
    pd.testing.assert_frame_equal(model.generate(rows, "1->1", 2, as_covariate=1), expected)
    new = model.rows_of(two["rna"], 1, 1)
    assert new.covariates[new.covariate[0]] == "1"
    with pytest.raises(ValueError, match=r"as_covariate=2 is unknown; choose one of \['0', '1'\]"):
        model.generate(rows, "1->1", 2, as_covariate=2)


# ------------------------------------------------------------------ inClust+: what was never learnt


def test_what_no_row_of_fit_read_or_was_judged_by_is_refused(two, tmp_path):
    rows = paired_batches(two, "batch", "cell_type")
    InClust(**INCLUST).fit(rows.keep(["rna->rna"]), verbose=0).save(tmp_path / "model")
    model = InClust.load(tmp_path / "model")
    assert model.was_judged.tolist() == [True] * 9 + [False] * 5
    with pytest.raises(ValueError, match="'protein->protein' reads 5 features .* first is 'protein_0'"):
        model.latent(rows, "protein->protein")
    for call in (model.impute, lambda *some: model.generate(*some, "protein")):
        with pytest.raises(ValueError, match="No row of fit\\(\\) was judged by 5 of these features"):
            call(rows, "rna->rna")
    assert model.generate(rows, "rna->rna", "rna").shape == (40, 9)


# ------------------------------------------------------------------ inClust+: how good it is


def test_correlations_of_other_cells_or_of_missing_values_are_refused():
    truth = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [3.0, 1.0, 2.0]}, index=list("xyz"))
    assert feature_correlations(truth, 2 * truth).round(6).tolist() == [1.0, 1.0]
    for other in (truth[["b", "a"]], truth.iloc[::-1]):
        with pytest.raises(ValueError, match=r"in another order; take that of one: truth\.loc"):
            feature_correlations(truth, other)
    with pytest.raises(ValueError) as error:
        feature_correlations(truth.reset_index(drop=True), truth)
    assert str(error.value) == (
        "truth and predicted name other cells: only truth has 0, 1, 2; only predicted has 'x', 'y', "
        "'z'. If rows and columns mean the same all the same, hand in arrays: truth.to_numpy(), "
        "predicted.to_numpy()."
    )
    with pytest.raises(ValueError, match="truth holds 1 NaN or infinite values"):
        feature_correlations(truth.replace(0.0, np.nan), truth)


def test_sparse_tables_and_cells_that_are_not_there_are_said():
    values, types = np.eye(4), np.array(list("aabb"))
    holed = sparse.csr_matrix(values)
    for what, call in (
        ("truth", lambda: feature_correlations(holed, values)),
        ("predicted", lambda: feature_correlations(values, holed)),
        ("query", lambda: ridge_prediction(values, values, holed)),
        ("wanted", lambda: type_mean_prediction(holed, types, types)),
    ):
        with pytest.raises(ValueError, match=f"{what} is sparse; hand in a dense array of it"):
            call()
    with pytest.raises(ValueError, match="There are no cells; a correlation takes two or more"):
        feature_correlations(values[:0], values[:0])  # was 0 for each, as if nothing were alike
    with pytest.raises(ValueError, match="wanted has 4 cells, types 3"):
        type_mean_prediction(values, types[:3], types)
    with pytest.raises(
        KeyError, match=r"no cells of the type 'c' \(1 such types\); it has \['a', 'b'\]"
    ):
        type_mean_prediction(values, types, ["a", "c", "c"])


def test_names_that_differ_and_names_used_twice_are_told():
    truth = pd.DataFrame(np.eye(5), columns=list("abcde"))
    with pytest.raises(ValueError, match="other features: only truth has 'e'; only predicted has 'f'"):
        feature_correlations(truth, truth.set_axis(list("fabcd"), axis="columns"))
    with pytest.raises(ValueError, match=r"only predicted has 5, 6, 7 \.\.\.\. If rows"):
        feature_correlations(truth, truth.set_axis(range(5, 10)))
    doubled = truth.set_axis(list("aabbc"), axis="columns")
    assert feature_correlations(doubled, doubled).round(6).tolist() == [1.0] * 5
    for other in (doubled.iloc[:, ::-1], doubled.set_axis(list("abbcc"), axis="columns")):
        with pytest.raises(
            ValueError, match="Several features .* called 'a', 'b'.*, and not at the same"
        ):
            feature_correlations(doubled, other)
    with pytest.raises(ValueError) as error:  # of doubled columns the rows can be put in order
        feature_correlations(doubled, doubled[::-1])
    assert str(error.value).endswith("take that of one: truth.loc[predicted.index].")


# ------------------------------------------------------------------ inClust+: names that are numbers


def test_cells_named_by_numbers_in_one_modality_alone_are_the_same_cells(two):
    numbered = {name: adata.copy() for name, adata in two.items()}
    for adata in numbered.values():
        adata.obs_names = [str(number) for number in range(40)]
    expected = paired_batches(numbered, "batch", "cell_type")
    numbered["protein"].obs.index = range(40)  # anndata does not see it
    rows = paired_batches(numbered, "batch", "cell_type")
    np.testing.assert_array_equal(rows.values, expected.values)
    assert (rows.cells, rows.covariates) == (expected.cells, expected.covariates)


def test_a_number_and_the_same_as_text_are_one_name(two, cells):
    numbered = two["rna"].copy()
    numbered.var.index = pd.Index([7, "7", *numbered.var_names[2:]], dtype=object)
    message = r"1 gene names are used twice, the first is '7'\. Call adata\.var_names = "
    with pytest.raises(ValueError, match=message):
        paired(two | {"rna": numbered})
    counts = cells.copy()
    counts.var.index = pd.Index([7, "7", *counts.var_names[2:]], dtype=object)
    with pytest.raises(ValueError, match=message):
        preprocess(counts, min_genes=1, verbose=0)
    counts.var_names = counts.var_names.astype(str)
    counts.var_names_make_unique()
    assert preprocess(counts, min_genes=1, min_cells=0, verbose=0).var_names[:2].tolist() == [
        "7",
        "7-1",
    ]
