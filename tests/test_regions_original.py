"""The seed page's commands, word for word, on files laid out as the published code reads them."""

import re
import shlex

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from imap_keras import regions
from imap_keras.regions import RegionClassifier
from imap_keras.regions.__main__ import main
from imap_keras.regions.files import from_region_index, read_expression
from imap_keras.regions.options import parser

# TransBrain's page "DNN Model Training", cells 7 and 8.
CORTICAL = (
    "! python ../code/dnn/main.py -n 10 -iu 4542 -ou 105 "
    "-g_path ./files/common_stable_genes_cortex.csv "
    "-d_path ../datasets/integrated_dataset/cortical_integrated/Integrated_dataset_0.h5ad "
    "-s_path ./dnn_result/detached_model/cortical_model "
    "-m_trans_path ../datasets/processeddata/mouse_st/Mouse_trans_data_cortex.h5ad "
    "-h_trans_path ../datasets/processeddata/human_ahba/Human_trans_data_cortex.h5ad "
    "-hm_path ./files/homo_cortex.csv"
)
SUBCORTICAL = (
    "! python ../code/dnn/main.py -n 10 -iu 5063 -ou 22 "
    "-g_path ./files/common_stable_genes_subcortex.csv "
    "-d_path ../datasets/integrated_dataset/subcortical_integrated/Integrated_dataset_0.h5ad "
    "-s_path ./dnn_result/detached_model/subcortical_model "
    "-m_trans_path ../datasets/processeddata/mouse_st/Mouse_trans_data_subcortex.h5ad "
    "-h_trans_path ../datasets/processeddata/human_ahba/Human_trans_data_subcortex.h5ad "
    "-hm_path ./files/homo_subcortex.csv"
)
SMALL = ["-hu1", "8", "-hu2", "7", "-hu3", "6", "-me", "1", "-lr", "1e-3", "--quiet"]
N_GENES = 6


def as_original(adata: AnnData, samples: bool = True) -> AnnData:
    """Regions, samples and genes where the published code looks for them, and some rows "other"."""
    names = [
        f"{region}_sample{donor.split('_')[1]}_scell{i}" if samples else region
        for i, (region, donor) in enumerate(zip(adata.obs["region"], adata.obs["donor"]))
    ]
    names[:3] = [f"other_sample{i}_scell{i}" for i in range(3)] if samples else ["other", *names[1:3]]
    laid = AnnData(adata.X[:, ::-1].copy())  # genes in another order than the list
    laid.obs["region_index"] = names
    laid.var["Gene"] = list(adata.var_names[::-1])
    return laid


def write(adata: AnnData, path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    adata.write_h5ad(path)


def lay_out(folder, part: str) -> None:
    """Files at the places that the command names."""
    human, mouse = regions.simulate_species(part, 400, N_GENES + 2, 3, n_mouse_cells=200, seed=1)
    stem = "cortical" if part == "cortex" else "subcortical"
    data, files = folder / "datasets", folder / "run_pipeline" / "files"
    write(
        as_original(human),
        data / f"integrated_dataset/{stem}_integrated/Integrated_dataset_0.h5ad",
    )
    trans = data / "processeddata"
    write(as_original(mouse, False), trans / f"mouse_st/Mouse_trans_data_{part}.h5ad")
    write(as_original(human[::2], False), trans / f"human_ahba/Human_trans_data_{part}.h5ad")
    files.mkdir(parents=True, exist_ok=True)
    genes = pd.DataFrame({"genes": [f"gene_{i}" for i in range(N_GENES)]})
    genes.to_csv(files / f"common_stable_genes_{part}.csv")
    pairs = regions.homologous_pairs(part)[["human_region", "mouse_region"]]
    pairs.to_csv(files / f"homo_{part}.csv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transbrain")
    for part in ("cortex", "subcortex"):
        lay_out(folder, part)
    return folder


def arguments(command: str, repeats: int = 1) -> list[str]:
    """The command's words after the program's name, its sizes changed."""
    words = shlex.split(command.removeprefix("! python ../code/dnn/main.py "))
    words[words.index("-n") + 1] = str(repeats)
    words[words.index("-iu") + 1] = str(N_GENES)
    return words


@pytest.fixture(scope="module")
def finished(folder):
    """Both commands run once, two repeats of the second. Shared: do not change it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "run_pipeline")
        assert main([*arguments(CORTICAL), *SMALL]) == 0
        assert main([*arguments(SUBCORTICAL, 2), *SMALL]) == 0
    return folder / "run_pipeline" / "dnn_result" / "detached_model"


@pytest.mark.parametrize(
    "part, stem, n_human, n_mouse",
    [("cortex", "cortical", 105, 39), ("subcortex", "subcortical", 22, 29)],
)
def test_the_two_commands_of_the_page_run(finished, part, stem, n_human, n_mouse):
    save = finished / f"{stem}_model"
    model = RegionClassifier.load(save / "repeat_000")
    assert model.hyperparameters.hidden == (8, 7, 6) and model.hyperparameters.epochs == 1
    assert model.genes == [f"gene_{i}" for i in range(N_GENES)]
    assert set(model.regions) == set(regions.region_table(part, "human")["region"])
    results = save / "Data_0" / "Repeat_0" / "Results"
    for species, name, n in (("human", "Human", n_human), ("mouse", "Mouse", n_mouse)):
        table = pd.read_csv(results / f"{name}_{stem.title()}_Embedding.csv", index_col="region_id")
        assert list(table.columns) == [str(i) for i in range(1, 7)] and len(table) == n
        ours = pd.read_csv(save / "repeat_000" / f"{species}_embedding.csv", index_col=0)
        np.testing.assert_array_equal(table.to_numpy(), ours.to_numpy())
    assert len(pd.read_csv(save / "ranking.csv")) == (41 if part == "cortex" else 9)


def test_embeddings_are_of_the_regions_and_genes_that_the_files_name(finished, folder):
    """Taken from the layout by hand: rows "other" out, genes by var["Gene"], in the list's order."""
    model = RegionClassifier.load(finished / "subcortical_model" / "repeat_001")
    raw = anndata.read_h5ad(folder / "datasets/processeddata/mouse_st/Mouse_trans_data_subcortex.h5ad")
    names = raw.obs["region_index"].to_numpy()
    table = pd.DataFrame(raw.X, index=names, columns=raw.var["Gene"]).drop(index="other")[model.genes]
    scaled = (table - table.mean()) / table.std(ddof=0)
    embedded = model.embed(scaled.groupby(level=0, sort=False).mean())
    path = finished / "subcortical_model/Data_0/Repeat_1/Results/Mouse_Subcortical_Embedding.csv"
    found = pd.read_csv(path, index_col=0)
    np.testing.assert_allclose(found.loc[embedded.index], embedded, rtol=1e-3, atol=1e-5)


def test_samples_are_held_out_whole(finished, folder):
    model = RegionClassifier.load(finished / "subcortical_model" / "repeat_000")
    path = folder / "datasets/integrated_dataset/subcortical_integrated/Integrated_dataset_0.h5ad"
    names = anndata.read_h5ad(path).obs["region_index"]
    keys = names[~names.str.startswith("other")].str.rsplit("_", n=1).str[0].to_numpy()
    assert len(model.held_out) == len(keys)
    assert not set(keys[model.held_out]) & set(keys[~model.held_out])
    held = pd.Series(keys[model.held_out]).str.split("_").str[0]
    assert pd.Series(sorted(set(keys[model.held_out]))).str.split("_").str[0].is_unique
    assert set(held) == set(model.regions)  # one sample of each region


def test_a_shared_model_counts_its_genes_and_regions(folder, monkeypatch, capsys):
    """The page's third setting, -iu 5451 -ou 127."""
    monkeypatch.chdir(folder / "run_pipeline")
    human, _ = regions.simulate_species("brain", 800, N_GENES + 2, 3, n_mouse_cells=300, seed=1)
    write(as_original(human), folder / "shared.h5ad")
    words = arguments(SUBCORTICAL)
    for option, value in (("-d_path", "../shared.h5ad"), ("-s_path", "./shared"), ("-ou", "22")):
        words[words.index(option) + 1] = value
    assert main([*words, *SMALL]) == 1
    assert "-ou (--output-units) is 22, but the data have 127 regions" in capsys.readouterr().err
    words[words.index("-ou") + 1] = "127"
    assert main([*words, *SMALL]) == 0
    assert len(RegionClassifier.load(folder / "run_pipeline/shared/repeat_000").regions) == 127


# ------------------------------------------------------------------ steps


def test_embedding_alone_uses_the_classifiers_that_are_there(
    finished, folder, tmp_path, monkeypatch, capsys
):
    """-train False, as after a run; a folder without classifiers is named."""
    monkeypatch.chdir(folder / "run_pipeline")
    words = arguments(SUBCORTICAL, 2)
    path = finished / "subcortical_model/Data_0/Repeat_1/Results/Human_Subcortical_Embedding.csv"
    before = path.read_text()
    path.unlink()
    assert main([*words, *SMALL, "-train", "False"]) == 0
    assert path.read_text() == before
    words[words.index("-s_path") + 1] = str(tmp_path / "empty")
    assert main([*words, *SMALL, "-train", "False"]) == 1
    assert f"{tmp_path / 'empty' / 'repeat_000'} is not a saved model" in capsys.readouterr().err


def test_training_alone_then_embedding(finished, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder / "run_pipeline")
    words = arguments(SUBCORTICAL)
    words[words.index("-s_path") + 1] = str(tmp_path / "out")
    alone = words[: words.index("-m_trans_path")]
    assert main([*alone, *SMALL, "-trans", "no"]) == 0
    assert "The classifiers are in" in capsys.readouterr().out
    assert not (tmp_path / "out" / "ranking.csv").exists()
    assert main([*words, *SMALL]) == 0
    first, second = (
        place / "repeat_000/human_embedding.csv"
        for place in (tmp_path / "out", finished / "subcortical_model")
    )
    assert first.read_text() == second.read_text()


def test_an_independent_set_is_named(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder / "run_pipeline")
    train = "../datasets/integrated_dataset/subcortical_integrated/Integrated_dataset_0.h5ad"
    words = f"-g_path files/common_stable_genes_subcortex.csv -id_path {train} -itest_path {train} "
    words += f"-is_path {tmp_path}/test -n 1 -train False -trans False -itest True"
    assert main([*words.split(), *SMALL, "-me", "2", "-lr", "1e-2"]) == 0
    told = capsys.readouterr().out
    results = tmp_path / "test/Data_0/Repeat_0/Results"
    predictions = pd.read_csv(results / "predictions.csv")
    confusion = pd.read_csv(results / "confusion_matrix.csv", index_col=0)
    assert len(predictions) == 397 and confusion.shape == (22, 22)  # three of 400 are "other"
    np.testing.assert_allclose(confusion.sum(axis=1), 1)
    right = (predictions["gt"] == predictions["pred"]).mean()
    assert f"{right:.3f} of 397 rows named right" in told
    region = confusion.index[4]
    own = predictions[predictions["gt"] == region]
    assert confusion.loc[region, region] == pytest.approx((own["pred"] == region).mean())
    other = anndata.read_h5ad(train)
    other.obs["region_index"] = other.obs["region_index"].astype(str).str.replace("DG", "XX")
    write(other, tmp_path / "other.h5ad")
    words = words.replace(f"-itest_path {train}", f"-itest_path {tmp_path}/other.h5ad")
    assert main([*words.split(), *SMALL]) == 1
    told = capsys.readouterr().err
    assert (
        f"{tmp_path}/other.h5ad: 1 regions of the test are not among the 22" in told
        and "'CA4XX'" in told
    )


def test_confusion_matrix_by_hand():
    table = regions.confusion_matrix(["A", "A", "A", "C"], ["A", "B", "B", "C"], ["A", "B", "C"])
    assert table.index.tolist() == ["A", "C"] and table.columns.tolist() == ["A", "B", "C"]
    np.testing.assert_allclose(table, [[1 / 3, 2 / 3, 0], [0, 0, 1]])


# ------------------------------------------------------------------ options


def test_every_option_of_the_original_is_known_by_all_its_names():
    options = (
        "train,train no d,device cpu n,repeat_n 3 iu,input_units 5 hu1,hidden_units1 5 "
        "hu2,hidden_units2 5 hu3,hidden_units3 5 ou,output_units 5 wd,weight_decay 5 me,max_epochs 5 "
        "lr,learning_rate 5 bs,batch_size 5 vr,valid_ratio 5 br,use_bestrank yes bv,use_bestvalid no "
        "shuffle,shuffle yes trans,trans no itest,independent_test yes d_path,data_path a "
        "s_path,save_path a m_trans_path,mouse_trans_path a h_trans_path,human_trans_path a "
        "id_path,independent_data_path a is_path,independent_s_path a "
        "itest_path,independent_test_path a hm_path,human_mouse_path a"
    )
    for short, long, value in re.findall(r"(\w+),(\w+) (\w+)", options):
        given = [
            parser().parse_args(["-g_path", "g", name, value]) for name in (f"-{short}", f"--{long}")
        ]
        assert given[0] == given[1] != parser().parse_args(["-g_path", "g"]), short
    assert parser().parse_args(["--gene_path", "g"]) == parser().parse_args(["--genes", "g"])


@pytest.mark.parametrize(
    "more, message",
    [
        (["-br", "True"], "-br (--best-rank) is not built"),
        (["-train", "False", "-trans", "False"], "there is nothing to do"),
        (
            ["-trans", "False"],
            "training needs -d_path (--data); give it, or switch that off with -train False",
        ),
        (["-train", "False", "-s_path", "x"], "embedding needs -m_trans_path (--mouse)"),
        (["-train", "no", "-trans", "no", "-itest", "yes"], "the independent test needs -id_path"),
    ],
)
def test_options_that_do_not_fit_are_told(capsys, more, message):
    assert main(["-g_path", "genes.csv", *more]) == 1
    assert message in capsys.readouterr().err


def test_an_unknown_device_is_told(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder / "run_pipeline")
    assert main([*arguments(CORTICAL), *SMALL, "-d", "cuda:7"]) == 1
    assert "-d (--device) is 'cuda:7'; TensorFlow sees cpu:0" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["-shuffle", "maybe"], ["--repeat", "3"], ["-me", "many"]])
def test_words_that_are_no_value_and_abbreviations_are_refused(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["-g_path", "genes.csv", *words])
    assert stopped.value.code == 2


# ------------------------------------------------------------------ the layout


def test_rows_without_a_sample_are_counted():
    adata = AnnData(np.ones((3, 1)))
    adata.obs["region_index"] = ["CA1_sample0_scell0", "CA1_donor1_scell1", "DG"]
    with pytest.raises(
        ValueError, match="2 rows of obs.'region_index'. do not name a sample.*'CA1_donor1"
    ):
        from_region_index(adata, "region", "donor")
    assert from_region_index(adata, "region").obs["region"].tolist() == ["CA1", "CA1", "DG"]


def test_own_columns_come_first(tmp_path):
    """A file with obs["region"] is read by it; sparse values and rows of one name are fine."""
    adata = AnnData(sparse.csr_matrix(np.ones((2, 1))), obs=pd.DataFrame(index=["a", "a"]))
    adata.obs["region"], adata.obs["region_index"] = ["CA1", "other"], ["DG_sample0", "DG_sample1"]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    assert read_expression(tmp_path / "cells.h5ad").obs["region"].tolist() == ["CA1", "other"]
    split = read_expression(tmp_path / "cells.h5ad", "region_index", "donor").obs
    assert split["region_index"].tolist() == ["DG", "DG"]
    assert split["donor"].tolist() == ["sample0", "sample1"]


def test_a_csv_keeps_names_of_digits(tmp_path):
    (tmp_path / "mouse.csv").write_text("area,gene_0\n007,1.5\nNA,2\n")
    adata = read_expression(tmp_path / "mouse.csv")
    assert adata.obs["region"].tolist() == ["007", "NA"]


def test_a_row_without_its_region_index_is_no_region_of_its_own():
    adata = AnnData(np.ones((2, 1)))
    adata.obs["region_index"] = ["CA1_sample3_scell0", None]
    with pytest.raises(ValueError, match=r"obs\['region_index'\] is empty in 1 rows"):
        from_region_index(adata, "region")
