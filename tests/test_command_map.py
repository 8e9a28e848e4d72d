"""imap-keras map: through iMAP and scArches what Python gives; every wrong call one sentence."""

import json

import anndata
import numpy as np
import pytest
import tensorflow as tf
from anndata import AnnData
from conftest import TINY

import imap_keras
from imap_keras import IMAP
from imap_keras.command import reading
from imap_keras.command.main import main
from imap_keras.scarches import Reference

SMALL = {"latent_dim": 3, "hidden": (8,), "epochs": 2, "batch_size": 32, "dropout": 0.0}


@pytest.fixture(scope="module", autouse=True)
def no_graphs():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def folder(counts, tmp_path_factory):
    """Saved models, what they were fitted on and gave, and a query, each as a file."""
    place = tmp_path_factory.mktemp("map")
    counts = AnnData(counts.X, obs=counts.obs, var=counts.var)
    is_query = (counts.obs["batch"] == "batch_2").to_numpy()
    counts[~is_query].write_h5ad(place / "fitted.h5ad")
    counts[is_query].write_h5ad(place / "query.h5ad")
    ready = imap_keras.preprocess(counts[~is_query], min_genes=5, n_top_genes=30, verbose=0)
    model = IMAP(**TINY).fit(ready, verbose=0)
    model.save(place / "imap")
    model.transform(ready).write_h5ad(place / "result.h5ad")
    query = imap_keras.preprocess(counts[is_query], min_genes=5, genes=model, verbose=0)
    query.write_h5ad(place / "prepared.h5ad")
    Reference(**SMALL).fit(counts[~is_query], verbose=0).save(place / "scarches")
    Reference(likelihood="mse", **SMALL).fit(ready, verbose=0).save(place / "logged")
    model.map_query(query, ready, verbose=0).write_h5ad(place / "expected.h5ad")
    return place


@pytest.mark.parametrize("reference", ["fitted.h5ad", "result.h5ad"])
@pytest.mark.parametrize("query", ["query.h5ad", "prepared.h5ad"])
def test_imap_gives_what_python_gives_from_counts_and_from_prepared_cells(
    folder, tmp_path, reference, query, capsys
):
    out = tmp_path / "out.h5ad"
    call = ["map", str(folder / "imap"), str(folder / query), "-o", str(out)]
    assert main([*call, "--reference", str(folder / reference)]) == 0
    mapped, expected = anndata.read_h5ad(out), anndata.read_h5ad(folder / "expected.h5ad")
    assert mapped.obs_names.tolist() == expected.obs_names.tolist()
    assert mapped.var_names.tolist() == expected.var_names.tolist()
    np.testing.assert_array_equal(mapped.obsm["X_imap"], expected.obsm["X_imap"])
    np.testing.assert_array_equal(mapped.layers["imap"], expected.layers["imap"])
    said = capsys.readouterr().out
    assert ("Preprocessed the reference: 80 cells" in said) == (reference == "fitted.h5ad")
    prepared = "Preprocessed the query: 40 cells in the model's 30 genes (0 missing, filled with 0); 0"
    assert (prepared in said) == (query == "query.h5ad")
    assert f"Wrote {out}: obsm['X_imap'] lies in the space of the reference" in said


def test_scarches_gives_what_python_gives_and_keeps_the_file_as_it_was(folder, tmp_path, capsys):
    out, query = tmp_path / "out.h5ad", anndata.read_h5ad(folder / "query.h5ad")
    assert main(["map", str(folder / "scarches"), str(folder / "query.h5ad"), "-o", str(out)]) == 0
    mapped = anndata.read_h5ad(out)
    grown = Reference.load(folder / "scarches").map_query(query, verbose=0)
    np.testing.assert_array_equal(mapped.obsm["X_scarches"], grown.latent(query))
    np.testing.assert_array_equal(mapped.X.toarray(), query.X.toarray())
    assert f"Wrote {out}: obsm['X_scarches'] is the latent" in capsys.readouterr().out


def test_scarches_finds_counts_in_raw(folder, tmp_path):
    query, out = anndata.read_h5ad(folder / "query.h5ad"), tmp_path / "out.h5ad"
    logged = query.copy()
    logged.raw = query
    logged.X = logged.X.log1p()
    logged.write_h5ad(tmp_path / "logged.h5ad")
    call = ["map", str(folder / "scarches"), "-o", str(out)]
    assert main([*call, str(tmp_path / "logged.h5ad")]) == 0
    grown = Reference.load(folder / "scarches").map_query(query, verbose=0)
    np.testing.assert_array_equal(anndata.read_h5ad(out).obsm["X_scarches"], grown.latent(query))


def test_a_scarches_reference_of_log_values_gets_them_from_counts(folder, tmp_path):
    out, prepared = tmp_path / "out.h5ad", anndata.read_h5ad(folder / "prepared.h5ad")
    assert main(["map", str(folder / "logged"), str(folder / "query.h5ad"), "-o", str(out)]) == 0
    grown = Reference.load(folder / "logged").map_query(prepared, verbose=0)
    mapped = anndata.read_h5ad(out)
    np.testing.assert_array_equal(mapped.obsm["X_scarches"], grown.latent(prepared))


def test_what_map_query_warns_of_is_a_note(folder, tmp_path, capsys):
    few = anndata.read_h5ad(folder / "query.h5ad")
    few = few[:, IMAP.load(folder / "imap").genes].copy()
    few.write_h5ad(tmp_path / "few.h5ad")
    call = ["map", str(folder / "imap"), str(tmp_path / "few.h5ad"), "-o", str(tmp_path / "out.h5ad")]
    few = few[:, :29]
    few.write_h5ad(tmp_path / "few.h5ad")
    assert main([*call, "--reference", str(folder / "result.h5ad")]) == 0
    assert "Note: These cells were normalised by their counts in 29 genes" in capsys.readouterr().out


def without_batch(adata):
    del adata.obs["batch"]
    return adata


@pytest.mark.parametrize("model", ["imap", "scarches"])
def test_a_query_without_batches_is_named_by_its_file(folder, tmp_path, model, capsys):
    changed(folder, "donor9.h5ad", without_batch)
    out = tmp_path / "out.h5ad"
    call = ["map", str(folder / model), str(folder / "donor9.h5ad"), "-o", str(out)]
    if model == "imap":
        call += ["--reference", str(folder / "result.h5ad")]
    assert main(call) == 0
    assert (
        "obs has no column 'batch', so that the file names the batch: 'donor9'.\n"
        in capsys.readouterr().out
    )
    mapped = anndata.read_h5ad(out)
    assert mapped.obs["batch"].unique().tolist() == ["donor9"]
    if model == "imap":
        expected = anndata.read_h5ad(folder / "expected.h5ad")
        np.testing.assert_array_equal(mapped.X.toarray(), expected.X.toarray())


def test_prepared_queries_in_several_files_keep_their_values(folder, tmp_path):
    query, expected = (anndata.read_h5ad(folder / f"{name}.h5ad") for name in ("prepared", "expected"))
    files = [str(tmp_path / f"{name}.h5ad") for name in ("first", "second")]
    for file, rows in zip(files, (slice(0, 25), slice(25, 40)), strict=True):
        query[rows].write_h5ad(file)
    out = tmp_path / "out.h5ad"
    call = ["map", str(folder / "imap"), *files, "-o", str(out)]
    assert main([*call, "--reference", str(folder / "fitted.h5ad")]) == 0
    mapped = anndata.read_h5ad(out)
    np.testing.assert_array_equal(mapped.X.toarray(), query.X.toarray())
    np.testing.assert_array_equal(mapped.obsm["X_imap"], expected.obsm["X_imap"])


@pytest.mark.parametrize("model", ["imap", "scarches", "logged"])
def test_what_no_file_can_keep_is_found_before_mapping(folder, tmp_path, monkeypatch, model, capsys):
    query = anndata.read_h5ad(folder / "query.h5ad")
    query.obs["age"] = [45, "unknown"] * 20
    read = reading.read_one

    def with_age(path, modality):
        return query.copy() if path.name == "query.h5ad" else read(path, modality)

    def reached(*args, **kwargs):
        pytest.fail("training started")

    monkeypatch.setattr(reading, "read_one", with_age)
    monkeypatch.setattr(imap_keras.imap.model, "map_batches", reached)
    monkeypatch.setattr(imap_keras.scarches.model, "train", reached)
    call = ["map", str(folder / model), str(folder / "query.h5ad"), "-o", str(tmp_path / "out.h5ad")]
    if model == "imap":
        call += ["--reference", str(folder / "fitted.h5ad")]
    assert main(call) == 1
    assert capsys.readouterr().err.startswith("error: obs['age'] holds int and str")


def changed(folder, name, change):
    adata = anndata.read_h5ad(folder / "query.h5ad")
    adata = change(adata)
    adata.write_h5ad(folder / name)


@pytest.fixture(scope="module")
def odd(folder):
    """Queries and models that cannot be mapped."""

    def with_batch(name):
        return lambda adata: AnnData(adata.X, obs=adata.obs.assign(batch=name), var=adata.var)

    def with_x(value):
        return lambda adata: AnnData(adata.X * value, obs=adata.obs, var=adata.var)

    changed(folder, "known.h5ad", with_batch("batch_1"))
    changed(folder, "nobatch.h5ad", without_batch)
    changed(folder, "short.h5ad", lambda adata: adata[:4].copy())
    changed(folder, "genes.h5ad", lambda adata: adata[:, :20].copy())
    changed(folder, "negative.h5ad", with_x(-1.0))
    (folder / "text.h5ad").write_text("no cells")
    (folder / "damaged").mkdir()
    (folder / "damaged" / "model.json").write_text('{"kind": "ima')
    (folder / "cut").mkdir()
    for file in (folder / "imap").iterdir():
        content = file.read_bytes()
        cut = len(content) // 2 if file.name.startswith("00-") else len(content)
        (folder / "cut" / file.name).write_bytes(content[:cut])
    (folder / "bayes").mkdir()
    (folder / "bayes" / "model.json").write_text(json.dumps({"kind": "bayes"}))
    return folder


@pytest.mark.parametrize(
    "model, query, more, code, message",
    [
        ("nowhere", "query", [], 2, "nowhere is not a saved model: it has no model.json."),
        ("bayes", "query", [], 2, "holds a model of kind 'bayes'; iMAP and scArches can map."),
        ("imap", "query", ["-o", "/no/such/out.h5ad"], 2, "There is no folder /no/such to write"),
        ("imap", "query", ["R", "-o", "FOLDER/o.csv"], 2, "o.csv must end in .h5ad: that is what is"),
        ("imap", "query", ["-o", "FOLDER/x.h5ad/"], 2, "is a folder; name a file."),
        ("imap", "query", ["-o", "FOLDER/query.h5ad"], 2, "would replace the input"),
        (
            "imap",
            "query",
            ["--reference", "FOLDER/ref.h5ad", "-o", "FOLDER/ref.h5ad"],
            2,
            "would replace",
        ),
        ("imap", "query", [], 2, "A saved iMAP keeps no cells: name the file it was fitted on, --ref"),
        ("scarches", "query", ["--reference", "x"], 2, "A scArches reference maps without its cells"),
        ("damaged", "query", [], 1, "model.json is damaged; save the model again."),
        ("cut", "query", ["R"], 1, "is damaged or was cut short; save or copy it again."),
        ("imap", "no", ["R"], 1, "There is no file or folder"),
        ("imap", "text", ["R"], 1, "text.h5ad cannot be read as an .h5ad"),
        ("imap", "query", ["--reference", "FOLDER/no.h5ad"], 1, "There is no file or folder"),
        ("imap", "query", ["R", "--batch-key", "donor"], 1, "'donor' is not a column of adata.obs"),
        (
            "imap",
            "query",
            ["--reference", "FOLDER/nobatch.h5ad"],
            1,
            "'batch' is not a column of adata.obs of FOLDER/nobatch.h5ad.",
        ),
        ("imap", "known", ["R"], 1, "Batch 'batch_1' was fitted already"),
        ("imap", "short", ["R"], 1, "Batch 'batch_2' has 4 cells; at least 10 are needed"),
        ("imap", "genes", ["R"], 1, "genes asked for are missing"),
        ("imap", "negative", ["R"], 1, "Neither counts nor log-normalised values were found"),
        ("imap", "query", ["R", "--min-genes", "100"], 1, "No cells are left"),
        ("imap", "query", ["--reference", "FOLDER/query.h5ad"], 1, "'batch_2' was not fitted"),
        ("scarches", "known", [], 1, "The reference has the batches ['batch_1'] already"),
        ("scarches", "genes", [], 1, "40 of the reference's 60 genes are missing (67%"),
        ("scarches", "negative", [], 1, "Neither counts nor log-normalised values were found"),
        ("logged", "genes", [], 1, "genes asked for are missing"),
    ],
)
def test_what_cannot_be_mapped_is_one_sentence_and_its_exit_code(
    odd, tmp_path, monkeypatch, model, query, more, code, message, capsys
):
    (odd / "x.h5ad").mkdir(exist_ok=True)

    def reached(*args, **kwargs):
        pytest.fail("training started")

    monkeypatch.setattr(imap_keras.imap.model, "map_batches", reached)
    monkeypatch.setattr(imap_keras.scarches.model, "train", reached)
    more = " ".join(more).replace("R", f"--reference {odd}/result.h5ad", more[:1] == ["R"])
    more = more.replace("FOLDER", str(odd)).split()
    out = tmp_path / "out.h5ad"
    call = ["map", str(odd / model), str(odd / f"{query}.h5ad"), "-o", str(out), *more]
    assert main(call) == code
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and said.err.count("\n") == 1, said.err
    assert message.replace("FOLDER", str(odd)) in said.err
    assert "Wrote" not in said.out and not out.exists()
