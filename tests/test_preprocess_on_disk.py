"""Preprocessing out of core gives what it gives in memory."""

import anndata
import numpy as np
import pytest
from scipy import sparse

import imap_keras
from imap_keras.inputs import cells as cells_module


@pytest.fixture(scope="module")
def raw():
    """Simulated counts, batches interleaved; 400 genes, some of them silent."""
    adata = imap_keras.datasets.simulate(n_cells=400, n_genes=400, n_batches=3, n_types=4, seed=3)
    adata = adata[np.random.default_rng(1).permutation(adata.n_obs)].copy()
    counts = sparse.lil_matrix(adata.X)
    counts[:, 7] = 0
    counts[:, 11] = 1  # seen everywhere, never varies
    for gene in range(20, 80):  # a few counts far above the others, which the ranks clip
        counts[5 * gene % 400, gene] = 900
    adata.X = sparse.csr_matrix(counts)
    adata.layers.clear()
    return adata


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 64 cells."""
    blocks = cells_module.Cells.blocks
    monkeypatch.setattr(cells_module.Cells, "blocks", lambda cells, size=64: blocks(cells, 64))


def same(found, expected):
    assert found.obs_names.equals(expected.obs_names)
    assert found.var_names.tolist() == expected.var_names.tolist()
    for values, others in ((found.X, expected.X), *((x.layers["counts"] for x in (found, expected)),)):
        np.testing.assert_allclose(values.toarray(), others.toarray(), rtol=1e-6)
    for key in ("preprocess", "imap_keras_preprocess"):
        assert {k: str(v) for k, v in found.uns[key].items()} == {
            k: str(v) for k, v in expected.uns[key].items()
        }


@pytest.mark.parametrize("flavor", ("seurat_v3", "per_batch"))
@pytest.mark.parametrize("suffix", ("h5ad", "zarr"))
def test_the_same_cells_and_genes_as_in_memory(raw, tmp_path, flavor, suffix, small_blocks):
    few = int(np.quantile(np.diff(raw.X.indptr), 0.1)) + 1
    options = dict(n_top_genes=120, min_genes=few, flavor=flavor, verbose=0)
    expected = imap_keras.preprocess(raw, **options)
    getattr(raw, f"write_{suffix}")(tmp_path / f"raw.{suffix}")
    out = tmp_path / f"ready.{suffix}"
    assert imap_keras.preprocess(tmp_path / f"raw.{suffix}", out=out, **options) == out
    found = getattr(anndata, f"read_{suffix}")(out)
    assert 120 <= found.n_vars < 300 and found.n_obs < raw.n_obs
    same(found, expected)


def test_dense_counts_in_memory_are_written_too(raw, tmp_path, small_blocks):
    dense = raw.copy()
    dense.X = raw.X.toarray()
    options = dict(n_top_genes=100, min_genes=50, verbose=0)
    out = imap_keras.preprocess(dense, out=tmp_path / "ready.h5ad", **options)
    same(anndata.read_h5ad(out), imap_keras.preprocess(raw, **options))


def test_given_genes_are_kept_in_their_order(raw, tmp_path, small_blocks):
    genes = [*raw.var_names[[9, 3, 200, *range(30, 40)]], "gene of another panel"]
    expected = imap_keras.preprocess(raw, min_genes=50, genes=genes, verbose=0)
    out = imap_keras.preprocess(raw, min_genes=50, genes=genes, verbose=0, out=tmp_path / "new.zarr")
    same(anndata.read_zarr(out), expected)


def test_a_batch_that_loses_all_its_cells_plays_no_part(raw, tmp_path, small_blocks):
    poor = raw.copy()
    poor.X = sparse.csr_matrix(poor.X)
    of_batch = (poor.obs["batch"].astype(str) == "batch_0").to_numpy()
    poor.X = sparse.csr_matrix(sparse.diags(1.0 - of_batch) @ poor.X)
    options = dict(n_top_genes=100, min_genes=50, verbose=0)
    out = imap_keras.preprocess(poor, out=tmp_path / "ready.h5ad", **options)
    same(anndata.read_h5ad(out), imap_keras.preprocess(poor, **options))


def test_faults_are_named_before_anything_is_written(raw, tmp_path):
    fractional = raw.copy()
    fractional.X = raw.X * 0.5
    with pytest.raises(ValueError, match=r"X, cells from 0 on, holds \d+ fractional values"):
        imap_keras.preprocess(fractional, out=tmp_path / "a.h5ad", verbose=0)
    with pytest.raises(ValueError, match="No cells are left"):
        imap_keras.preprocess(raw, min_genes=10_000, out=tmp_path / "a.h5ad", verbose=0)
    with pytest.raises(ValueError, match="must end in .h5ad or .zarr"):
        imap_keras.preprocess(raw, out=tmp_path / "a.csv", verbose=0)
    assert list(tmp_path.iterdir()) == []
