"""Neighbours, mutual neighbours and random walks against brute force."""

import subprocess
import sys

import numpy as np
import pytest

import imap_keras.imap.pairs as pairs_module
from imap_keras.imap.pairs import (
    annoy_neighbors,
    check_annoy,
    exact_neighbors,
    mutual_neighbors,
    neighbor_graph,
    random_walk_pairs,
    random_walks,
    recall,
)

METRICS = ["angular", "euclidean", "manhattan"]


def distances(queries, points, metric):
    difference = queries[:, None, :] - points[None, :, :]
    if metric == "manhattan":
        return np.abs(difference).sum(2)
    if metric == "euclidean":
        return np.sqrt((difference**2).sum(2))
    lengths = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(points, axis=1)[None, :]
    return np.arccos(np.clip(queries @ points.T / lengths, -1, 1))


def brute_neighbors(points, queries, k, metric):
    order = np.argsort(distances(queries, points, metric), axis=1)[:, :k]
    return np.array([(i, j) for i, row in enumerate(order) for j in row])


def brute_mutual(left, right, k, metric):
    d = distances(left, right, metric)
    near_left = [set(np.argsort(d[:, j])[:k]) for j in range(len(right))]
    near_right = [set(np.argsort(d[i])[:k]) for i in range(len(left))]
    return np.array(
        [
            (i, j)
            for i in range(len(left))
            for j in range(len(right))
            if j in near_right[i] and i in near_left[j]
        ]
    )


def points(n, dimensions=3, seed=0):
    return np.random.default_rng(seed).normal(1, 1, size=(n, dimensions))


def as_set(pairs):
    return set(map(tuple, pairs.tolist()))


# ------------------------------------------------------------------ neighbours


@pytest.mark.parametrize("metric", METRICS)
def test_exact_search_is_brute_force_nearest_first(metric):
    found = exact_neighbors(points(60), points(25, seed=1), 7, metric)
    np.testing.assert_array_equal(found, brute_neighbors(points(60), points(25, seed=1), 7, metric))


def test_metrics_are_told_apart():
    p, q = points(60), points(25, seed=1)
    lists = {metric: exact_neighbors(p, q, 7, metric).tolist() for metric in METRICS}
    assert lists["angular"] != lists["euclidean"] != lists["manhattan"] != lists["angular"]


@pytest.mark.parametrize("metric", METRICS)
def test_annoy_finds_nine_tenths_in_three_dimensions(metric):
    p, q = points(400), points(100, seed=1)
    exact = exact_neighbors(p, q, 10, metric)
    assert recall(annoy_neighbors(p, q, 10, metric, n_trees=10), exact) >= 0.9


@pytest.mark.parametrize("metric", METRICS)
def test_annoy_finds_every_point_itself(metric):
    found = annoy_neighbors(points(200), points(200), 1, metric)
    np.testing.assert_array_equal(found, np.repeat(np.arange(200)[:, None], 2, axis=1))


def test_annoy_seed_decides_the_trees():
    p, q = points(800, 20), points(50, 20, seed=1)
    first, again, other = (annoy_neighbors(p, q, 10, n_trees=1, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("search", [annoy_neighbors, exact_neighbors])
def test_more_neighbours_than_points_gives_all_points(search):
    found = search(points(4), points(2, seed=1), 9, "euclidean")
    np.testing.assert_array_equal(found, brute_neighbors(points(4), points(2, seed=1), 4, "euclidean"))


def test_recall_by_hand():
    exact = np.array([[0, 1], [0, 2], [1, 0], [2, 5]])
    found = np.array([[2, 5], [0, 2], [1, 4], [0, 1], [5, 2]])
    assert recall(found, exact) == 3 / 4
    assert recall(exact, exact) == 1
    assert recall(exact[:, ::-1], exact) == 2 / 4  # a pair has a direction


# ------------------------------------------------------------------ mutual neighbours


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 4])
def test_mutual_neighbours_are_those_of_brute_force(metric, k):
    left, right = points(40), points(55, seed=1) + 0.5
    found = mutual_neighbors(left, right, k, metric, exact_neighbors)
    np.testing.assert_array_equal(found, brute_mutual(left, right, k, metric))


def test_mutual_neighbours_swap_with_the_sides():
    left, right = points(40), points(55, seed=1)
    there = mutual_neighbors(left, right, 5, "euclidean", exact_neighbors)
    back = mutual_neighbors(right, left, 5, "euclidean", exact_neighbors)
    assert as_set(there) == as_set(back[:, ::-1])


def test_mutual_neighbours_by_annoy_are_nearly_those_of_brute_force():
    left, right = points(150), points(150, seed=1)
    found = mutual_neighbors(left, right, 8, "euclidean", n_trees=10, seed=0)
    assert recall(found, brute_mutual(left, right, 8, "euclidean")) >= 0.85


@pytest.mark.parametrize("metric", METRICS)
def test_neighbour_graph_is_symmetric_mutual_and_without_self(metric):
    p = points(50)
    graph = neighbor_graph(p, 4, metric, exact_neighbors)
    found = as_set(graph)
    assert found == as_set(graph[:, ::-1])
    assert all(i != j for i, j in found)
    d = distances(p, p, metric)
    np.fill_diagonal(d, np.inf)
    near = [set(np.argsort(row)[:4]) for row in d]
    assert found == {(i, j) for i in range(50) for j in near[i] if i in near[j]}


# ------------------------------------------------------------------ walks

RING = np.array([(i, (i + step) % 6) for i in range(6) for step in (-1, 1)])


def test_each_step_of_a_walk_is_an_edge():
    walks = random_walks(RING, np.arange(6), 30, seed=0)
    assert walks.shape == (6, 30)
    np.testing.assert_array_equal(walks[:, 0], np.arange(6))
    steps = np.column_stack([walks[:, :-1].ravel(), walks[:, 1:].ravel()])
    assert as_set(steps) == as_set(RING)


def test_walkers_choose_among_their_neighbours_evenly():
    star = np.array([[0, j] for j in (1, 2, 3, 4)] + [[j, 0] for j in (1, 2, 3, 4)])
    second = random_walks(star, np.zeros(4000, int), 2, seed=0)[:, 1]
    np.testing.assert_allclose(np.bincount(second)[1:] / 4000, 1 / 4, atol=0.03)


def test_a_walker_without_neighbours_stays():
    walks = random_walks(RING, np.array([9, 0, 7]), 5, seed=0)
    np.testing.assert_array_equal(walks[[0, 2]], [[9] * 5, [7] * 5])
    alone = random_walks(np.empty((0, 2), int), np.array([2, 0]), 3, seed=0)
    np.testing.assert_array_equal(alone, [[2] * 3, [0] * 3])
    # The walker without neighbours is the last cell, where the list of neighbours has ended.
    last = random_walks(np.array([[0, 1], [1, 0]]), np.array([2]), 3, seed=0)
    np.testing.assert_array_equal(last, [[2] * 3])


def test_seed_decides_the_walk():
    first, again, other = (random_walks(RING, np.arange(6), 20, seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_walked_pairs_start_with_their_seed_and_count_seeds_times_length():
    seeds = np.array([[0, 5], [3, 3], [4, 1]])
    grown = random_walk_pairs(seeds, RING, RING, walk_length=7, seed=0)
    assert grown.shape == (3 * 7, 2)
    np.testing.assert_array_equal(grown[::7], seeds)
    by_seed = grown.reshape(3, 7, 2)
    for side in (0, 1):
        steps = np.column_stack([by_seed[:, :-1, side].ravel(), by_seed[:, 1:, side].ravel()])
        assert as_set(steps) <= as_set(RING)


def test_the_two_sides_walk_independently():
    seeds = np.zeros((200, 2), int)
    grown = random_walk_pairs(seeds, RING, RING, walk_length=2, seed=0).reshape(200, 2, 2)[:, 1]
    assert np.mean(grown[:, 0] == grown[:, 1]) == pytest.approx(0.5, abs=0.12)


def test_no_pair_crosses_components():
    two_rings = np.vstack([RING, RING + 6])
    seeds = np.array([[1, 2], [8, 11]])  # ring with ring 0, ring with ring 1
    grown = random_walk_pairs(seeds, two_rings, two_rings, walk_length=50, seed=0)
    assert (grown[:, 0] // 6 == grown[:, 1] // 6).all()
    assert set(grown[:, 0]) == set(range(12))


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize("search", [annoy_neighbors, exact_neighbors])
def test_unknown_metric_is_refused(search):
    with pytest.raises(ValueError, match="metric='cosine'.*angular.*euclidean.*manhattan"):
        search(points(5), points(5), 2, metric="cosine")


class BrokenAnnoy:
    """As the builds of spotify/annoy issues 679 and 682: one neighbour, whatever is asked."""

    def __init__(self, *args):
        pass

    def set_seed(self, seed):
        pass

    def add_item(self, i, point):
        pass

    def build(self, n_trees, n_jobs):
        pass

    def get_nns_by_item(self, i, k):
        return [i]


def test_a_broken_build_of_annoy_is_refused_by_name_of_the_issues(monkeypatch):
    check_annoy.cache_clear()
    monkeypatch.setattr(pairs_module, "AnnoyIndex", BrokenAnnoy)
    for call in (check_annoy, lambda: annoy_neighbors(points(5), points(5), 2)):
        with pytest.raises(RuntimeError, match="1 of 10.*679.*682.*search='exact'"):
            call()
    assert len(exact_neighbors(points(5), points(5), 2)) == 10


WITHOUT_ANNOY = """
import sys
sys.modules["annoy"] = None  # as where it could not be compiled
import imap_keras
cells = imap_keras.datasets.simulate(n_cells=80, n_genes=40, n_batches=2)
cells = imap_keras.preprocess(cells, min_genes=5, verbose=0)
short = dict(latent_dim=4, hidden=(8,), critic_hidden=(8,), stage1_epochs=1, stage2_epochs=1)
short |= dict(n_components=5, pair_agreement=0, few_cells=0)
exact = imap_keras.IMAP(search="exact", **short).fit(cells, verbose=0)
print(len(exact.pairs["batch_0"] if "batch_0" in exact.pairs else exact.pairs["batch_1"]) > 0)
try:
    imap_keras.IMAP(**short).fit(cells, verbose=0)
except ImportError as error:
    print(error)
"""


def test_without_annoy_the_default_says_what_to_do_and_the_exact_search_runs():
    ran = subprocess.run([sys.executable, "-c", WITHOUT_ANNOY], capture_output=True, text=True)
    assert ran.stdout.splitlines() == [
        "True",
        "annoy is not installed. It comes as source: install a C++ compiler and then `pip install "
        "annoy`, or take conda's `python-annoy`. Without it search exactly: IMAP(search='exact'), "
        "slower on many cells.",
    ], ran.stderr
