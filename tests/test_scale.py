"""Cells in memory, backed, in a zarr store and in Dask chunks: the same results, and little memory."""

import gc
import os
import shutil
import sys
import threading

import anndata
import dask.array
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy import sparse
from sklearn.decomposition import PCA

import imap_keras.imap.pool
import imap_keras.imap.result_file
import imap_keras.imap.streaming
from imap_keras import IMAP
from imap_keras.imap.components import principal_components
from imap_keras.inputs import cells as cells_module
from imap_keras.inputs import writing
from imap_keras.inputs.cells import open_cells
from imap_keras.inputs.moments import Moments
from imap_keras.nn.fitting import run

PLACES = ("h5ad", "zarr", "backed", "dask", "dense file")


@pytest.fixture(scope="module")
def places(logged, tmp_path_factory):
    """The same cells wherever they may lie."""
    folder, dense = tmp_path_factory.mktemp("places"), logged.copy()
    logged.write_h5ad(folder / "cells.h5ad")
    logged.write_zarr(folder / "cells.zarr")
    dense.X = logged.X.toarray()
    dense.write_h5ad(folder / "dense.h5ad")
    chunked = logged.copy()
    chunked.X = dask.array.from_array(dense.X, chunks=(50, 40)).map_blocks(sparse.csr_matrix)
    return {
        "memory": logged,
        "dense": dense,
        "h5ad": folder / "cells.h5ad",
        "zarr": str(folder / "cells.zarr"),
        "backed": anndata.read_h5ad(folder / "cells.h5ad", backed="r"),
        "dask": chunked,
        "dense file": folder / "dense.h5ad",
    }


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of seven cells."""
    blocks = cells_module.Cells.blocks
    monkeypatch.setattr(cells_module.Cells, "blocks", lambda cells, size=7: blocks(cells, 7))


def dense(x):
    return x.toarray() if sparse.issparse(x) else np.asarray(x)


# ------------------------------------------------------------------ the reader


@pytest.mark.parametrize("place", ("memory", "dense", *PLACES))
def test_three_verbs_read_the_same_everywhere(places, logged, place):
    values, cells = logged.X.toarray(), open_cells(places[place])
    order = [90, 3, 3, 4, 119, 40, 0]
    assert cells.shape == values.shape and cells.var_names.equals(logged.var_names)
    np.testing.assert_array_equal(dense(cells.rows(order)), values[order])
    parts = list(cells.blocks(32))
    np.testing.assert_array_equal(np.concatenate([dense(x) for _, x in parts]), values)
    assert [start for start, _ in parts] == list(np.cumsum([0, *(x.shape[0] for _, x in parts)])[:-1])
    some = cells.with_genes(logged.var_names[[7, 2]])
    np.testing.assert_array_equal(dense(some.rows([5, 1])), values[[5, 1]][:, [7, 2]])
    again = some.with_genes(logged.var_names[[2]])
    np.testing.assert_array_equal(dense(again.block(3, 5)), values[3:5, [2]])


@pytest.mark.parametrize("kind", (np.asarray, sparse.csr_matrix))
def test_moments_of_blocks_are_those_of_all_rows(kind):
    rng = np.random.default_rng(0)
    values = rng.normal(7, rng.uniform(1e-2, 2, 5), (100, 5)).astype("float32")
    values[:, 3], codes = 0.1, rng.integers(3, size=100)
    moments = Moments(3, 5)
    for start in range(0, 100, 9):
        moments.add(kind(values[start : start + 9]), codes[start : start + 9])
    exact = values.astype(float)
    for code in range(3):
        of_batch = exact[codes == code]
        np.testing.assert_allclose(moments.mean[code], of_batch.mean(0), rtol=1e-12)
        np.testing.assert_allclose(moments.deviations()[code], of_batch.std(0), rtol=1e-8, atol=1e-7)
    np.testing.assert_allclose(moments.whole().deviations()[0], exact.std(0), rtol=1e-8, atol=1e-7)


def test_cells_kept_gene_by_gene_on_disk_are_refused(logged, tmp_path):
    adata = logged.copy()
    adata.X = logged.X.tocsc()
    adata.write_h5ad(tmp_path / "genes.h5ad")
    with pytest.raises(ValueError, match=r"kept gene by gene \(CSC\).*adata.X = adata.X.tocsr\(\)"):
        IMAP().fit(tmp_path / "genes.h5ad")
    adata.write_zarr(tmp_path / "genes.zarr")
    with pytest.raises(ValueError, match="kept gene by gene"):
        IMAP().fit(tmp_path / "genes.zarr")


def test_what_is_no_file_of_cells_is_said(tmp_path):
    (tmp_path / "note.h5ad").write_text("no cells")
    with pytest.raises(ValueError, match=r"note.h5ad is neither an .h5ad file nor a .zarr store"):
        open_cells(tmp_path / "note.h5ad")
    with pytest.raises(FileNotFoundError, match="give an .h5ad file or a .zarr store"):
        IMAP().fit(str(tmp_path / "none.zarr"))
    with pytest.raises(TypeError, match="adata=ndarray holds no cells"):
        IMAP().fit(np.ones((3, 3)))


@pytest.mark.parametrize("suffix", ("h5ad", "zarr"))
def test_a_file_that_changes_while_it_is_read_is_an_error(logged, tmp_path, suffix, small_blocks, tiny):
    path = tmp_path / f"cells.{suffix}"
    getattr(logged, f"write_{suffix}")(path)
    cells = open_cells(path)
    blocks = cells.blocks()
    next(blocks)
    at = path if suffix == "h5ad" else path / "X" / "data"
    os.utime(at, ns=(1, 1))
    with pytest.raises(RuntimeError, match=rf"cells.{suffix} changed while it was read"):
        list(blocks)


def test_dask_chunks_beyond_the_memory_left_are_refused(places, monkeypatch):
    monkeypatch.setattr(cells_module, "memory_left", lambda: 1000)
    with pytest.raises(
        ValueError, match=r"A Dask chunk of adata.X has 50 cells.*rechunk\(\(4096, -1\)\)"
    ):
        open_cells(places["dask"])


@pytest.mark.parametrize("place", ("h5ad", "dask"))
def test_values_of_the_wrong_kind_are_found_where_they_lie(counts, place, tmp_path, tiny):
    adata = counts.copy()
    if place == "h5ad":
        adata.write_h5ad(tmp_path / "counts.h5ad")
        adata = tmp_path / "counts.h5ad"
    else:
        adata.X = dask.array.from_array(dense(counts.X), chunks=(50, -1))
    with pytest.raises(ValueError, match=r"X, cells from 0 on, holds whole numbers only, like counts"):
        IMAP(**tiny).fit(adata)


# ------------------------------------------------------------------ fit and transform


@pytest.mark.parametrize("place", PLACES)
def test_cells_anywhere_give_the_same_corrected_cells(
    places, place, logged, integrated, tiny, tmp_path, eagerly, small_blocks
):
    model = IMAP(**tiny).fit(places[place], verbose=0)
    found = model.transform(
        places[place],
        out=tmp_path / "result.zarr",
        keep=("imap", "X_imap", "X_imap_content"),
        verbose=0,
    )
    result = anndata.read_zarr(found)
    assert result.obs_names.equals(logged.obs_names) and result.var_names.equals(logged.var_names)
    np.testing.assert_array_equal(result.obs["batch"].astype(str), logged.obs["batch"].astype(str))
    np.testing.assert_allclose(result.layers["imap"], integrated.layers["imap"], atol=1e-5)
    for key in ("X_imap", "X_imap_content"):
        np.testing.assert_allclose(result.obsm[key], integrated.obsm[key], atol=1e-5)
    assert result.uns["imap"]["order"].tolist() == integrated.uns["imap"]["order"].tolist()


def test_a_pool_of_a_few_cells_is_trained_on_and_all_are_carried(logged, tiny, monkeypatch, eagerly):
    seen = []
    train = imap_keras.imap.model.train_stage1

    def recorded(cells, codes, hp, verbose, strategy):
        seen.append((cells, codes))
        return train(cells, codes, hp, verbose)

    monkeypatch.setattr(imap_keras.imap.model, "train_stage1", recorded)
    model = IMAP(**tiny | {"pool_size": 15, "pair_agreement": 0}).fit(logged, verbose=0)
    pool, codes = seen[0]
    assert np.bincount(codes).tolist() == [15, 15, 15]
    assert (np.diff(pool.index) > 0).all()
    np.testing.assert_allclose(pool[:], logged.X[pool.index].toarray() * model.scale, rtol=1e-6)
    names = np.unique(logged.obs["batch"].astype(str))
    np.testing.assert_array_equal(names[codes], logged.obs["batch"].astype(str).iloc[pool.index])
    for name, pairs in model.pairs.items():  # rows of the data, not of the pool
        assert set(logged.obs["batch"].iloc[pairs[:, 0]].astype(str)) == {name}
        assert np.isin(pairs, pool.index).all()
    assert model.transform(logged).obsm["X_imap"].shape[0] == logged.n_obs


def test_many_cells_are_carried_only_where_they_are_looked_at(logged, tiny, monkeypatch, eagerly):
    """With room for 30 dense cells at once no larger table is made, and batches are merged."""
    monkeypatch.setattr(imap_keras.imap.pool, "AT_ONCE", 30)
    monkeypatch.setattr(imap_keras.imap.pool, "FOR_COMPONENTS", 30)
    largest, plain = [], imap_keras.imap.pool.Pool.__getitem__

    def recorded(pool, rows):
        found = plain(pool, rows)
        largest.append(len(found))
        return found

    monkeypatch.setattr(imap_keras.imap.pool.Pool, "__getitem__", recorded)
    model = IMAP(**tiny | {"n_samples": 20, "pair_agreement": 0}).fit(logged, verbose=0)
    assert max(largest) <= 60  # the pool's contents, in one go; tables of pairs have 20 + 20 cells
    assert len(model.generators) == 2
    labels = logged.obs["batch"].astype(str).to_numpy()
    for i, name in enumerate(model.order[1:], start=1):
        query, anchor = model.pairs[name].T
        assert set(labels[query]) == {name}
        assert set(labels[anchor]) <= set(model.order[:i])


@pytest.mark.parametrize("at_once", [30, 1000], ids=["carried where looked at", "carried at once"])
def test_components_of_many_cells_come_of_a_sample(logged, tiny, monkeypatch, eagerly, at_once):
    """Each batch has its share of it; the cells are those of the result, whichever way they come."""
    seen, plain = [], imap_keras.imap.model.principal_components

    def recorded(cells, hp, overwrite):
        seen.append(cells.copy())
        return plain(cells, hp, overwrite)

    monkeypatch.setattr(imap_keras.imap.model, "principal_components", recorded)
    monkeypatch.setattr(imap_keras.imap.pool, "AT_ONCE", at_once)
    monkeypatch.setattr(imap_keras.imap.pool, "FOR_COMPONENTS", 24)
    cells = logged[: 3 * len(logged) // 4].copy()
    options = tiny | {"n_samples": 20, "pair_agreement": 0, "clip_output": False}
    model = IMAP(**options).fit(cells, verbose=0)
    carried = model.transform(cells).layers["imap"]
    nearest = np.abs(seen[0][:, None] - carried[None]).max(axis=2)
    assert nearest.min(axis=1).max() < 1e-5
    labels = cells.obs["batch"].astype(str)
    rows = nearest.argmin(axis=1)
    assert (np.diff(rows) > 0).all()
    shares = 24 * labels.value_counts(normalize=True)
    found = labels.iloc[rows].value_counts()
    assert (found - shares).abs().max() <= 0.5


def test_a_small_pool_leaves_each_batch_its_share_of_the_components(logged, tiny, monkeypatch, eagerly):
    seen, plain = [], imap_keras.imap.model.principal_components
    monkeypatch.setattr(
        imap_keras.imap.model,
        "principal_components",
        lambda cells, hp, overwrite: seen.append(len(cells)) or plain(cells, hp, overwrite),
    )
    batch = logged.obs["batch"].astype(str).to_numpy()
    first, second = (np.flatnonzero(batch == name) for name in np.unique(batch)[:2])
    cells = logged[np.concatenate([first, second[:10]])].copy()  # 40 and 10: shares of 0.8 and 0.2
    IMAP(**tiny | {"pool_size": 20, "pair_agreement": 0}).fit(cells, verbose=0)
    assert len(first) == 40 and seen == [25]  # 20 of one batch are 0.8 of these


def test_of_many_cells_nothing_of_a_training_waits_for_the_next(logged, tiny, monkeypatch):
    """The cells of a training, which its graph holds in a circle, go when its batch is merged."""
    from imap_keras.imap import merging

    def tables() -> set[int]:
        """Tensors with a column a gene."""
        tensors = [x for x in gc.get_objects() if isinstance(x, tf.Tensor) and hasattr(x, "numpy")]
        return {id(x) for x in tensors if x.shape[1:] == [logged.n_vars]}

    left, give_back, before = [], merging.give_back, tables()

    def counted(*arguments, **options):
        give_back(*arguments, **options)
        left.append(len(tables() - before))

    monkeypatch.setattr(merging, "give_back", counted)
    monkeypatch.setattr(imap_keras.imap.pool, "AT_ONCE", 30)
    monkeypatch.setattr(imap_keras.imap.pool, "FOR_COMPONENTS", 30)
    gc.disable()
    try:
        IMAP(**tiny | {"n_samples": 20, "pair_agreement": 0}).fit(logged, verbose=0)
    finally:
        gc.enable()
    assert left == [0, 0]


def test_many_new_cells_are_mapped_by_some_of_them(places, tiny, monkeypatch, eagerly):
    """Of a reference of many cells, and of many new ones, so many of each batch are looked at."""
    fitted_on, new = (places["memory"][rows].copy() for rows in (slice(0, 80), slice(80, 120)))
    new.obs["batch"] = "later"
    model = IMAP(**tiny | {"n_samples": 15, "pair_agreement": 0}).fit(fitted_on, verbose=0)
    monkeypatch.setattr(imap_keras.imap.mapping, "AT_ONCE", 20)
    result = model.map_query(new, fitted_on, verbose=0)
    assert result.n_obs == 40 and result.layers["imap"].shape == new.shape
    query, anchor = model.pairs["later"].T
    assert query.min() >= 80 and query.max() < 120 and anchor.max() < 80
    assert len(set(query)) <= 15
    assert fitted_on.obs["batch"].iloc[np.unique(anchor)].value_counts().max() <= 15


def test_rows_computed_when_asked_for_are_those_carried_at_once(logged):
    import keras

    cells, labels = logged.X.toarray(), logged.obs["batch"].astype(str).to_numpy()
    names = np.unique(labels)
    pool = imap_keras.imap.pool.Pool(logged.X, np.arange(logged.n_obs))
    few = imap_keras.imap.pool.Carried(cells.copy(), labels)
    many = imap_keras.imap.pool.Carried(pool, labels)
    many.table = None
    for factor, name in enumerate(names[1:], start=2):
        network = keras.Sequential([keras.Input((logged.n_vars,)), keras.layers.Rescaling(factor)])
        few.carry(name, network)
        many.carry(name, network)
    rows = np.array([3, 50, 51, 119])
    np.testing.assert_allclose(many[rows], few[rows], rtol=1e-6)
    factor = 1 + np.searchsorted(names, labels)
    np.testing.assert_allclose(many[np.arange(120)], cells * factor[:, None], rtol=1e-6)


def test_training_in_a_used_gan_is_training_in_a_new_one(logged):
    from imap_keras.imap.hyperparameters import Hyperparameters
    from imap_keras.imap.training import build_gan, train_stage2

    hp = Hyperparameters(latent_dim=3, hidden=(6,), critic_hidden=(5,), stage2_epochs=2)
    cells, rng = logged.X.toarray(), np.random.default_rng(0)
    pairs = [np.column_stack([rng.integers(40, size=20), rng.integers(40, 80, size=20)]) for _ in "ab"]
    gan = build_gan(cells.shape[1], hp, 0)
    for number in (0, 1):
        new = train_stage2(cells, pairs[number], np.arange(40), hp, number)
        used = train_stage2(cells, pairs[number], np.arange(40), hp, number, gan=gan)
        pd.testing.assert_frame_equal(new[1], used[1])
        for a, b in zip(new[0].get_weights(), used[0].get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert used[0] is not gan.generator


# ------------------------------------------------------------------ writing


@pytest.mark.parametrize("suffix", ("h5ad", "zarr"))
def test_a_result_holds_what_is_kept(fitted, logged, integrated, tmp_path, suffix, small_blocks):
    out = fitted.transform(logged, out=tmp_path / f"result.{suffix}", verbose=0)
    read = getattr(anndata, f"read_{suffix}")
    result = read(out)
    assert list(result.obsm) == ["X_imap"] and not result.layers and result.X is None
    np.testing.assert_allclose(result.obsm["X_imap"], integrated.obsm["X_imap"], atol=1e-5)
    options = dict(keep=("imap", "X_imap_content"), dtype="float16", verbose=0)
    result = read(fitted.transform(logged, out=tmp_path / f"more.{suffix}", **options))
    assert result.layers["imap"].dtype == "float16" and list(result.obsm) == ["X_imap_content"]
    np.testing.assert_allclose(result.layers["imap"], integrated.layers["imap"], atol=5e-3)


def test_clipped_expression_is_written_sparse(logged, tiny, tmp_path, eagerly, small_blocks):
    model = IMAP(**tiny | {"relu_output": True}).fit(logged, verbose=0)
    expected = model.transform(logged).layers["imap"]
    for suffix in ("h5ad", "zarr"):
        out = model.transform(logged, out=tmp_path / f"result.{suffix}", keep="imap", verbose=0)
        found = getattr(anndata, f"read_{suffix}")(out).layers["imap"]
        assert sparse.issparse(found) and found.indptr.dtype == found.indices.dtype == "int32"
        np.testing.assert_allclose(found.toarray(), expected, atol=1e-5)


def test_in_memory_only_what_is_kept_comes_back(fitted, logged, integrated):
    result = fitted.transform(logged, keep=("X_imap",))
    assert "X_imap_content" not in result.obsm and "imap" not in result.layers
    np.testing.assert_array_equal(result.obsm["X_imap"], integrated.obsm["X_imap"])
    dense_cells = logged.copy()
    dense_cells.X = logged.X.toarray()
    np.testing.assert_array_equal(fitted.transform(dense_cells).X, logged.X.toarray())


@pytest.mark.parametrize("suffix", ("h5ad", "zarr"))
def test_an_interrupted_result_leaves_nothing(
    fitted, logged, tmp_path, suffix, monkeypatch, small_blocks
):
    plain, calls = imap_keras.imap.streaming.integrated, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(*arguments)

    monkeypatch.setattr(imap_keras.imap.streaming, "integrated", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fitted.transform(logged, out=tmp_path / f"result.{suffix}", verbose=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ("h5ad", "zarr"))
def test_a_disk_that_fills_leaves_nothing(fitted, logged, tmp_path, suffix, monkeypatch, small_blocks):
    """What goes wrong in the thread that writes is raised here, and nothing more is computed for it."""
    computed, put = [], writing.Store.put
    plain = imap_keras.imap.streaming.integrated

    def watched(*arguments):
        computed.append(1)
        return plain(*arguments)

    def full(self, key, start, block):
        if start:
            raise OSError("No space left on device")
        put(self, key, start, block)

    monkeypatch.setattr(imap_keras.imap.streaming, "integrated", watched)
    monkeypatch.setattr(writing.Store, "put", full)
    with pytest.raises(OSError, match="No space left on device"):
        fitted.transform(logged, out=tmp_path / f"result.{suffix}", verbose=0)
    assert list(tmp_path.iterdir()) == []
    assert len(computed) <= 2 + writing.BEHIND < logged.n_obs // 7


def test_blocks_are_written_while_the_next_is_computed():
    """And at most `BEHIND` wait: a slow disk holds the computing back, not the memory."""
    may_write, begun, asked = threading.Event(), threading.Event(), []

    def put(number):
        begun.set()
        assert may_write.wait(10)
        asked.append(number)

    with writing.written_behind(put) as put_later:
        for number in range(writing.BEHIND):
            put_later(number)
        assert begun.wait(10) and not asked  # none is written, and yet we are here
        threading.Timer(0.2, may_write.set).start()
        put_later(writing.BEHIND)
        assert asked[:1] == [0]  # it had to wait for the first
    assert asked == list(range(writing.BEHIND + 1))


def test_no_room_is_said_before_any_work(fitted, logged, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10**4)
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(imap_keras.imap.result_file, "stream", None)  # not reached
    out = tmp_path / "result.zarr"
    with pytest.raises(OSError, match=r"needs up to 0.00 GB, and 0.00 GB are free.*keep less"):
        fitted.transform(logged, out=out, keep=("imap",), verbose=0)
    assert not out.exists()


def test_faults_of_a_result_are_named(fitted, logged, tmp_path):
    with pytest.raises(ValueError, match=r"out='result.txt' must end in .h5ad or .zarr"):
        fitted.transform(logged, out="result.txt")
    (tmp_path / "result.zarr").mkdir()
    with pytest.raises(FileExistsError, match="exists already; remove it, or give another name"):
        fitted.transform(logged, out=tmp_path / "result.zarr")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        fitted.transform(logged, out=tmp_path / "none" / "result.zarr")
    with pytest.raises(ValueError, match=r"keep=\('X_pca',\) must name some of 'X_imap'"):
        fitted.transform(logged, keep="X_pca")


# ------------------------------------------------------------------ memory


@pytest.mark.parametrize("unit", (True, False))
def test_components_may_overwrite_the_cells_or_not(unit):
    cells = np.random.default_rng(0).gamma(2, size=(3000, 40)).astype("float32")
    before = cells.copy()
    hp = IMAP(unit_length=unit, n_components=5, component_neighbors=0).hyperparameters
    kept = principal_components(cells, hp)
    np.testing.assert_array_equal(cells, before)
    spent = principal_components(cells, hp, overwrite=True)
    for one, other in zip(kept.get_weights(), spent.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # Rows of unit length: the scores are those of cells scaled by hand.
    if unit:
        before /= np.linalg.norm(before, axis=1, keepdims=True)
    scores = PCA(5, svd_solver="arpack", random_state=0).fit_transform(before)
    np.testing.assert_allclose(abs(run(kept, before)), abs(scores), atol=2e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_stage2_of_many_batches_leaves_little_memory_behind():
    from imap_keras.imap.hyperparameters import Hyperparameters
    from imap_keras.imap.merging import merge_batches
    from imap_keras.nn.memory import resident

    rng, held = np.random.default_rng(0), []
    labels = np.repeat([f"{i:02d}" for i in range(14)], 20)
    cells = rng.normal(size=(280, 12)).astype("float32")
    hp = Hyperparameters(
        latent_dim=2, hidden=(4,), critic_hidden=(4,), stage2_epochs=1, stage2_steps=5,
        pair_space="content", pair_agreement=0, search="exact",
    )  # fmt: skip
    for batches in (slice(0, 3), slice(3, 14)):  # what is built once has been built
        order = np.unique(labels)[batches].tolist()
        inside = np.isin(labels, order)
        merge_batches(cells[inside], labels[inside], cells[inside], order, hp)
        held.append(resident())
    assert held[1] - held[0] <= 10 / 50 * 0.5e9
