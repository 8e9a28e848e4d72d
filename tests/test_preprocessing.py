"""From counts to log-normalised variable genes, by numbers worked out here."""

import tracemalloc

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy
from anndata import AnnData
from packaging.version import Version
from scipy import sparse

import imap_keras
from imap_keras import IMAP, preprocess
from imap_keras.inputs.values import check_counts, named_layers
from imap_keras.nn.estimator import NotFittedError
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
    assert not named_layers(adata) and list(adata.uns) == ["note"]
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


# ------------------------------------------------------------------ batches too small


def two_batches(n_cells, n_genes=40, seed=0):
    """Batch a has 30 cells, batch b `n_cells`."""
    counts = np.random.default_rng(seed).poisson(3, (30 + n_cells, n_genes)).astype("float32")
    obs = pd.DataFrame({"batch": ["a"] * 30 + ["b"] * n_cells})
    return AnnData(counts, obs=obs.set_axis([f"c{i}" for i in range(len(obs))]))


@pytest.mark.parametrize("flavor", ["seurat_v3", "per_batch"])
@pytest.mark.parametrize("case", ["one cell", "one cell left", "equal cells", "three genes vary"])
def test_a_batch_without_variation_is_named_before_genes_are_chosen(flavor, case):
    """The fit of seurat_v3 would end the interpreter: no exception, no traceback."""
    adata, n_cells, n_genes = two_batches(1 if case == "one cell" else 6), 6, 0
    if case == "one cell":
        n_cells = 1
    elif case == "one cell left":
        adata.X[31:, 5:] = 0
        n_cells = 1
    else:
        adata.X[30:] = adata.X[30]
        if case == "three genes vary":
            adata.X[30, :3] += 1
            n_genes = 3
    with pytest.raises(ValueError) as caught:
        preprocess(adata, n_top_genes=10, min_genes=6, flavor=flavor, verbose=0)
    assert str(caught.value) == (
        f"Batch 'b' has {n_cells} cells after the filters, and {n_genes} genes vary in it; at "
        "least 2 cells and 4 genes are needed to find variable genes. Leave it out, merge it with "
        "another batch, or lower min_genes."
    )


def test_a_batch_of_one_cell_stays_where_all_genes_stay():
    assert preprocess(two_batches(1), n_top_genes=40, min_genes=6, verbose=0).shape == (31, 40)


@pytest.mark.skipif(
    Version(scanpy.__version__) >= Version("1.12"), reason="scanpy 1.12 chooses among such genes itself"
)
def test_genes_of_one_dispersion_are_refused_by_batch():
    adata = two_batches(4, 20)
    adata.X[30:] = np.arange(4)[:, None] % 2
    with pytest.raises(ValueError, match="No gene of batch 'b' .4 cells. can be told from the others"):
        preprocess(adata, n_top_genes=5, min_genes=0, flavor="per_batch", verbose=0)


def test_the_fit_is_tried_again_with_a_wider_span_and_says_so(monkeypatch, capsys, counts):
    real, spans = scanpy.pp.highly_variable_genes, []

    def fails_below(span, least=0.7, **options):
        spans.append(span)
        if span < least:
            raise ValueError("reciprocal condition number")
        return real(options.pop("adata"), span=span, **options)

    def patched(adata, **options):
        return fails_below(adata=adata, **options)

    monkeypatch.setattr(scanpy.pp, "highly_variable_genes", patched)
    new = preprocess(counts, n_top_genes=20, min_genes=5)
    assert spans == [0.3, 0.7] and new.n_vars == 20
    assert new.uns["imap_keras_preprocess"]["span"] == 0.7
    out = capsys.readouterr().out
    assert out.count("Their variance was fitted with a span of 0.7: 0.3 found no fit.") == 1
    monkeypatch.setattr(
        scanpy.pp, "highly_variable_genes", lambda adata, **o: fails_below(adata=adata, least=2, **o)
    )
    with pytest.raises(ValueError, match=r"widest span of 1.0 too \(reciprocal.*flavor='per_batch'"):
        preprocess(counts, n_top_genes=20, min_genes=5, verbose=0)
    assert spans[2:] == [0.3, 0.7, 1.0]


# ------------------------------------------------------------------ odd numbers, odd tables


@pytest.mark.parametrize(
    "option, least", [("n_top_genes", 1), ("min_genes", 0), ("min_cells", 0), ("min_batches", 1)]
)
def test_counts_of_things_are_whole_numbers(option, least):
    for wrong in (least - 1, 2.5, "10", True):
        with pytest.raises(ValueError) as caught:
            preprocess(hand_made(), **{option: wrong})
        message = f"{option}={wrong!r} must be a whole number of at least {least}."
        assert str(caught.value) == message


def test_tables_without_cells_or_genes_are_refused():
    with pytest.raises(ValueError, match=r"^adata has no cells \(its shape is 0 x 6\).$"):
        preprocess(hand_made()[:0])
    with pytest.raises(ValueError, match=r"^adata has no genes \(its shape is 12 x 0\).$"):
        preprocess(hand_made()[:, :0])


def test_one_constant_gene_passes_the_filters_and_says_nothing_can_be_learnt_later():
    adata = hand_made()[1:, 1:2].copy()
    adata.X[:] = 3
    new = preprocess(adata, min_genes=1, min_cells=1, verbose=0)
    np.testing.assert_allclose(new.X, np.log1p(1e4), rtol=1e-6)


def test_a_warning_where_most_cells_leave():
    adata = hand_made()
    adata.X[1:8, 3:] = 0
    with pytest.warns(UserWarning) as caught:
        preprocess(adata, min_genes=3, verbose=0)
    assert [str(warning.message) for warning in caught] == [
        "58% of the cells leave: they have fewer than min_genes=3 genes, and the cells of adata.X have "
        "2 detected genes (median). If the data hold chosen genes only, lower min_genes."
    ]


@pytest.mark.parametrize(
    "cells, genes",
    [
        ([f"ENSG{i:011d}.2" for i in range(12)], [f"x{i}" for i in range(6)]),
        ([f"x{i}" for i in range(12)], [f"AAACCTGAGC{c}-1" for c in "ACGTAC"]),
        (["GAPDH", "Actb", *(f"x{i}" for i in range(10))], [f"x{i}" for i in range(6)]),
    ],
)
def test_a_matrix_on_its_side_gets_a_hint(cells, genes):
    adata = hand_made()
    adata.obs_names, adata.var_names = cells, genes
    with pytest.warns(UserWarning, match="12 cells x 6 genes.*adata = adata.T first"):
        try:
            preprocess(adata, min_genes=2, verbose=0)
        except ValueError as error:
            assert "gene names" in str(error)  # two barcodes of the list are equal
    upright = hand_made()
    upright.obs_names, upright.var_names = [f"ACGTACGTACG{i}" for i in range(12)], list("ABCDEF")
    preprocess(upright, min_genes=2, verbose=0)  # a warning would be an error


# ------------------------------------------------------------------ the same genes, later


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "csr"])
def test_a_new_batch_gets_exactly_the_genes_of_the_reference(counts, kind, capsys):
    cells = AnnData(kind(dense(counts.X)), counts.obs.copy(), counts.var.copy())
    reference = preprocess(cells, n_top_genes=20, min_genes=5, min_cells=0, verbose=0)
    shuffled = cells[:, ::-1].copy()
    for genes in (reference, reference.var_names.tolist(), reference.var_names):
        new = preprocess(shuffled, min_genes=5, genes=genes)
        assert new.var_names.tolist() == reference.var_names.tolist()
        np.testing.assert_array_equal(dense(new.X), dense(reference.X))
        np.testing.assert_array_equal(dense(new.layers["counts"]), dense(reference.layers["counts"]))
        sentence = "120 of 120 cells kept (0 had fewer than 5 genes); the 20 genes asked for kept (0"
        assert capsys.readouterr().out.startswith(sentence)
    assert new.uns["imap_keras_preprocess"]["genes"] == "given"
    assert new.uns["preprocess"]["genes_not_asked_for"] == 40


def test_a_fitted_model_names_the_genes(fitted, counts, logged):
    new = preprocess(counts, min_genes=5, genes=fitted, verbose=0)
    assert new.var_names.tolist() == fitted.genes
    np.testing.assert_allclose(dense(new.X), dense(logged.X), rtol=1e-6)


def test_few_missing_genes_are_zeros_and_many_an_error(counts):
    names = counts.var_names.tolist()
    new = preprocess(counts[:, 4:].copy(), min_genes=5, genes=names[:50], verbose=0)
    assert new.var_names.tolist() == names[:50]
    assert not dense(new.X)[:, :4].any() and dense(new.X)[:, 4:].any(axis=0).all()
    assert new.uns["preprocess"]["genes_missing"] == 4
    assert not new.layers["truth"][:, :4].any()
    with pytest.raises(ValueError) as caught:
        preprocess(counts[:, 6:].copy(), min_genes=5, genes=names[:50])
    assert str(caught.value) == (
        "6 of the 50 genes asked for are missing (12%, at most 10% may be), the first is 'gene_0'; the "
        "data have ['gene_6', 'gene_7', 'gene_8'] .... Are both named by the same kind of gene name? "
        "If so, fit again on the genes that both have."
    )


@pytest.mark.parametrize("suffix", [None, ".h5ad", ".zarr"])
def test_what_is_known_of_genes_can_be_written_where_some_are_missing(counts, tmp_path, suffix):
    names = counts.var_names.tolist()[:50]
    known = counts[:, 4:].copy()
    known.var["mark"] = True
    known.var["maybe"] = pd.array([True, None] * 28, "boolean")
    known.var["id"] = known.var_names.to_numpy()
    known.var.index.name = "id"
    out = None if suffix is None else tmp_path / f"new{suffix}"
    new = preprocess(known, min_genes=5, genes=names, verbose=0, out=out)
    if out is None:
        out = tmp_path / "new.h5ad"
        new.write_h5ad(out)
    var = (anndata.read_zarr if suffix == ".zarr" else anndata.read_h5ad)(out).var
    assert var["mark"].dtype == bool and var["mark"].tolist() == [False] * 4 + [True] * 46
    assert var["maybe"].dtype == "boolean"
    assert var["maybe"].tolist() == [pd.NA] * 4 + [True, pd.NA] * 23
    assert var.index.tolist() == names
    assert var["id"].astype(object).where(var["id"].notna(), None).tolist() == [None] * 4 + names[4:]


def test_marks_of_genes_may_be_named_by_numbers(counts):
    known = counts[:, 4:].copy()
    known.var[0] = True
    new = preprocess(known, min_genes=5, genes=counts.var_names[:50], verbose=0)
    assert new.var[0].dtype == bool and new.var[0].tolist() == [False] * 4 + [True] * 46


@pytest.mark.parametrize(
    "genes, error, message",
    [
        ("gene_1", TypeError, "genes='gene_1' has no genes; give a fitted model"),
        (7, TypeError, "genes=7 has no genes"),
        ([], ValueError, "genes names 0 genes"),
        (["gene_1", "gene_1"], ValueError, "genes names 2 genes, 1 of them different"),
        (
            IMAP(),
            NotFittedError,
            r"This IMAP is not fitted yet; call fit\(adata, batch_key=...\) first",
        ),
    ],
)
def test_what_is_no_list_of_genes_is_refused(counts, genes, error, message):
    with pytest.raises(error, match=message):
        preprocess(counts, genes=genes)


def test_the_recipe_is_kept_and_can_be_written(counts, tmp_path):
    new = preprocess(counts, n_top_genes=15, min_genes=5, flavor="per_batch", min_batches=2, verbose=0)
    recipe = new.uns["imap_keras_preprocess"]
    assert recipe == {
        "version": imap_keras.__version__,
        "batch_key": "batch",
        "min_genes": 5,
        "target_sum": 10_000,
        "log": "log1p",
        "genes_counted": 60,
        "min_cells": 3,
        "n_top_genes": 15,
        "flavor": "per_batch",
        "min_batches": 2,
        "span": 0.3,
        "genes": "variable",
    }
    new.write_h5ad(tmp_path / "cells.h5ad")
    assert anndata.read_h5ad(tmp_path / "cells.h5ad").uns["imap_keras_preprocess"] == recipe


def test_the_memory_of_one_more_copy_of_the_counts_is_enough():
    """All other genes leave before the result is made: once every layer was copied whole."""
    adata = imap_keras.datasets.simulate(n_cells=1500, n_genes=400, n_batches=2)
    adata.layers["truth"] = adata.X.copy()
    size = adata.X.data.nbytes + adata.X.indices.nbytes
    tracemalloc.start()
    preprocess(adata, n_top_genes=40, min_genes=5, verbose=0)
    lasting, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3.5 * size, peak / size
    assert lasting < 0.5 * size, lasting / size  # nothing waits for the garbage collector
