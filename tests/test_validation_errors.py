"""Wrong input is refused in clear words through the public functions, before anything is trained."""

import copy

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import imap_keras
import imap_keras.imap.model
import imap_keras.imap.training
from imap_keras import IMAP, integrate, preprocess
from imap_keras.imap.pairs import NoPairsError
from imap_keras.imap.training import train_stage1


@pytest.fixture(autouse=True)
def no_training(monkeypatch):
    def reached(*args, **kwargs):
        pytest.fail("training started")

    monkeypatch.setattr(imap_keras.imap.model, "train_stage1", reached)


def by_class(adata, **options):
    return IMAP().fit(adata, verbose=0, **options)


def by_function(adata, **options):
    return integrate(adata, verbose=0, **options)


# What trains; preprocess has the checks that concern batches and names as well.
TRAINERS = pytest.mark.parametrize("call", [by_class, by_function], ids=["fit", "integrate"])
EVERYONE = pytest.mark.parametrize(
    "call", [by_class, by_function, preprocess], ids=["fit", "integrate", "preprocess"]
)


@pytest.fixture
def adata(logged):
    return logged.copy()


@EVERYONE
def test_missing_batch_key_names_itself_and_the_columns(adata, call):
    with pytest.raises(KeyError, match="'donor'.*batch, cell_type"):
        call(adata, batch_key="donor")


@EVERYONE
def test_cells_without_batch_are_counted(adata, call):
    adata.obs["batch"] = adata.obs["batch"].astype(object)
    adata.obs.iloc[[0, 5], adata.obs.columns.get_loc("batch")] = np.nan
    with pytest.raises(ValueError, match=r"obs\['batch'\] is empty for 2 cells"):
        call(adata)


@EVERYONE
def test_cell_names_used_twice(adata, call):
    names = adata.obs_names.to_list()
    adata.obs_names = [names[1], *names[1:]]
    with pytest.raises(ValueError, match=rf"1 cell names.*'{names[1]}'.*obs_names_make_unique"):
        call(adata)


@EVERYONE
def test_gene_names_used_twice(adata, call):
    names = adata.var_names.to_list()
    adata.var_names = [names[1], *names[1:]]
    with pytest.raises(ValueError, match=rf"1 gene names.*'{names[1]}'.*var_names_make_unique"):
        call(adata)


@TRAINERS
def test_one_batch_only(adata, call):
    adata.obs["batch"] = "run_1"
    with pytest.raises(ValueError, match="one batch, 'run_1'; at least two"):
        call(adata)


@TRAINERS
def test_a_batch_of_fewer_than_ten_cells(adata, call):
    few = np.flatnonzero(adata.obs["batch"] == "batch_1")[9:]
    with pytest.raises(ValueError, match="'batch_1' has 9 cells; at least 10"):
        call(adata[np.setdiff1d(np.arange(adata.n_obs), few)])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "csr"])
@pytest.mark.parametrize(
    "value, message",
    [
        (np.nan, "adata.X holds 2 NaN or infinite"),
        (np.inf, "adata.X holds 2 NaN or infinite"),
        (-0.5, r"adata.X holds 2 negative values \(smallest -0.5\)"),
    ],
)
@TRAINERS
def test_impossible_values_are_counted(adata, call, value, message, kind):
    x = adata.X.toarray()
    x[3, 4] = x[7, 1] = value
    adata.X = kind(x)
    with pytest.raises(ValueError, match=message):
        call(adata)


@TRAINERS
def test_counts_are_not_log_normalised(adata, call):
    adata.X = adata.layers["counts"]
    with pytest.raises(ValueError, match="whole numbers only, like counts.*imap_keras.preprocess"):
        call(adata)


@TRAINERS
def test_normalised_values_without_logarithm(adata, call):
    adata.X = adata.X.expm1()
    with pytest.raises(ValueError, match=f"values up to {adata.X.max():.4g}.*log1p"):
        call(adata)


@pytest.mark.parametrize(
    "order, message",
    [
        (["batch_0", "batch_2"], "forgets 'batch_1'"),
        (["batch_0", "batch_1", "batch_2", "batch_9"], "names unknown 'batch_9'"),
        (["batch_0", "batch_1", "batch_2", "batch_1"], "names twice 'batch_1'"),
    ],
    ids=["forgets", "invents", "repeats"],
)
@TRAINERS
def test_an_order_that_is_no_order_of_the_batches(adata, call, order, message):
    with pytest.raises(ValueError, match=message):
        call(adata, order=order)


def test_preprocess_refuses_log_normalised_values(adata):
    del adata.layers["counts"]
    with pytest.raises(ValueError, match="adata.X holds .* fractional values"):
        preprocess(adata)


# ------------------------------------------------------------------ hyperparameters


@pytest.mark.parametrize(
    "wrong, near", [("latent_dims", "latent_dim"), ("lambda_pairs", "lambda_pair"), ("Seed", "seed")]
)
def test_unknown_hyperparameter_is_answered_with_the_nearest(wrong, near, adata):
    message = f"'{wrong}' is not a hyperparameter of iMAP; did you mean '{near}'"
    with pytest.raises(TypeError, match=message):
        IMAP(**{wrong: 3})
    with pytest.raises(TypeError, match=message):
        integrate(adata, **{wrong: 3})


def test_unknown_hyperparameter_like_no_other_is_answered_with_all():
    with pytest.raises(TypeError, match="known are spread, .*, seed"):
        IMAP(zzz=1)


@pytest.mark.parametrize(
    "name, value",
    [
        ("latent_dim", 0),
        ("latent_dim", 2.5),
        ("stage1_epochs", -1),
        ("stage1_rows", True),
        ("k1", 0),
        ("walk_length", 0),
        ("stage1_patience", 0),
        ("critic_steps", "10"),
        ("lambda_pair", -1.0),
        ("lambda_content", float("nan")),
        ("gradient_penalty", -0.1),
        ("spread", 0.0),
        ("neighbor_target", 1),
        ("unit_length", "yes"),
        ("relu_output", "no"),
        ("balance_pairs", 2),
        ("stage1_learning_rate", 0.0),
        ("stage2_learning_rate", -1e-4),
        ("metric", "cosine"),
        ("search", "faiss"),
        ("initialization", "xavier"),
        ("pair_space", ""),
    ],
)
def test_hyperparameters_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=f"^{name}="):
        IMAP(**{name: value})


@pytest.mark.parametrize(
    "name, value",
    [("hidden", (16, 0)), ("hidden", ()), ("critic_hidden", (-1,)), ("seed", -1), ("seed", 0.5)],
)
def test_widths_and_seed_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=f"^{name}="):
        IMAP(**{name: value})


@pytest.mark.parametrize("name", ["k1", "k2", "stage1_patience"])
def test_optional_hyperparameters_may_be_none(name):
    assert getattr(IMAP(**{name: None}).hyperparameters, name) is None


def test_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="preset='fast' is unknown.*'default', 'reference'"):
        IMAP(preset="fast")


# ------------------------------------------------------------------ no pairs


@pytest.fixture
def no_pairs(monkeypatch, eagerly):
    """Stage I trains, the search for pairs finds none."""
    monkeypatch.setattr(imap_keras.imap.model, "train_stage1", train_stage1)
    nothing = np.empty((0, 2), np.int64)
    monkeypatch.setattr(imap_keras.imap.training, "mutual_neighbors", lambda *args, **kwargs: nothing)


@pytest.mark.parametrize("incremental", [True, False])
def test_no_pairs_names_batch_and_anchor_and_offers_a_larger_k1(tiny, adata, no_pairs, incremental):
    tiny.update(stage1_epochs=1, stage1_steps=1, k1=4, incremental=incremental)
    model = IMAP(**tiny)
    order = ["batch_2", "batch_0", "batch_1"]
    with pytest.raises(NoPairsError, match="'batch_0' and the anchor.*'batch_2'.*k1=4.*larger k1"):
        model.fit(adata, order=order, verbose=0)
    with pytest.raises(RuntimeError, match="not fitted"):
        model.transform(adata)


def test_a_failed_fit_leaves_the_earlier_one_whole(fitted, logged, integrated, no_pairs, tmp_path):
    model = copy.copy(fitted)
    order = fitted.order[::-1]
    with pytest.raises(NoPairsError):
        model.fit(logged[:, :50].copy(), order=order, verbose=0)
    assert model.order == fitted.order
    assert model.genes == fitted.genes
    np.testing.assert_array_equal(model.transform(logged).layers["imap"], integrated.layers["imap"])


# ------------------------------------------------------------------ input stays as it is


def same(left, right):
    def dense(x):
        return x.toarray() if sparse.issparse(x) else np.asarray(x)

    np.testing.assert_array_equal(dense(left.X), dense(right.X))
    assert type(left.X) is type(right.X)
    pd.testing.assert_frame_equal(left.obs, right.obs)
    pd.testing.assert_frame_equal(left.var, right.var)
    for part in ("layers", "obsm", "uns", "obsp", "varm"):
        assert list(getattr(left, part)) == list(getattr(right, part)), part
    for name in left.layers:
        np.testing.assert_array_equal(dense(left.layers[name]), dense(right.layers[name]))
    assert left.uns.get("preprocess") == right.uns.get("preprocess")


def test_fit_and_transform_leave_the_input_as_it_is(tiny, adata, monkeypatch, eagerly, fitted):
    monkeypatch.setattr(imap_keras.imap.model, "train_stage1", train_stage1)
    before = adata.copy()
    fitted.transform(adata)
    same(adata, before)
    tiny.update(stage1_epochs=1, stage1_steps=1, stage2_epochs=1, stage2_steps=1, critic_steps=1)
    IMAP(**tiny).fit(adata, verbose=0)
    same(adata, before)


def test_preprocess_leaves_the_input_as_it_is(counts):
    adata = counts.copy()
    preprocess(adata, min_genes=5, n_top_genes=20, verbose=0)
    same(adata, counts)
