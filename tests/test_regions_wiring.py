"""Region classifiers: hyperparameters reach what they name, either Keras gives the same, inputs."""

from dataclasses import fields

import anndata
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy import sparse

from imap_keras import regions
from imap_keras.regions import Hyperparameters, RegionClassifier
from imap_keras.regions.fingerprint import digest
from imap_keras.regions.homology import moments
from imap_keras.regions.repeats import shuffled_regions

BASE = {
    "hidden": (8, 6),
    "learning_rate": 3e-2,
    "decay": 0.9,
    "decay_every": 1,
    "batch_size": 48,
    "epochs": 5,
    "patience": 1,
    "dropout": 0.2,
    "weight_decay": 1e-3,
}
CHANGED = {
    "hidden": (8, 5),
    "dropout": 0.0,
    "dropped": "rows",
    "learning_rate": 1e-2,
    "decay": 0.5,
    "decay_every": 2,
    "weight_decay": 1e-1,
    "corrected_epsilon": True,
    "batch_size": 32,
    "epochs": 1,
    "patience": 3,
    "keep_best": False,
    "validation_share": 0.5,
    "seed": 1,
}


@pytest.fixture(scope="module")
def species():
    return regions.simulate_species(
        "subcortex", n_cells=220, n_genes=20, n_donors=5, n_mouse_cells=87, seed=3
    )


def outcome(species, **changes) -> list[np.ndarray]:
    tf.config.run_functions_eagerly(True)
    try:
        model = RegionClassifier(**BASE | changes).fit(species[0], verbose=0)
    finally:
        tf.config.run_functions_eagerly(False)
    return [model.history.to_numpy(), model.embed(regions.region_averages(species[1])).to_numpy()]


@pytest.fixture(scope="module")
def base(species):
    return outcome(species)


def same(left, right) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("name", [entry.name for entry in fields(Hyperparameters)])
def test_every_hyperparameter_does_something(species, base, name):
    assert getattr(Hyperparameters.of(**BASE), name) != CHANGED[name]
    assert not same(outcome(species, **{name: CHANGED[name]}), base)


def test_the_same_hyperparameters_repeat(species, base):
    tf.random.set_seed(11)
    assert same(outcome(species), base)


def test_ten_numbers_of_a_tiny_fit(species, eagerly):
    """The same in either Keras. Without dropout, whose masks differ between the two."""
    small = {**BASE, "hidden": (8, 6, 5), "learning_rate": 5e-3, "epochs": 3, "batch_size": 32}
    model = RegionClassifier("reference", **small | {"decay": 0.8, "weight_decay": 1e-6, "dropout": 0})
    model.fit(species[0], verbose=0)
    embedded = model.embed(regions.region_averages(species[1])).to_numpy()
    found = [*model.history["loss"], *model.history["val_loss"], embedded.mean(), embedded.std()]
    found += [embedded[3, 0], model.mean[0]]
    expected = [3.10256, 3.08435, 3.0785, 3.09235, 3.08765, 3.08496, 0.025367, 0.0751511]
    np.testing.assert_allclose(found, [*expected, 0.1085481, 4.0700526], rtol=1e-3)


def test_patience_counts_and_the_last_epoch_can_be_kept(species):
    """With `keep_best` the weights are those of the lowest validation loss, else the last ones."""
    for keep_best in (True, False):
        model = RegionClassifier(**BASE, keep_best=keep_best).fit(species[0], verbose=0)
        lowest = int(model.history["val_loss"].argmin()) + 1
        assert lowest < len(model.history) == lowest + 1 <= 5  # patience 1
        assert model.best_epoch == (lowest if keep_best else lowest + 1)
        held_out = species[0][model.held_out]
        right = np.mean(model.predict(held_out) == held_out.obs["region"].to_numpy())
        assert right == pytest.approx(model.validation_accuracy, abs=1e-6)


# ------------------------------------------------------------------ inputs


def test_sums_down_the_cells_do_not_lose_digits():
    """In float32 the mean of these is off by 0.2, the deviation by a factor."""
    rng = np.random.default_rng(0)
    values = (1000 + rng.normal(size=(400_000, 2))).astype("float32")
    mean, deviation = moments(values)
    np.testing.assert_allclose(mean, values.astype(float).mean(0), rtol=1e-9)
    np.testing.assert_allclose(deviation, values.astype(float).std(0), rtol=1e-6)
    assert np.abs(values.mean(0) - mean).max() > 1e-2
    scaled = regions.standardize(values).astype(float)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(0), 1, atol=1e-4)
    assert moments(np.full((10, 1), 0.1, "float32"))[1].tolist() == [1.0]


def test_the_scaler_of_a_fit_is_summed_in_float64(species):
    human = species[0].copy()
    human.X = human.X + np.float32(3000)
    model = RegionClassifier(**BASE | {"epochs": 1}).fit(human, verbose=0)
    expected = human.X[~model.held_out].astype(float)
    np.testing.assert_allclose(model.mean, expected.mean(0), rtol=1e-7)
    np.testing.assert_allclose(model.deviation, expected.std(0), rtol=1e-6)


def test_backed_sparse_cells_are_read(species, tmp_path, eagerly):
    human = species[0].copy()
    human.X[human.X < 3] = 0
    expected = RegionClassifier(**BASE).fit(human, verbose=0)
    averages = regions.region_averages(human)
    human.X = sparse.csr_matrix(human.X)
    human.write_h5ad(tmp_path / "human.h5ad")
    backed = anndata.read_h5ad(tmp_path / "human.h5ad", backed="r")
    assert backed.isbacked
    model = RegionClassifier(**BASE).fit(backed, verbose=0)
    np.testing.assert_array_equal(model.predict(backed), expected.predict(human))
    pd.testing.assert_frame_equal(regions.region_averages(backed), averages)
    mouse = regions.region_averages(species[1])
    tables = regions.run_repeats(
        backed,
        averages,
        mouse,
        regions.homologous_pairs("subcortex"),
        tmp_path / "out",
        1,
        verbose=0,
        **BASE,
    )
    assert tables["correlation_map"].shape == (22, 29)
    backed.file.close()


def test_names_used_twice_are_told(species):
    human = species[0].copy()
    human.var_names = ["gene_0", *human.var_names[:-1]]
    for call in (regions.region_averages, RegionClassifier().fit):
        with pytest.raises(ValueError, match="1 gene names are used twice, the first is 'gene_0'"):
            call(human)


def test_genes_are_found_by_name_in_any_order_and_as_text(species, eagerly):
    human = species[0].copy()
    human.var_names = pd.Index(range(human.n_vars))  # AnnData makes text of them
    model = RegionClassifier(**BASE).fit(human, verbose=0)
    np.testing.assert_array_equal(model.predict(human[:, ::-1]), model.predict(human))
    averages = regions.region_averages(human)
    numbered = averages.set_axis(range(human.n_vars), axis=1)
    for table in (averages[averages.columns[::-1]], numbered, numbered.assign(other=np.nan)):
        np.testing.assert_array_equal(model.embed(table), model.embed(averages))
    assert regions.correlation_map(averages, numbered).shape == (22, 22)


def test_regions_named_by_numbers_are_ranked():
    correlation = pd.DataFrame([[0.1, 0.9], [0.8, 0.2]], index=[7, 8], columns=[1, 2])
    pairs = pd.DataFrame({"mouse_region": ["1", "2"], "human_region": ["7", "7"]})
    assert regions.pair_ranks(correlation, pairs)["rank"].tolist() == [2, 1]


# ------------------------------------------------------------------ what repeats are of


def test_the_same_values_in_other_places_are_other_cells():
    """Two sparse matrices with equal `data` had one fingerprint, and a run took another's repeats."""
    first = sparse.csr_matrix([[0, 2.0], [3, 0]])
    assert digest([first]) != digest([sparse.csr_matrix([[2.0, 0], [3, 0]])])
    assert digest([first]) != digest([sparse.csr_matrix([[0, 2.0, 0], [3, 0, 0]])])
    assert digest([first]) != digest([sparse.csr_matrix([[0, 2.0], [0, 0], [3, 0]])])
    unsorted = sparse.csr_matrix((np.array([2.0, 1]), np.array([1, 0]), np.array([0, 2])), (1, 2))
    assert digest([unsorted]) == digest([sparse.csr_matrix([[1.0, 2]])])
    assert digest([first]) == digest([first.tocsc()])
    assert unsorted.indices.tolist() == [1, 0]  # left as it was


def test_shape_and_borders_of_names_count():
    assert digest([np.zeros((2, 3))]) != digest([np.zeros((3, 2))])
    assert digest([["a", "b"]]) != digest([["a\x1fb"]])
    assert digest([["a", "b"]]) == digest([pd.Index(["a", "b"])])


def test_run_refuses_repeats_of_cells_with_the_values_elsewhere(species, tmp_path, eagerly):
    cells = species[0].copy()
    cells.X = sparse.csr_matrix(np.where(cells.X > 4, cells.X, 0))
    sides = [regions.region_averages(adata) for adata in species]
    rest = (regions.homologous_pairs("subcortex"), tmp_path / "out", 1)
    regions.run_repeats(cells, *sides, *rest, verbose=0, **BASE)
    moved = cells.copy()
    moved.X = cells.X[:, ::-1].tocsr()
    moved.X.sort_indices()
    same_values = moved.copy()
    same_values.X = sparse.csr_matrix(
        (cells.X.data, moved.X.indices[: cells.X.nnz], moved.X.indptr), cells.shape
    )
    with pytest.raises(ValueError, match=r"holds repeats of another run \(cells differ\)"):
        regions.run_repeats(same_values, *sides, *rest, verbose=0, **BASE)


def test_paths_may_start_at_home(species, tmp_path, monkeypatch, eagerly):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    sides = [regions.region_averages(adata) for adata in species]
    pairs = regions.homologous_pairs("subcortex")
    regions.run_repeats(species[0], *sides, pairs, "~/out", 1, verbose=0, **BASE)
    assert (tmp_path / "out" / "ranking.csv").is_file()
    assert not (tmp_path / "~").exists()


def test_repeats_of_shuffled_labels_are_repeats_of_something_else(species, tmp_path, eagerly):
    sides = [regions.region_averages(adata) for adata in species]
    rest = (regions.homologous_pairs("subcortex"), tmp_path, 2)
    tables = regions.run_repeats(species[0], *sides, *rest, verbose=0, shuffle=True, **BASE)
    assert tables["repeats"]["seed"].tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"another run \(settings differ\)"):
        regions.run_repeats(species[0], *sides, *rest, verbose=0, **BASE)


def test_shuffling_leaves_the_cells_as_they_were(species):
    before = species[0].obs.copy()
    shuffled = shuffled_regions(species[0], "region", 0)
    pd.testing.assert_frame_equal(species[0].obs, before)
    assert sorted(shuffled.obs["region"]) == sorted(before["region"].astype(str))
    assert (shuffled.obs["region"] != before["region"].astype(str)).mean() > 0.8
