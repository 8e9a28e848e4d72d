"""What notebooks hand on is read back unchanged."""

import os
from pathlib import Path

import anndata
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.figure import Figure

from imap_keras import datasets
from imap_keras.course import handover
from imap_keras.course.handover import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(dataset="demo", seed=1, epochs=1, output_dir=str(tmp_path), fast=True)


def test_prepared_cells_are_made_once_and_read_back_equal(settings, monkeypatch):
    made = handover.prepared(settings)
    assert made.obsm["X_pca"].shape == (700, 30)
    monkeypatch.setattr(handover, "load", lambda *_: pytest.fail("made twice"))
    read = handover.prepared(settings)
    np.testing.assert_array_equal(read.X.toarray(), made.X.toarray())
    np.testing.assert_array_equal(read.obsm["X_pca"], made.obsm["X_pca"])
    assert [path.name for path in settings.folder.iterdir()] == ["prepared.h5ad"]


def test_doublets_are_left_out(tmp_path, monkeypatch, logged):
    settings = Settings("sc_mixology", output_dir=str(tmp_path))
    adata = logged.copy()
    adata.X = adata.layers["counts"].copy()
    adata.obs["doublet"] = np.arange(adata.n_obs) % 5 == 0
    monkeypatch.setattr(handover, "load", lambda *_: adata)
    monkeypatch.setattr(handover.sc.pp, "pca", lambda *args, **kwargs: None)
    names = adata.obs_names[~adata.obs["doublet"]]
    assert handover.prepared(settings).obs_names.tolist() == names.tolist()


def test_an_own_file_is_taken_with_its_own_column_names(tmp_path):
    adata = handover.load("demo")
    adata.obs = adata.obs.rename(columns={"batch": "donor", "cell_type": "kind"})
    adata.write_h5ad(tmp_path / "my data.h5ad")
    keys = {"batch_key": "donor", "label_key": "kind"}
    own = Settings(str(tmp_path / "my data.h5ad"), output_dir=str(tmp_path / "out"), **keys)
    assert own.folder.name.startswith("my_data-seed_0-")
    demo = handover.prepared(Settings(output_dir=str(tmp_path / "out")))
    read = handover.prepared(own)
    np.testing.assert_array_equal(read.X.toarray(), demo.X.toarray())
    assert read.obs["donor"].tolist() == demo.obs["batch"].tolist()


KEYS = {"batch_key": "donor", "label_key": "kind"}


def own_file(tmp_path, change=lambda adata: adata, n_cells=120):
    """A small file of a user: simulated counts, dense, with column names of her own."""
    adata = datasets.simulate(n_cells=n_cells, n_genes=60, n_batches=2, n_types=2, seed=1)
    adata.obs = adata.obs.rename(columns={"batch": "donor", "cell_type": "kind"})
    adata.layers.clear()
    adata.X = adata.X.toarray()
    change(adata)
    adata.write_h5ad(tmp_path / "mine.h5ad")
    return Settings(str(tmp_path / "mine.h5ad"), 0, 1, str(tmp_path / "out"), True, **KEYS)


def test_arrays_of_a_dense_file_with_its_own_column_names(tmp_path):
    settings = own_file(tmp_path)
    cells, batches, types = handover.arrays(settings)
    prepared = handover.prepared(settings)
    assert cells.dtype == np.float32
    np.testing.assert_array_equal(cells, prepared.X)
    assert batches.tolist() == prepared.obs["donor"].tolist()
    assert types.tolist() == prepared.obs["kind"].tolist()


def test_arrays_of_sparse_cells_are_dense(settings):
    cells, batches, types = handover.arrays(settings)
    np.testing.assert_array_equal(cells, handover.prepared(settings).X.toarray())
    assert set(batches) == {"platform_A", "platform_B", "platform_C"}
    assert len(types) == len(cells) == 700


def test_arrays_without_a_type_name_the_column(tmp_path):
    settings = own_file(tmp_path, lambda adata: adata.obs.drop(columns="kind", inplace=True))
    with pytest.raises(KeyError, match="label_key='kind' is not a column of adata.obs. Columns there"):
        handover.arrays(settings)


def test_a_dense_file_with_unused_categories_is_handed_over_and_what_is_damaged_made_again(
    tmp_path, eagerly, tiny, monkeypatch
):
    def foreign(adata):
        adata.obs["donor"] = adata.obs["donor"].astype("category").cat.add_categories(["a", "zz"])

    monkeypatch.setattr(handover, "FAST", {**tiny, "stage1_steps": 1, "stage2_steps": 3})
    settings = own_file(tmp_path, foreign)
    assert handover.first_pairs(settings).shape[1] == 2
    model, adata = handover.integrated(settings)
    assert sorted(model.order) == sorted(set(adata.obs["donor"]))
    assert np.isfinite(adata.obsm["X_imap"]).all()
    for part in ("stage1", "imap"):
        (next((settings.folder / part).glob("*.keras"))).unlink()
    assert handover.encoder(settings).count_params() > 0
    again, _ = handover.integrated(settings)
    assert again.order == model.order
    for part in ("stage1", "imap"):
        assert (settings.folder / part / "model.json").is_file()


def test_log_values_are_taken_as_they_are(tmp_path):
    def logged(adata):
        adata.X = np.log1p(adata.X / adata.X.sum(1, keepdims=True) * 1e4).astype("float32")

    settings = own_file(tmp_path, logged)
    read = anndata.read_h5ad(settings.dataset)
    np.testing.assert_array_equal(handover.prepared(settings).X, read.X)


def test_of_many_log_values_the_variable_genes_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(handover, "N_TOP_GENES", 40)
    settings = own_file(tmp_path, lambda adata: setattr(adata, "X", np.log1p(adata.X)))
    made = handover.prepared(settings)
    assert made.n_vars == 40
    spread = np.log1p(
        datasets.simulate(n_cells=120, n_genes=60, n_batches=2, n_types=2, seed=1).X.toarray()
    )
    spread = dict(zip(anndata.read_h5ad(settings.dataset).var_names, spread.std(0), strict=True))
    left_out = set(spread) - set(made.var_names)
    assert np.mean([spread[g] for g in made.var_names]) > np.mean([spread[g] for g in left_out])


@pytest.mark.parametrize(
    "change, told", [(lambda x: x * 1.5 + 30, "values up to"), (lambda x: x - 0.5, "negative")]
)
def test_values_that_are_neither_counts_nor_logarithms_are_refused(tmp_path, change, told):
    settings = own_file(tmp_path, lambda adata: setattr(adata, "X", change(adata.X)))
    with pytest.raises(ValueError, match=told):
        handover.prepared(settings)


def test_changed_code_has_another_folder(tmp_path, monkeypatch):
    (tmp_path / "stage1.py").write_text("epochs = 1")
    first = handover.code_hash(tmp_path)
    handover.code_hash.cache_clear()
    assert handover.code_hash(tmp_path) == first
    handover.code_hash.cache_clear()
    (tmp_path / "stage1.py").write_text("epochs = 2")
    assert handover.code_hash(tmp_path) != first
    folder = Settings().folder
    monkeypatch.setattr(handover, "code_hash", lambda: "edited")
    assert Settings().folder != folder


def test_a_saved_figure_is_shown_with_its_alternative_text(settings):
    figure = Figure(figsize=(1, 1))
    shown = settings.save_figure(figure, "00_x", alt="One point in the middle.")
    file = Path(settings.output_dir) / "figures" / "00_x.png"
    data, metadata = InteractiveShell.instance().display_formatter.format(shown)
    assert data["image/png"] == file.read_bytes()
    assert metadata == {"image/png": {"alt": "One point in the middle."}}
    assert data["text/plain"] == "<00_x: One point in the middle.>"
    _, metadata = InteractiveShell.instance().display_formatter.format(
        settings.save_figure(figure, "y")
    )
    assert metadata == {"image/png": {"alt": "Figure of 0 panels."}}  # as the figure itself tells


def test_settings_become_hyperparameters():
    plain, fast = (
        Settings(seed=4).hyperparameters(),
        Settings(seed=4, fast=True, epochs=7).hyperparameters(),
    )
    assert (plain.seed, fast.seed) == (4, 4)
    assert (fast.stage1_epochs, fast.stage2_epochs) == (7, 7)
    paper_size = Settings("simulated").hyperparameters()
    assert fast.hidden == plain.hidden == handover.SMALL["hidden"] != paper_size.hidden
    assert paper_size.latent_dim > Settings("simulated", fast=True).hyperparameters().latent_dim
    assert fast.lambda_content == plain.lambda_content
    assert Settings(fast=True).hyperparameters(walk_length=9).walk_length == 9


def test_another_seed_data_set_size_or_length_has_another_folder():
    folders = {
        Settings(**changes).folder
        for changes in (
            {},
            {"seed": 1},
            {"dataset": "simulated"},
            {"fast": True},
            {"epochs": 3},
            {"batch_key": "donor"},
        )
    }
    assert len(folders) == 6


def test_another_file_of_the_same_name_has_another_folder(tmp_path):
    folders = set()
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        file = tmp_path / place / "mine.h5ad"
        file.write_text("x")
        folders.add(Settings(str(file)).folder)
    os.utime(file, (0, 0))
    folders.add(Settings(str(file)).folder)
    assert len(folders) == 3


def test_first_pairs_are_handed_on(settings):
    pairs = np.array([[3, 1], [2, 0]])
    handover.save_first_pairs(settings, pairs)
    np.testing.assert_array_equal(handover.first_pairs(settings), pairs)


def test_a_file_that_could_not_be_written_is_not_there(settings, monkeypatch):
    def half_written(self, path, *args, **kwargs):
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(anndata.AnnData, "write_h5ad", half_written)
    with pytest.raises(OSError, match="disk full"):
        handover.prepared(settings)
    assert not (settings.folder / "prepared.h5ad").exists()
