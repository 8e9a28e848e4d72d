"""``python -m imap_keras.regions``: files in, models and tables out, interruptions, wrong arguments."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from imap_keras import regions
from imap_keras.nn.persistence import DESCRIPTION
from imap_keras.regions import RegionClassifier
from imap_keras.regions.__main__ import main
from imap_keras.regions.files import read_expression


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Simulated data as the command reads them: cells and human as h5ad, mouse averages as csv."""
    folder = tmp_path_factory.mktemp("regions")
    human, mouse = regions.simulate_species(
        "subcortex", n_cells=440, n_genes=30, n_donors=4, n_mouse_cells=290
    )
    human.write_h5ad(folder / "cells.h5ad")
    human[::2].write_h5ad(folder / "human.h5ad")
    averages = pd.DataFrame(mouse.X, columns=mouse.var_names).groupby(
        mouse.obs["region"].astype(str).to_numpy(), sort=False
    )
    averages.mean().to_csv(folder / "mouse.csv")
    pd.DataFrame({"genes": [f"gene_{i}" for i in range(25)]}).to_csv(folder / "genes.csv")
    regions.homologous_pairs("subcortex").to_csv(folder / "pairs.csv")
    return folder


def command(files, save, *more, **changes):
    """The original's short forms."""
    given = {
        "-n": "2",
        "-iu": "25",
        "-ou": "22",
        "-g_path": str(files / "genes.csv"),
        "-d_path": str(files / "cells.h5ad"),
        "-s_path": str(save),
        "-m_trans_path": str(files / "mouse.csv"),
        "-h_trans_path": str(files / "human.h5ad"),
        "-hm_path": str(files / "pairs.csv"),
        "--epochs": "2",
        **changes,
    }
    return main([text for pair in given.items() for text in pair] + list(more))


@pytest.fixture(scope="module")
def saved(files, tmp_path_factory):
    """One finished run of two repeats. Shared: do not change it."""
    folder = tmp_path_factory.mktemp("out") / "results"
    assert command(files, folder) == 0
    return folder


def test_models_embeddings_map_and_ranking_come_out(saved, files):
    for i in range(2):
        place = saved / f"repeat_00{i}"
        model = RegionClassifier.load(place)
        assert model.hyperparameters.seed == i and model.genes == [f"gene_{j}" for j in range(25)]
        human, mouse, correlation = (
            pd.read_csv(place / f"{name}.csv", index_col=0)
            for name in ("human_embedding", "mouse_embedding", "correlation")
        )
        assert human.shape == (22, 500) and mouse.shape == (29, 500)
        np.testing.assert_allclose(correlation, regions.correlation_map(human, mouse), atol=1e-6)
    maps = [pd.read_csv(saved / f"repeat_00{i}" / "correlation.csv", index_col=0) for i in range(2)]
    mean_map = pd.read_csv(saved / "correlation_map.csv", index_col=0)
    np.testing.assert_allclose(mean_map, (maps[0] + maps[1]) / 2)
    pairs = regions.homologous_pairs("subcortex")
    ranks = np.array([regions.pair_ranks(table, pairs)["rank"] for table in maps])
    ranking = pd.read_csv(saved / "ranking.csv")
    np.testing.assert_allclose(ranking["mean_rank"], ranks.mean(0))
    np.testing.assert_allclose(ranking["sd_rank"], ranks.std(0, ddof=1))
    assert set(ranking["chance_rank"]) == {11.5} and ranking["raw_rank"].between(1, 22).all()
    repeats = pd.read_csv(saved / "repeats.csv")
    np.testing.assert_allclose(repeats["mean_rank"], ranks.mean(1))
    assert repeats["seed"].tolist() == [0, 1] and repeats["epochs"].tolist() == [2, 2]
    assert not list(saved.rglob("writing-*"))


def test_an_interrupted_run_goes_on_where_it_stopped(files, saved, tmp_path, monkeypatch, capsys):
    folder, fit, fits = tmp_path / "results", RegionClassifier.fit, []

    def counted(model, *arguments, **options):
        fits.append(model.hyperparameters.seed)
        if len(fits) == 2:
            raise KeyboardInterrupt
        return fit(model, *arguments, **options)

    monkeypatch.setattr(RegionClassifier, "fit", counted)
    with pytest.raises(KeyboardInterrupt):
        command(files, folder)
    assert fits == [0, 1] and not (folder / "ranking.csv").exists()
    assert command(files, folder) == 0
    assert fits == [0, 1, 1]
    for name in ("ranking.csv", "repeats.csv", "correlation_map.csv"):
        assert (folder / name).read_text() == (saved / name).read_text()
    assert command(files, folder) == 0  # nothing left to do
    assert fits == [0, 1, 1]
    assert "2/2" in capsys.readouterr().out  # the progress bar


def test_a_folder_of_another_run_is_refused(files, saved, capsys):
    before = (saved / "run.json").read_text()
    assert command(files, saved, **{"--learning-rate": "0.01"}) == 1
    assert "holds repeats of another run (settings differ)" in capsys.readouterr().err
    assert (saved / "run.json").read_text() == before


def test_readable_names_are_the_same_arguments(files, saved, tmp_path, capsys):
    names = ["genes", "data", "mouse", "human", "pairs"]
    paths = ["genes.csv", "cells.h5ad", "mouse.csv", "human.h5ad", "pairs.csv"]
    given = [text for name, path in zip(names, paths) for text in (f"--{name}", str(files / path))]
    arguments = [*given, "--repeats", "2", "--input-units", "25", "--output-units", "22"]
    assert main([*arguments, "--save", str(saved), "--epochs", "2", "--quiet"]) == 0
    told = capsys.readouterr().out
    assert "chance 0.045" in told and "chance 11.5" in told and "it/s" not in told


def test_help_is_help(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["-h"])
    assert stopped.value.code == 0
    told = capsys.readouterr().out
    shorts = ["-n", "-iu", "-ou", "-g_path", "-d_path", "-s_path", "-m_trans_path", "-h_trans_path"]
    for name in [*shorts, "-hm_path"]:
        assert name in told


# ------------------------------------------------------------------ errors


def refused(files, tmp_path, capsys, **changes):
    """The one line on the error stream; nothing was trained or claimed."""
    assert command(files, tmp_path / "results", **changes) == 1
    assert not list((tmp_path).rglob(DESCRIPTION))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    return line


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"-iu": "4542"}, "-iu (--input-units) is 4542, but the gene list has 25 genes"),
        ({"-ou": "105"}, "-ou (--output-units) is 105, but the data have 22 regions"),
        ({"-n": "0"}, "n_repeats=0"),
        ({"-d_path": "nowhere.h5ad"}, "There is no file"),
        ({"--region-key": "area"}, "--region-key='area' is not a column"),
        ({"--donor-key": "subject"}, "--donor-key='subject' is not a column"),
        ({"--epochs": "0"}, "epochs=0"),
    ],
)
def test_wrong_arguments_are_named(files, tmp_path, capsys, changes, message):
    assert message in refused(files, tmp_path, capsys, **changes)


@pytest.mark.parametrize(
    "argument, which",
    [("-d_path", "The data"), ("-h_trans_path", "The human"), ("-m_trans_path", "The mouse")],
)
def test_genes_that_differ_are_counted_and_named(files, tmp_path, capsys, argument, which):
    table = pd.read_csv(files / "mouse.csv", index_col=0).rename(columns={"gene_3": "GENE_3"})
    table = table.drop(columns="gene_9")
    if argument == "-d_path":
        table.insert(0, "donor", "x")
    table.to_csv(tmp_path / "other.csv", index_label="region")
    told = refused(files, tmp_path, capsys, **{argument: str(tmp_path / "other.csv")})
    assert which in told and "2 of 25 listed genes are not in the matrix (gene_3, gene_9)" in told
    assert "6 of its 29 genes are not listed (" in told and "GENE_3" in told


def test_an_unknown_region_in_the_pairs_file_is_named(files, tmp_path, capsys):
    pairs = regions.homologous_pairs("subcortex")
    pairs.loc[0, "human_region"] = "CA4-DG"
    pairs.to_csv(tmp_path / "pairs.csv")
    told = refused(files, tmp_path, capsys, **{"-hm_path": str(tmp_path / "pairs.csv")})
    assert "1 regions in human_region" in told and "Did you mean 'CA4DG'?" in told


def test_one_donor_is_too_few_and_the_folder_stays_free(files, tmp_path, capsys):
    import anndata

    cells = anndata.read_h5ad(files / "cells.h5ad")
    cells[cells.obs["donor"] == "donor_0"].copy().write_h5ad(tmp_path / "one.h5ad")
    told = refused(files, tmp_path, capsys, **{"-d_path": str(tmp_path / "one.h5ad")})
    assert "rows of 1 donor(s) (donor_0), the split needs at least 2" in told
    described = json.loads((tmp_path / "results" / "run.json").read_text())
    assert command(files, tmp_path / "results", **{"-n": "1"}) == 0  # the right data, same folder
    assert json.loads((tmp_path / "results" / "run.json").read_text()) != described


def test_a_csv_with_words_and_lists_with_faults_are_refused(files, tmp_path, capsys):
    table = pd.read_csv(files / "mouse.csv", index_col=0)
    table["note"] = "hello"
    table.to_csv(tmp_path / "words.csv")
    told = refused(files, tmp_path, capsys, **{"-m_trans_path": str(tmp_path / "words.csv")})
    assert "1 columns do not hold numbers, the first is 'note'" in told
    for content, message in (
        ("a,b\n1,2\n", "no column 'genes'"),
        ("genes\n", "No gene is listed"),
        ("genes\ngene_1\ngene_1\n", "listed twice, the first is 'gene_1'"),
    ):
        (tmp_path / "list.csv").write_text(content)
        assert message in refused(files, tmp_path, capsys, **{"-g_path": str(tmp_path / "list.csv")})
    (tmp_path / "cells.txt").write_text("")
    told = refused(files, tmp_path, capsys, **{"-d_path": str(tmp_path / "cells.txt")})
    assert "read from .h5ad or .csv" in told


@pytest.mark.parametrize(
    "argument", ["-g_path", "-d_path", "-h_trans_path", "-m_trans_path", "-hm_path"]
)
@pytest.mark.parametrize(
    "ending, content",
    [(".csv", b""), (".csv", b"\xff\xfe\x00a,b"), (".h5ad", b"no HDF5"), (".csv", b"x,y\nb,c\n")],
)
def test_every_error_of_a_file_names_it(files, tmp_path, capsys, argument, ending, content):
    path = tmp_path / f"bad{ending}"
    path.write_bytes(content)
    told = refused(files, tmp_path, capsys, **{argument: str(path)})
    assert told.startswith(f"error: {path}") and len(told) > len(f"error: {path}: ")


def test_errors_found_after_reading_name_the_file_too(files, tmp_path, capsys):
    table = pd.read_csv(files / "mouse.csv", index_col=0)
    table.iloc[0, 3] = np.inf
    table.to_csv(tmp_path / "inf.csv", index_label="region")
    told = refused(files, tmp_path, capsys, **{"-m_trans_path": str(tmp_path / "inf.csv")})
    assert told.startswith(f"error: {tmp_path / 'inf.csv'}: adata.X holds 1 NaN or infinite values")
    regions.homologous_pairs("cortex").to_csv(tmp_path / "pairs.csv")
    told = refused(files, tmp_path, capsys, **{"-hm_path": str(tmp_path / "pairs.csv")})
    assert told.startswith(f"error: {tmp_path / 'pairs.csv'}: 25 regions in human_region")


@pytest.mark.parametrize("content", ["[]", "null", '{"cells": ', "7"])
def test_a_damaged_description_of_the_run_is_told(files, saved, tmp_path, capsys, content):
    folder = tmp_path / "results"
    shutil.copytree(saved, folder)
    (folder / "run.json").write_text(content)
    assert command(files, folder) == 1
    told = capsys.readouterr().err
    assert f"error: {folder / 'run.json'} does not say what the repeats beside it are of" in told


def test_paths_may_start_at_home(files, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(files.parent))
    home = {
        name: f"~/{files.name}/{file}"
        for name, file in (
            ("-g_path", "genes.csv"),
            ("-d_path", "cells.h5ad"),
            ("-m_trans_path", "mouse.csv"),
            ("-h_trans_path", "human.h5ad"),
            ("-hm_path", "pairs.csv"),
        )
    }
    monkeypatch.chdir(tmp_path)
    home["-s_path"] = f"~/{files.name}/home"
    assert command(files, "", "--quiet", **home, **{"-n": "1", "--epochs": "1", "-hu1": "8"}) == 0
    assert (files / "home" / "ranking.csv").is_file() and not list(tmp_path.iterdir())


def test_a_gene_that_a_csv_names_twice_is_said(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text("region,Actb,Gfap,Actb\nCA1,1,2,5\n")
    with pytest.raises(ValueError, match="cells.csv: 1 columns have a name .* the first is 'Actb'"):
        read_expression(path)
    path.write_text(",region,Actb,Gfap\n0,CA1,1,2\n")
    assert read_expression(path).var_names.tolist() == ["Actb", "Gfap"]
