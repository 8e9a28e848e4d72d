"""A Dask cluster of two processes gives what one process gives; what cannot work is said at once."""

import copy
import os
import re
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import imap_keras
from imap_keras import IMAP
from imap_keras.command.main import main
from imap_keras.imap import cluster as by_workers
from imap_keras.imap import streaming
from imap_keras.inputs import cluster as cluster_module
from imap_keras.inputs import writing
from imap_keras.inputs.cells import open_cells
from imap_keras.inputs.files import opened
from imap_keras.inputs.moments import Moments

distributed = pytest.importorskip("distributed")
ALL = ("X_imap", "X_imap_content", "imap")
README = Path(__file__).parents[1] / "README.md"


@pytest.fixture(scope="module")
def cluster():
    """Two processes of one thread."""
    options = dict(n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0)
    with distributed.LocalCluster(**options) as two:
        yield two


@pytest.fixture(scope="module")
def client(cluster):
    with distributed.Client(cluster) as client:
        yield client


def times(adata, n_cells):
    """So many cells: the same again and again."""
    many = AnnData(adata.X[np.arange(n_cells) % adata.n_obs], var=adata.var, uns=dict(adata.uns))
    many.obs["batch"] = adata.obs["batch"].astype(str).to_numpy()[np.arange(n_cells) % adata.n_obs]
    return many


@pytest.fixture(scope="module")
def cells(logged, tmp_path_factory):
    """So many cells that one process carries them in blocks too, in a zarr store."""
    path = tmp_path_factory.mktemp("many") / "cells.zarr"
    times(logged, 20_500).write_zarr(path)
    return path


@pytest.fixture(scope="module")
def alone(fitted, cells, tmp_path_factory):
    """What one process makes of them."""
    out = tmp_path_factory.mktemp("alone") / "result.zarr"
    return anndata.read_zarr(fitted.transform(cells, out=out, keep=ALL, verbose=0))


def dense(x):
    return x.toarray() if sparse.issparse(x) else np.asarray(x)


def same_to_the_bit(found, expected):
    assert found.obs_names.equals(expected.obs_names) and found.var_names.equals(expected.var_names)
    assert set(found.obsm) == set(expected.obsm) and set(found.layers) == set(expected.layers)
    for key in found.obsm:
        np.testing.assert_array_equal(found.obsm[key], expected.obsm[key])
    for key in found.layers:
        np.testing.assert_array_equal(dense(found.layers[key]), dense(expected.layers[key]))


# ------------------------------------------------------------------ the same numbers


def test_two_workers_write_what_one_process_writes(client, fitted, cells, alone, tmp_path, capsys):
    out = fitted.transform(cells, out=tmp_path / "result.zarr", keep=ALL, client=client)
    result = anndata.read_zarr(out)
    same_to_the_bit(result, alone)
    assert result.uns["imap"]["order"].tolist() == fitted.order
    assert [path.name for path in tmp_path.iterdir()] == ["result.zarr"]
    assert "20500/20500" in capsys.readouterr().err
    places = {"obsm/X_imap": 6, "layers/imap": 6}  # a block is a chunk: no two tasks write one
    for key, n in places.items():
        chunks = [x for x in (out / key).rglob("*") if x.is_file() and "zarr" not in x.name]
        assert len([x for x in chunks if not x.name.startswith(".")]) == n


def test_a_worker_killed_in_the_middle_changes_nothing(
    client, fitted, cells, tmp_path, monkeypatch, cluster
):
    for module in (by_workers, writing, streaming):  # 41 blocks
        monkeypatch.setattr(module, "BLOCK", 512)
    expected = anndata.read_zarr(fitted.transform(cells, out=tmp_path / "a.zarr", keep=ALL, verbose=0))
    plain, killed = by_workers.in_order, []

    def interrupted(*arguments):
        with closing(plain(*arguments)) as results:
            for number, found in enumerate(results):
                if number == 3:
                    busy = [address for address, held in client.processing().items() if held]
                    pids = client.run(os.getpid)
                    killed.append(pids[busy[0] if busy else min(pids)])
                    os.kill(killed[0], signal.SIGKILL)
                yield found

    monkeypatch.setattr(by_workers, "in_order", interrupted)
    out = fitted.transform(cells, out=tmp_path / "b.zarr", keep=ALL, client=client, verbose=0)
    same_to_the_bit(anndata.read_zarr(out), expected)
    assert len(killed) == 1 and killed[0] not in client.run(os.getpid).values()
    client.wait_for_workers(2)


def test_what_must_be_written_in_order_comes_back(client, fitted, cells, tmp_path):
    model = copy.copy(fitted)
    model.hyperparameters = model.hyperparameters.changed(relu_output=True)  # kept sparse
    for name, keep in (("r.h5ad", ALL), ("r.zarr", ("imap",))):
        read = getattr(anndata, f"read_{name.split('.')[1]}")
        options = dict(keep=keep, verbose=0)
        expected = read(model.transform(cells, out=tmp_path / f"a{name}", **options))
        found = read(model.transform(cells, out=tmp_path / f"b{name}", client=client, **options))
        assert sparse.issparse(found.layers["imap"])
        same_to_the_bit(found, expected)


def test_few_cells_are_carried_to_a_millionth(client, fitted, logged, integrated, tmp_path):
    logged.write_h5ad(tmp_path / "cells.h5ad")
    out = tmp_path / "result.zarr"
    fitted.transform(tmp_path / "cells.h5ad", out=out, keep=ALL, client=client, verbose=0)
    result = anndata.read_zarr(out)
    np.testing.assert_allclose(result.layers["imap"], integrated.layers["imap"], atol=1e-6)
    np.testing.assert_allclose(result.obsm["X_imap"], integrated.obsm["X_imap"], atol=1e-6)


@pytest.mark.parametrize("flavor", ("seurat_v3", "per_batch"))
def test_preprocessing_is_the_same_to_the_bit(client, counts, tmp_path, flavor):
    rng = np.random.default_rng(0)
    raw = times(counts, 9_000)
    raw.X = sparse.csr_matrix(rng.poisson(raw.X.toarray() + rng.random(60)).astype("float32"))
    raw.write_zarr(tmp_path / "raw.zarr")
    least = int(np.quantile(np.diff(raw.X.indptr), 0.2)) + 1
    found = []
    for name, at in (("alone", None), ("together", client)):
        options = dict(n_top_genes=25, min_genes=least, flavor=flavor, verbose=0, client=at)
        out = imap_keras.preprocess(tmp_path / "raw.zarr", out=tmp_path / f"{name}.zarr", **options)
        found.append(anndata.read_zarr(out))
    assert 25 <= found[0].n_vars < 60 and found[0].n_obs < 9_000
    np.testing.assert_array_equal(found[1].X.toarray(), found[0].X.toarray())
    same_to_the_bit(*found)
    reports = [{key: int(n) for key, n in x.uns["preprocess"].items()} for x in found]
    assert reports[0] == reports[1] and reports[0]["cells_in"] == 9_000


def test_joined_moments_are_those_of_one_pass_to_the_bit():
    rng = np.random.default_rng(0)
    whole, joined = Moments(3, 7), Moments(3, 7)
    for _ in range(5):
        block, codes = rng.normal(3, 2, (40, 7)), rng.integers(2, size=40)
        whole.add(block, codes)
        part = Moments(3, 7)
        part.add(block, codes)
        joined.join(part)
    for name in ("n", "mean", "squares"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))


def test_query_batches_trained_apart_are_those_of_one_process(client, logged, tiny, tmp_path):
    tiny |= {"incremental": False, "chunk_genes": 30, "pair_agreement": 0, "stage1_epochs": 1}
    logged.write_zarr(tmp_path / "cells.zarr")
    genes = logged.var_names[::2].tolist()
    models = [
        IMAP(**tiny).fit(tmp_path / "cells.zarr", genes=genes, verbose=0, client=at)
        for at in (None, client)
    ]
    one, two = models
    assert one.order == two.order and len(one.generators) == 2 and len(one.chunks) == 1
    for name in one.order[1:]:
        np.testing.assert_array_equal(one.pairs[name], two.pairs[name])
    pd.testing.assert_frame_equal(one.pair_counts, two.pair_counts)
    pd.testing.assert_frame_equal(one.history["stage2"], two.history["stage2"], rtol=1e-4)
    found = [model.transform(logged) for model in models]
    np.testing.assert_allclose(found[0].layers["imap"], found[1].layers["imap"], atol=1e-5)
    assert np.abs(found[0].layers["imap"] - logged.X.toarray()).max() > 1e-2


def test_without_incremental_a_batch_meets_the_others_as_measured(logged, monkeypatch, eagerly):
    """So the order of the query batches does not matter, and each can be trained apart."""
    from conftest import TINY

    from imap_keras.imap import query_batch

    seen, train = [], query_batch.train_carrier

    def recorded(table, *told, **named):
        seen.append(table.copy())
        return train(table, *told, **named)

    monkeypatch.setattr(query_batch, "train_carrier", recorded)
    hp = TINY | {"incremental": False, "pair_agreement": 0, "stage1_epochs": 1, "stage2_epochs": 1}
    IMAP(**hp).fit(logged, verbose=0)
    np.testing.assert_array_equal(seen[0], seen[1])


def test_results_come_in_the_order_of_the_calls(client):
    calls = [(base, 2) for base in range(20)]
    with closing(cluster_module.in_order(client, pow, calls)) as found:
        assert list(found) == [base**2 for base in range(20)]


# ------------------------------------------------------------------ the command, the README


def test_workers_that_have_all_gone_are_told(monkeypatch):
    """It does not wait for ever; and one that comes in time takes the work over."""
    monkeypatch.setattr(cluster_module, "TIMEOUT", 0.2)
    options = dict(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None)
    with distributed.LocalCluster(**options) as own, distributed.Client(own) as client:
        with closing(cluster_module.in_order(client, pow, ((2, i) for i in range(9)))) as found:
            assert next(found) == 1
            own.scale(0)
            while client.nthreads():
                time.sleep(0.05)
            threading.Timer(0.6, own.scale, [1]).start()
            assert list(found) == [2**i for i in range(1, 9)]
        monkeypatch.setattr(cluster_module, "PATIENCE", 0.5)
        with closing(cluster_module.in_order(client, pow, ((3, i) for i in range(9)))) as found:
            assert next(found) == 1
            own.scale(0)
            while client.nthreads():
                time.sleep(0.05)
            with pytest.raises(ConnectionError, match="have gone, and none came for 0.5 sec"):
                list(found)


def test_the_command_carries_cells_here_and_by_workers(
    cluster, client, fitted, cells, alone, tmp_path, capsys
):
    fitted.save(tmp_path / "model")
    call = ["transform", str(tmp_path / "model"), str(cells), "--keep", *ALL]
    for name, more in (("a", []), ("b", ["--scheduler", cluster.scheduler_address])):
        out = tmp_path / f"{name}.zarr"
        assert main([*call, "--out", str(out), *more]) == 0
        same_to_the_bit(anndata.read_zarr(out), alone)
        said = capsys.readouterr().out
        assert "Read cells.zarr: 20,500 cells x 60 genes; 60 are corrected." in said
        where = f"by the workers of {more[1]}" if more else "here"
        assert f"Block by block {where}, into {out}: X_imap, X_imap_content, imap." in said
        assert said.endswith(f"Wrote {out}.\n")


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (["--out", "r.txt"], 2, "out='{folder}/r.txt' must end in .h5ad or .zarr."),
        (["--out", "no/r.zarr"], 2, "There is no folder {folder}/no to write r.zarr into; make it."),
        (["--scheduler", "tcp://127.0.0.1:9"], 1, "There is no Dask scheduler at tcp://127.0.0.1:9. "),
        (["--batch-key", "donor"], 1, "'donor'"),
    ],
)
def test_wrong_calls_of_the_command_are_one_sentence(
    fitted, cells, tmp_path, capsys, monkeypatch, change, code, said
):
    monkeypatch.setattr(cluster_module, "TIMEOUT", 0.5)
    fitted.save(tmp_path / "model")
    options = {"--out": "r.zarr"} | dict([change])
    options["--out"] = str(tmp_path / options["--out"])
    call = ["transform", str(tmp_path / "model"), str(cells)]
    assert main([*call, *(part for pair in options.items() for part in pair)]) == code
    assert said.format(folder=tmp_path) in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_lines_of_the_readme_run(cluster, client, fitted, cells, alone, tmp_path, monkeypatch):
    (line,) = re.findall(r"^(model\.transform\(.*client=.*?\))", README.read_text(), re.M)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells.zarr").symlink_to(cells)
    exec(line.replace("tcp://10.0.0.1:8786", cluster.scheduler_address), {"model": fitted})
    found = anndata.read_zarr("integrated.zarr")
    np.testing.assert_array_equal(found.obsm["X_imap"], alone.obsm["X_imap"])


# ------------------------------------------------------------------ what cannot work


def test_a_cluster_that_is_not_there_is_named(fitted, cells, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_module, "TIMEOUT", 0.5)
    sentence = (
        "There is no Dask scheduler at tcp://127.0.0.1:9. Start one with `dask scheduler`, and workers "
        "with `dask worker ADDRESS --nthreads 1`, ADDRESS being the one that the scheduler prints."
    )
    for call in (
        lambda at: fitted.transform(cells, out=tmp_path / "r.zarr", client=at, verbose=0),
        lambda at: imap_keras.preprocess(cells, out=tmp_path / "r.zarr", client=at, verbose=0),
        lambda at: IMAP(incremental=False).fit(cells, client=at, verbose=0),
    ):
        with pytest.raises(ConnectionError, match=f"^{re.escape(sentence)}$"):
            call("tcp://127.0.0.1:9")
    assert list(tmp_path.iterdir()) == []
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as nobody:
        with distributed.Client(nobody) as lonely:
            address = re.escape(lonely.scheduler.address)
            with pytest.raises(ConnectionError, match=rf"scheduler at {address} has no worker\. Start"):
                fitted.transform(cells, out=tmp_path / "r.zarr", client=lonely, verbose=0)
        with pytest.raises(ConnectionError, match="scheduler at the address of a closed client. Start"):
            fitted.transform(cells, out=tmp_path / "r.zarr", client=lonely, verbose=0)


def test_without_distributed_it_is_named(fitted, cells, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    sentence = "client= needs Dask's distributed: pip install distributed."
    with pytest.raises(ImportError, match=f"^{re.escape(sentence)}$"):
        fitted.transform(cells, out=tmp_path / "r.zarr", client="tcp://127.0.0.1:9", verbose=0)
    assert list(tmp_path.iterdir()) == []


def test_cells_in_memory_are_not_sent_about(client, fitted, logged, counts, tmp_path):
    sentence = (
        "client= needs cells on disk, which workers open themselves: write them with "
        "adata.write_zarr('cells.zarr') and give that path."
    )
    for call in (
        lambda: fitted.transform(logged, out=tmp_path / "r.zarr", client=client, verbose=0),
        lambda: imap_keras.preprocess(counts, out=tmp_path / "r.zarr", client=client, verbose=0),
    ):
        with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_workers_write_and_bring_nothing_into_memory(client, fitted, cells):
    with pytest.raises(ValueError, match=r"^client= needs out='result.zarr': what workers make is wr"):
        fitted.transform(cells, client=client)
    with pytest.raises(ValueError, match="^client= needs out='result.zarr'"):
        imap_keras.preprocess(cells, client=client)


def test_batches_that_join_the_anchor_are_not_trained_apart(client, cells):
    with pytest.raises(ValueError, match=r"^client= trains each query.*IMAP\(incremental=False\), or"):
        IMAP().fit(cells, client=client)


def test_cells_that_change_while_workers_read_them_are_an_error(
    client, fitted, logged, tmp_path, monkeypatch
):
    cells, plain = tmp_path / "cells.zarr", by_workers.in_order
    times(logged, 9_000).write_zarr(cells)

    def late(*arguments):
        yield from plain(*arguments)
        os.utime(cells / "X" / "data", ns=(1, 1))

    monkeypatch.setattr(by_workers, "in_order", late)
    with pytest.raises(RuntimeError, match=r"cells.zarr changed while it was read, so what was read"):
        fitted.transform(cells, out=tmp_path / "r.zarr", client=client, verbose=0)
    assert [path.name for path in tmp_path.iterdir()] == ["cells.zarr"]
    place = cluster_module.place_of(open_cells(cells))
    os.utime(cells / "X" / "data", ns=(2, 2))
    with pytest.raises(RuntimeError, match=r"cells.zarr changed while it was read"):
        place.block(0, 10)
    with pytest.raises(FileNotFoundError, match=r"A worker finds no /none: every worker must see"):
        place._replace(path="/none").block(0, 10)


def test_of_where_rows_begin_only_the_part_asked_for_is_read(tmp_path):
    values = sparse.random(40, 7, 0.4, "csr", "float32", random_state=0)
    read = []

    class Watched(np.ndarray):
        def __getitem__(self, part):
            read.append((self.title, part.stop - part.start))
            return np.asarray(self)[part]

    class Group(dict):
        attrs = {"shape": values.shape}

    group = Group()
    for name in ("data", "indices", "indptr"):
        group[name] = getattr(values, name).view(Watched)
        group[name].title = name
    found = cluster_module.RowsOf(group)[10:14]
    assert np.array_equal(found.toarray(), values[10:14].toarray())
    n = values[10:14].nnz
    assert sorted(read) == [("data", n), ("indices", n), ("indptr", 5)]

    for path, key in ((tmp_path / "a.zarr", "X"), (tmp_path / "a.h5ad", "layers/x")):
        adata = AnnData(values, layers={"x": values.toarray()})
        adata.write_zarr(path) if path.suffix == ".zarr" else adata.write_h5ad(path)
        for matrix in ("X", key):
            rows = cluster_module.RowsOf(opened(path)[matrix])
            assert rows.shape == (40, 7)
            assert np.array_equal(dense(rows[33:40]), values[33:40].toarray())


def test_a_fault_of_a_worker_leaves_nothing_and_is_told(client, fitted, logged, tmp_path):
    adata = times(logged, 9_000)
    adata.X = sparse.csr_matrix(adata.X)
    adata.X.data[-1] = np.nan
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(ValueError, match=r"adata.X, cells from 8192 on,"):
        fitted.transform(tmp_path / "cells.h5ad", out=tmp_path / "r.zarr", client=client, verbose=0)
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]
