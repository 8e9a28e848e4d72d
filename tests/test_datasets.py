"""Simulated, embedded and fetched data."""

import errno
import hashlib
import http.server
import os
import re
import socket
import tempfile
import threading
import time

import anndata
import numpy as np
import pandas as pd
import pytest
import requests
from scipy import sparse

from imap_keras import datasets
from imap_keras.datasets import (
    _download,
    cbmc_protein,
    demo,
    fetch,
    load,
    merfish_scrna,
    registry,
    sc_mixology,
    scgem,
    simulate,
    simulate_file,
    simulate_interactions,
    simulate_manifold,
    simulate_modalities,
    snareseq,
    surface_protein,
)
from imap_keras.datasets.__main__ import main
from imap_keras.inputs.files import check_file

# ------------------------------------------------------------------ simulate


def whole(x):
    return sparse.issparse(x) and x.min() >= 0 and not np.any(x.data % 1)


def test_simulated_shapes_names_and_counts():
    adata = simulate(n_cells=120, n_genes=60, n_batches=3, n_types=3)
    assert adata.shape == (120, 60)
    assert whole(adata.X) and (adata.layers["counts"] != adata.X).nnz == 0
    assert adata.layers["truth"].shape == (120, 60)
    assert adata.obs["batch"].value_counts().to_dict() == {f"batch_{i}": 40 for i in range(3)}
    assert set(adata.obs["cell_type"]) == {"type_0", "type_1", "type_2"}
    assert adata.obs_names.is_unique and adata.var_names.is_unique


def test_simulated_counts_scatter_about_their_expectation():
    adata = simulate(n_cells=300, n_genes=60, n_types=1, n_batches=2, batch_strength=0)
    counts, truth = adata.X.toarray(), adata.layers["truth"]
    for batch in ("batch_0", "batch_1"):  # the depth of a batch is not part of the truth
        of_batch = (adata.obs["batch"] == batch).to_numpy()
        truth[of_batch] *= counts[of_batch].sum() / truth[of_batch].sum()
    np.testing.assert_allclose(counts.sum(0), truth.sum(0), rtol=0.25, atol=30)
    z = (counts - truth) / np.sqrt(truth + truth**2 / 5)  # negative binomial, dispersion 5
    assert z.mean() == pytest.approx(0, abs=0.03)
    assert z.std() == pytest.approx(1, abs=0.06)


def test_truth_has_no_depth_of_its_batch():
    adata = simulate(n_cells=1500, n_genes=60, n_batches=3, seed=0)
    batch = adata.obs["batch"].to_numpy()

    def spread(values):
        depth = pd.Series(values).groupby(batch, observed=True).median()
        return depth.max() / depth.min()

    assert spread(adata.layers["truth"].sum(axis=1)) < 1.05
    assert spread(adata.X.toarray().sum(axis=1)) > 1.1


def test_library_size_is_the_median_number_of_counts():
    small, large = (
        np.median(simulate(n_cells=300, n_genes=60, library_size=n).X.toarray().sum(1))
        for n in (1000, 4000)
    )
    assert 700 < small < 1400
    assert large / small == pytest.approx(4, rel=0.05)


def test_missing_types_are_missing_there_alone():
    adata = simulate(
        n_cells=300, n_genes=20, n_types=3, n_batches=2, missing={"batch_1": ["type_0", "type_2"]}
    )
    table = pd.crosstab(adata.obs["batch"], adata.obs["cell_type"])
    assert table.loc["batch_1"].tolist() == [0, 150, 0]
    assert (table.loc["batch_0"] > 0).all()


def test_seed_decides_the_simulation():
    first, again, other = (simulate(n_cells=60, n_genes=30, seed=s) for s in (1, 1, 2))
    assert (first.X != again.X).nnz == 0
    np.testing.assert_array_equal(first.layers["truth"], again.layers["truth"])
    assert (first.X != other.X).nnz > 0


def batch_difference(strength):
    """Mean absolute log ratio of the two batches' gene shares, well-seen genes only."""
    adata = simulate(n_cells=400, n_genes=60, n_types=1, n_batches=2, batch_strength=strength, seed=3)
    share = [adata[adata.obs["batch"] == b].X.sum(0).A1 for b in ("batch_0", "batch_1")]
    a, b = (s / s.sum() for s in share)
    seen = np.minimum(*share) > 200
    return np.abs(np.log(a[seen] / b[seen])).mean()


def test_batch_strength_is_the_strength_of_the_batches():
    assert batch_difference(0) < 0.08
    # The difference of two normal shifts of 0.7: mean absolute value 0.7 * sqrt(2) * sqrt(2 / pi).
    assert batch_difference(0.7) == pytest.approx(0.79, abs=0.25)


def test_truth_has_no_batch_effect():
    adata = simulate(n_cells=200, n_genes=40, n_types=3, n_batches=3, batch_strength=0.7)
    share = adata.layers["truth"] / adata.layers["truth"].sum(1, keepdims=True)
    table = pd.DataFrame(share).groupby(
        [adata.obs["cell_type"].to_numpy(), adata.obs["batch"].to_numpy()]
    )
    profile = table.mean()
    for name in ("type_0", "type_1", "type_2"):
        np.testing.assert_allclose(np.ptp(profile.loc[name].to_numpy(), axis=0), 0, atol=1e-6)
    assert not np.allclose(profile.loc["type_0"].iloc[0], profile.loc["type_1"].iloc[0], atol=1e-3)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"missing": {"batch_9": ["type_0"]}}, "'batch_9'"),
        ({"missing": {"batch_0": ["type_9"]}}, "'type_9'"),
        ({"n_types": 2, "missing": {"batch_0": ["type_0", "type_1"]}}, "without any cell type"),
        ({"n_cells": 14}, "n_cells=14 is too few for 3 batches of 5 types"),
    ],
)
def test_impossible_simulations_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        simulate(**{"n_cells": 60, "n_genes": 20, **options})


# ------------------------------------------------------------------ demo


def test_demo_is_700_cells_on_three_platforms():
    adata = demo()
    assert adata.shape == (700, 765)
    assert whole(adata.X) and (adata.layers["counts"] != adata.X).nnz == 0
    assert list(adata.obs["batch"].cat.categories) == ["platform_A", "platform_B", "platform_C"]
    assert set(adata.obs["cell_type"]) == {"T", "B", "NK", "Monocyte", "CD34+", "Dendritic"}
    assert adata.obs["cell_subtype"].nunique() == 10
    assert adata.obs["batch"].value_counts().min() > 180


def test_platform_c_has_no_b_cells_and_the_others_have():
    table = pd.crosstab(demo().obs["batch"], demo().obs["cell_type"])
    assert table.loc["platform_C", "B"] == 0
    table.loc["platform_C", "B"] = 99
    assert table.to_numpy().min() > 0
    assert table.loc["platform_A", "B"] > 30 and table.loc["platform_B", "B"] > 30


def test_platform_a_measures_the_truth_and_the_others_do_not():
    adata = demo()
    truth, counts, batch = adata.layers["truth"], adata.X, adata.obs["batch"].to_numpy()
    assert whole(truth)
    a, b, c = (np.flatnonzero(batch == f"platform_{x}") for x in "ABC")
    assert (truth[a] != counts[a]).nnz == 0
    assert counts[b].sum() / truth[b].sum() == pytest.approx(0.8 * np.exp(0.18), rel=0.3)
    assert counts[c].sum() > truth[c].sum()
    # Ambient RNA: on C alone are genes seen that the cell does not have.
    assert counts[b].toarray()[truth[b].toarray() == 0].sum() == 0
    assert counts[c].toarray()[truth[c].toarray() == 0].sum() > 0


def test_seed_decides_the_platforms():
    first, again, other = demo(), demo(seed=0), demo(seed=1)
    assert (first.X != again.X).nnz == 0 and (first.obs == again.obs).all(axis=None)
    assert (first.X != other.X).nnz > 0
    assert (first.layers["truth"] != other.layers["truth"]).nnz == 0


# ------------------------------------------------------------------ fetch

CONTENT = b"cell,gene\n1,2\n" * 50
FILE = "toy/table.csv"


@pytest.fixture
def server():
    """A local HTTP server that sends ``server.content`` and counts ``server.hits``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.hits += 1
            if self.server.content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.content)))
            self.end_headers()
            self.wfile.write(self.server.content)

        def log_message(self, *args):
            pass

    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.content, site.hits = CONTENT, 0
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield site
    site.shutdown()
    site.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAP_KERAS_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # pooch waits between attempts
    return tmp_path / "cache"


@pytest.fixture
def offer(monkeypatch):
    """Put one file at a port of this machine into the registry."""

    def put(port):
        row = {
            "dataset": "toy",
            "file": FILE,
            "bytes": 2_500_000,
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "url": f"http://127.0.0.1:{port}/table.csv",
        }
        table = pd.DataFrame([row])
        for module in (_download, datasets.__main__):
            monkeypatch.setattr(module, "registry", lambda: table)
        monkeypatch.setattr(datasets.__main__, "COURSE", ["toy"])
        return row["url"]

    return put


def closed_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_is_fetched_once(server, cache, offer):
    offer(server.server_port)
    for _ in range(2):
        path = fetch(FILE)
        assert path == cache / FILE
        assert path.read_bytes() == CONTENT
    assert server.hits == 1
    assert files_in(cache) == [cache / FILE]


def test_a_damaged_file_in_the_cache_is_fetched_again(server, cache, offer):
    offer(server.server_port)
    (cache / FILE).parent.mkdir(parents=True)
    (cache / FILE).write_bytes(CONTENT[:-5])
    assert fetch(FILE).read_bytes() == CONTENT
    assert server.hits == 1


def test_wrong_bytes_from_the_network_are_refused_and_not_kept(server, cache, offer):
    url = offer(server.server_port)
    server.content = b"<html>log in to the hotel's network</html>"
    with pytest.raises(OSError, match=f"{FILE} from {url} arrived damaged.*sha256") as caught:
        fetch(FILE)
    assert not isinstance(caught.value, ConnectionError)
    assert server.hits == 3
    assert files_in(cache) == []


def test_without_network_the_error_says_what_to_fetch_and_where_to_put_it(cache, offer):
    url = offer(closed_port())
    with pytest.raises(ConnectionError) as caught:
        fetch(FILE)
    message = str(caught.value)
    for part in (url, str(cache), "2.5 MB", str(cache / FILE), "python -m imap_keras.datasets toy"):
        assert part in message
    assert not cache.exists() or files_in(cache) == []


def test_an_address_that_is_gone_is_a_connection_error(server, cache, offer):
    url = offer(server.server_port)
    server.content = None
    with pytest.raises(ConnectionError, match=re.escape(url)):
        fetch(FILE)


def test_an_address_that_is_gone_or_closed_says_the_status(server, cache, offer):
    url = offer(server.server_port)
    server.content = None
    with pytest.raises(ConnectionError) as caught:
        fetch(FILE)
    assert str(caught.value) == (
        f"{FILE} (2.5 MB) is not in the cache {cache} and cannot be fetched from {url}: the server "
        "answers 404 (Not Found). The address may have moved or be closed to you: try a newer "
        f"imap_keras; or copy the file to {cache / FILE}; or set IMAP_KERAS_DATA to a folder that has "
        "it."
    )


def test_a_damaged_file_without_network_is_called_damaged(cache, offer):
    url = offer(closed_port())
    (cache / FILE).parent.mkdir(parents=True)
    (cache / FILE).write_bytes(CONTENT[:-5])
    with pytest.raises(ConnectionError) as caught:
        fetch(FILE)
    assert str(caught.value).startswith(
        f"{FILE} (2.5 MB) is damaged in the cache {cache} and cannot be fetched from {url} (Connection"
    )


@pytest.mark.parametrize("code, words", [("ENOSPC", "No space left"), ("EROFS", "Read-only")])
def test_a_cache_that_cannot_be_written_is_named_with_the_data_set(
    server, cache, offer, monkeypatch, code, words
):
    offer(server.server_port)
    number = getattr(errno, code)

    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(OSError) as caught:
        fetch(FILE)
    assert caught.value.errno == number and not isinstance(caught.value, ConnectionError)
    assert caught.value.strerror == (
        f"{FILE} (2.5 MB, data set toy) cannot be written into the cache {cache}: "
        f"{os.strerror(number)}. Set IMAP_KERAS_DATA to a folder with room that you may write to."
    )
    assert words in str(caught.value)


def test_a_file_in_place_of_the_cache_is_named(server, cache, offer, capsys):
    offer(server.server_port)
    cache.write_text("no folder")
    assert main(["toy"]) == 1
    assert f"data set toy) cannot be written into the cache {cache}" in capsys.readouterr().err


def test_what_killed_downloads_left_is_tidied_and_running_ones_are_not(server, cache, offer):
    offer(server.server_port)
    folder = (cache / FILE).parent
    folder.mkdir(parents=True)
    for name, hours in (("tmpabcd_123", 2), ("tmpefgh_456", 0.5), ("tmpmine.txt", 2)):
        (folder / name).write_text("part")
        os.utime(folder / name, 2 * (time.time() - 3600 * hours,))
    fetch(FILE)
    assert {path.name for path in files_in(cache)} == {"table.csv", "tmpefgh_456", "tmpmine.txt"}


def test_a_read_only_cache_with_the_right_files_is_enough(cache, offer, monkeypatch):
    offer(closed_port())
    (cache / FILE).parent.mkdir(parents=True)
    (cache / FILE).write_bytes(CONTENT)
    cache.chmod(0o555)

    def refuse(*args, **kwargs):  # root may write into read-only folders, so that chmod is not all
        raise OSError(errno.EROFS, "read-only file system")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    try:
        assert fetch(FILE) == cache / FILE
    finally:
        cache.chmod(0o755)


def test_unknown_file_is_refused(cache):
    with pytest.raises(KeyError, match="'no/such.csv' is not in the registry"):
        fetch("no/such.csv")


# ------------------------------------------------------------------ the command


def test_the_command_fetches_and_says_where(server, cache, offer, capsys):
    offer(server.server_port)
    assert main(["toy"]) == 0
    assert capsys.readouterr().out == f"toy: complete in {cache}\n"
    assert (cache / FILE).read_bytes() == CONTENT
    assert main([]) == 0
    assert server.hits == 1


def test_the_command_without_network_fails_in_words(cache, offer, capsys):
    url = offer(closed_port())
    assert main(["toy"]) == 1
    told = capsys.readouterr()
    assert told.out == "" and url in told.err


def test_the_command_lists_what_it_knows(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["sc_mixologie"])
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert "unknown data set 'sc_mixologie'" in told
    assert all(name in told for name in set(registry()["dataset"]))


# ------------------------------------------------------------------ registry and real data


def test_every_row_of_the_registry_is_complete():
    table = registry()
    assert len(table) >= 10 and table["file"].is_unique
    assert table["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert table["url"].str.match(r"https://\S+$").all()
    assert (table["bytes"] > 0).all()
    assert (table["file"].str.split("/").str[0] == table["dataset"]).all()
    assert not table.isna().any(axis=None)


def test_every_row_of_the_registry_is_one_that_the_data_came_with():
    shared = _download.REGISTRY.resolve().parents[3] / "shared" / "data" / "registry.csv"
    if not shared.is_file():
        pytest.skip(f"there is no {shared}")
    came = pd.read_csv(shared).set_index("file")
    pd.testing.assert_frame_equal(registry().set_index("file"), came.loc[registry()["file"]])


def test_sc_mixology_has_the_published_sizes(real_data):
    real_data("sc_mixology")
    adata = sc_mixology()
    assert adata.shape == (1408, 11533)
    assert whole(adata.X) and (adata.layers["counts"] != adata.X).nnz == 0
    assert int((~adata.obs["doublet"]).sum()) == 1021
    assert adata.obs["batch"].value_counts().to_dict() == {
        "celseq2": 274,
        "dropseq": 225,
        "celseq2_5cl_p1": 297,
        "celseq2_5cl_p2": 307,
        "celseq2_5cl_p3": 305,
    }
    lines = adata.obs.groupby("batch", observed=True)["cell_type"].agg(set)
    three = {"H1975", "H2228", "HCC827"}
    assert lines["celseq2"] == lines["dropseq"] == three
    assert lines["celseq2_5cl_p1"] >= three | {"A549", "H838"}
    assert adata.obs_names.is_unique


def test_surface_proteins_are_two_batches_of_the_same_types(real_data):
    real_data("inclust_plus")
    adata = surface_protein()
    assert adata.shape == (8540, 216) and adata.X.dtype == np.float32
    assert adata.X.min() > 0 and adata.X.max() == 1
    assert adata.obs["batch"].value_counts().to_dict() == {"batch_0": 5023, "batch_1": 3517}
    table = pd.crosstab(adata.obs["batch"], adata.obs["cell_type"])
    assert table.loc["batch_0"].tolist() == [800, 342, 457, 515, 1887, 588, 434]
    assert table.loc["batch_1"].tolist() == [468, 249, 353, 299, 1482, 316, 350]
    assert adata.obs_names.is_unique and adata.var_names[-1] == "protein_215"


def test_scrna_set_marks_the_genes_to_impute(real_data):
    real_data("inclust_plus")
    adata = merfish_scrna()
    assert adata.shape == (30370, 153) and sparse.isspmatrix_csr(adata.X)
    assert adata.X.dtype == np.float32 and adata.X.min() == 0 and adata.X.max() == 1
    assert adata.var["to_impute"].sum() == 31
    assert adata.var["to_impute"].iloc[[14, 131, 151]].all() and not adata.var["to_impute"].iloc[0]
    assert adata.obs["cell_type"].cat.categories.tolist() == [f"type_{i}" for i in range(12)]
    assert adata.obs["cell_type"].value_counts()["type_5"] == 15042


def test_scgem_is_expression_and_methylation_of_the_same_cells(real_data):
    real_data("scgem")
    cells = scgem()
    assert {name: adata.shape for name, adata in cells.items()} == {
        "expression": (177, 34),
        "methylation": (177, 27),
    }
    assert np.unique(cells["methylation"].X).tolist() == [0, 1]
    assert cells["methylation"].X.sum() == 2948 and cells["expression"].X.max() < 25.5
    counts = cells["expression"].obs["cell_type"].value_counts(sort=False).to_dict()
    assert counts == {"BJ": 35, "d8": 40, "d16T+": 32, "d24T+": 36, "iPS": 34}
    assert cells["expression"].obs_names.equals(cells["methylation"].obs_names)


def test_cbmc_protein_is_the_proteins_of_a_cite_seq(real_data):
    real_data("cbmc_protein")
    cells = cbmc_protein()
    assert cells.shape == (8617, 10) and cells.var_names.tolist()[:2] == ["CD3", "CD4"]
    assert cells.X[0].tolist() == [60, 72, 76, 575, 64, 161, 77, 206, 70, 179]
    assert cells.obs_names[0] == "CTGTTTACACCGCTAG" and cells.obs["cell_type"].iloc[0] == "cluster_4"
    counts = cells.obs["cell_type"].value_counts(sort=False)
    assert len(counts) == 13 and counts["cluster_1"] == 3086 and counts["cluster_6"] == 282


def test_snareseq_is_rna_and_accessibility_of_the_same_cells(real_data):
    real_data("snareseq")
    cells = snareseq()
    assert {name: adata.shape for name, adata in cells.items()} == {
        "rna": (1047, 10),
        "accessibility": (1047, 19),
    }
    counts = cells["rna"].obs["cell_type"].value_counts(sort=False).to_dict()
    assert counts == {"line_1": 379, "line_2": 324, "line_3": 201, "line_4": 143}


@pytest.mark.parametrize(
    "loader, name",
    [
        (surface_protein, "inclust_plus"),
        (merfish_scrna, "inclust_plus"),
        (scgem, "scgem"),
        (snareseq, "snareseq"),
    ],
)
def test_data_without_network_are_missed_by_name(loader, name, cache, monkeypatch):
    def no_network(*args, **kwargs):
        raise requests.exceptions.ConnectionError("no route")

    monkeypatch.setattr(requests, "get", no_network)
    with pytest.raises(ConnectionError, match=f"python -m imap_keras.datasets {name}"):
        loader()
    assert not cache.exists() or files_in(cache) == []


def test_registered_files_at_hand_have_their_sizes(real_data):
    real_data("scgem")
    for _, row in registry().query("dataset == 'scgem'").iterrows():
        assert fetch(row["file"]).stat().st_size == row["bytes"]


# ------------------------------------------------------------------ surfaces, blind modalities, files


def test_a_flat_surface_has_as_many_components_as_dimensions_and_a_bent_one_more():
    for curvature, n in ((0, 2), (1, 8)):
        truth = simulate_manifold(2000, 20, 2, curvature, noise=0.1, seed=3).layers["truth"]
        share = np.linalg.svd(truth - truth.mean(0), compute_uv=False) ** 2
        share /= share.sum()
        assert np.sum(np.cumsum(share) < 0.999) + 1 >= n
        assert curvature or share[:2].sum() == pytest.approx(1, abs=1e-5)


def test_noise_and_scale_of_a_surface_are_as_asked():
    adata = simulate_manifold(3000, 10, noise=0.3, seed=1)
    assert (adata.X - adata.layers["truth"]).std() == pytest.approx(0.3, rel=0.02)
    np.testing.assert_allclose(adata.layers["truth"].std(0), 1, atol=0.08)
    fewer = simulate_manifold(50, 10, noise=0.3, seed=1)
    np.testing.assert_array_equal(fewer.X, adata.X[:50])
    assert not np.array_equal(simulate_manifold(50, 10, seed=2).X, simulate_manifold(50, 10, seed=1).X)
    for options in ({"curvature": -1}, {"noise": -0.1}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}=.* must be 0 or more"):
            simulate_manifold(**options)


def test_a_blind_modality_cannot_tell_its_types_apart_and_the_others_are_as_before():
    sizes = {"rna": 12, "methylation": 12}
    seeing = simulate_modalities(3000, sizes, n_types=3, seed=1)
    blind = simulate_modalities(3000, sizes, n_types=3, seed=1, blind={"rna": ["type_0", "type_1"]})
    np.testing.assert_array_equal(blind["methylation"].X, seeing["methylation"].X)
    kind = blind["rna"].obs["cell_type"].to_numpy()
    means = {t: blind["rna"].layers["truth"][kind == t].mean(0) for t in ("type_0", "type_1", "type_2")}
    assert np.abs(means["type_0"] - means["type_1"]).max() < 0.1  # 1000 cells each
    assert np.abs(means["type_0"] - means["type_2"]).max() > 0.7
    others = kind != "type_1"
    np.testing.assert_array_equal(
        blind["rna"].layers["truth"][others], seeing["rna"].layers["truth"][others]
    )
    for wrong in ({"protein": ["type_0"]}, {"rna": ["type_7"]}):
        with pytest.raises(ValueError, match="blind names '(protein|type_7)'; modalities are"):
            simulate_modalities(30, sizes, blind=wrong)


def test_a_file_is_written_piece_by_piece_and_whole(tmp_path, monkeypatch):
    path = simulate_file(tmp_path / "whole.h5ad", 90, 20, n_types=3, seed=1)
    adata = anndata.read_h5ad(path)
    assert adata.shape == (90, 20) and whole(adata.X)
    assert adata.obs["cell_type"].nunique() == 3 and adata.X.sum(1).mean() == pytest.approx(
        200, rel=0.03
    )
    monkeypatch.setattr(datasets._manifold, "CELLS_A_PIECE", 40)
    pieces = anndata.read_h5ad(simulate_file(tmp_path / "pieces.h5ad", 90, 20, n_types=3, seed=1))
    assert pieces.shape == (90, 20) and whole(pieces.X)
    assert (pieces.obs["cell_type"] == adata.obs["cell_type"]).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pieces.h5ad", "whole.h5ad"]


# ------------------------------------------------------------------ load


def test_load_knows_the_names():
    assert (load("demo", seed=1).X != demo(seed=1).X).nnz == 0
    options = {"n_cells": 60, "n_genes": 30, "seed": 4}
    assert (load("simulated", **options).X != simulate(**options).X).nnz == 0


def test_load_reads_the_users_own_file(tmp_path, logged):
    logged.write_h5ad(tmp_path / "mine.h5ad")
    adata = load(str(tmp_path / "mine.h5ad"))
    np.testing.assert_array_equal(adata.X.toarray(), logged.X.toarray())
    pd.testing.assert_frame_equal(adata.obs, logged.obs)


def test_load_says_what_it_cannot_load(tmp_path):
    with pytest.raises(ValueError, match="'pbmc' is neither one of demo, simulated, sc_mixology"):
        load("pbmc")
    with pytest.raises(FileNotFoundError, match=f"no file {tmp_path}/none.h5ad"):
        load(str(tmp_path / "none.h5ad"))


def test_paths_of_files_know_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert simulate_file("~/cells.h5ad", 20, 10, n_types=2) == tmp_path / "cells.h5ad"
    assert load("~/cells.h5ad").shape == (20, 10)
    assert check_file("~/cells.h5ad") == tmp_path / "cells.h5ad"
    with pytest.raises(FileNotFoundError, match=f"There is no file {tmp_path}/other.h5ad"):
        check_file("~/other.h5ad")


def test_simulated_interactions_are_where_the_table_says():
    """A planted ligand is on in its sender alone, its receptor in the receiver; a quiet pair in all."""
    adata = simulate_interactions(n_cells=(600, 600), depth=(2e4, 2e4), efficiency=0, seed=3)
    pairs, counts = adata.uns["pairs"], adata.to_df()
    assert pairs["sender"].ne("").sum() == 30 == len(pairs) - 30
    assert len(set(zip(pairs["sender"], pairs["receiver"], strict=True))) == 31
    mean = counts.groupby(adata.obs["cell_type"].to_numpy()).mean()
    on = mean.loc[:, pairs[["ligand", "receptor"]].to_numpy().ravel()] > 0.1
    for pair in pairs.itertuples():
        for gene, kind in ((pair.ligand, pair.sender), (pair.receptor, pair.receiver)):
            assert on.index[on[gene]].tolist() == ([kind] if kind else on.index.tolist()), pair


def test_simulated_platforms_differ_in_depth_types_and_efficiency():
    adata = simulate_interactions(n_cells=(300, 900), seed=1)
    total = np.asarray(adata.X.sum(axis=1)).ravel()
    deep = (adata.obs["batch"] == "deep").to_numpy()
    assert deep.sum() == 300
    assert np.median(total[deep]) == pytest.approx(20_000, rel=0.1)
    assert np.median(total[~deep]) == pytest.approx(1500, rel=0.1)
    types = adata.obs["cell_type"]
    assert sorted(set(types[deep])) == ["type_0", "type_1", "type_2", "type_3"]
    assert sorted(set(types[~deep])) == ["type_0", "type_1", "type_2", "type_4", "type_5"]

    def log_ratio(efficiency):
        """Spread over genes of the log ratio of both platforms, in a type that both have."""
        some = simulate_interactions((2000, 2000), (2e4, 2e4), efficiency, n_quiet=0, seed=1)
        first = (some.obs["cell_type"] == "type_0").to_numpy()
        is_deep = (some.obs["batch"] == "deep").to_numpy()
        means = [np.asarray(some.X[first & of].mean(axis=0)).ravel() for of in (is_deep, ~is_deep)]
        seen = np.minimum(*means) > 1
        return np.std(np.log(means[0][seen] / means[1][seen]))

    assert log_ratio(0.5) == pytest.approx(0.5 * 2**0.5, rel=0.15)
    assert log_ratio(0.0) < 0.1
