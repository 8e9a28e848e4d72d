"""Cells as users have them: names that are numbers, columns no file holds, values nobody looks at."""

import os
from copy import copy
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from anndata import AnnData
from conftest import TINY
from scipy import sparse

from imap_keras import IMAP, preprocess
from imap_keras.datasets import simulate
from imap_keras.imap.few_pairs import mean_of
from imap_keras.imap.mapping import few_of
from imap_keras.imap.streaming import check_kept
from imap_keras.inputs.cells import open_cells
from imap_keras.inputs.labels import labels_of
from imap_keras.inputs.recipe import recipe_of
from imap_keras.inputs.writing import check_described, result_store

MARKED = 20


@pytest.fixture(scope="module", autouse=True)
def without_graphs(fitted, integrated):  # the shared fits come first, as other tests know them
    """Tiny trainings are over before TensorFlow has built the graph of a step."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def ready() -> AnnData:
    """Three batches of log-normalised cells, 20 of 40 genes marked."""
    raw = simulate(n_cells=120, n_genes=40, n_batches=3, seed=0)
    return preprocess(raw, min_genes=1, n_top_genes=MARKED, keep_all_genes=True, verbose=0)


@pytest.fixture(scope="module")
def on_marked(ready) -> IMAP:
    """Fitted on the marked genes."""
    return IMAP(**told(TINY)).fit(ready, verbose=0)


@pytest.fixture(scope="module")
def on_all(ready) -> IMAP:
    """Fitted on all genes."""
    return IMAP(**told(TINY)).fit(ready, genes="all", verbose=0)


@pytest.fixture
def new(ready) -> AnnData:
    """A batch that no model has seen."""
    cells = ready[ready.obs["batch"] == "batch_2"].copy()
    cells.obs["batch"] = "new"
    return cells


def told(tiny: dict, **changes) -> dict:
    return tiny | {"pair_agreement": 0, "stage1_epochs": 1, "stage2_epochs": 1} | changes


def with_value(adata: AnnData, value: float) -> AnnData:
    """The cells with a wrong value in a gene that is not marked."""
    cells = adata.copy()
    x = cells.X.toarray() if sparse.issparse(cells.X) else cells.X.copy()
    x[3, np.flatnonzero(~cells.var["highly_variable"])[0]] = value
    cells.X = x
    return cells


# ------------------------------------------------------------------ names that are numbers


@pytest.mark.parametrize("some_are_text", [False, True])
def test_genes_named_by_numbers_are_read_each_from_its_own_column(ready, some_are_text):
    cells = ready.copy()
    numbers = range(100, 100 + cells.n_vars)
    cells.var["entrez"] = [f"gene_{n}" if some_are_text and n % 2 else n for n in numbers]
    cells.var.set_index("entrez", inplace=True)  # anndata does not see it
    wanted = [str(name) for name in cells.var_names[cells.var["highly_variable"].to_numpy()]]
    found = open_cells(cells).with_genes(wanted)
    expected = ready[:, ready.var["highly_variable"]].X
    assert found.var_names.tolist() == wanted
    np.testing.assert_array_equal(found.everything.toarray(), expected.toarray())


def test_a_fit_on_genes_named_by_numbers_is_that_of_the_same_genes_named_by_text(ready, tiny):
    cells = ready.copy()
    cells.var.index = pd.RangeIndex(cells.n_vars)
    ours, theirs = (IMAP(**told(tiny)).fit_transform(a, verbose=0) for a in (cells, ready))
    np.testing.assert_array_equal(ours.obsm["X_imap"], theirs.obsm["X_imap"])


def test_marked_genes_named_by_numbers_are_corrected_as_those_named_by_text(ready, on_marked, tiny):
    cells = ready.copy()
    cells.var["entrez"] = np.arange(100, 100 + cells.n_vars)
    cells.var.set_index("entrez", inplace=True)
    ours = IMAP(**told(tiny)).fit_transform(cells, verbose=0)
    np.testing.assert_array_equal(ours.obsm["X_imap"], on_marked.transform(ready).obsm["X_imap"])
    assert cells.var_names.dtype.kind == "i"  # not changed


@pytest.mark.parametrize("empty", ["", " ", None])
def test_a_batch_without_a_name_is_refused(ready, tiny, empty):
    cells = ready.copy()
    cells.obs["batch"] = cells.obs["batch"].astype(object)
    cells.obs.iloc[:3, cells.obs.columns.get_loc("batch")] = empty
    with pytest.raises(ValueError, match=r"obs\['batch'\] is empty for 3 cells"):
        IMAP(**told(tiny)).fit(cells, verbose=0)


def test_two_columns_of_one_name_are_refused(ready, tiny):
    cells = ready.copy()
    cells.obs = pd.concat([cells.obs, cells.obs[["batch"]]], axis=1)
    with pytest.raises(ValueError, match="batch_key='batch' names 2 columns of adata.obs; rename"):
        IMAP(**told(tiny)).fit(cells, verbose=0)


def test_a_base_that_is_no_number_is_quoted():
    assert recipe_of(AnnData(np.ones((1, 1)), uns={"log1p": {"base": "e"}})) == {
        "log": "log1p to base e"
    }


# --------------------------------------------------- wrong values in genes beyond the variable ones


@pytest.mark.parametrize("value", [np.nan, -5.0, 800.0])
@pytest.mark.parametrize("on_disk", [False, True])
def test_all_genes_are_looked_at_before_any_training(
    ready, tiny, tmp_path, monkeypatch, value, on_disk
):
    cells = with_value(ready, value)
    if on_disk:
        cells.write_h5ad(tmp_path / "cells.h5ad")
        cells = tmp_path / "cells.h5ad"
    monkeypatch.setattr("imap_keras.imap.model.train_stage1", None)
    model = IMAP(**told(tiny))
    with pytest.raises(ValueError, match=r"adata\.X.* holds (1 NaN|.*negative|values up to 800)"):
        model.fit(cells, genes="all", verbose=0)


@pytest.mark.parametrize("on_disk", [False, True])
def test_genes_that_are_not_fitted_may_hold_anything(ready, tiny, tmp_path, on_disk, on_marked):
    cells = with_value(ready, np.nan)
    if on_disk:
        cells.write_h5ad(tmp_path / "cells.h5ad")
    source = tmp_path / "cells.h5ad" if on_disk else cells
    model = IMAP(**told(tiny)).fit(source, verbose=0)
    ours = model.transform(source, out=tmp_path / "out.h5ad", verbose=0)
    expected = on_marked.transform(ready).obsm["X_imap"]
    np.testing.assert_array_equal(anndata.read_h5ad(ours).obsm["X_imap"], expected)


@pytest.mark.parametrize("value", [np.nan, -7.0])
def test_mapped_cells_are_looked_at_in_all_genes_before_any_training(ready, new, value, on_all):
    model = copy(on_all)
    with pytest.raises(ValueError, match=r"adata\.X holds"):
        model.map_query(with_value(new, value), ready, verbose=0)
    assert "new" not in model.order


# ------------------------------------------------------------------------------ mapping


def test_a_mapping_that_fails_can_be_repeated(ready, new, monkeypatch, on_all):
    model = copy(on_all)
    before = {name: value for name, value in vars(model).items()}
    with monkeypatch.context() as broken:
        broken.setattr(IMAP, "transform", lambda *told: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            model.map_query(new, ready, verbose=0)
    assert all(vars(model)[name] is value for name, value in before.items())
    assert "X_imap" in model.map_query(new, ready, verbose=0).obsm
    assert model.order[-1] == "new"


@pytest.mark.parametrize("side", ["query", "reference"])
def test_backed_sparse_cells_are_mapped_as_those_in_memory(ready, new, tmp_path, side, on_marked):
    sides = {"query": new, "reference": ready.copy()}
    expected = copy(on_marked).map_query(*sides.values(), verbose=0)
    assert sparse.issparse(sides[side].X)
    sides[side].write_h5ad(tmp_path / "cells.h5ad")
    sides[side] = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    found = copy(on_marked).map_query(*sides.values(), verbose=0)
    np.testing.assert_array_equal(found.obsm["X_imap"], expected.obsm["X_imap"])


def test_embeddings_of_two_widths_are_refused_by_name(ready, new, tiny):
    cells, query = ready.copy(), new
    cells.obsm["X_own"] = np.asarray(cells.X[:, :6].toarray())
    query.obsm["X_own"] = np.asarray(query.X[:, :4].toarray())
    model = IMAP(**told(tiny, pair_space="X_own")).fit(cells, verbose=0)
    with pytest.raises(ValueError, match=r"obsm\['X_own'\] has 4 columns in adata and 6 in reference"):
        model.map_query(query, cells, verbose=0)


# ------------------------------------------------------------------------------ what is kept


def test_results_of_an_earlier_model_do_not_stay_beside_new_ones(ready, on_marked):
    model = copy(on_marked)
    carried = model.transform(ready)
    assert {"X_imap", "X_imap_content"} <= set(carried.obsm)
    again = model.transform(carried, keep=("imap",))
    assert not {"X_imap", "X_imap_content"} & set(again.obsm) and "imap" in again.layers
    assert "X_imap" in carried.obsm  # not changed


def test_keep_names_something_and_each_once():
    with pytest.raises(ValueError, match=r"keep=\(\) must name some of"):
        check_kept([])
    assert check_kept(("X_imap", "X_imap")) == ("X_imap",)


# ------------------------------------------------------------------------ columns no file holds


def test_text_with_empty_places_is_written_as_categories(ready, tmp_path, on_marked):
    cells = ready.copy()
    cells.obs["note"] = ["a", np.nan] * (cells.n_obs // 2)
    cells.obs["told"] = pd.array(["b", None] * (cells.n_obs // 2), dtype="string")
    model = copy(on_marked)
    written = anndata.read_h5ad(model.transform(cells, out=tmp_path / "out.h5ad", verbose=0))
    assert (
        written.obs["note"].tolist()[:1] == ["a"]
        and written.obs["note"].isna().sum() == cells.n_obs / 2
    )
    assert (
        written.obs["told"].tolist()[:1] == ["b"]
        and written.obs["told"].isna().sum() == cells.n_obs / 2
    )


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_a_column_no_file_can_hold_is_named_before_any_work(ready, new, tmp_path, suffix, on_marked):
    model = copy(on_marked)
    new.obs["age"] = [45, "unknown"] * (new.n_obs // 2)
    message = r"obs\['age'\] holds int and str, which no file can keep\. Make it text"
    out = tmp_path / f"out.{suffix}"
    with pytest.raises(ValueError, match=message):
        model.map_query(new, ready, out=out, verbose=0)
    assert model.order == [*dict.fromkeys(model.order)] and "new" not in model.order
    old = ready.copy()
    old.obs["age"] = [45, "unknown"] * (old.n_obs // 2)
    with pytest.raises(ValueError, match=message):
        model.transform(old, out=out, verbose=0)
    assert not list(tmp_path.iterdir())
    new.obs["age"] = new.obs["age"].astype(str)  # as it says
    model.map_query(new, ready, out=out, verbose=0)
    check_described(new.obs, new.var)


def test_marks_of_genes_stay_true_or_false_where_a_gene_is_missing(ready, tmp_path):
    raw = simulate(n_cells=60, n_genes=40, seed=1)
    raw.var["mt"] = np.arange(40) < 5
    fewer = raw[:, raw.var_names != ready.var_names[7]].copy()
    found = preprocess(fewer, genes=ready, min_genes=1, verbose=0)
    assert found.var["mt"].dtype == bool and not found.var["mt"].iloc[7]
    there = [name for name in ready.var_names if name in fewer.var_names]
    assert found.var.loc[there, "mt"].tolist() == raw.var.loc[there, "mt"].tolist()
    found.write_h5ad(tmp_path / "new.h5ad")
    fewer.write_h5ad(tmp_path / "raw.h5ad")
    out = preprocess(
        tmp_path / "raw.h5ad", genes=ready, min_genes=1, verbose=0, out=tmp_path / "o.h5ad"
    )
    assert anndata.read_h5ad(out).var["mt"].tolist() == found.var["mt"].tolist()


# ------------------------------------------------------------------------- the layer at fault


def test_counts_kept_gene_by_gene_are_named_by_their_layer(tmp_path):
    raw = simulate(n_cells=60, n_genes=40, seed=1)
    raw.X = sparse.csr_matrix(raw.X)
    raw.layers["counts"] = sparse.csc_matrix(raw.X)
    raw.write_h5ad(tmp_path / "raw.h5ad")
    with pytest.raises(ValueError, match=r"^layers\['counts'\] of .* is kept gene by gene") as error:
        preprocess(tmp_path / "raw.h5ad", out=tmp_path / "out.h5ad", min_genes=1, verbose=0)
    assert "adata.layers['counts'] = adata.layers['counts'].tocsr()" in str(error.value)
    raw.layers["counts"] = raw.layers["counts"].tocsr()  # as it says
    raw.write_h5ad(tmp_path / "by_cells.h5ad")
    preprocess(tmp_path / "by_cells.h5ad", out=tmp_path / "out.h5ad", min_genes=1, verbose=0)


def test_counts_that_are_none_are_named_by_their_layer(tmp_path):
    raw = simulate(n_cells=60, n_genes=40, seed=1)
    raw.layers["counts"] = raw.X * 0.5
    raw.write_h5ad(tmp_path / "raw.h5ad")
    with pytest.raises(ValueError, match=r"adata\.layers\['counts'\], cells from 0 on") as error:
        preprocess(tmp_path / "raw.h5ad", out=tmp_path / "out.h5ad", min_genes=1, verbose=0)
    assert "or remove it: del adata.layers['counts']; X is read then" in str(error.value)


# ------------------------------------------------------------------------ one cell, and left-overs


def test_a_batch_that_shares_one_cell_is_moved_by_the_mean_of_its_pairs():
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(0, 0.3, (120, 30))).astype("float32")
    for rows, genes in (
        (slice(40), slice(6)),
        (slice(40, 80), slice(16, 22)),
        (slice(80, 120), slice(10, 16)),
    ):
        x[rows, genes] += 3
    x[-1] = x[:40].mean(axis=0)  # one cell of the anchor's kind
    obs = pd.DataFrame({"batch": ["r"] * 80 + ["q"] * 40}, index=[f"cell {i}" for i in range(120)])
    small = dict(hidden=(8,), critic_hidden=(8,), latent_dim=4, stage1_epochs=1, stage2_epochs=1)
    model = IMAP(**small, k1=5, k2=5, pair_space="pca", clip_output=False)
    with pytest.warns(UserWarning, match="for 1 of its 40 cells: none can be held out to judge a gen"):
        carried = model.fit_transform(AnnData(x, obs=obs), verbose=0, order=["r", "q"])
    assert np.unique(model.pairs["q"][:, 0]).tolist() == [119]
    move = mean_of(x, model.pairs["q"], model.hyperparameters)
    np.testing.assert_allclose(carried.layers["imap"][80:] - x[80:], np.tile(move, (40, 1)), atol=1e-5)


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_what_a_killed_write_left_a_day_ago_goes_with_the_next_one(tmp_path, suffix):
    old, young = (tmp_path / f"writing-{name}-out.{suffix}.part" for name in ("deadbeef", "12345678"))
    other = tmp_path / f"writing-deadbeef-other.{suffix}.part"
    for path in (old, young, other):
        if suffix == "zarr":
            path.mkdir()
        (path / "zarr.json" if suffix == "zarr" else path).write_text("{}")
    for path in (old, other, *old.glob("*"), *other.glob("*")):
        os.utime(path, (1, 1))
    names = pd.DataFrame(index=["a", "b"])
    with result_store(tmp_path / f"out.{suffix}", 2, needed=100) as store:
        store.describe(names, names, {})
    assert not old.exists() and young.exists() and other.exists()


def test_a_batch_named_1_may_come_as_a_fraction(ready):
    cells = ready.copy()
    cells.obs["batch"] = pd.Categorical(cells.obs["batch"].astype(str).str[-1])  # 0, 1, 2
    model = IMAP(**told(TINY)).fit(cells, verbose=0)
    joined = cells.copy()
    joined.obs["batch"] = cells.obs["batch"].astype(str).astype(float)  # as a join with gaps makes it
    np.testing.assert_array_equal(
        model.transform(joined).obsm["X_imap"], model.transform(cells).obsm["X_imap"]
    )
    with pytest.raises(ValueError, match="Batch '0' was fitted already"):
        model.map_query(joined, reference=cells, batch_key="batch")


@pytest.mark.parametrize(
    ("column", "known", "names"),
    [
        ([1, 2], ["1.0", "2.0"], ["1.0", "2.0"]),
        (pd.Categorical([1.0, 2.0]), ["1", "2"], ["1", "2"]),
        ([1.0, 3.0], ["1", "2"], ["1", "3"]),  # a new one is named as the others are
        ([1.0, 3.0], ["1", "2", "3.0"], ["1", "3.0"]),
        (pd.array([1, 2], "Int64"), ["1.0", "b"], ["1.0", "2"]),
        ([1.5, 2.0], ["1", "2"], ["1.5", "2"]),
        ([3.0, 4.0], ["100", "1.0"], ["3.0", "4.0"]),  # named both ways, so as pandas writes it
        ([3, 4], ["100", "1.0"], ["3", "4"]),
        (["1.0", "2.0"], ["1", "2"], ["1.0", "2.0"]),  # text is what it says
        ([True, False], ["1", "0"], ["True", "False"]),
        ([1.0, 2.0], [], ["1.0", "2.0"]),
        ([1e300, np.inf], ["1"], ["1e+300", "inf"]),
    ],
)
def test_a_whole_number_is_named_as_the_model_names_it(column, known, names):
    cells = AnnData(np.ones((2, 1)), obs=pd.DataFrame({"batch": column}, index=["a", "b"]))
    assert labels_of(cells, "batch", known=known).tolist() == names


def test_a_model_fitted_on_fractions_knows_whole_numbers(ready):
    cells = ready.copy()
    cells.obs["batch"] = cells.obs["batch"].astype(str).str[-1].astype(float)
    model = IMAP(**told(TINY)).fit(cells, verbose=0)
    whole = cells.copy()
    whole.obs["batch"] = cells.obs["batch"].astype(int)
    np.testing.assert_array_equal(
        model.transform(whole).obsm["X_imap"], model.transform(cells).obsm["X_imap"]
    )
    with pytest.raises(ValueError, match=r"Batch '0\.0' was fitted already"):
        model.map_query(whole, reference=cells)


# ------------------------------------------------------------------ said before any training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda obs: obs.assign(age=pd.array([1.5, None], "Float64")),
            r"has the type Float64.*astype\(float",
        ),
        (
            lambda obs: obs.assign(n=1).rename(columns={"n": 0}),
            r"column named 0 \(int\); a file takes text",
        ),
        (
            lambda obs: pd.concat([obs.assign(n=1), obs.assign(n=2)], axis=1),
            "several columns named 'n'",
        ),
        (
            lambda obs: obs.assign(_index=1),
            "keeps the names of obs as '_index'; rename it: .*'_index': 'another'",
        ),
        (
            lambda obs: obs.assign(n=1).rename_axis("n"),
            r"obs has a column 'n', and an index of this name",
        ),
    ],
)
def test_columns_that_no_file_takes_are_named_with_what_mends_them(change, message):
    obs = pd.DataFrame(index=["a", "b"])
    with pytest.raises(ValueError, match=message):
        check_described(change(obs), obs)
    check_described(
        obs.assign(n=["a", "b"]).rename_axis("n"), obs
    )  # the same entries: anndata takes it


def test_each_new_cell_is_looked_at_before_some_are_trained_on(ready, new, monkeypatch, on_marked):
    monkeypatch.setattr("imap_keras.imap.mapping.AT_ONCE", 20)
    monkeypatch.setattr("imap_keras.imap.merging.merge_query", lambda *_, **__: pytest.fail("trained"))
    model = copy(on_marked)
    model.hyperparameters = replace(model.hyperparameters, n_samples=10)
    rows = few_of(new, "batch", model.hyperparameters)[1]
    wrong, row = new.copy(), np.setdiff1d(np.arange(new.n_obs), rows)[0]
    x = wrong.X.toarray()
    x[row, np.flatnonzero(wrong.var["highly_variable"])[0]] = np.nan
    wrong.X = x
    with pytest.raises(ValueError, match="holds 1 NaN"):
        model.map_query(wrong, ready)


def test_a_fault_of_the_reference_is_said_to_be_there(ready, new, on_marked):
    without = ready.copy()
    del without.obs["batch"]
    with pytest.raises(KeyError, match="In the reference: batch_key='batch' is not a column"):
        copy(on_marked).map_query(new, without)


def test_a_left_over_that_may_not_go_stops_nothing(tmp_path, monkeypatch):
    left = tmp_path / "writing-0-result.h5ad.part"
    left.write_text("")
    os.utime(left, (0, 0))
    remove = Path.unlink

    def refused(path, missing_ok=False):
        if path == left:
            raise PermissionError("not yours")
        remove(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    with result_store(tmp_path / "result.h5ad", 2, 10) as store:
        store.describe(pd.DataFrame(index=["a", "b"]), pd.DataFrame(index=["g"]), {})
    assert (tmp_path / "result.h5ad").exists() and left.exists()
