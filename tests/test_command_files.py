"""The command's files: what is joined and how, what is taken as it is, what could not be written."""

import gzip
import os
import re
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.io
from anndata import AnnData
from conftest import TINY
from scipy import sparse

import imap_keras
from imap_keras import IMAP, Hyperparameters, datasets
from imap_keras.command import finding, joining, reading, report
from imap_keras.command.cost import cost_of
from imap_keras.command.main import main
from imap_keras.command.plan import Plan, plan_of
from imap_keras.command.report import batch_table

SMALL = TINY | {"pair_agreement": 0}
SET = [part for name, value in SMALL.items() if name != "seed" for part in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def cells():
    adata = datasets.simulate(n_cells=120, n_genes=60, n_batches=3, n_types=3, seed=1)
    return AnnData(sparse.csr_matrix(adata.X), obs=adata.obs[["batch"]], var=adata.var)


@pytest.fixture
def write(cells, tmp_path):
    """Write the cells of some batches, changed by a function, and return the path."""

    def written(name, batches, change=lambda adata: adata):
        part = cells[cells.obs["batch"].isin(batches)].copy()
        (tmp_path / name).parent.mkdir(exist_ok=True)
        change(part).write_h5ad(tmp_path / name)
        return str(tmp_path / name)

    return written


@pytest.fixture
def fitted_cells(monkeypatch):
    """What integrate hands to the fit, which is left out."""
    handed = []

    def kept(self, adata, batch_key, order=None, verbose=1, genes="variable"):
        handed.append((adata, genes))
        return adata.copy()

    monkeypatch.setattr(IMAP, "fit_transform", kept)
    return handed


def integrated(files, tmp_path, *more):
    out = str(tmp_path / "out.h5ad")
    call = ["integrate", *files, "--batch-key", "batch", "-o", out, "--min-genes", "5", *more]
    assert main(call) == 0
    return anndata.read_h5ad(out)


def dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def logged(adata):
    """As scanpy's users keep them: log values in X, counts in a layer."""
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    return adata


def logged_only(adata):
    del logged(adata).layers["counts"]
    return adata


def with_obs(**columns):
    def change(adata):
        adata.obs = adata.obs.assign(**columns)
        return adata

    return change


def prepared(**how):
    return lambda adata: imap_keras.preprocess(adata, min_genes=5, verbose=0, **how)


# ------------------------------------------------------------------ joining


def test_missing_batch_labels_stay_missing_when_files_are_joined(write, capsys):
    def half(adata):
        adata.obs["batch"] = adata.obs["batch"].where(np.arange(adata.n_obs) >= 20)
        return adata

    files = [write("one.h5ad", ["batch_0", "batch_1"]), write("two.h5ad", ["batch_2"], half)]
    assert main(["check", *files, "--batch-key", "batch", "--min-genes", "5"]) == 1
    said = capsys.readouterr().out
    assert "Stop: adata.obs['batch'] is empty for 20 cells." in said
    assert "batches are batch_0, batch_1, batch_2." in said


def test_columns_of_numbers_here_and_text_there_become_text(write, fitted_cells, tmp_path, capsys):
    first = with_obs(age=[45, None] * 20, score=1, sick=True, only="here", n=pd.Categorical([1] * 40))
    second = with_obs(age=["unknown"] * 39 + [None], score=0.5, sick="no", n=2)
    files = [write("one.h5ad", ["batch_0"], first), write("two.h5ad", ["batch_1"], second)]
    obs = integrated(files, tmp_path).obs
    assert obs["age"].astype(object).where(obs["age"].notna(), None).tolist() == (
        ["45", None] * 20 + ["unknown"] * 39 + [None]
    )
    assert obs["sick"].tolist() == ["True"] * 40 + ["no"] * 40
    assert obs["score"].tolist() == [1.0] * 40 + [0.5] * 40
    assert obs["n"].tolist() == [1] * 40 + [2] * 40
    said = capsys.readouterr().out
    assert "obs['age'] holds numbers in some files and text in others: all are text now." in said
    assert "obs['sick'] holds text in some files and true or false in others" in said
    assert "obs['score']" not in said and "obs['n']" not in said
    assert "Not in all files, so left out of obs: only." in said


def test_counts_are_joined_with_counts_wherever_they_lie(write, cells, fitted_cells, tmp_path):
    def raw(adata):
        adata.raw = adata.copy()
        sc.pp.log1p(adata)
        return adata

    files = [
        write("scanpy.h5ad", ["batch_0"], logged),
        write("counts.h5ad", ["batch_1"]),
        write("raw.h5ad", ["batch_2"], raw),
    ]
    integrated(files, tmp_path)
    ready = imap_keras.preprocess(cells, min_genes=5, verbose=0)
    (found, _), names = fitted_cells[0], ["scanpy", "counts", "raw"]
    assert found.obs_names.tolist() == [
        f"{cell}-{names[int(batch[-1])]}" for cell, batch in cells.obs["batch"].items()
    ]
    np.testing.assert_array_equal(dense(found.X), dense(ready.X))
    np.testing.assert_array_equal(dense(found.layers["counts"]), dense(cells.X))


def test_files_of_different_kinds_are_refused_by_name(write, capsys):
    files = [write("log.h5ad", ["batch_0"], logged_only), write("count.h5ad", ["batch_1"])]
    assert main(["check", *files, "--batch-key", "batch"]) == 1
    assert capsys.readouterr().err == (
        "error: Neither counts nor log-normalised values are in all files ('log': log-normalised "
        "values in X; 'count': counts in X). Put counts into X or layers['counts'] of each and write "
        "them again.\n"
    )


def test_log_values_are_joined_where_one_file_has_no_counts(write, fitted_cells, tmp_path, capsys):
    files = [write("both.h5ad", ["batch_0"], logged), write("log.h5ad", ["batch_1"], logged_only)]
    integrated(files, tmp_path)
    expected = [anndata.read_h5ad(file).X.toarray() for file in files]
    np.testing.assert_array_equal(dense(fitted_cells[0][0].X), np.concatenate(expected))
    assert set(fitted_cells[0][0].uns) == {"log1p"}
    said = capsys.readouterr().out
    assert "'log' holds no counts, so the log-normalised values of all files are joined." in said


def test_another_logarithm_is_refused_when_log_values_are_joined(write, capsys):
    def log2(adata):
        sc.pp.log1p(adata, base=2)
        return adata

    files = [write("e.h5ad", ["batch_0"], logged_only), write("two.h5ad", ["batch_1"], log2)]
    assert main(["check", *files, "--batch-key", "batch"]) == 1
    assert (
        "error: The files were prepared differently (logarithm: 'e' log1p, 'two' log1p to base 2)"
        in capsys.readouterr().err
    )


def test_prepared_files_stay_as_they_are_when_joined(write, fitted_cells, tmp_path):
    genes = [f"gene_{i}" for i in range(40)]
    files = [
        write("one.h5ad", ["batch_0"], prepared(genes=genes)),
        write("two.h5ad", ["batch_1"], prepared(genes=genes)),
    ]
    out = integrated(files, tmp_path, "--min-genes", "500")
    expected = [anndata.read_h5ad(file) for file in files]
    np.testing.assert_array_equal(dense(out.X), np.concatenate([dense(part.X) for part in expected]))
    recipe = dict(expected[0].uns["imap_keras_preprocess"])
    assert out.uns["imap_keras_preprocess"] == recipe
    assert recipe["genes_counted"] == 60 and out.n_vars == 40


def test_prepared_files_that_do_not_fit_are_refused_by_name(write, capsys):
    def other_total(adata):
        adata = prepared()(adata)
        adata.uns["imap_keras_preprocess"]["target_sum"] = 1000
        return adata

    def of_few_genes(adata):
        return prepared()(adata[:, :20].copy())

    made, plain = write("made.h5ad", ["batch_0"], prepared()), write("plain.h5ad", ["batch_1"])
    other = write("other.h5ad", ["batch_1"], other_total)
    few = write("few.h5ad", ["batch_1"], of_few_genes)
    for second, told in (
        (plain, "preprocess made 'made', not 'plain': the first has counts of chosen genes only."),
        (other, "were prepared differently (counts a cell: 'made' 10000, 'other' 1000)"),
        (few, "normalised by: 'made' 60, 'few' 20)"),
    ):
        assert main(["check", made, second, "--batch-key", "batch"]) == 1
        assert told in capsys.readouterr().err


def test_marks_of_joined_log_values_are_those_of_any_file(write, capsys):
    def marked(start):
        def change(adata):
            adata = logged_only(adata)
            adata.var["highly_variable"] = (np.arange(60) >= start) & (np.arange(60) < start + 20)
            return adata

        return change

    files = [write("one.h5ad", ["batch_0"], marked(0)), write("two.h5ad", ["batch_1"], marked(10))]
    together = reading.read_cells(files, "batch")
    assert together.var["highly_variable"].tolist() == [True] * 30 + [False] * 30


def test_files_of_one_name_are_told_apart_by_folders(write, cells, fitted_cells, tmp_path, capsys):
    for name, rows in (("s1", slice(0, 40)), ("s2", slice(40, 80))):
        folder = tmp_path / name / "filtered"
        folder.mkdir(parents=True)
        scipy.io.mmwrite(folder / "matrix.mtx", sparse.coo_matrix(cells.X[rows].T.astype(int)))
        (folder / "genes.tsv").write_text("".join(f"{g}\t{g}\n" for g in cells.var_names))
        (folder / "barcodes.tsv").write_text("".join(f"{n}\n" for n in cells.obs_names[rows]))
    out = integrated([str(tmp_path / name / "filtered") for name in ("s1", "s2")], tmp_path)
    assert out.obs["batch"].tolist() == ["s1/filtered"] * 40 + ["s2/filtered"] * 40
    assert "Read s1/filtered: 40 cells x 60 genes." in capsys.readouterr().out
    files = [write("a/cells.h5ad", ["batch_0"]), write("b/cells.h5ad", ["batch_1"])]
    out = integrated(files, tmp_path)
    assert out.obs["batch"].value_counts().to_dict() == {"batch_0": 40, "batch_1": 40}
    assert main(["check", files[0], f"{tmp_path}/a/../a/cells.h5ad", "--batch-key", "batch"]) == 1
    assert "cells.h5ad is named twice: its cells would be two batches." in capsys.readouterr().err


@pytest.fixture
def write_matrix(cells, tmp_path):
    """Write the cells of a batch as a 10x matrix with its tables, and return its path."""

    def written(name, batch="batch_0", features="features.tsv", end="", more=False):
        part = cells[cells.obs["batch"] == batch].copy()
        kinds = (
            ["Gene Expression"] * 58 + ["Antibody Capture"] * 2 if more else ["Gene Expression"] * 60
        )
        lines = [f"id{i}\t{g}\t{k}" for i, (g, k) in enumerate(zip(part.var_names, kinds))]
        prefix = f"{tmp_path}/{name}"
        os.makedirs(os.path.dirname(prefix), exist_ok=True)
        opened = gzip.open if end else open
        with opened(f"{prefix}matrix.mtx{end}", "wb") as file:
            scipy.io.mmwrite(file, sparse.coo_matrix(part.X.T.astype(int)))
        if features == "genes.tsv":
            lines = [line.rsplit("\t", 1)[0] for line in lines]
        for table, rows in ((features, lines), ("barcodes.tsv", part.obs_names)):
            with opened(f"{prefix}{table}{end}", "wt") as file:
                file.write("".join(f"{row}\n" for row in rows))
        return f"{prefix}matrix.mtx{end}"

    return written


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("prefix", ["", "GSM1_"])
@pytest.mark.parametrize("features", ["features.tsv", "genes.tsv"])
def test_matrix_folders_of_every_kind_are_read(cells, write_matrix, tmp_path, end, prefix, features):
    write_matrix(f"run/{prefix}", end=end, features=features)
    found = reading.read_one(tmp_path / "run")
    np.testing.assert_array_equal(dense(found.X), dense(cells[cells.obs["batch"] == "batch_0"].X))
    assert found.var_names.tolist() == cells.var_names.tolist()
    assert found.obs_names.tolist() == cells.obs_names[cells.obs["batch"] == "batch_0"].tolist()
    assert found.var["gene_ids"].tolist()[:2] == ["id0", "id1"]


def test_antibodies_of_a_matrix_folder_stay_out(cells, write_matrix, tmp_path):
    write_matrix("run/", more=True)
    assert reading.read_one(tmp_path / "run").var_names.tolist() == cells.var_names[:58].tolist()


def test_a_folder_of_several_samples_is_not_read_as_one(write_matrix, fitted_cells, tmp_path, capsys):
    files = [write_matrix("geo/A_", "batch_0", end=".gz"), write_matrix("geo/B_", "batch_1", end=".gz")]
    assert main(["check", str(tmp_path / "geo"), "--batch-key", "batch"]) == 1
    assert capsys.readouterr().err == (
        f"error: The folder {tmp_path}/geo holds several matrices: A_matrix.mtx.gz, B_matrix.mtx.gz. "
        f"Name each that is to be read instead of the folder: {' '.join(files)}\n"
    )
    obs = integrated(files, tmp_path).obs
    assert obs["batch"].value_counts().to_dict() == {"A": 40, "B": 40}
    assert "Read A_matrix.mtx.gz: 40 cells x 60 genes." in capsys.readouterr().out


def test_a_matrix_without_its_tables_says_which_is_missing(write_matrix, tmp_path, capsys):
    write_matrix("run/")
    (tmp_path / "run" / "barcodes.tsv").write_text("one\n")
    with pytest.raises(
        ValueError, match="is of 40 cells x 60 genes, beside 1 barcodes and 60 features"
    ):
        reading.read_one(tmp_path / "run")
    (tmp_path / "run" / "barcodes.tsv").unlink()
    with pytest.raises(ValueError, match="there is no barcodes.tsv \\(or .gz\\) beside the matrix"):
        reading.read_one(tmp_path / "run")


def test_names_of_files_end_where_they_differ(tmp_path):
    files = [tmp_path / "x.h5ad", tmp_path / "x.loom"]
    assert joining.names_of(files) == ["x.h5ad", "x.loom"]
    files = [tmp_path / part / "x" / "c.h5ad" for part in ("a", "b")] + [tmp_path / "d.h5ad"]
    assert joining.names_of(files)[:2] == ["a/x/c", "b/x/c"]


def test_an_index_called_as_a_column_is_joined_and_written(write, fitted_cells, tmp_path):
    def barcoded(adata):
        adata.obs["barcode"] = adata.obs_names.to_numpy()
        adata.obs.index.name = "barcode"
        return adata

    files = [write(f"{name}.h5ad", [f"batch_{i}"], barcoded) for i, name in enumerate(("one", "two"))]
    out = integrated(files, tmp_path)
    barcodes = [*anndata.read_h5ad(files[0]).obs_names, *anndata.read_h5ad(files[1]).obs_names]
    assert out.obs["barcode"].tolist() == barcodes
    assert out.obs_names.tolist() == [f"{b}-{n}" for b, n in zip(barcodes, ["one"] * 40 + ["two"] * 40)]


@pytest.mark.parametrize("axis", ["obs", "var"])
def test_numbered_names_are_written_beside_a_column_of_the_same_name(cells, tmp_path, axis):
    adata = cells[:4].copy()
    table = getattr(adata, axis)
    table.index = pd.Index(["A", "A", *table.index[2:]], name="id")
    table["id"] = table.index.to_numpy()
    reading.with_unique_names(adata, "mine", lambda sentence: None).write_h5ad(tmp_path / "o.h5ad")
    found = getattr(anndata.read_h5ad(tmp_path / "o.h5ad"), axis)
    assert found.index[:2].tolist() == ["A", "A-1"] and found["id"][:2].tolist() == ["A", "A"]


def test_nullable_numbers_beside_fractions_are_plain_numbers(write, fitted_cells, tmp_path):
    nullable = with_obs(score=pd.array([1, None] * 20, "Int64"))
    files = [
        write("one.h5ad", ["batch_0"], nullable),
        write("two.h5ad", ["batch_1"], with_obs(score=0.5)),
    ]
    score = integrated(files, tmp_path).obs["score"]
    assert score.dtype == "float64"
    np.testing.assert_array_equal(score, [1, np.nan] * 20 + [0.5] * 40)


@pytest.mark.parametrize("kind", [list, pd.Categorical])
def test_true_and_false_stay_so_where_another_file_knows_nothing(write, fitted_cells, tmp_path, kind):
    files = [
        write("one.h5ad", ["batch_0"], with_obs(sick=kind([True, False] * 20))),
        write("two.h5ad", ["batch_1"], with_obs(sick=np.nan)),
    ]
    sick = integrated(files, tmp_path).obs["sick"]
    assert sick.dtype == "boolean"
    assert sick.tolist() == [True, False] * 20 + [pd.NA] * 40


def test_files_are_said_with_one_suffix(write, capsys):
    names = ["old/cells.h5ad", "new/cells.h5ad"]
    files = [write(name, [f"batch_{i}"]) for i, name in enumerate(names)]
    loom = files[0].replace(".h5ad", ".loom")
    assert joining.names_of([*map(reading.path_of, [*files, loom])])[0] == "old/cells.h5ad"
    read_one = reading.read_one
    reading.read_cells(files, "batch")
    assert "Read old/cells.h5ad: 40 cells x 60 genes." in capsys.readouterr().out
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reading, "read_one", lambda path, modality: read_one(path.with_suffix(".h5ad")))
        reading.read_cells([*files, loom], "batch")
    said = capsys.readouterr().out
    for name in (*names, "old/cells.loom"):
        assert f"Read {name}: 40 cells x 60 genes." in said


def test_batches_of_several_files_are_doubted_and_the_report_keeps_it(
    write, fitted_cells, tmp_path, monkeypatch, capsys
):
    of_donors = with_obs(donor=["1", "2"] * 20)
    files = [write("labA.h5ad", ["batch_0"], of_donors), write("labB.h5ad", ["batch_1"], of_donors)]
    call = ["--batch-key", "donor", "--min-genes", "5"]
    assert main(["check", *files, *call]) == 0
    told = (
        "Taken as one batch each, though of several files: '1' (labA, labB), '2' (labA, labB). If they "
        "are not the same, name them apart in each file and write it again, for example "
        "adata.obs['donor'] = 'labA' + ' ' + adata.obs['donor'].astype(str)."
    )
    assert f"Note: {told}\n" in capsys.readouterr().out
    kept = []
    monkeypatch.setattr(report, "write_report", lambda done, path: kept.append(done) or "")
    out = ["-o", str(tmp_path / "out.h5ad"), "--report", str(tmp_path / "r.html")]
    assert main(["integrate", *files, *call, *out]) == 0
    assert told in kept[0].plan.doubts


def test_cells_that_are_given_twice_are_doubted(write, capsys):
    files = [write("one.h5ad", ["batch_0"]), write("two.h5ad", ["batch_0", "batch_1"])]
    call = ["--batch-key", "batch", "--min-genes", "5"]
    assert main(["check", *files, *call]) == 0
    said = capsys.readouterr().out
    assert "Note: 40 cells have the same name and values in two files: are they one?" in said

    def other_values(adata):
        adata.X = adata.X * 2
        return adata

    files[0] = write("other.h5ad", ["batch_0"], other_values)
    assert main(["check", *files, *call]) == 0
    said = capsys.readouterr().out
    assert "same name and values" not in said and "'batch_0' (other, two)" in said


def test_cells_of_files_without_x_are_compared_too(write, capsys):
    def in_a_layer(adata):
        return AnnData(obs=adata.obs, var=adata.var, layers={"umi": adata.X})

    files = [write(f"{name}.h5ad", ["batch_0", "batch_1"], in_a_layer) for name in ("one", "two")]
    assert main(["check", *files, "--batch-key", "batch", "--min-genes", "5"]) == 0
    assert "Note: 80 cells have the same name and values in two files" in capsys.readouterr().out


def test_files_of_their_own_batches_are_not_doubted(write, capsys):
    files = [write("one.h5ad", ["batch_0"]), write("two.h5ad", ["batch_1"])]
    assert main(["check", *files, "--batch-key", "batch", "--min-genes", "5"]) == 0
    said = capsys.readouterr().out
    assert "several files" not in said and "same name and values" not in said


# ------------------------------------------------------------- as they are


@pytest.mark.parametrize("min_genes", ["5", "200"])
def test_integrate_takes_cells_that_preprocess_made_as_they_are(
    write, fitted_cells, tmp_path, min_genes, capsys
):
    file = write("ready.h5ad", ["batch_0", "batch_1"], prepared(n_top_genes=20))
    out, expected = integrated([file], tmp_path, "--min-genes", min_genes), anndata.read_h5ad(file)
    np.testing.assert_array_equal(dense(out.X), dense(expected.X))
    np.testing.assert_array_equal(dense(out.layers["counts"]), dense(expected.layers["counts"]))
    assert out.obs_names.equals(expected.obs_names)
    said = capsys.readouterr().out
    assert "preprocess made these cells: X holds its log-normalised values, taken as they are" in said
    assert "Preprocessed:" not in said


def test_all_of_marked_genes_are_corrected_where_asked_for(write, tmp_path, capsys):
    file = write(
        "ready.h5ad", ["batch_0", "batch_1"], prepared(n_top_genes=20, keep_all_genes=True, min_cells=0)
    )
    out = integrated([file], tmp_path, "--genes", "all", "--report", str(tmp_path / "r.html"), *SET)
    assert out.n_vars == 60 and out.layers["imap"].shape == (80, 60)
    said = capsys.readouterr().out
    assert "Pairs are found in the 20 of 60 genes that var['highly_variable'] marks; all are" in said
    assert "with genes='all'" not in said
    text = (tmp_path / "r.html").read_text()
    assert "taken as they are" in text and "cells were left out" not in text


# -------------------------------------------------------------------- plan


def expected_minutes(plan):
    (said,) = [sentence for sentence in plan.said if sentence.startswith("Expected on two cores")]
    return float(re.search(r"([\d.]+) minutes", said)[1])


def test_minutes_are_those_of_the_genes_that_are_fitted():
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"b": ["x", "y"] * 30}, index=[f"c{i}" for i in range(60)])
    many = AnnData(sparse.random(60, 20_000, 0.02, "csr", "float32", rng), obs=obs)
    many.X.data = 3 * many.X.data + 0.1
    hp, every = Hyperparameters(), lambda n: round(cost_of(60, n, 2, Hyperparameters())[0] / 60, 1)
    assert every(20_000) > 5 * every(2000)
    plan = plan_of(many, "b", None, 2000, hp)
    assert expected_minutes(plan) == every(20_000)
    few, of_genes = plan.doubts[1], plan.doubts[-1]
    assert "batches have fewer than 100 cells" in few
    assert of_genes.startswith("All 20,000 genes are fitted: --genes chooses from counts only")
    assert not [doubt for doubt in plan.doubts if "--min-genes" in doubt]
    in_raw = many[:, :500].copy()
    in_raw.raw, in_raw.X = many, in_raw.X.toarray() - 1
    assert expected_minutes(plan_of(in_raw, "b", None, 2000, hp)) == every(20_000)
    many.var["highly_variable"] = np.arange(20_000) < 3000
    plan = plan_of(many, "b", None, 10, hp)
    assert (expected_minutes(plan), plan.genes) == (every(3000), "variable")
    assert plan.doubts[-1] == "All 3,000 marked genes are fitted: --genes chooses from counts only."
    plan = plan_of(many, "b", None, 10**9, hp)
    assert (expected_minutes(plan), plan.genes) == (every(20_000), "all")
    many.var["highly_variable"] = False
    (obstacle,) = plan_of(many, "b", None, 10, hp).obstacles
    assert obstacle.startswith("var['highly_variable'] must hold True or False")


@pytest.mark.parametrize("other", ["batch_0 ", "BATCH_0"])
def test_batches_that_differ_in_case_or_spaces_are_doubted(cells, other):
    some = cells.copy()
    some.obs["batch"] = [other] * 20 + some.obs["batch"].astype(str).tolist()[20:]
    plan = plan_of(some, "batch", None, 2000, Hyperparameters(), min_genes=5)
    first, second = sorted(["batch_0", other])
    assert plan.doubts[0] == (
        f"Batches {first!r} and {second!r} differ only in case or in spaces. If they are one, give "
        "them one name."
    )
    plan = plan_of(cells, "batch", None, 2000, Hyperparameters(), min_genes=5)
    assert not [doubt for doubt in plan.doubts if "differ" in doubt]


def test_a_column_of_measurements_is_no_batch(cells):
    some = cells.copy()
    some.obs["depth"] = np.arange(120) / 7
    plan = plan_of(some, "depth", None, 2000, Hyperparameters(), min_genes=5)
    assert plan.obstacles == [
        "120 of 120 batches have fewer than 10 cells: is --batch-key the right column?"
    ]
    (said,) = [sentence for sentence in plan.said if "batches" in sentence]
    assert said.startswith("120 batches in 'depth': 0.0 (1), ") and said.endswith(" and 115 more.")
    assert not [sentence for sentence in plan.said if "minutes" in sentence]


def test_words_agree_with_numbers_and_no_cells_are_no_warning(cells, recwarn):
    hp = Hyperparameters()
    some = cells[: 40 + 1].copy()
    plan = plan_of(some, "batch", None, 2000, hp, min_genes=5)
    assert plan.obstacles == [
        "Batch 'batch_1' has 1 cell; at least 10 are needed. Leave it out or merge it with another "
        "batch."
    ]
    plan = plan_of(cells[:40].copy(), "batch", None, 2000, hp, min_genes=5)
    assert plan.said[0] == "1 batch in 'batch': batch_0 (40)."
    plan = plan_of(cells[:0].copy(), "batch", None, 2000, hp)
    assert plan.obstacles == ["adata has no cells (its shape is 0 x 60)."] and not plan.doubts
    assert not [warned for warned in recwarn if "mean" in str(warned.message).lower()]


def poor_in_genes(adata: AnnData, batch: str) -> AnnData:
    """The cells, those of one batch with 3 genes."""
    values = dense(adata.X)
    values[(adata.obs["batch"] == batch).to_numpy(), 3:] = 0
    adata.X = sparse.csr_matrix(values)
    return adata


def test_what_is_expected_is_of_the_batches_that_keep_cells(cells):
    """A batch of few cells is in nobody's way when all of them leave."""
    some = poor_in_genes(cells[cells.obs["batch"] != "batch_1"].copy(), "batch_2")
    few = cells[cells.obs["batch"] == "batch_1"][:5].copy()
    many = anndata.concat([some, poor_in_genes(few, "batch_1"), cells[:40].copy()])
    many.obs_names_make_unique()
    many.obs["batch"] = many.obs["batch"].astype(str)
    many.obs.iloc[-40:, many.obs.columns.get_loc("batch")] = "batch_3"
    hp = Hyperparameters(stage1_epochs=60)
    plan = plan_of(many, "batch", None, 2000, hp, min_genes=5)
    assert plan.kept == {"batch_0": 40, "batch_3": 40} and plan.obstacles == []
    minutes = [round(cost_of(n, cells.n_vars, k, hp)[0] / 60, 1) for n, k in ((80, 2), (125, 4))]
    assert expected_minutes(plan) == minutes[0] < minutes[1]
    assert plan.doubts[-1].startswith("2 of 2 batches keep fewer than 100 cells, 'batch_0' for")


def test_the_report_says_which_batches_were_left_out():
    done = SimpleNamespace(
        plan=Plan(batches={"a": 40, "b": 30, "c": 50}, kept={"a": 40, "c": 45}),
        model=SimpleNamespace(order=["c", "a"]),
    )
    table = batch_table(done)
    assert table.index.tolist() == ["c", "a", "b"]
    assert table["cells kept"].tolist() == [45, 40, 0]
    assert table["merged as number"].tolist() == [1, 2, "left out"]


def test_check_says_what_a_fit_would_stop_at(write, cells, capsys):
    file = write("cells.h5ad", ["batch_0", "batch_1"])
    call = ["check", file, "--batch-key", "batch"]
    assert main([*call, "--min-genes", "5", "--set", "pair_space=X_nope"]) == 1
    assert "Stop: pair_space='X_nope': adata.obsm has no embedding" in capsys.readouterr().out
    assert main(call) == 1
    assert (
        "Stop: 0 of 2 batches keep cells with at least 200 detected genes; two are needed. Lower "
        in capsys.readouterr().out
    )
    some = cells.copy()
    some.X = dense(some.X)
    some.X[4:40] = 0
    (obstacle,) = plan_of(some, "batch", None, 2000, Hyperparameters(), min_genes=5).obstacles
    assert obstacle == (
        "Batch 'batch_0' keeps 4 of 40 cells with at least 5 detected genes; 10 are needed. Lower "
        "--min-genes."
    )


def test_an_order_names_the_batches_that_keep_cells(write, fitted_cells, tmp_path, capsys):
    file = write(
        "mine.h5ad",
        ["batch_0", "batch_1", "batch_2"],
        lambda adata: poor_in_genes(adata, "batch_1"),
    )
    integrated([file], tmp_path, "--order", "batch_2", "batch_0")
    assert sorted(fitted_cells[0][0].obs["batch"].unique()) == ["batch_0", "batch_2"]
    assert (
        "Note: Batches without any cell of at least 5 detected genes leave: 'batch_1'. Lower "
        "--min-genes to keep them.\n"
    ) in capsys.readouterr().out
    call = ["integrate", file, "--batch-key", "batch", "-o", f"{tmp_path}/o.h5ad", "--min-genes", "5"]
    assert main([*call, "--order", "batch_2", "batch_1", "batch_0"]) == 2
    assert "'batch_1' is none of the batches 'batch_0', 'batch_2'; name each of these once" in (
        capsys.readouterr().err
    )
    plan = plan_of(anndata.read_h5ad(file), "batch", None, 2000, Hyperparameters(), min_genes=5)
    assert plan.kept == {"batch_0": 40, "batch_2": 40} and plan.obstacles == []


def test_a_layer_whose_name_holds_quotes_is_read(cells):
    for name in ("raw'counts", 'raw"counts', 'it\'s "raw"'):
        adata = AnnData(dense(cells.X) - 0.5, obs=cells.obs, layers={name: cells.X})
        found = finding.find_expression(adata)
        assert found.kind == "counts"
        np.testing.assert_array_equal(dense(finding.with_counts(adata, found).X), dense(cells.X))


# ----------------------------------------------------------------- outputs


@pytest.mark.parametrize(
    "more, message",
    [
        (["-o", "FOLDER"], "is a folder; name a file."),
        (["-o", "FOLDER/o.h5ad", "--report", "FOLDER"], "is a folder; name a file."),
        (
            ["-o", "FOLDER/o.h5ad", "--model", "FOLDER/mine.h5ad"],
            "mine.h5ad is a file; a model is saved into",
        ),
        (["-o", "FOLDER/mine.h5ad"], "would replace the input FOLDER/mine.h5ad; name another file."),
        (["-o", "FOLDER/sub/../mine.h5ad"], "would replace the input FOLDER/mine.h5ad; name another"),
        (["-o", "FOLDER/link.h5ad"], "would replace the input FOLDER/mine.h5ad; name another file."),
        (["-o", "FOLDER/o.h5ad", "--report", "FOLDER/mine.h5ad"], "mine.h5ad would replace the input"),
        (
            ["-o", "FOLDER/o.h5ad", "--report", "FOLDER/o.h5ad"],
            "FOLDER/o.h5ad is named for two results",
        ),
        (
            ["-o", "FOLDER/o.h5ad", "--report", "/no/such/r.html"],
            "There is no folder /no/such to write r.html",
        ),
        (["-o", "FOLDER/o.csv"], "FOLDER/o.csv must end in .h5ad: that is what is written."),
        (["-o", "FOLDER/o"], "FOLDER/o must end in .h5ad: that is what is written."),
        (
            ["-o", "FOLDER/o.h5ad", "--report", "FOLDER/r.pdf"],
            "FOLDER/r.pdf must end in .html or .htm: that is what is written.",
        ),
        (
            ["-o", "FOLDER/o.h5ad", "--model", "/no/such/m"],
            "There is no folder /no/such to write m into",
        ),
    ],
)
def test_outputs_that_cannot_be_written_are_found_before_any_work(
    write, tmp_path, monkeypatch, more, message, capsys
):
    write("mine.h5ad", ["batch_0", "batch_1"])
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.h5ad").symlink_to(tmp_path / "mine.h5ad")
    before = (tmp_path / "mine.h5ad").read_bytes()
    monkeypatch.setattr(reading, "read_one", lambda *_: pytest.fail("work has begun"))
    call = ["integrate", f"{tmp_path}/mine.h5ad", "--batch-key", "batch"]
    assert main([*call, *[part.replace("FOLDER", str(tmp_path)) for part in more]]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message.replace("FOLDER", str(tmp_path)) in error
    assert (tmp_path / "mine.h5ad").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.h5ad", "mine.h5ad", "sub"]


def test_a_folder_that_may_not_be_written_is_found_first(write, tmp_path, monkeypatch, capsys):
    file = write("mine.h5ad", ["batch_0", "batch_1"])
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    out = str(tmp_path / "out.h5ad")
    for call in (
        ["integrate", file, "--batch-key", "batch", "-o", out],
        ["map", str(tmp_path / "model"), file, "-o", out],
        ["transform", str(tmp_path / "model"), file, "-o", out],
    ):
        assert main(call) == 2
        told = f"error: {tmp_path} cannot be written to; choose another place for out.h5ad.\n"
        assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    "change, message",
    [
        (with_obs(age=[45, "unknown"] * 40), "obs['age'] holds int and str"),
        (lambda adata: setattr(adata, "uns", {"ages": {45}}) or adata, "uns['ages'] cannot be written"),
    ],
    ids=["obs", "uns"],
)
def test_what_no_file_can_keep_is_found_before_training(
    cells, tmp_path, monkeypatch, change, message, capsys
):
    two = change(cells[cells.obs["batch"] != "batch_2"].copy())
    monkeypatch.setattr(reading, "read_one", lambda *_: two.copy())
    monkeypatch.setattr(IMAP, "fit_transform", lambda *_, **__: pytest.fail("training started"))
    call = ["mine.h5ad", "--batch-key", "batch", "--min-genes", "5"]
    for verb in (["integrate", "-o", str(tmp_path / "out.h5ad")], ["check"]):
        assert main([*verb, *call]) == 1
        assert f"Stop: {message}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "order, told",
    [
        (["batch_0", "batch_1"], "--order: order=['batch_0', 'batch_1'] forgets 'batch_2'"),
        (["batch_0", "batch_1", "batch_2", "batch_2"], "names twice 'batch_2'"),
        (
            ["batch_0", "batch_9"],
            "--order: 'batch_9' is none of the batches 'batch_0', 'batch_1', 'batch_2'; name each of "
            "these once, the anchor first.",
        ),
    ],
)
def test_a_wrong_order_is_said_before_preprocessing(write, tmp_path, monkeypatch, capsys, order, told):
    monkeypatch.setattr(
        "imap_keras.command.integrating.preprocess", lambda *_, **__: pytest.fail("read")
    )
    files = [write("all.h5ad", ["batch_0", "batch_1", "batch_2"])]
    call = ["integrate", *files, "--batch-key", "batch", "-o", str(tmp_path / "out.h5ad")]
    assert main([*call, "--order", *order]) == 2
    assert told in capsys.readouterr().err


def test_a_model_of_another_kind_stays_where_it_is(write, tmp_path, capsys):
    (tmp_path / "atlas").mkdir()
    (tmp_path / "atlas" / "model.json").write_text('{"kind": "scarches", "info": {}}')
    call = ["integrate", write("all.h5ad", ["batch_0", "batch_1"]), "--batch-key", "batch"]
    call += ["-o", str(tmp_path / "out.h5ad"), "--model", str(tmp_path / "atlas")]
    assert main(call) == 2
    assert "atlas holds a model of kind 'scarches'" in capsys.readouterr().err
