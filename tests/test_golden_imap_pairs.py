"""Mutual neighbours and the walks' graphs of iMAP against what the published package found.

Its search was replaced by an exact one. The recipe is in ``tests/golden/README.md``.
"""

import numpy as np
import pytest
from golden import golden_cases

from imap_keras.imap.hyperparameters import Hyperparameters
from imap_keras.imap.pairs import exact_neighbors, mutual_neighbors, neighbor_graph, random_walks
from imap_keras.imap.training import Found, find_pairs

CASES = golden_cases("imap_pairs.json")


@pytest.fixture(params=CASES, ids=lambda case: f"seed{case['seed']}")
def case(request):
    return request.param


@pytest.fixture
def sides(case):
    """Anchor and query cells."""
    rng = np.random.default_rng(case["seed"])
    anchor = rng.normal(size=(case["n_anchor"], case["dim"]))
    query = rng.normal(size=(case["n_query"], case["dim"])) + 0.3
    return anchor.astype("float32"), query.astype("float32")


def as_set(pairs):
    return {tuple(pair) for pair in np.asarray(pairs).tolist()}


def test_mutual_neighbours_are_the_published_ones(case, sides):
    found = mutual_neighbors(*sides, case["k1"], case["metric"], exact_neighbors)
    assert as_set(found) == as_set(case["mnn_anchor_query"])


def test_lazy_graphs_are_the_published_ones(case, sides):
    for name, cells in zip(("graph_anchor", "graph_query"), sides, strict=True):
        found = neighbor_graph(cells, case["k2"], case["metric"], exact_neighbors, lazy=True)
        assert as_set(found) == as_set(case[name]), name
        eager = as_set(neighbor_graph(cells, case["k2"], case["metric"], exact_neighbors))
        assert not any(a == b for a, b in eager) and eager != as_set(case[name])


def test_the_reference_preset_walks_from_these_pairs_on_these_graphs(case, sides):
    """The whole search: every walk starts at a mutual pair and takes links of the published graphs."""
    anchor, query = sides
    hp = Hyperparameters.of(
        "reference", k1=case["k1"], k2=case["k2"], metric=case["metric"], search="exact"
    )
    content = np.concatenate(sides)
    of_query, of_anchor = len(anchor) + np.arange(len(query)), np.arange(len(anchor))
    found = find_pairs(content, content, of_query, of_anchor, hp)
    assert isinstance(found, Found) and found.n_mnn == len(case["mnn_anchor_query"])
    walks = (found.pairs - [len(anchor), 0]).reshape(-1, hp.walk_length, 2)
    assert as_set(walks[:, 0, ::-1]) == as_set(case["mnn_anchor_query"])
    for side, name in ((0, "graph_query"), (1, "graph_anchor")):
        steps = np.stack([walks[:, :-1, side].ravel(), walks[:, 1:, side].ravel()], axis=1)
        assert as_set(steps) <= as_set(case[name])
        stayed = np.mean(steps[:, 0] == steps[:, 1])
        assert stayed > 0  # a walker may stay


def test_a_lazy_walker_stays_as_often_as_its_links_say(case):
    graph = np.array(case["graph_anchor"])
    degree = np.bincount(graph[:, 0], minlength=case["n_anchor"])
    cell = int(degree.argmax())
    walks = random_walks(graph, np.full(20_000, cell), 2, seed=0)
    stayed = np.mean(walks[:, 1] == cell)
    share = 1 / degree[cell]
    assert stayed == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 20_000))
