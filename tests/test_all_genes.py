"""Genes beyond the variable ones are corrected along the same pairs; nothing else changes."""

import copy
import re

import anndata
import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse

import imap_keras
from imap_keras import IMAP
from imap_keras.imap import gene_chunks, query_batch
from imap_keras.nn.fitting import run


@pytest.fixture(scope="module", autouse=True)
def without_graphs(fitted, integrated):  # the shared fits come first, as other tests know them
    """Tiny trainings are over before TensorFlow has built the graph of a step."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def whole():
    """120 cells in 60 genes, every third marked as variable."""
    counts = imap_keras.datasets.simulate(n_cells=120, n_genes=60, n_batches=3, n_types=3, seed=1)
    cells = imap_keras.preprocess(
        counts, min_genes=5, min_cells=0, n_top_genes=20, keep_all_genes=True, verbose=0
    )
    assert cells.n_vars == 60 and cells.var["highly_variable"].sum() == 20
    return cells


@pytest.fixture(scope="module")
def short():
    from conftest import TINY

    return TINY | {"stage1_epochs": 1, "stage1_steps": 2, "stage2_epochs": 1, "stage2_steps": 3}


@pytest.fixture(scope="module")
def model(whole, short):
    return IMAP(**short, chunk_genes=15).fit(whole, genes="all", verbose=0)


def test_variable_genes_are_corrected_as_if_there_were_no_others(whole, short, model):
    alone = IMAP(**short).fit(whole, verbose=0)
    assert alone.genes == whole.var_names[whole.var["highly_variable"]].tolist() == model.variable_genes
    one, all_ = alone.transform(whole), model.transform(whole)
    assert one.n_vars == 20 and all_.var_names.equals(whole.var_names)
    np.testing.assert_array_equal(all_[:, alone.genes].layers["imap"], one.layers["imap"])
    for key in ("X_imap", "X_imap_content"):
        np.testing.assert_array_equal(all_.obsm[key], one.obsm[key])


def test_every_other_gene_lies_in_one_chunk_and_goes_through_its_generators(whole, model):
    chunks = [chunk.genes for chunk in model.chunks]
    assert [len(genes) for genes in chunks] == [14, 13, 13]
    assert sorted(sum(chunks, model.variable_genes)) == sorted(whole.var_names)
    result, batch = model.transform(whole), whole.obs["batch"].to_numpy()
    for chunk in model.chunks:
        measured = whole[:, chunk.genes].X.toarray()
        corrected = result[:, chunk.genes].layers["imap"]
        anchor = batch == model.order[0]
        np.testing.assert_array_equal(corrected[anchor], measured[anchor])
        for name in model.order[1:]:
            carried = np.maximum(run(chunk.generators[name], measured[batch == name]), 0)
            np.testing.assert_allclose(corrected[batch == name], carried, atol=1e-6)
            assert np.abs(carried - measured[batch == name]).max() > 1e-3


def test_pairs_are_searched_once_and_one_chunk_is_read_at_a_time(whole, short, monkeypatch):
    searches, read = [], []
    find, rows = query_batch.find_pairs, gene_chunks.read_rows
    monkeypatch.setattr(query_batch, "find_pairs", lambda *told: searches.append(1) or find(*told))

    def reading(cells, index):
        read.append(cells.shape[1])
        return rows(cells, index)

    monkeypatch.setattr(gene_chunks, "read_rows", reading)
    IMAP(**short, chunk_genes=15).fit(whole, genes="all", verbose=0)
    assert len(searches) == 2 and read == [14, 13, 13]


def test_chunks_train_on_the_pairs_of_the_variable_genes(whole, model, short, monkeypatch):
    """Each chunk is stage II on its own genes, with the same pairs, at its own scale."""
    seen = []
    train = imap_keras.imap.few_pairs.train_stage2

    def training(table, pairs, *told, **named):
        seen.append((table.copy(), pairs))
        return train(table, pairs, *told, **named)

    monkeypatch.setattr(imap_keras.imap.few_pairs, "train_stage2", training)
    again = IMAP(**short, chunk_genes=15).fit(whole, genes="all", verbose=0)
    assert len(seen) == 2 * 4
    for i, chunk in enumerate(again.chunks, start=1):
        table, pairs = seen[2 * i]
        measured = whole[:, chunk.genes].X.toarray()
        np.testing.assert_allclose(table, measured * chunk.scale, rtol=1e-5)
        assert measured.std(axis=0).mean() * chunk.scale == pytest.approx(0.8, rel=1e-4)
        np.testing.assert_array_equal(pairs, again.pairs[again.order[1]])


def test_one_call_takes_genes_too(whole, short, model):
    found = imap_keras.integrate(whole, verbose=0, genes="all", chunk_genes=15, **short)
    np.testing.assert_array_equal(found.layers["imap"], model.transform(whole).layers["imap"])


def test_a_list_of_genes_takes_the_place_of_the_marks(whole, short):
    names = whole.var_names[[30, 2, 4, 9, 50, 11, 13, 40]].tolist()
    found = IMAP(**short, chunk_genes=100).fit(whole, genes=names, verbose=0)
    assert found.variable_genes == whole.var_names[sorted([30, 2, 4, 9, 50, 11, 13, 40])].tolist()
    assert found.genes == whole.var_names.tolist() and len(found.chunks[0].genes) == 52


def test_without_marks_all_genes_are_read(logged, fitted):
    assert logged.var["highly_variable"].all() and fitted.genes == logged.var_names.tolist()
    assert fitted.variable_genes == fitted.genes and fitted.chunks == []


def test_a_saved_model_knows_its_chunks(whole, model, tmp_path):
    model.save(tmp_path / "model")
    loaded = IMAP.load(tmp_path / "model")
    assert [chunk.genes for chunk in loaded.chunks] == [chunk.genes for chunk in model.chunks]
    assert [chunk.scale for chunk in loaded.chunks] == [chunk.scale for chunk in model.chunks]
    np.testing.assert_array_equal(
        loaded.transform(whole).layers["imap"], model.transform(whole).layers["imap"]
    )


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_cells_on_disk_give_the_same(whole, model, short, suffix, tmp_path):
    path = tmp_path / f"cells.{suffix}"
    (whole.write_h5ad if suffix == "h5ad" else whole.write_zarr)(path)
    found = IMAP(**short, chunk_genes=15).fit(path, genes="all", verbose=0)
    out = found.transform(path, out=tmp_path / "result.h5ad", keep=("imap", "X_imap"), verbose=0)
    result, expected = anndata.read_h5ad(out), model.transform(whole)
    assert result.var_names.equals(whole.var_names)
    np.testing.assert_allclose(result.layers["imap"], expected.layers["imap"], atol=1e-5)
    np.testing.assert_allclose(result.obsm["X_imap"], expected.obsm["X_imap"], atol=1e-5)


def test_a_query_is_mapped_in_all_genes(whole, short):
    batch = whole.obs["batch"] == "batch_2"
    known, new = whole[~batch].copy(), whole[batch].copy()
    fitted = IMAP(**short, chunk_genes=15).fit(known, genes="all", verbose=0)
    before = fitted.transform(known)
    mapped = fitted.map_query(new, reference=known, verbose=0)
    assert mapped.var_names.equals(whole.var_names)
    np.testing.assert_array_equal(
        fitted.transform(known).layers["imap"], before.layers["imap"], err_msg="the reference moved"
    )
    for chunk in fitted.chunks:
        assert list(chunk.generators) == fitted.order[1:]
        measured = new[:, chunk.genes].X.toarray()
        carried = np.maximum(run(chunk.generators["batch_2"], measured), 0)
        np.testing.assert_allclose(mapped[:, chunk.genes].layers["imap"], carried, atol=1e-6)
        assert np.abs(carried - measured).max() > 1e-3


def test_new_cells_are_prepared_in_all_genes_of_the_model(model, whole):
    counts = imap_keras.datasets.simulate(n_cells=60, n_genes=60, n_batches=3, n_types=3, seed=5)
    new = imap_keras.preprocess(counts, min_genes=5, genes=model, verbose=0)
    assert new.var_names.tolist() == model.genes
    assert new.var_names[new.var["highly_variable"]].tolist() == model.variable_genes
    assert model.transform(new).layers["imap"].shape == new.shape


@pytest.mark.parametrize("on_disk", [False, True])
def test_all_genes_are_kept_and_the_variable_ones_marked(counts, on_disk, tmp_path, capsys):
    told = dict(min_genes=5, min_cells=2, n_top_genes=20)
    few = imap_keras.preprocess(counts, verbose=0, **told)
    if on_disk:
        counts.write_h5ad(tmp_path / "counts.h5ad")
        out = tmp_path / "all.h5ad"
        imap_keras.preprocess(tmp_path / "counts.h5ad", keep_all_genes=True, out=out, **told)
        found = anndata.read_h5ad(out)
    else:
        found = imap_keras.preprocess(counts, keep_all_genes=True, **told)
    assert found.var_names.equals(counts.var_names[np.ravel((counts.X > 0).sum(axis=0)) >= 2])
    marked = found[:, found.var["highly_variable"]]
    assert marked.var_names.equals(few.var_names) and few.var["highly_variable"].all()
    np.testing.assert_allclose(marked.X.toarray(), few.X.toarray(), rtol=1e-6)
    assert found.uns["imap_keras_preprocess"]["genes"] == "all"
    n = found.n_vars
    assert f"{n} of 60 genes kept" in capsys.readouterr().out


def test_an_older_mark_of_other_genes_is_replaced(counts):
    marked = counts.copy()
    marked.var["highly_variable"] = np.arange(60) < 3
    found = imap_keras.preprocess(marked, min_genes=5, n_top_genes=20, verbose=0)
    assert found.var["highly_variable"].all() and found.n_vars == 20


def test_what_is_read_is_said(whole, short, capsys, monkeypatch):
    monkeypatch.setattr(imap_keras.imap.model, "read_pool", lambda *told: 1 / 0)
    for genes, corrected in (
        ("variable", "these are corrected (all with genes='all')"),
        ("all", "all are corrected"),
    ):
        with pytest.raises(ZeroDivisionError):
            IMAP(**short).fit(whole, genes=genes)
        assert capsys.readouterr().out == f"Pairs are found in 20 of 60 genes; {corrected}.\n"


MISTAKES = {
    "unknown": (
        ["gene_1", "CD3E", "CD4"],
        "genes names 3 genes; 2 of them are not in the data: 'CD3E', 'CD4'. The data have "
        "['gene_0', 'gene_1', 'gene_2'] ....",
    ),
    "none": ([], "genes names 0 genes; 0 of them are different. The data have"),
    "twice": (["gene_1", "gene_1"], "genes names 2 genes; 1 of them are different."),
    "word": ("every", "genes='every' is unknown; choose 'variable', 'all', or a list of names."),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_genes_that_cannot_be_chosen_are_an_error(whole, short, mistake):
    genes, sentence = MISTAKES[mistake]
    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        IMAP(**short).fit(whole, genes=genes)


def test_all_genes_need_marks(whole, short):
    bare = whole.copy()
    del bare.var["highly_variable"]
    with pytest.raises(
        ValueError, match=r"^genes='all' needs var\['highly_variable'\] to say in which"
    ):
        IMAP(**short).fit(bare, genes="all")
    bare.var["highly_variable"] = np.where(np.arange(60) < 20, "yes", "no")
    with pytest.raises(
        ValueError, match=r"must hold True or False for each gene.*it holds \['no', 'yes'\]"
    ):
        IMAP(**short).fit(bare, genes="all")


# ------------------------------------------------------------------ clipped expression


def test_expression_is_clipped_and_components_are_of_the_values_before(logged, integrated, fitted):
    unclipped = copy.copy(fitted)
    unclipped.hyperparameters = fitted.hyperparameters.changed(clip_output=False)
    before = unclipped.transform(logged)
    assert before.layers["imap"].min() < 0 == integrated.layers["imap"].min()
    np.testing.assert_array_equal(integrated.layers["imap"], np.maximum(before.layers["imap"], 0))
    np.testing.assert_array_equal(integrated.obsm["X_imap"], before.obsm["X_imap"])


# ------------------------------------------------------------------ a space of the user's own


@pytest.fixture
def with_space(logged, fitted):
    cells = logged.copy()
    cells.obsm["X_own"] = np.random.default_rng(0).normal(size=(cells.n_obs, 3))
    return cells


def test_pairs_are_searched_in_an_embedding_of_the_users_own(with_space, tiny):
    hp = tiny | {"pair_agreement": 0, "stage2_epochs": 1, "stage2_steps": 3}
    found = IMAP(**hp, pair_space="X_own").fit(with_space, verbose=0)
    space, batch = with_space.obsm["X_own"].astype("float32"), with_space.obs["batch"].to_numpy()
    query, anchor = (np.flatnonzero(batch == name) for name in (found.order[1], found.order[0]))
    mnn = imap_keras.imap.pairs.mutual_neighbors(
        space[query], space[anchor], 5, metric="angular", search=imap_keras.imap.pairs.SEARCHES["exact"]
    )
    assert found.pair_counts["mnn"][0] == len(mnn)
    own = {tuple(pair) for pair in found.pairs[found.order[1]][::3]}
    assert own == {(query[i], anchor[j]) for i, j in mnn}


def test_a_query_is_paired_in_the_embedding_too(with_space, tiny, tmp_path):
    hp = tiny | {"pair_agreement": 0, "stage2_epochs": 1, "stage2_steps": 3, "pair_space": "X_own"}
    new = with_space.obs["batch"] == "batch_2"
    known, query = with_space[~new].copy(), with_space[new].copy()
    known.write_h5ad(tmp_path / "known.h5ad")
    fitted = IMAP(**hp).fit(known, verbose=0)
    of_file = IMAP(**hp).fit(tmp_path / "known.h5ad", verbose=0)
    for name, pairs in fitted.pairs.items():
        np.testing.assert_array_equal(of_file.pairs[name], pairs)
    assert fitted.map_query(query, reference=known, verbose=0).obsm["X_imap"].shape == (40, 5)
    del query.obsm["X_own"]
    query.obs["batch"] = "batch_3"
    with pytest.raises(KeyError, match=r"pair_space='X_own': adata.obsm has no embedding of this name"):
        fitted.map_query(query, reference=known, verbose=0)


def test_an_embedding_that_is_not_there_or_has_gaps_is_an_error(with_space, tiny):
    with pytest.raises(
        KeyError, match=r"pair_space='X_scVI': adata.obsm has no .*; it has \['X_own'\]"
    ):
        IMAP(**tiny | {"pair_space": "X_scVI"}).fit(with_space, verbose=0)
    with_space.obsm["X_own"][[3, 8], 1] = np.nan
    with pytest.raises(ValueError, match=r"pair_space='X_own': 2 of 120 cells have NaN or infinite"):
        IMAP(**tiny | {"pair_space": "X_own"}).fit(with_space, verbose=0)
    with_space.obsm["X_own"] = sparse.csr_matrix(np.ones((120, 2)))
    assert imap_keras.inputs.embeddings.embedding_of(
        imap_keras.inputs.cells.open_cells(with_space), "X_own", "pair_space"
    ).shape == (120, 2)


def test_importance_reads_the_variable_genes(whole, model):
    short = {"epochs": 2, "n_cells": 2, "verbose": 0}
    with pytest.warns(UserWarning):  # so short a training tells nobody
        found = imap_keras.imap.gene_importance(model, whole, **short)
    assert found.var_names.tolist() == model.variable_genes
