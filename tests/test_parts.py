"""Many cells where they lie: some of each batch to train on, all of them block by block."""

import anndata
import dask.array
import numpy as np
import pytest
from scipy import sparse

import imap_keras
from imap_keras.inputs import parts
from imap_keras.inputs.parts import blocks_of, some_of_each
from imap_keras.inputs.values import dense
from imap_keras.scarches import Reference

SMALL = {"hidden": (8,), "latent_dim": 3, "epochs": 2, "kl_epochs": 2, "batch_size": 30}


@pytest.fixture
def counts():
    return imap_keras.datasets.simulate(n_cells=120, n_genes=30, n_batches=3, n_types=2)


@pytest.fixture(params=["memory", "backed", "h5ad", "zarr", "dask"])
def source(request, counts, tmp_path):
    """The same cells wherever cells may lie, as many as are read in parts."""
    path = tmp_path / f"cells.{'zarr' if request.param == 'zarr' else 'h5ad'}"
    if request.param == "memory":
        return counts
    if request.param == "dask":
        lazy = counts.copy()
        lazy.X = dask.array.from_array(dense(counts.X), chunks=(50, 30)).map_blocks(sparse.csr_matrix)
        del lazy.layers["counts"]
        return lazy
    counts.write_zarr(path) if request.param == "zarr" else counts.write_h5ad(path)
    return anndata.read_h5ad(path, backed="r") if request.param == "backed" else path


@pytest.fixture
def many(monkeypatch):
    monkeypatch.setattr(parts, "AT_ONCE", 20)
    monkeypatch.setattr(parts, "BLOCK", 32)


def test_few_cells_come_whole(source, counts):
    (part,) = blocks_of(source, "counts")
    assert np.array_equal(dense(part.X), dense(counts.X))
    assert some_of_each(source, "batch", most=5).n_obs == 120


def test_blocks_are_all_cells_in_order(source, counts, many):
    found = list(blocks_of(source, "counts"))
    sizes = [part.n_obs for part in found]
    assert sizes in ([32, 32, 32, 24], [32, 18, 32, 18, 20])  # Dask: chunk by chunk of 50
    assert np.array_equal(np.concatenate([dense(part.X) for part in found]), dense(counts.X))
    assert [name for part in found for name in part.obs_names] == list(counts.obs_names)


def test_some_of_each_batch_in_the_order_of_the_data(source, counts, many):
    found = some_of_each(source, "batch", most=10, seed=3)
    assert found.obs["batch"].value_counts().tolist() == [10, 10, 10]
    place = counts.obs_names.get_indexer(found.obs_names)
    assert (np.diff(place) > 0).all()
    assert np.array_equal(dense(found.X), dense(counts.X)[place])
    assert np.array_equal(found.obs_names, some_of_each(source, "batch", 10, seed=3).obs_names)
    assert not np.array_equal(found.obs_names, some_of_each(source, "batch", 10, seed=4).obs_names)
    assert some_of_each(source, "batch", most=40).n_obs == 120


def test_the_layer_is_read_where_there_is_one(counts, many, tmp_path):
    counts.X = np.log1p(dense(counts.X))
    path = tmp_path / "cells.h5ad"
    counts.write_h5ad(path)
    for where in (counts, path):
        part = next(blocks_of(where, "counts"))
        assert np.array_equal(dense(part.layers["counts"]), dense(counts.layers["counts"])[:32])
        assert np.array_equal(dense(next(blocks_of(where)).X), dense(counts.X)[:32])


def test_a_reference_trained_on_some_is_that_of_these_cells(source, counts, many, eagerly):
    model = Reference(pool_size=20, **SMALL).fit(source, verbose=0)
    some = some_of_each(counts, "batch", 20, seed=0, layer="counts")
    again = Reference(**SMALL).fit(some, verbose=0)
    assert some.n_obs == 60
    for one, two in zip(model.encoder.get_weights(), again.encoder.get_weights(), strict=True):
        assert np.array_equal(one, two)
    np.testing.assert_allclose(model.latent(source), again.latent(counts), atol=1e-6)


def test_latent_expression_and_labels_are_those_of_cells_in_memory(
    source, counts, eagerly, monkeypatch
):
    model = Reference(label_weight=50.0, **SMALL).fit(counts, verbose=0, label_key="cell_type")
    whole = (
        model.latent(counts),
        model.expression(counts, as_batch="batch_0"),
        model.predict_labels(counts),
    )
    monkeypatch.setattr(parts, "AT_ONCE", 20)
    monkeypatch.setattr(parts, "BLOCK", 32)
    np.testing.assert_allclose(model.latent(source), whole[0], atol=1e-6)
    np.testing.assert_allclose(model.expression(source, as_batch="batch_0"), whole[1], rtol=1e-5)
    assert model.predict_labels(source)["best"].tolist() == whole[2]["best"].tolist()
    assert model.predict_labels(source).index.tolist() == counts.obs_names.tolist()


def test_a_query_is_mapped_by_some_of_its_cells(counts, many, eagerly, tmp_path):
    new = imap_keras.datasets.simulate(n_cells=90, n_genes=30, n_batches=1, n_types=2, seed=5)
    new.obs["batch"] = "new"
    path = tmp_path / "new.h5ad"
    new.write_h5ad(path)
    model = Reference(pool_size=20, **SMALL).fit(counts, verbose=0)
    grown = model.map_query(path, verbose=0)
    some = some_of_each(new, "batch", 20, seed=0, layer="counts")
    assert some.n_obs == 20
    assert np.array_equal(grown.latent(new), model.map_query(some, verbose=0).latent(new))


def test_counts_that_are_none_are_found_in_a_block(counts, many, eagerly):
    model = Reference(**SMALL).fit(counts, verbose=0)
    counts.layers["counts"][100, 0] = 0.5
    with pytest.raises(ValueError, match="holds 1 fractional values; raw counts are expected"):
        model.latent(counts)


def test_few_cells_without_x_or_kept_gene_by_gene_are_read_whole(counts, eagerly, tmp_path):
    model = Reference(label_weight=50.0, **SMALL).fit(counts, verbose=0, label_key="cell_type")
    labels = model.predict_labels(counts)
    bare = anndata.AnnData(None, counts.obs, counts.var, layers={"counts": counts.layers["counts"]})
    assert model.predict_labels(bare).equals(labels)
    counts.X = counts.layers["counts"] = sparse.csc_matrix(counts.X)
    counts.write_h5ad(tmp_path / "by_genes.h5ad")
    assert model.predict_labels(tmp_path / "by_genes.h5ad").equals(labels)


def test_an_unknown_batch_is_named_before_any_block_is_read(counts, many, eagerly, monkeypatch):
    model = Reference(**SMALL).fit(counts, verbose=0)
    batch = counts.obs["batch"].astype(str)
    counts.obs["batch"] = batch.where(counts.obs_names != counts.obs_names[-1], "other")
    monkeypatch.setattr(parts.Cells, "block", lambda *rows: pytest.fail("a block was read"))
    with pytest.raises(ValueError, match="Batch 'other' is not in the reference"):
        model.latent(counts)
