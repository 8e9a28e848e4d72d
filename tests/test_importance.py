"""Which genes: expected gradients against formulas, planted genes found, scanpy's layout, errors."""

from functools import partial

import anndata
import keras
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import tensorflow as tf
from anndata import AnnData
from scipy import sparse

import imap_keras
from imap_keras.imap import contrast_importance, expression_scores, gene_importance, rank_genes
from imap_keras.imap import importance as module
from imap_keras.imap.head import build_head
from imap_keras.imap.importance import completeness_gap, expected_gradients, path_gradients, stratified
from imap_keras.nn.estimator import NotFittedError

QUICK = dict(epochs=40, learning_rate=5e-3, batch_size=32, n_samples=40, verbose=0)


def cells_of(values, **obs) -> AnnData:
    """Log values with gene names, sparse."""
    n, n_genes = values.shape
    var = pd.DataFrame(index=[f"gene_{i}" for i in range(n_genes)])
    table = pd.DataFrame(obs, index=[f"cell_{i}" for i in range(n)])
    return AnnData(sparse.csr_matrix(values.astype("float32")), obs=table, var=var)


@pytest.fixture(scope="module")
def planted():
    """200 cells of two groups, 20 genes; gene_3 is higher in "b", gene_7 in "a"; "a" has 150 cells."""
    rng = np.random.default_rng(0)
    values = rng.gamma(4, 0.25, (200, 20))
    values[150:, 3] += 1.5
    values[:150, 7] += 1.5
    return cells_of(values, side=np.repeat(["a", "b"], [150, 50]))


@pytest.fixture(scope="module")
def found(planted):
    return contrast_importance(planted, "side", **QUICK)


def line(weights) -> keras.Model:
    """f(x) = x W."""
    weights = np.asarray(weights, "float32")
    layer = keras.layers.Dense(weights.shape[1], use_bias=False)
    network = keras.Sequential([keras.Input((len(weights),)), layer])
    layer.set_weights([weights])
    return network


# ---------------------------------------------------------------- expected gradients


def test_of_a_linear_network_each_group_of_the_background_weighs_alike():
    """phi_i = w_i (x_i - mean over groups of x'_i), however many cells a group has."""
    weights = np.array([[1.0, 5.0], [2.0, -1.0], [-3.0, 0.5]])
    cells = np.float32([[1, 2, 3], [4, 0, 1]])
    groups = [np.float32([[1, 1, 1]]), np.float32([[3, 0, 0]] * 9)]
    phi = expected_gradients(
        partial(path_gradients, line(weights)),
        cells,
        np.array([0, 1]),
        groups,
        n_samples=6,
        rng=np.random.default_rng(0),
    )
    away = cells - np.array([2.0, 0.5, 0.5])
    np.testing.assert_allclose(phi, away * weights.T, atol=1e-5)


def test_of_a_product_both_factors_get_half():
    """f = x1 x2 from a background of zeros: each gene's gradient is a times the other gene."""

    class Product(keras.layers.Layer):
        def call(self, inputs):
            return tf.reduce_prod(inputs, axis=1, keepdims=True)

    network = keras.Sequential([keras.Input((2,)), Product()])
    phi = expected_gradients(
        partial(path_gradients, network),
        np.float32([[3, 4]]),
        np.array([0]),
        [np.zeros((1, 2), "float32")],
        n_samples=200,
        rng=np.random.default_rng(0),
    )
    np.testing.assert_allclose(phi, [[6.0, 6.0]], atol=0.02)


def test_completeness_of_a_network_with_curves(randomize):
    """The sum over genes is f_c(x) - mean f_c(x'), every group of the background weighing alike."""
    network = randomize(build_head(6, 3, hidden=(8,)))
    rng = np.random.default_rng(1)
    cells = rng.normal(size=(30, 6)).astype("float32")
    groups = [rng.normal(i, 1, (n, 6)).astype("float32") for i, n in enumerate((4, 20))]
    logits = network(cells).numpy()
    classes = logits.argmax(axis=1)
    gradients = partial(path_gradients, network)
    phi = expected_gradients(gradients, cells, classes, groups, 300, np.random.default_rng(0))
    base = np.mean([network(group).numpy().mean(axis=0) for group in groups], axis=0)
    gap = completeness_gap(
        phi.sum(axis=1), logits.max(axis=1), base[classes], np.ptp(logits, axis=0)[classes]
    )
    assert np.median(gap) <= 0.03
    assert gap.max() <= 0.1


def test_the_gap_is_a_share_of_the_range():
    gap = completeness_gap(np.array([1.0, -3.0]), np.array([2.0, 0.0]), np.array([0.5, 2.0]), 4.0)
    np.testing.assert_allclose(gap, [0.125, 0.25])


def test_stratified_takes_the_same_number_of_each_group():
    codes = np.repeat([1, 0, 2], [50, 8, 2])
    rows = stratified(codes, 8, np.random.default_rng(0))
    assert [len(group) for group in rows] == [8, 8, 2]
    assert [set(codes[group]) for group in rows] == [{0}, {1}, {2}]
    assert all(len(set(group)) == len(group) for group in rows)


# ------------------------------------------------------------------- what one calls


def test_contrast_finds_the_planted_genes_and_loses_nothing(found):
    means, told = found.varm["importance"], found.uns["importance"]
    assert {frozenset(means[group].nlargest(2).index) for group in ("a", "b")} == {
        frozenset(["gene_3", "gene_7"])
    }
    assert told["accuracy"] >= 0.9
    assert told["gap"] == found.obs["gap"].median() <= 0.05
    assert list(told["losses"]) == ["epoch", "loss"]


def test_what_is_returned_belongs_together(found, planted):
    assert found.obs["side"].value_counts().to_dict() == {"a": 100, "b": 50}
    assert found.obs["side"].tolist() == planted.obs["side"][found.obs_names].tolist()
    attributed = found.X.sum(axis=1) - (found.obs["logit"] - found.obs["background_logit"])
    share = np.abs(attributed) / found.obs["gap"]
    for group in ("a", "b"):  # the gap is a share of one number by class: the range of its logit
        of_group = share[found.obs["predicted"] == group]
        assert of_group.median() > 1
        np.testing.assert_allclose(of_group, of_group.median(), rtol=0.02)
    for group in ("a", "b"):
        told = (found.obs["side"] == group) & (found.obs["predicted"] == group)
        mean = found.X[told.to_numpy()].mean(axis=0)
        np.testing.assert_allclose(found.varm["importance"][group], mean, atol=1e-5)


def test_chunk_changes_nothing_and_means_can_be_kept_alone(planted, found, monkeypatch):
    at_once = []

    def noted(gradients, cells, *arguments):
        at_once.append(len(cells))
        return expected_gradients(gradients, cells, *arguments)

    monkeypatch.setattr(module, "expected_gradients", noted)
    again = contrast_importance(planted, "side", **QUICK, chunk=40)
    assert at_once == [40, 40, 40, 30]
    np.testing.assert_allclose(again.X, found.X, atol=1e-5)
    alone = contrast_importance(planted, "side", keep_cells=False, **QUICK)
    assert alone.X is None
    pd.testing.assert_frame_equal(alone.varm["importance"], found.varm["importance"])
    other = contrast_importance(planted, "side", **QUICK, seed=1)
    assert not np.allclose(other.varm["importance"], found.varm["importance"], atol=1e-3)


def test_two_genes_that_only_together_tell_the_group():
    """Both are on in half the cells of either group; together in one group, apart in the other."""
    rng = np.random.default_rng(0)
    group, first = rng.integers(2, size=(2, 400))
    second = np.where(group == 1, first, 1 - first)
    values = rng.gamma(4, 0.25, (400, 12))
    values[:, 2] += 2 * first
    values[:, 9] += 2 * second
    cells = cells_of(values, side=np.where(group == 1, "together", "apart"))
    found = contrast_importance(cells, "side", **QUICK)
    for side in ("together", "apart"):
        assert set(found.varm["importance"][side].nlargest(2).index) == {"gene_2", "gene_9"}
    tested = expression_scores(cells, "side", "t-test")["apart"].abs()
    assert tested[["gene_2", "gene_9"]].max() < 2.5
    assert found.uns["importance"]["gap"] <= 0.1


def test_types_are_explained_through_the_frozen_code(fitted, logged):
    before = [variable.numpy().copy() for variable in fitted.encoder.weights]
    cells = logged[:, ::-1].copy()
    values = cells.X.copy()
    found = gene_importance(fitted, cells, "cell_type", n_cells=None, **QUICK)
    assert found.var_names.tolist() == fitted.genes
    assert found.shape == logged.shape
    assert found.obs_names.tolist() == logged.obs_names.tolist()
    assert found.uns["importance"]["gap"] <= 0.1
    assert np.abs(found.X).sum() > 0
    for variable, old in zip(fitted.encoder.weights, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)
    assert (values != cells.X).nnz == 0


def test_head_is_the_papers():
    head = build_head(256, 5)
    kinds = [type(layer).__name__ for layer in head.layers[1:]]
    assert kinds == ["Dense", "BatchNorm", "Mish", "Dense", "BatchNorm", "Mish", "Dense"]
    assert [layer.units for layer in head.layers if hasattr(layer, "units")] == [128, 64, 5]
    kernel = head.layers[1].kernel.numpy()
    assert kernel.std() == pytest.approx(0.02, rel=0.05)


# ----------------------------------------------------------- scanpy's layout, baselines


def test_scanpy_reads_the_ranking(planted, found, tmp_path):
    cells = planted.copy()
    cells.obs["side"] = cells.obs["side"].astype("category")
    rank_genes(cells, found)
    means = found.varm["importance"]
    for group in ("a", "b"):
        table = sc.get.rank_genes_groups_df(cells, group)
        best = means[group].sort_values(ascending=False)
        assert table["names"].tolist() == best.index.tolist()
        np.testing.assert_allclose(table["scores"], best, rtol=1e-5)
        assert table["pvals_adj"].isna().all()
    assert sc.get.rank_genes_groups_df(cells, None)["group"].nunique() == 2
    cells.write_h5ad(tmp_path / "ranked.h5ad")
    again = anndata.read_h5ad(tmp_path / "ranked.h5ad")
    assert again.uns["rank_genes_groups"]["names"]["a"][0] in ("gene_3", "gene_7")
    axes = sc.pl.rank_genes_groups(cells, n_genes=3, show=False, sharey=False)
    shown = [[text.get_text() for text in axis.texts] for axis in axes]
    assert shown == [means[group].nlargest(3).index.tolist() for group in ("a", "b")]
    dots = sc.pl.rank_genes_groups_dotplot(cells, n_genes=2, show=False, dendrogram=False)
    assert "mainplot_ax" in dots


def test_baselines_are_scanpys(planted):
    mean = expression_scores(planted, "side")
    of_b = planted[planted.obs["side"] == "b"].X.toarray().mean(axis=0)
    np.testing.assert_allclose(mean["b"], of_b, rtol=1e-5)
    cells = planted.copy()
    cells.obs["side"] = cells.obs["side"].astype("category")
    sc.tl.rank_genes_groups(cells, "side", method="wilcoxon")
    table = sc.get.rank_genes_groups_df(cells, "b").set_index("names")["scores"]
    scores = expression_scores(planted, "side", "wilcoxon")["b"]
    assert scores.index.tolist() == planted.var_names.tolist()
    np.testing.assert_allclose(scores, table[scores.index], rtol=1e-5)
    assert scores.idxmax() == "gene_3"
    assert "log1p" not in planted.uns


# ------------------------------------------------------------------------ errors


def message_of(error, call, *args, **options) -> str:
    with pytest.raises(error) as caught:
        call(*args, **options)
    return str(caught.value.args[0])


def test_errors_name_the_value_and_how_to_mend_it(planted, found, fitted, logged):
    assert message_of(KeyError, contrast_importance, planted, "platform") == (
        "label_key='platform' is not a column of adata.obs. Columns there: side."
    )
    one = planted[planted.obs["side"] == "a"]
    assert message_of(ValueError, contrast_importance, one, "side") == (
        "All 150 cells have the label 'a' in adata.obs['side']; at least two different labels are "
        "needed. Is label_key the right column?"
    )
    holes = planted.copy()
    holes.obs["side"] = holes.obs["side"].where(np.arange(200) > 2)
    assert message_of(ValueError, contrast_importance, holes, "side") == (
        "adata.obs['side'] is empty for 3 cells. Fill it in or leave those cells out."
    )
    assert message_of(NotFittedError, gene_importance, imap_keras.IMAP(), logged) == (
        "This IMAP is not fitted yet; call fit(adata, batch_key=...) first."
    )
    assert message_of(TypeError, gene_importance, logged, logged) == (
        "model=AnnData must be a fitted imap_keras.IMAP; contrast_importance(adata, label_key) needs "
        "no model."
    )
    few = logged[:, 2:].copy()
    assert message_of(ValueError, gene_importance, fitted, few) == (
        f"2 of the {logged.n_vars} fitted genes are missing, the first is {logged.var_names[0]!r}. "
        "From counts of all genes, preprocess(new, genes=model) keeps exactly the fitted ones."
    )
    assert message_of(TypeError, contrast_importance, planted, "side", epoch=3) == (
        "'epoch' is not a hyperparameter of importance; did you mean 'epochs'?"
    )
    assert message_of(ValueError, contrast_importance, planted, "side", n_samples=0) == (
        "n_samples=0 must be a whole number of at least 1."
    )
    counts = cells_of(np.arange(40).reshape(4, 10), side=list("aabb"))
    assert "log-normalised values are expected" in message_of(
        ValueError, contrast_importance, counts, "side"
    )


def test_errors_of_the_ranking(planted, found):
    assert message_of(ValueError, rank_genes, planted, planted) == (
        "importance holds no uns['importance'] and varm['importance']; give what gene_importance() or "
        "contrast_importance() returned."
    )
    assert message_of(ValueError, rank_genes, planted[:, :15].copy(), found) == (
        "5 of the 20 explained genes are missing, the first is 'gene_15'. Rank in the cells that were "
        "explained, or in some with the same genes."
    )
    other = planted.copy()
    other.obs.columns = ["platform"]
    assert message_of(KeyError, rank_genes, other, found) == (
        "the explained label_key='side' is not a column of adata.obs. Columns there: platform."
    )
    assert message_of(ValueError, expression_scores, planted, "side", "median") == (
        "method='median' is unknown; choose one of ('mean', 't-test', 'wilcoxon')."
    )


def test_doubtful_results_warn(planted, monkeypatch):
    cells = planted.copy()
    cells.obs["coin"] = np.random.default_rng(3).choice(["heads", "tails"], 200)
    short = QUICK | {"epochs": 2}
    with pytest.warns(UserWarning, match=r"The head tells \d+% of the cells held out \(chance 50%\)"):
        contrast_importance(cells, "coin", **short)
    twins = AnnData(sparse.vstack([cells.X, cells.X[:3]], format="csr"), var=cells.var)
    twins.obs["coin"] = np.where(np.arange(203) < 200, "heads", "tails")
    with pytest.warns(UserWarning, match="none of the explained cells of 'tails' right"):
        found = contrast_importance(twins, "coin", **short)
    assert list(found.varm["importance"]) == ["heads"]
    monkeypatch.setattr(module, "LARGEST_GAP", 0.0)
    with pytest.warns(UserWarning, match=r"by \d+% of the logit's range .* raise n_samples \(4\)"):
        contrast_importance(planted, "side", **QUICK | {"n_samples": 4})
