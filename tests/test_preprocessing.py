"""From counts to log-normalised variable genes, by numbers worked out here."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from imap_keras import preprocess
from imap_keras.inputs.values import check_counts
from imap_keras.preprocessing import per_batch_genes


def hand_made(kind=np.asarray):
    """12 cells x 6 genes: cell 0 has 1 gene, gene 0 is seen in cell 0 and in one more cell."""
    counts = np.random.default_rng(0).integers(1, 30, size=(12, 6)).astype("float32")
    counts[:, 0] = 0
    counts[0] = 0
    counts[[0, 5], 0] = 3
    return AnnData(
        kind(counts),
        obs=pd.DataFrame({"batch": ["a", "b"] * 6}, index=[f"c{i}" for i in range(12)]),
        var=pd.DataFrame(index=[f"g{i}" for i in range(6)]),
        obsm={"position": np.arange(24.0).reshape(12, 2)},
    )


def dense(x):
    return x.toarray() if sparse.issparse(x) else np.asarray(x)


def test_x_is_log1p_of_counts_per_ten_thousand():
    adata = hand_made()
    new = preprocess(adata, min_genes=2, min_cells=3, verbose=0)
    counts = adata.X[1:, 1:].astype("float64")
    expected = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    np.testing.assert_allclose(new.X, expected, rtol=1e-5)
    np.testing.assert_array_equal(new.layers["counts"], counts)
    assert list(new.obs_names) == [f"c{i}" for i in range(1, 12)]
    assert list(new.var_names) == [f"g{i}" for i in range(1, 6)]
    np.testing.assert_array_equal(new.obsm["position"], adata.obsm["position"][1:])
    assert list(new.obs["batch"]) == list(adata.obs["batch"][1:])


@pytest.mark.parametrize(
    "kind, sort",
    [(np.asarray, np.ndarray), (sparse.csr_matrix, sparse.csr_matrix)],
    ids=["dense", "csr"],
)
def test_matrix_keeps_its_kind_and_values(kind, sort):
    new = preprocess(hand_made(kind), min_genes=2, verbose=0)
    assert isinstance(new.X, sort)
    assert isinstance(new.layers["counts"], sort)
    expected = preprocess(hand_made(), min_genes=2, verbose=0)
    np.testing.assert_allclose(dense(new.X), expected.X, rtol=1e-6)
    assert new.X.dtype == "float32"


def test_counts_layer_goes_before_x():
    adata = hand_made()
    adata.layers["counts"] = adata.X.copy()
    adata.X = adata.X + 0.5  # not counts at all
    new = preprocess(adata, min_genes=2, verbose=0)
    np.testing.assert_array_equal(new.X, preprocess(hand_made(), min_genes=2, verbose=0).X)


def test_other_layers_are_cut_to_the_same_cells_and_genes():
    adata = hand_made()
    adata.layers["truth"] = np.arange(72.0).reshape(12, 6)
    new = preprocess(adata, min_genes=2, verbose=0)
    np.testing.assert_array_equal(new.layers["truth"], np.arange(72.0).reshape(12, 6)[1:, 1:])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "csr"])
def test_input_is_not_changed(kind):
    adata = hand_made(kind)
    adata.uns["note"] = {"who": "me"}
    before = adata.copy()
    preprocess(adata, min_genes=2, verbose=0)
    np.testing.assert_array_equal(dense(adata.X), dense(before.X))
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    pd.testing.assert_frame_equal(adata.var, before.var)
    assert list(adata.layers) == [] and list(adata.uns) == ["note"]
    np.testing.assert_array_equal(adata.obsm["position"], before.obsm["position"])


def test_report_and_sentence_say_what_left_and_why(capsys):
    new = preprocess(hand_made(), min_genes=2, min_cells=3, verbose=1)
    assert new.uns["preprocess"] == {
        "cells_in": 12,
        "cells_with_too_few_genes": 1,
        "genes_in": 6,
        "genes_in_too_few_cells": 1,
        "genes_not_variable": 0,
        "batches": 2,
    }
    assert capsys.readouterr().out.strip() == (
        "11 of 12 cells kept (1 had fewer than 2 genes); 5 of 6 genes kept "
        "(1 seen in fewer than 3 cells, 0 not variable enough)."
    )
    preprocess(hand_made(), min_genes=2, verbose=0)
    assert capsys.readouterr().out == ""


def test_genes_are_counted_in_the_cells_that_stay():
    assert preprocess(hand_made(), min_genes=2, min_cells=1, verbose=0).n_vars == 6
    assert preprocess(hand_made(), min_genes=2, min_cells=2, verbose=0).n_vars == 5  # not in cell 0
    assert preprocess(hand_made(), min_genes=1, min_cells=2, verbose=0).n_vars == 6


def test_seurat_v3_keeps_so_many_genes_in_their_order(counts):
    new = preprocess(counts, n_top_genes=20, min_genes=5, verbose=0)
    assert new.shape == (120, 20)
    assert new.uns["preprocess"]["genes_not_variable"] == 40
    kept = [name for name in counts.var_names if name in set(new.var_names)]
    assert list(new.var_names) == kept
    # Normalised before genes are chosen: by all counts of a cell, not by those of the chosen genes.
    every = preprocess(counts, min_genes=5, verbose=0)
    np.testing.assert_array_equal(dense(new.X), dense(every[:, new.var_names].X))


def test_seurat_v3_prefers_the_markers_of_types(counts):
    """Genes whose expected share differs between the true types are found more often than not."""
    truth = counts.layers["truth"] / counts.layers["truth"].sum(1, keepdims=True)
    types = counts.obs["cell_type"]
    means = np.log(np.array([truth[types == t].mean(0) for t in types.cat.categories]))
    marker = counts.var_names[np.argsort(np.ptp(means, axis=0))[-12:]]
    new = preprocess(counts, n_top_genes=20, min_genes=5, verbose=0)
    assert len(set(marker) & set(new.var_names)) >= 7  # 4 by chance


def test_per_batch_is_the_union_and_min_batches_the_vote(logged):
    labels = logged.obs["batch"].to_numpy()
    votes = sum(
        per_batch_genes(logged[labels == b].copy(), "batch", 15).astype(int) for b in np.unique(labels)
    )
    assert 3 * 15 <= votes.sum() <= 3 * 15 + 3  # scanpy keeps genes that tie with the last
    for min_batches in (1, 2, 3):
        chosen = per_batch_genes(logged, "batch", 15, min_batches)
        np.testing.assert_array_equal(chosen, votes >= min_batches)


def test_preprocess_hands_flavor_and_min_batches_on(counts, logged):
    new = preprocess(counts, n_top_genes=15, min_genes=5, flavor="per_batch", min_batches=2, verbose=0)
    expected = logged.var_names[per_batch_genes(logged, "batch", 15, 2)]
    assert list(new.var_names) == list(expected)


def test_no_gene_in_enough_batches_is_an_error(logged):
    with pytest.raises(ValueError, match="15 most variable of 4 batches.*min_batches"):
        per_batch_genes(logged, "batch", 15, min_batches=4)


def test_fractional_counts_are_refused():
    adata = hand_made()
    adata.X[1, 1:4] += 0.5
    with pytest.raises(ValueError, match=r"adata.X holds 3 fractional values.*layers\['counts'\]"):
        preprocess(adata)
    with pytest.raises(ValueError, match="2 fractional"):
        check_counts(sparse.csr_matrix([[0.5, 0], [0, 1.25]]))


@pytest.mark.parametrize(
    "value, message", [(-1, "1 negative"), (np.nan, "1 NaN or infinite"), (np.inf, "1 NaN or infinite")]
)
def test_impossible_counts_are_refused(value, message):
    adata = hand_made()
    adata.X[2, 2] = value
    with pytest.raises(ValueError, match=message):
        preprocess(adata)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"min_genes": 200}, r"No cells are left.*5 detected genes \(median\).*min_genes=200"),
        ({"min_genes": 1, "min_cells": 13}, "No genes are left.*min_cells=13"),
    ],
)
def test_filters_that_leave_nothing_are_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        preprocess(hand_made(), **options)


def test_unknown_flavor_is_refused():
    with pytest.raises(ValueError, match="flavor='cell_ranger'.*seurat_v3.*per_batch"):
        preprocess(hand_made(), flavor="cell_ranger")
