"""inClust+ on many cells: they stay where they are, some are trained on, all are encoded."""

import os

import anndata
import dask.array
import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from imap_keras import IMAP
from imap_keras.datasets import simulate_modalities
from imap_keras.inclust import InClust, generation, imputation, paired, paired_batches
from imap_keras.inclust import rows as rows_module
from imap_keras.inclust.measured import Measured
from imap_keras.inputs import parts
from imap_keras.scarches import Reference

SMALL = {"latent_dim": 3, "hidden": (8, 6), "decoder_hidden": (7,), "epochs": 2, "rows_per_step": 30}
MODALITIES = {"rna": 9, "protein": 4}


@pytest.fixture(scope="module")
def two():
    return simulate_modalities(60, MODALITIES, n_batches=2, seed=3)


@pytest.fixture
def many(monkeypatch):
    monkeypatch.setattr(parts, "AT_ONCE", 20)


@pytest.fixture(params=["memory", "backed", "h5ad", "zarr", "dask"])
def lies(request, tmp_path):
    """Puts cells wherever they may lie."""
    where, names = request.param, iter("abcdefgh")

    def put(adata):
        adata = adata.copy()
        adata.X = sparse.csr_matrix(adata.X)
        if where == "memory":
            return adata
        if where == "dask":
            chunks = dask.array.from_array(adata.X.toarray(), chunks=(25, adata.n_vars))
            adata.X = chunks.map_blocks(sparse.csr_matrix)
            return adata
        path = tmp_path / f"{next(names)}.{'zarr' if where == 'zarr' else 'h5ad'}"
        adata.write_zarr(path) if where == "zarr" else adata.write_h5ad(path)
        return anndata.read_h5ad(path, backed="r") if where == "backed" else path

    return put


def together(two) -> AnnData:
    """Both modalities in one AnnData, their features mixed."""
    whole = anndata.concat(two, axis="var", merge="first")
    whole.var["modality"] = np.repeat(list(two), [part.n_vars for part in two.values()])
    return whole[:, np.random.default_rng(0).permutation(whole.n_vars)].copy()


def same_weights(one: InClust, other: InClust) -> bool:
    pairs = zip(one.network.get_weights(), other.network.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_a_table_of_all_modalities_gives_the_same_network_wherever_it_lies(two, lies, many):
    whole = together(two)
    rows = paired_batches(lies(whole), "batch", "cell_type")
    assert isinstance(rows.values, Measured)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "AT_ONCE", 1000)
        in_memory = paired_batches(whole, "batch", "cell_type")
    assert isinstance(in_memory.values, np.ndarray)
    some = np.array([55, 2, 2, 31])
    np.testing.assert_array_equal(rows.values[some], in_memory.values[some])
    assert rows.features == in_memory.features and rows.modalities == in_memory.modalities
    one, other = (InClust(**SMALL).fit(r, verbose=0) for r in (rows, in_memory))
    assert same_weights(one, other)
    for block in ("rna->rna", "protein->rna"):
        np.testing.assert_array_equal(one.latent(rows, block), other.latent(in_memory, block))
    pd.testing.assert_frame_equal(
        one.generate(rows, "rna->rna", "protein"), other.generate(in_memory, "rna->rna", "protein")
    )


def test_parts_in_another_order_of_the_cells_are_one_table(two, lies, many):
    turned = {"rna": lies(two["rna"]), "protein": lies(two["protein"][::-1])}
    rows = paired(turned, "cell_type")
    np.testing.assert_array_equal(
        rows.values[np.arange(60)], np.hstack([two["rna"].X, two["protein"].X])
    )
    assert rows.cells == two["rna"].obs_names.tolist()
    np.testing.assert_array_equal(rows.covariate, 0)


def test_data_sets_on_top_of_each_other_and_hidden_genes(two, lies, many):
    reference, query = two["rna"][:35], two["rna"][35:, ::-1]
    rows = imputation(lies(reference), lies(query), ["rna_2", "rna_7"], label_key="cell_type")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "AT_ONCE", 1000)
        in_memory = imputation(reference, query, ["rna_2", "rna_7"], label_key="cell_type")
    np.testing.assert_array_equal(rows.values[np.arange(60)], in_memory.values)
    assert not rows.values[np.arange(35, 60)][:, [2, 7]].any()
    one, other = (InClust(**SMALL).fit(r, verbose=0) for r in (rows, in_memory))
    assert same_weights(one, other)
    pd.testing.assert_frame_equal(one.impute(rows), other.impute(in_memory))
    pd.testing.assert_frame_equal(
        one.predict_labels(rows, "query"), other.predict_labels(in_memory, "query")
    )


def test_few_cells_beside_many_are_one_table(two, many, monkeypatch):
    monkeypatch.setattr(parts, "AT_ONCE", 40)
    reference = {name: part[:45] for name, part in two.items()}
    rows = generation(reference, {"rna": two["rna"][45:]}, label_key="cell_type")
    assert isinstance(rows.values, Measured)
    found = rows.values[np.array([50, 10])]
    np.testing.assert_array_equal(found[:, :9], two["rna"].X[[50, 10]])
    np.testing.assert_array_equal(found[:, 9:], [np.zeros(4), two["protein"].X[10]])


def test_of_many_cells_so_many_of_each_covariate_are_trained_on(two, lies, many, monkeypatch):
    rows = paired_batches(lies(together(two)), "batch", "cell_type")
    batch = two["rna"].obs["batch"].to_numpy()
    assert rows.in_training(pool_size=20) is rows
    monkeypatch.setattr(rows_module, "AT_ONCE", 20)
    some = rows.in_training(pool_size=20, seed=4)
    assert np.bincount(some.covariate).tolist() == [20, 20]
    place = two["rna"].obs_names.get_indexer(some.cells)
    assert (np.diff(place) > 0).all() and (
        batch[place] == np.array(rows.covariates)[some.covariate]
    ).all()
    np.testing.assert_array_equal(some.values[np.arange(40)], rows.values[place])
    assert np.array_equal(np.bincount(some.block), [40] * 4)
    assert np.array_equal(some.of_block("rna->protein"), np.arange(40))
    assert np.array_equal(some.label, rows.label[place])
    assert all(part.cells.in_memory for part in some.values.parts)
    again = rows.in_training(pool_size=20, seed=5)
    assert again.cells != some.cells

    model = InClust(pool_size=20, seed=4, **SMALL).fit(rows, verbose=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "AT_ONCE", 1000)
        patch.setattr(rows_module, "AT_ONCE", 1000)
        here = paired_batches(together(two)[place], "batch", "cell_type")
        by_hand = InClust(seed=4, **SMALL).fit(here, verbose=0)
    assert same_weights(model, by_hand)
    assert model.latent(rows, "rna->rna").shape == (60, 3)  # all cells, also those not trained on


def test_never_more_than_a_block_is_dense_at_once(two, many, monkeypatch, tmp_path):
    path = tmp_path / "cells.h5ad"
    together(two).write_h5ad(path)
    monkeypatch.setattr(rows_module, "AT_ONCE", 20)
    monkeypatch.setattr(rows_module, "BLOCK", 16)
    monkeypatch.setattr(rows_module, "SLICE", 16)
    rows, sizes, inner = paired(path, "cell_type"), [], Measured.__getitem__
    monkeypatch.setattr(
        Measured, "__getitem__", lambda self, some: (sizes.append(len(some)), inner(self, some))[1]
    )
    model = InClust(pool_size=25, **SMALL).fit(rows, verbose=0)
    model.latent(rows, "rna->rna")
    assert max(sizes) == SMALL["rows_per_step"] and 16 in sizes
    assert not any(
        isinstance(value, np.ndarray) and value.shape == (60, 13) for value in vars(rows).values()
    )


def test_what_is_wrong_is_said_where_it_is_found(two, many, tmp_path, monkeypatch):
    whole, path = together(two), tmp_path / "cells.h5ad"
    whole.X[40, 3] = -2.0
    whole.write_h5ad(path)
    with pytest.raises(ValueError, match=r"X, cells from 0 on, holds 1 negative values"):
        paired(path)
    told = r"^query: adata.X, cells from 0 on, holds 1 negative values"
    with pytest.raises(ValueError, match=told):  # of two data sets: which
        imputation(together(two), path, ["g0"])
    wrong = {"rna": two["rna"], "protein": two["protein"].copy()}
    wrong["protein"].X = -wrong["protein"].X
    with pytest.raises(ValueError, match=r"^data, 'protein': adata.X holds .* negative values"):
        paired(wrong)
    with pytest.raises(FileNotFoundError, match="There is no file .*none.h5ad"):
        paired(tmp_path / "none.h5ad")
    mudata.MuData(two).write(tmp_path / "two.h5mu")
    told = r"two.h5mu is a MuData with the modalities \['protein', 'rna'\]: read it with mudata"
    for method in (paired, IMAP().fit, Reference().fit):
        with pytest.raises(ValueError, match=told):
            method(tmp_path / "two.h5mu")
    assert len(paired(mudata.read_h5mu(tmp_path / "two.h5mu", backed="r"))) == 240
    whole.X[40, 3] = 2.0
    whole.X = sparse.csc_matrix(whole.X)
    whole.write_h5ad(path)
    with pytest.raises(ValueError, match=r"kept gene by gene \(CSC\).*Convert it once"):
        paired(path)
    whole.X = sparse.csr_matrix(whole.X)
    whole.write_h5ad(path)
    rows = paired(path, "cell_type")
    monkeypatch.setattr(rows_module, "AT_ONCE", 20)
    os.utime(path, ns=(1, 1))
    with pytest.raises(RuntimeError, match=r"cells.h5ad changed while it was read"):
        InClust(**SMALL).fit(rows, verbose=0)


def test_of_many_cells_in_memory_the_advice_is_that_of_few(two, many):
    counts = together(two)
    counts.layers["logged"], counts.X = counts.X, np.round(counts.X) * 3
    with pytest.raises(ValueError, match=r"adata.layers\['truth'\] holds log-normalised values"):
        paired(counts)
    with pytest.raises(ValueError, match=r"adata.layers\['truth'\] holds log-normalised values"):
        imputation(counts, counts, ["rna_2"])


def test_rows_are_asked_for_as_of_an_array(two, many):
    values = paired(together(two)).values
    whole = values[np.arange(60)]
    assert np.array_equal(values[:7], whole[:7]) and np.array_equal(values[-2:], whole[-2:])
    assert np.array_equal(values[np.arange(60) > 50], whole[51:])


def test_a_sigmoid_looks_at_the_values_it_is_trained_on(two, many, tmp_path):
    path = tmp_path / "cells.h5ad"
    together(two).write_h5ad(path)
    with pytest.raises(ValueError, match="a sigmoid at most 1"):
        InClust(output="sigmoid", **SMALL).fit(paired(path, "cell_type"), verbose=0)


def test_new_cells_are_read_where_they_lie(two, lies, many):
    rows = paired(two, "cell_type")
    model = InClust(**SMALL).fit(rows, verbose=0)
    new = model.rows_of(lies(two["rna"][:40]), "data", modality="rna")
    assert isinstance(new.values, Measured)
    np.testing.assert_allclose(
        model.latent(new, "new"), model.latent(rows, "rna->rna")[:40], rtol=1e-6, atol=1e-6
    )
