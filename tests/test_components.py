"""Components of the corrected cells, and how far neighbours share them."""

import numpy as np
import pytest
import scanpy as sc
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from imap_keras import IMAP, preprocess
from imap_keras.datasets import simulate
from imap_keras.imap import components
from imap_keras.imap.components import component_weights, morans_i, principal_components
from imap_keras.imap.seeds import seed_of
from imap_keras.inputs.values import dense
from imap_keras.nn.fitting import run


def three_types(n_cells=120, n_genes=40, seed=0):
    """Cells of three types; all but two directions are noise."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 2, (3, n_genes))
    return (5 + centres[np.arange(n_cells) % 3] + rng.normal(size=(n_cells, n_genes))).astype("float32")


def test_morans_i_is_scanpys():
    points = np.random.default_rng(0).normal(size=(80, 4)) * [4, 2, 1, 1]
    graph = NearestNeighbors(n_neighbors=7).fit(points).kneighbors_graph()
    np.testing.assert_allclose(morans_i(points, 7), sc.metrics.morans_i(graph, points.T), atol=1e-12)


def test_morans_i_by_hand():
    # On a line of four cells each has one nearest: 0 and 1, 10 and 11 are each other's.
    points = np.array([[0.0], [1.0], [10.0], [11.0]])
    off = points.ravel() - 5.5
    by_hand = 2 * (off[0] * off[1] + off[2] * off[3]) / np.sum(off**2)
    assert morans_i(points, 1) == pytest.approx([by_hand])


def test_a_column_that_neighbours_do_not_share_counts_nothing():
    place = np.repeat([0.0, 9.0, 20.0], 10)
    unlike = np.tile([0.1, -0.1], 15)  # of nine others four are alike and five are not
    found = morans_i(np.stack([place, unlike, np.full(30, 3.0)], axis=1), 9)
    assert found == pytest.approx([1, 0, 0])


def test_of_few_cells_all_others_are_neighbours():
    points = np.random.default_rng(0).normal(size=(5, 2))
    np.testing.assert_array_equal(morans_i(points, 50), morans_i(points, 4))


@pytest.mark.parametrize("unit", (True, False))
def test_components_are_weighed_by_what_neighbours_share(unit):
    cells = three_types()
    plain, weighed = (
        IMAP(unit_length=unit, n_components=6, component_neighbors=n).hyperparameters for n in (0, 15)
    )
    scores = run(principal_components(cells, plain), cells)
    rows = cells / np.linalg.norm(cells, axis=1, keepdims=True) if unit else cells
    pca = PCA(6, svd_solver="arpack", random_state=0).fit_transform(rows)
    np.testing.assert_allclose(abs(scores), abs(pca), atol=2e-4)
    weights = component_weights(pca, 15, seed_of("component_signs", weighed))
    assert weights[:2].min() > 0.9 and weights[2:].max() < 0.2
    np.testing.assert_allclose(
        abs(run(principal_components(cells, weighed), cells)), abs(pca) * weights, atol=2e-4
    )


def test_weights_by_hand():
    points, signs = three_types(90)[:, :7], np.random.default_rng(4).choice([-1, 1], (90, 1))
    noise = points - points.mean(axis=0)
    least = np.argmin(points.std(axis=0))
    noise[:, [least]] *= signs
    floor, shares = morans_i(noise, 12)[least], morans_i(points, 12)
    by_hand = np.maximum((shares - floor) / (1 - floor), 1e-4) ** 0.75
    np.testing.assert_allclose(component_weights(points, 12, seed=4), by_hand, rtol=1e-5)


@pytest.mark.parametrize("n_cells", (100, 3000))
def test_noise_counts_nothing_however_dense_cells_lie(n_cells):
    rng = np.random.default_rng(1)
    # Shallow cells are noisier in every component alike.
    noise = (
        rng.normal(size=(n_cells, 12)) * rng.uniform(0.5, 2, (n_cells, 1)) * np.linspace(1, 0.95, 12)
    )
    types = np.where(np.arange(n_cells) % 2, 6.0, -6.0)[:, None]
    shares, weights = (found(np.hstack([types, noise]), 20) for found in (morans_i, component_weights))
    assert shares[0] > 0.9 and weights[0] > 0.9
    assert weights[1:].mean() < 0.041
    assert n_cells == 100 or shares[1:].mean() > 0.15


def test_no_component_vanishes_for_who_standardises_them():
    cells = three_types()
    space = run(principal_components(cells, IMAP(n_components=12).hyperparameters), cells)
    assert np.ptp(space, axis=0).min() > 0
    lengths = space.std(axis=0)
    assert lengths.min() < 0.01 * lengths.max()


def test_where_all_is_noise_components_keep_their_length():
    alike = np.tile([[1.0], [-1.0]], (20, 1))  # of all others more are unlike than alike
    np.testing.assert_array_equal(component_weights(alike, 39), [1.0])


def test_of_many_cells_weights_are_those_of_a_sample(monkeypatch):
    cells = three_types(600)
    plain, weighed = (IMAP(n_components=6, component_neighbors=n).hyperparameters for n in (0, 15))
    scores = run(principal_components(cells, plain), cells)

    def weights():
        long = run(principal_components(cells, weighed), cells)
        return (long * scores).sum(axis=0) / (scores**2).sum(axis=0)

    all_cells = weights()
    signs = seed_of("component_signs", weighed)
    np.testing.assert_allclose(all_cells, component_weights(scores, 15, signs), atol=1e-3)
    monkeypatch.setattr(components, "LOOKED_AT", 60)
    rows = np.random.default_rng(seed_of("components", weighed)).choice(600, 60, replace=False)
    sampled = weights()
    expected = component_weights(scores[np.sort(rows)], 15, signs)
    np.testing.assert_allclose(sampled, expected, atol=1e-3)
    assert abs(sampled - all_cells).max() > 0.02


def test_components_as_long_as_they_are_in_the_reference_preset():
    assert IMAP(preset="reference").hyperparameters.component_neighbors == 0
    assert IMAP().hyperparameters.component_neighbors == 20


@pytest.mark.parametrize("n_rare", (5, 10))
def test_a_type_of_few_cells_stays_as_far_apart(n_rare):
    cells = simulate(n_cells=1200, n_genes=800, n_types=5, n_batches=1, seed=3)
    kinds = cells.obs["cell_type"].to_numpy(str)
    too_many = np.flatnonzero(kinds == "type_0")[n_rare:]
    cells = preprocess(cells[np.setdiff1d(np.arange(1200), too_many)].copy(), min_genes=50, verbose=0)
    is_rare, values = (cells.obs["cell_type"] == "type_0").to_numpy(), dense(cells.X)

    def own_neighbours(n):
        space = run(principal_components(values, IMAP(component_neighbors=n).hyperparameters), values)
        near = NearestNeighbors(n_neighbors=4).fit(space).kneighbors(return_distance=False)
        return is_rare[near][is_rare].mean()

    assert is_rare.sum() == n_rare
    assert own_neighbours(20) >= own_neighbours(0) >= 0.9
