"""How cells were prepared is kept by a model, and new cells prepared otherwise are told apart."""

import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import TINY

import imap_keras
from imap_keras import IMAP
from imap_keras.inputs.recipe import compare_recipes, recipe_of
from imap_keras.scarches import Reference


@pytest.fixture(scope="module")
def whole(counts):
    """Counts whose last batch is a query."""
    is_query = (counts.obs["batch"] == "batch_2").to_numpy()
    return counts[~is_query].copy(), counts[is_query].copy()


@pytest.fixture(scope="module")
def split(whole):
    reference = imap_keras.preprocess(whole[0], min_genes=5, n_top_genes=30, verbose=0)
    return reference, imap_keras.preprocess(whole[1], min_genes=5, genes=reference, verbose=0)


@pytest.fixture(scope="module")
def model(split):
    tf.config.run_functions_eagerly(True)
    yield IMAP(**TINY).fit(split[0], verbose=0)
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def no_training(monkeypatch):
    def reached(*args, **kwargs):
        pytest.fail("training started")

    monkeypatch.setattr(imap_keras.imap.model, "map_batches", reached)
    monkeypatch.setattr(imap_keras.scarches.model, "train", reached)


def recorded(adata, **changes):
    new = adata.copy()
    new.uns["imap_keras_preprocess"] = new.uns["imap_keras_preprocess"] | changes
    return new


def test_a_fit_keeps_the_recipe_in_the_model_in_its_folder_and_in_uns(model, split, tmp_path):
    recipe = split[0].uns["imap_keras_preprocess"]
    assert model.preprocessing == recipe
    assert {name: recipe[name] for name in ("target_sum", "log", "genes_counted", "genes")} == {
        "target_sum": 10_000,
        "log": "log1p",
        "genes_counted": 60,
        "genes": "variable",
    }
    model.save(tmp_path / "model")
    assert IMAP.load(tmp_path / "model").preprocessing == recipe
    out = model.transform(split[0])
    out.write_h5ad(tmp_path / "out.h5ad")
    again = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert again.uns["imap"]["preprocessing"] == recipe
    assert recipe_of(again) == recipe
    assert all(type(value) in (int, float, str) for value in recipe_of(again).values())


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"target_sum": 1_000_000}, "counts a cell: 1000000, fitted 10000"),
        ({"log": "log1p to base 2"}, "logarithm: log1p to base 2, fitted log1p"),
        (
            {"log": "log1p to base 2", "target_sum": 100},
            "counts a cell: 100, fitted 10000, logarithm: log1p to base 2, fitted log1p",
        ),
    ],
)
def test_other_values_are_refused_before_training(model, split, no_training, changes, said):
    with pytest.raises(ValueError) as caught:
        model.map_query(recorded(split[1], **changes), split[0], verbose=0)
    assert str(caught.value) == (
        f"These cells were prepared otherwise than those the model was fitted on ({said}). Prepare "
        "them from counts: preprocess(new, genes=model)."
    )
    with pytest.raises(ValueError, match="prepared otherwise"):
        model.transform(recorded(split[0], **changes))


def test_the_base_that_scanpy_records_is_compared(model, split, no_training):
    query = split[1].copy()
    del query.uns["imap_keras_preprocess"]
    query.uns["log1p"] = {"base": 2}
    with pytest.raises(ValueError, match=r"\(logarithm: log1p to base 2, fitted log1p\)"):
        model.map_query(query, split[0], verbose=0)
    query.uns["log1p"] = {}  # what a file keeps of base=None
    compare_recipes(model.preprocessing, recipe_of(query))


def test_a_remedy_makes_new_cells_alike(model, split):
    """preprocess() makes log1p of 10,000 counts, and counts all genes that it is handed."""
    made = recipe_of(split[1])
    with pytest.raises(ValueError, match="Normalise and log them as those were, or fit again on cells"):
        compare_recipes({"log": "log1p to base 2"}, made)
    with pytest.warns(UserWarning, match="in 60 genes, .* fitted on in 25: .* Cut their counts to the"):
        compare_recipes(made | {"genes_counted": 25}, made)


def test_another_choice_of_cells_and_genes_is_no_difference(model, split, whole):
    query = imap_keras.preprocess(
        whole[1], min_genes=0, min_cells=0, flavor="per_batch", n_top_genes=60, verbose=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        compare_recipes(model.preprocessing, recipe_of(query))
    fitted = split[0].uns["imap_keras_preprocess"]
    assert query.uns["imap_keras_preprocess"]["flavor"] != fitted["flavor"]
    assert len(model.genes) == 30 < query.n_vars


def test_other_genes_chosen_name_the_remedy(model, split, whole, no_training):
    query = imap_keras.preprocess(whole[1], min_genes=5, flavor="per_batch", n_top_genes=20, verbose=0)
    missing = len(set(model.genes) - set(query.var_names))
    assert missing > 3
    with pytest.raises(ValueError) as caught:
        model.map_query(query, split[0], verbose=0)
    first = next(name for name in model.genes if name not in query.var_names)
    assert str(caught.value) == (
        f"{missing} of the 30 fitted genes are missing, the first is {first!r}. From counts of all "
        "genes, preprocess(new, genes=model) keeps exactly the fitted ones."
    )
    again = imap_keras.preprocess(whole[1], min_genes=5, genes=model, verbose=0)
    np.testing.assert_array_equal(again.X.toarray(), split[1].X.toarray())


def test_cells_normalised_by_chosen_genes_only_are_a_warning(model, split, whole, monkeypatch):
    few = whole[1][:, model.genes[:29]].copy()
    query = imap_keras.preprocess(few, min_genes=0, genes=model, verbose=0)
    monkeypatch.setattr(imap_keras.imap.model, "map_batches", lambda *told: 1 / 0)
    with pytest.warns(UserWarning) as told, pytest.raises(ZeroDivisionError):
        model.map_query(query, split[0], verbose=0)
    assert (
        "These cells were normalised by their counts in 29 genes, those the model was fitted on in 60: "
        "the same cell gets other values. Prepare them from counts of all genes: "
        "preprocess(new, genes=model)." in [str(warning.message) for warning in told]
    )


def test_another_total_is_seen_in_the_values_where_nothing_is_recorded(model, split, monkeypatch):
    query = split[1].copy()
    del query.uns["imap_keras_preprocess"]
    values = query.X.expm1()
    query.X = (values * 100).log1p()  # counts per million
    monkeypatch.setattr(imap_keras.imap.model, "map_batches", lambda *told: 1 / 0)
    with pytest.warns(UserWarning) as told, pytest.raises(ZeroDivisionError):
        model.map_query(query, split[0], verbose=0)
    total = 100 * np.median(np.ravel(values.sum(axis=1)))
    known = np.median(np.ravel(split[0].X.expm1().sum(axis=1)))
    assert [str(warning.message) for warning in told if warning.category is UserWarning] == [
        f"In the model's genes a new cell sums to {total:,.0f} (median, logarithm undone), one of the "
        f"reference to {known:,.0f}. Were both normalised to the same total and logged alike? "
        "preprocess(new, genes=model) does as preprocess() did."
    ]
    with warnings.catch_warnings(), pytest.raises(ZeroDivisionError):
        warnings.simplefilter("error", UserWarning)
        model.map_query(split[1], split[0], verbose=0)


def test_a_reference_of_log_values_compares_and_one_of_counts_does_not(split, monkeypatch):
    losses = pd.DataFrame({"loss": [0.0]})
    monkeypatch.setattr(imap_keras.scarches.model, "train", lambda **told: losses)
    small = {"latent_dim": 2, "hidden": (4,), "epochs": 1}
    query = recorded(split[1], log="log1p to base 2")
    logged = Reference(likelihood="mse", **small).fit(split[0], verbose=0)
    assert logged.preprocessing == split[0].uns["imap_keras_preprocess"]
    with pytest.raises(ValueError, match=r"\(logarithm: log1p to base 2, fitted log1p\)"):
        logged.map_query(query, verbose=0)
    with pytest.raises(ValueError, match=r"\(logarithm: log1p to base 2, fitted log1p\)"):
        logged.latent(recorded(split[0], log="log1p to base 2"))
    counted = Reference(**small).fit(split[0], verbose=0)
    assert counted.preprocessing == {}
    assert counted.map_query(query, verbose=0).batches == ["batch_0", "batch_1", "batch_2"]
