"""The command imap-keras: what it reads, what it refuses, what it writes; the report."""

import re

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.io
from anndata import AnnData
from scipy import sparse

from imap_keras import IMAP, Hyperparameters, datasets
from imap_keras.command import finding, judging, reading, report
from imap_keras.command.main import main
from imap_keras.command.plan import plan_of

TINY = {
    "latent_dim": 4,
    "hidden": (16, 8),
    "critic_hidden": (16,),
    "stage1_epochs": 2,
    "stage1_steps": 4,
    "stage1_rows": 16,
    "stage2_epochs": 2,
    "stage2_steps": 5,
    "stage2_rows": 16,
    "search": "exact",
    "n_components": 5,
}
SET = [part for name, value in TINY.items() for part in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def cells():
    adata = datasets.simulate(n_cells=120, n_genes=60, n_batches=2, n_types=3, seed=1)
    adata = AnnData(sparse.csr_matrix(adata.X), obs=adata.obs, var=adata.var)
    return adata


@pytest.fixture(scope="module")
def file(cells, tmp_path_factory):
    path = tmp_path_factory.mktemp("command") / "mine.h5ad"
    cells.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def done(file, tmp_path_factory):
    """One run with everything written: exit code, output, folder."""
    folder = tmp_path_factory.mktemp("done")
    arguments = ["integrate", str(file), "--batch-key", "batch", "--label-key", "cell_type"]
    arguments += ["--min-genes", "5", "-o", str(folder / "out.h5ad"), *SET]
    arguments += ["--report", str(folder / "report.html"), "--model", str(folder / "model")]
    return main(arguments), folder, arguments


def test_integrate_writes_cells_model_and_report(done, cells):
    code, folder, arguments = done
    assert code == 0
    assert {path.name for path in folder.iterdir()} == {"out.h5ad", "report.html", "model"}
    out = anndata.read_h5ad(folder / "out.h5ad")
    assert out.obs_names.tolist() == cells.obs_names.tolist()
    assert out.obsm["X_imap"].shape == (120, 5)
    again = IMAP.load(folder / "model").transform(out)
    np.testing.assert_array_equal(again.obsm["X_imap"], out.obsm["X_imap"])
    assert out.uns["imap_keras_command"].split()[:2] == ["imap-keras", "integrate"]


def test_report_stands_alone_and_says_what_was_found(done):
    text = (done[1] / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text)
    assert "http" not in re.sub(r"doi:\S+", "", text)
    assert text.count("<img ") == text.count('alt="') >= 4
    for part in (
        "Verdict.",
        "Counts are in X",
        "perfect mixing",
        "imap-keras integrate",
        "How to cite",
        " s. Seed 0.",
    ):
        assert part in text, part
    for name in ("batch_0", "batch_1"):
        assert f"<td>{name}</td>" in text


def test_the_same_command_gives_the_same_cells(done, file, tmp_path):
    first = anndata.read_h5ad(done[1] / "out.h5ad")
    arguments = list(done[2])
    arguments[arguments.index("-o") + 1] = str(tmp_path / "again.h5ad")
    for option in ("--report", "--model"):
        del arguments[arguments.index(option) : arguments.index(option) + 2]
    assert main(arguments) == 0
    second = anndata.read_h5ad(tmp_path / "again.h5ad")
    np.testing.assert_array_equal(first.obsm["X_imap"], second.obsm["X_imap"])


def test_check_says_what_would_be_done(file, capsys):
    assert main(["check", str(file), "--batch-key", "batch", "--min-genes", "5"]) == 0
    said = capsys.readouterr().out
    assert "Read mine.h5ad: 120 cells x 60 genes." in said
    assert "2 batches in 'batch': batch_0 (60), batch_1 (60)." in said
    assert "Counts are in X." in said
    assert re.search(r"Expected on two cores: 2\.\d GB, 0\.\d minutes; a report", said)
    assert said.rstrip().endswith("Nothing stands in the way.")


def test_a_batch_that_keeps_few_cells_is_named():
    cells = datasets.simulate(n_cells=240, n_genes=60, n_batches=2, seed=0)
    lost = np.flatnonzero(cells.obs["batch"] == "batch_1")[:60]
    counts = cells.X.toarray() if sparse.issparse(cells.X) else cells.X.copy()
    counts[lost] = 0
    cells.X = cells.layers["counts"] = sparse.csr_matrix(counts)
    plan = plan_of(cells, "batch", None, 40, Hyperparameters(), min_genes=1)
    assert min(plan.batches.values()) >= 100
    assert plan.doubts[-1].startswith(
        "1 of 2 batches keep fewer than 100 cells, 'batch_1' for example 60: look at the verdict"
    )


def test_check_names_what_stands_in_the_way(cells, tmp_path, capsys):
    lone = cells[:65].copy()  # 5 cells of the second batch
    lone.X = lone.X - 0.5 * (lone.X > 0).astype(float) * 3
    lone.write_h5ad(tmp_path / "odd.h5ad")
    assert main(["check", str(tmp_path / "odd.h5ad"), "--batch-key", "batch"]) == 1
    said = capsys.readouterr().out
    assert "Stop: Neither counts nor log-normalised values were found (X: " in said
    assert main(["check", str(tmp_path / "odd.h5ad"), "--batch-key", "donor"]) == 1
    assert (
        "Stop: --batch-key='donor' is not a column of adata.obs. Columns there: batch, cell_type. Add "
        "the column, or give one file for each batch.\n" in capsys.readouterr().out
    )


def test_several_files_are_joined_by_their_names(cells, tmp_path, capsys):
    for name, rows in (("first", slice(0, 60)), ("second", slice(60, 120))):
        part = AnnData(cells.X[rows], obs=pd.DataFrame(index=cells.obs_names[rows]), var=cells.var)
        part.write_h5ad(tmp_path / f"{name}.h5ad")
    files = [str(tmp_path / "first.h5ad"), str(tmp_path / "second.h5ad")]
    assert main(["check", *files, "--batch-key", "run", "--min-genes", "5"]) == 0
    said = capsys.readouterr().out
    assert (
        "Joined 2 files: 120 cells, 60 shared genes of at most 60; batches are first, second." in said
    )


def test_matrix_folder_is_read(cells, tmp_path):
    folder = tmp_path / "filtered"
    folder.mkdir()
    scipy.io.mmwrite(folder / "matrix.mtx", sparse.coo_matrix(cells.X.T.astype(int)))
    (folder / "genes.tsv").write_text("".join(f"id{i}\t{g}\n" for i, g in enumerate(cells.var_names)))
    (folder / "barcodes.tsv").write_text("".join(f"{name}\n" for name in cells.obs_names))
    adata = reading.read_cells([str(folder)], "batch", say=lambda sentence: None)
    np.testing.assert_array_equal(adata.X.toarray(), cells.X.toarray())
    assert adata.var_names.tolist() == cells.var_names.tolist()


def test_counts_are_found_in_layers_x_and_raw(cells):
    logged = cells.copy()
    logged.X = logged.X.log1p()
    assert finding.find_expression(logged) == finding.Found("X", "log-normalised values")
    with_raw = logged.copy()
    with_raw.raw = cells
    found = finding.find_expression(with_raw)
    assert found == finding.Found("raw", "counts")
    np.testing.assert_array_equal(finding.with_counts(with_raw, found).X.toarray(), cells.X.toarray())
    logged.layers["umi"] = cells.X
    assert finding.find_expression(logged) == finding.Found("layers['umi']", "counts")
    logged.layers["counts"] = cells.X
    assert finding.find_expression(logged) == finding.Found("layers['counts']", "counts")


def changed(value):
    def change(counts):
        counts.data[7] = value
        return counts

    return change


@pytest.mark.parametrize(
    "change, seen, mend",
    [
        (changed(np.nan), "1 value is NaN or infinite", "Fill in what is missing, or leave those"),
        (changed(-1), "1 value below 0, the lowest -1", "Scaled or centred values do not fit"),
        (
            changed(0.5),
            "whole numbers but for 1 fractional value, 0.5 for example",
            "If they are counts corrected for ambient RNA, round them.",
        ),
        (
            lambda counts: counts.multiply(1e6 / counts.sum(axis=1)).tocsr(),
            "fractions, up to ",
            "If they are normalised, take the logarithm, scanpy.pp.log1p(adata); if they are counts",
        ),
    ],
    ids=["NaN", "negative", "fraction", "not logged"],
)
def test_values_that_are_neither_say_what_was_seen_and_how_to_mend_it(cells, change, seen, mend):
    adata = cells.copy()
    adata.X.data[3] = 400
    adata.X = change(adata.X.astype("float64"))
    (obstacle,) = plan_of(adata, "batch", None, 100, Hyperparameters(), min_genes=5).obstacles
    assert obstacle.startswith(f"Neither counts nor log-normalised values were found (X: {seen}"), (
        obstacle
    )
    assert f"). {mend}" in obstacle and obstacle.endswith(
        "Else put counts into X or layers['counts']; then write the file again."
    )
    if seen == "fractions, up to ":
        assert f"up to {adata.X.max():.5g})" in obstacle


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--set", "latent=3"], "error: --set: 'latent' is not a hyperparameter of iMAP; did you mean"),
        (["--set", "stage1_epochs=0"], "error: --set: stage1_epochs=0 must be a whole number"),
        (["--preset", "best"], "error: --preset: preset='best' is unknown; choose one of"),
        (["--seed", "-1"], "error: --seed: seed=-1 must be a whole number of at least 0."),
        (["-o", "/no/such/folder/out.h5ad"], "error: There is no folder /no/such/folder to write"),
    ],
)
def test_wrong_calls_end_with_2_before_any_work(file, tmp_path, arguments, message, capsys):
    call = ["integrate", str(file), "--batch-key", "batch", "-o", str(tmp_path / "o.h5ad"), *arguments]
    assert main(call) == 2
    said = capsys.readouterr()
    assert said.err.startswith(message)
    assert said.out == ""
    assert not [*tmp_path.iterdir()]


def test_check_refuses_a_wrong_hyperparameter_before_it_reads(file, capsys):
    assert main(["check", str(file), "--batch-key", "batch", "--set", "latent_dim=0"]) == 2
    said = capsys.readouterr()
    assert said.err == "error: --set: latent_dim=0 must be a whole number of at least 1.\n"
    assert said.out == ""


@pytest.mark.parametrize(
    "option, told",
    [
        (["--min-genes", "-5"], "argument --min-genes: '-5' is not a whole number of at least 0"),
        (["--min-genes", "x"], "argument --min-genes: 'x' is not a whole number of at least 0"),
        (
            ["--genes", "1"],
            "argument --genes: '1' is neither a number of genes, at least 10, nor 'all'",
        ),
    ],
)
def test_numbers_of_genes_have_a_lower_bound(file, option, told, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["check", str(file), "--batch-key", "batch", *option])
    assert capsys.readouterr().err.endswith(f"{told}\n")


def test_a_file_that_is_not_there_or_not_readable_is_named(tmp_path, capsys):
    assert main(["check", str(tmp_path / "no.h5ad"), "--batch-key", "b"]) == 1
    assert "There is no file or folder" in capsys.readouterr().err
    (tmp_path / "text.h5ad").write_text("not a file of cells")
    assert main(["check", str(tmp_path / "text.h5ad"), "--batch-key", "b"]) == 1
    assert re.match(r"error: \S+text.h5ad cannot be read as", capsys.readouterr().err)
    (tmp_path / "cells.xlsx").write_text("")
    assert main(["check", str(tmp_path / "cells.xlsx"), "--batch-key", "b"]) == 1
    assert "is of a kind that is not known" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name, way",
    [
        ("cells.h5ad.gz", "Unzip it first: gunzip 'PATH'."),
        ("cells.zarr", "Make one of it: anndata.read_zarr('PATH').write_h5ad('cells.h5ad')."),
        (
            "cells.csv",
            "AnnData(pandas.read_csv('PATH', index_col=0, sep=None, engine='python'))",
        ),
    ],
)
def test_files_of_other_kinds_are_shown_a_way(tmp_path, name, way):
    path = tmp_path / name
    path.mkdir() if name == "cells.zarr" else path.touch()
    with pytest.raises(ValueError) as told:
        reading.read_one(path)
    assert way.replace("PATH", str(path)) in str(told.value)


def test_a_table_that_is_made_a_file_of_cells_is_read(cells, tmp_path):
    """The line that the error gives."""
    table = pd.DataFrame(cells.X.toarray(), cells.obs_names, cells.var_names)
    for name, sep in (("cells.csv", ","), ("cells.tsv", "\t")):
        table.to_csv(tmp_path / name, sep=sep)
        with pytest.raises(ValueError) as told:
            reading.read_one(tmp_path / name)
        line = str(told.value).partition("cells in rows: ")[2].partition(".write_h5ad")[0]
        made = eval(line, {"anndata": anndata, "pandas": pd})
        np.testing.assert_array_equal(made.X, cells.X.toarray())
        assert made.obs_names.tolist() == cells.obs_names.tolist()


def test_a_file_that_was_cut_is_called_damaged(file, tmp_path):
    (tmp_path / "cut.h5ad").write_bytes(file.read_bytes()[:3000])
    with pytest.raises(ValueError, match="it is damaged or incomplete. Copy or download it again"):
        reading.read_one(tmp_path / "cut.h5ad")
    (tmp_path / "empty.h5ad").touch()
    with pytest.raises(ValueError, match="it is empty, damaged or of another kind than its name says"):
        reading.read_one(tmp_path / "empty.h5ad")


def test_names_used_twice_are_said_once(cells, tmp_path, capsys, recwarn):
    twice = cells.copy()
    twice.var_names = ["gene_1", *twice.var_names[1:]]
    file = str(tmp_path / "twice.h5ad")
    twice.write_h5ad(file)
    recwarn.clear()
    assert main(["check", file, "--batch-key", "batch", "--min-genes", "5"]) == 0
    said = capsys.readouterr().out
    assert "twice.h5ad: 1 gene name was used twice, now numbered.\n" in said
    assert "not unique" not in said
    assert not [warned for warned in recwarn if "not unique" in str(warned.message)]


@pytest.mark.parametrize(
    "positive, mixed, verdict",
    [
        (
            [0.95, 0.97, 0.76],
            [0.2, 0.8, 0.7],
            "Types mix more than before: share of positive cells 0",
        ),
        ([0.95, 0.95, 0.96], [0.5, 0.5, 0.51], "Little was gained"),
        ([0.95, 0.97, 0.96], [0.2, 0.8, 0.7], "Integrated, but subtracting each batch's mean does as"),
        ([0.95, 0.90, 0.96], [0.2, 0.8, 0.9], "Integrated: batches lie mixed around 0.90"),
    ],
)
def test_verdict_says_what_the_numbers_say(positive, mixed, verdict):
    spaces = ["uncorrected", "batch means subtracted", "iMAP", "perfect mixing"]
    columns = {"positive": [*positive, 1.0], "true positive, threshold 3": [*mixed, 1.0]}
    table = pd.DataFrame(columns, spaces)
    for epochs in (1, 12):
        said = judging.verdict_with_types(table, epochs)
        assert said.startswith(verdict)
        worse = verdict.startswith("Types mix")
        assert ("--set stage2_epochs=1" in said) == (worse and epochs > 1)
        assert ("subtract batch means (0.97)." in said) == worse


def test_genes_that_drive_batches_are_those_that_were_shifted(cells):
    logged = cells.copy()
    values = np.log1p(logged.X.toarray())
    second = (cells.obs["batch"] == "batch_1").to_numpy()
    values[np.ix_(second, [7, 11])] = 6.0
    logged.X = sparse.csr_matrix(values)
    drivers = report.driving_genes(logged, "batch", n=2)
    assert set(drivers.index) == {logged.var_names[7], logged.var_names[11]}
    assert set(drivers["highest in"]) == {"batch_1"}
    assert drivers["variance explained by batch"].between(0.5, 1).all()


def test_an_interrupted_run_does_not_deny_what_it_has_written(file, monkeypatch, tmp_path, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "write_report", interrupted)
    monkeypatch.setattr(IMAP, "fit_transform", lambda self, adata, *_, **__: adata)
    out = tmp_path / "out.h5ad"
    call = ["integrate", str(file), "--batch-key", "batch", "--min-genes", "5", "-o", str(out)]
    assert main([*call, "--report", str(tmp_path / "report.html")]) == 130
    said = capsys.readouterr()
    assert said.err.endswith("Interrupted; only what is said to be written above is there.\n")
    assert f"Wrote {out}" in said.out and out.is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5ad"]


def test_version_is_printed(capsys):
    import imap_keras

    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"imap_keras {imap_keras.__version__}\n"


@pytest.mark.parametrize(
    ("types", "said", "doubt"),
    [
        (lambda i, batch: "t", "1 cell type in 'kind'.", None),
        (lambda i, batch: f"t{i % 2}", "2 cell types in 'kind'.", None),
        (
            lambda i, batch: f"t{i}",
            "120 cell types in 'kind'.",
            "120 cell types for 120 cells: is --label-key the right column?",
        ),
        (
            lambda i, batch: f"{batch}, t{i % 2}",
            "4 cell types in 'kind'.",
            "Each cell type of 'kind' lies in one batch, so the report cannot say how well batches "
            "mix. Are the types named alike in all batches?",
        ),
    ],
    ids=["one", "two", "names of cells", "of one batch each"],
)
def test_types_that_say_nothing_of_mixing_are_a_doubt_before_any_work(cells, types, said, doubt):
    adata = cells.copy()
    adata.obs["kind"] = [types(i, batch) for i, batch in enumerate(adata.obs["batch"])]
    plan = plan_of(adata, "batch", "kind", 100, Hyperparameters(), min_genes=5)
    assert said in plan.said and not plan.obstacles
    of_types = [one for one in plan.doubts if "type" in one]
    assert of_types == ([doubt] if doubt else [])


@pytest.mark.parametrize(
    ("n", "types", "why"),
    [
        (72, ["t", "u", "u", "t"], "scIB's table needs at least 90 cells"),
        (120, ["t", "u"], "scIB's table needs a type with several cells in two batches"),
    ],
    ids=["few cells", "types of one batch each"],
)
def test_a_report_without_scib_says_why(n, types, why):
    rng = np.random.default_rng(0)
    judged = anndata.AnnData(np.zeros((n, 1), "float32"))
    for space in ("uncorrected", "batch means subtracted", "iMAP"):
        judged.obsm[space] = rng.normal(size=(n, 4)).astype("float32")
    judged.obs["batch"] = ["a", "b"] * (n // 2)
    judged.obs["cell_type"] = types * (n // len(types))
    found = judging.judge(judged, "batch", "cell_type", stage2_epochs=12)
    assert found.scib is None and found.no_scib.startswith(why)
    assert found.table.loc["iMAP"].notna().all()
    none = (
        "None: each cell type of 'cell_type' lies in one batch, so the index cannot tell mixed batches"
    )
    assert found.verdict.startswith(none) == (len(types) == 2)


def test_report_in_a_browser(done, browser):
    """No console errors, every image loads, tables sort, nothing sticks out of a narrow window."""
    page, errors = browser.new_page(viewport={"width": 400, "height": 900}), []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: request.url.startswith("http") and errors.append(request.url))
    page.goto((done[1] / "report.html").as_uri())
    widths = page.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
    assert len(widths) >= 4 and min(widths) > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    size = "getComputedStyle(document.body).fontSize"
    assert page.evaluate(size) == "16px"

    def column():
        cells = page.locator("h2:text-is('How well it went') ~ .scroll").first.locator("tbody tr")
        return [float(cells.nth(i).locator("td").nth(3).inner_text()) for i in range(cells.count())]

    head = page.locator("h2:text-is('How well it went') ~ .scroll").first.locator("th button").nth(3)
    before = column()
    head.click()
    assert column() == sorted(before)
    head.click()
    assert column() == sorted(before, reverse=True)
    # A long path or name in a note, which Python's own warnings may hold, does not widen the page.
    page.evaluate("document.querySelector('.note').textContent = 'x'.repeat(200)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert errors == []
    page.close()
