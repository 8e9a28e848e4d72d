"""Phenotypes carried between species: the graph, its walks, the vectors, the regression."""

import builtins

import numpy as np
import pandas as pd
import pytest

from imap_keras import regions
from imap_keras.regions import WalkParameters, carry, map_phenotype, node2vec_walks, node_vectors
from imap_keras.regions.walks import cumulative, drawn_columns, second_order

WALKS = {"repeats": 6, "per_region": 20, "dimensions": 20}


def correlations(carried: pd.DataFrame, truth: pd.DataFrame) -> np.ndarray:
    return np.array([np.corrcoef(carried[k], truth.loc[carried.index, k])[0, 1] for k in truth])


# ------------------------------------------------------------------ walks


def test_second_order_weights_by_hand():
    """p 0.5: a step back weighs double; q 0.25: a step away fourfold; a common neighbour 1."""
    graph = np.array([[0, 2, 1, 0], [2, 0, 3, 5], [1, 3, 0, 0], [0, 5, 0, 0]], float)
    walks = WalkParameters(return_parameter=0.5, inout_parameter=0.25)
    from_0_to_1 = second_order(graph, walks)[0 * 4 + 1]
    assert from_0_to_1.tolist() == [2 * 2, 0, 3 * 1, 5 * 4]


def test_columns_are_drawn_by_their_shares():
    shares = cumulative(np.array([[1.0, 0, 3], [0, 2, 0], [5, 5, 0]]))
    rows = np.repeat([0, 1, 2], 20_000)
    drawn = drawn_columns(shares, 3, rows, np.random.default_rng(0))
    counts = pd.crosstab(rows, drawn).to_numpy() / 20_000
    np.testing.assert_allclose(counts, [[0.25, 0, 0.75], [0, 1, 0], [0.5, 0.5, 0]], atol=0.01)


def test_walks_keep_to_edges_and_follow_p_and_q():
    rng = np.random.default_rng(0)
    graph = np.triu(rng.random((12, 12)) * (rng.random((12, 12)) < 0.4), 1)
    graph += graph.T + np.eye(12, k=1) + np.eye(12, k=-1)
    share = {}
    for p in (0.01, 100.0):
        walks = WalkParameters(return_parameter=p, inout_parameter=1.0, length=20, per_region=50)
        path = node2vec_walks(graph, walks)
        assert path.shape == (600, 20) and np.bincount(path[:, 0]).tolist() == [50] * 12
        assert (graph[path[:, :-1], path[:, 1:]] > 0).all()
        share[p] = np.mean(path[:, 2:] == path[:, :-2])
        np.testing.assert_array_equal(path, node2vec_walks(graph, walks))
        assert not np.array_equal(path, node2vec_walks(graph, walks.changed(seed=1)))
    assert share[0.01] > 0.9 > 0.1 > share[100.0]


def test_stationary_shares_of_a_plain_walk():
    """With p = q = 1 a walk visits a node as often as its edges weigh."""
    graph = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]], float)
    walks = WalkParameters(return_parameter=1, inout_parameter=1, length=200, per_region=200)
    visits = np.bincount(node2vec_walks(graph, walks)[:, 20:].ravel())
    np.testing.assert_allclose(visits / visits.sum(), graph.sum(0) / graph.sum(), atol=0.01)


def test_vectors_have_length_one_and_know_two_communities():
    graph = np.kron(np.eye(2), np.ones((8, 8))) + 0.02
    vectors = node_vectors(graph, WalkParameters(per_region=60, dimensions=8))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    likeness = vectors @ vectors.T
    assert likeness[:8, :8].mean() > likeness[:8, 8:].mean() + 0.3
    again = node_vectors(graph, WalkParameters(per_region=60, dimensions=8))
    np.testing.assert_array_equal(vectors, again)


@pytest.mark.parametrize(
    "graph, message",
    [
        (np.ones((2, 3)), r"shape \(2, 3\); it must be nodes x nodes"),
        (np.array([[0, -1.0], [1, 0]]), "1 weights of the graph are negative or not finite"),
        (np.array([[0, 1.0, 0], [1, 0, 0], [0, 0, 0]]), "1 of the 3 regions have no edge.*number 2"),
    ],
)
def test_graphs_one_cannot_walk_on(graph, message):
    with pytest.raises(ValueError, match=message):
        node2vec_walks(graph)


def test_without_gensim_the_error_says_what_to_install(monkeypatch):
    load = builtins.__import__

    def refuse(name, *more):
        if name.startswith("gensim"):
            raise ImportError(name)
        return load(name, *more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"pip install 'imap_keras\[course\]', or pip install gensim"):
        node_vectors(np.ones((3, 3)))


def test_defaults_are_transbrains():
    assert WalkParameters().as_dict() == {
        "return_parameter": 0.01,
        "inout_parameter": 0.1,
        "length": 40,
        "per_region": 800,
        "dimensions": 40,
        "window": 5,
        "seed": 0,
    }


# ------------------------------------------------------------------ graph


def test_the_graph_by_hand():
    human = pd.DataFrame([[0, 1.0, 2], [2, 1, 0]], ["CA1", "Putamen"])
    mouse = pd.DataFrame([[0, 1.0, 2], [2, 1, 0], [0, 1, 2]], ["DG", "CA1", "CP"])
    wires = {
        "human": pd.DataFrame([[7, 2.0], [3, 7]], ["Putamen", "CA1"], ["Putamen", "CA1"]),
        "mouse": pd.DataFrame(np.arange(9.0).reshape(3, 3), list(mouse.index), list(mouse.index)),
    }
    graph = regions.brain_graph([(human, mouse)], wires)
    assert graph.regions == {"human": ["CA1", "Putamen"], "mouse": ["DG", "CA1", "CP"]}
    # CA1 is like DG; not CP, which is another group; nor mouse CA1, by a correlation below 0.
    across = np.array([[1.0, 0, 0], [0, 0, 0]])
    expected = np.block(
        [
            [np.array([[0, 3.0], [2, 0]]), across],
            [across.T, np.array([[0, 1, 2], [3, 0, 5], [6, 7, 0]])],
        ]
    )
    np.testing.assert_allclose(graph.weights, expected, atol=1e-12)
    split = graph.split(np.arange(5.0)[:, None])
    assert split["mouse"].loc["CA1", 0] == 3 and list(split["human"].index) == ["CA1", "Putamen"]


def test_likeness_is_the_mean_over_embeddings_that_hold_both_regions():
    rng = np.random.default_rng(0)
    first, second = (
        (
            pd.DataFrame(rng.normal(size=(2, 9)), ["A", "B"]),
            pd.DataFrame(rng.normal(size=(1, 9)), ["a"]),
        )
        for _ in range(2)
    )
    second = (second[0].loc[["B"]], second[1])
    maps = [regions.correlation_map(*pair) for pair in (first, second)]
    found = regions.similarity([first, second])
    assert found.loc["A", "a"] == pytest.approx(maps[0].loc["A", "a"])
    assert found.loc["B", "a"] == pytest.approx((maps[0].loc["B", "a"] + maps[1].loc["B", "a"]) / 2)
    with pytest.raises(ValueError, match="There are no embeddings"):
        regions.similarity([])


def test_faults_of_the_graph_are_named():
    latent, wires = regions.region_latents("subcortex"), regions.simulate_connectomes("subcortex")
    pair = [(latent["human"], latent["mouse"])]
    with pytest.raises(KeyError, match="connectomes has no 'mouse'; it has .'human'."):
        regions.brain_graph(pair, {"human": wires["human"]})
    with pytest.raises(ValueError, match="The mouse connectome lacks 1 of the 29 regions.*'LA'"):
        regions.brain_graph(pair, wires | {"mouse": wires["mouse"].drop(columns="LA")})
    renamed = [(latent["human"].rename({"CA1": "field one"}), latent["mouse"])]
    with pytest.raises(ValueError, match="group of the human region 'field one' is not known"):
        regions.brain_graph(renamed, wires)


# ------------------------------------------------------------------ simulated species


def test_latents_are_those_of_the_simulated_species():
    """Without noise of other kinds, a region's mean expression follows its hidden state."""
    human, _ = regions.simulate_species("subcortex", 4400, 200, 20, n_mouse_cells=29, seed=5)
    averages = regions.region_averages(human)
    latent = regions.region_latents("subcortex", seed=5)["human"]
    assert list(averages.index) == list(latent.index)
    found, expected = np.corrcoef(averages), np.corrcoef(latent - latent.mean())
    upper = np.triu_indices(22, 1)
    assert np.corrcoef(found[upper], expected[upper])[0, 1] > 0.9


def test_connectomes_follow_the_latents_and_their_seed():
    latent, wires = (f("brain", seed=2) for f in (regions.region_latents, regions.simulate_connectomes))
    for species, table in wires.items():
        weights = table.to_numpy()
        assert list(table.index) == list(table.columns) == list(latent[species].index)
        assert (weights >= 0).all() and (np.diag(weights) == 0).all()
        np.testing.assert_allclose(weights, weights.T)
        upper = np.triu_indices(len(weights), 1)
        assert np.corrcoef(weights[upper], np.corrcoef(latent[species])[upper])[0, 1] > 0.6
    again = regions.simulate_connectomes("brain", seed=2)["human"]
    pd.testing.assert_frame_equal(again, wires["human"])
    with pytest.raises(ValueError, match="noise=-1 must be 0 or more"):
        regions.simulate_connectomes(noise=-1)


# ------------------------------------------------------------------ phenotypes


@pytest.fixture(scope="module")
def brain():
    """Graphs of noisy embeddings, right and shuffled; phenotypes: functions of the hidden state."""
    latent, wires = (
        regions.region_latents("brain", seed=1),
        regions.simulate_connectomes("brain", seed=1),
    )
    rng = np.random.default_rng(1)
    human, mouse = (latent[name] + rng.normal(0, 0.7, latent[name].shape) for name in latent)
    direction = rng.normal(size=(40, 10))
    truth = {name: table @ direction for name, table in latent.items()}
    shuffled = human.iloc[rng.permutation(len(human))].set_axis(human.index)
    together = {name: dict.fromkeys(latent[name].index, "all") for name in latent}
    graphs = {
        "right": regions.brain_graph([(human, mouse)], wires),
        "shuffled": regions.brain_graph([(shuffled, mouse)], wires, together),  # nor do lobes tell
    }
    vectors = {name: regions.walk_vectors(graph, **WALKS) for name, graph in graphs.items()}
    vectors["rows"] = [graphs["right"].split(graphs["right"].weights)]
    return vectors, truth


@pytest.mark.parametrize("source, target", [("mouse", "human"), ("human", "mouse")])
def test_a_phenotype_of_the_shared_state_comes_across(brain, source, target):
    """By walks at least 0.6; with regions paired at random near 0; by the graph's own rows less."""
    vectors, truth = brain
    found = {}
    for name, sets in vectors.items():
        carried = regions.carry(truth[source], source, sets)
        assert list(carried.index) == list(regions.region_table("brain", target)["region"])
        found[name] = correlations(carried, truth[target]).mean()
    assert found["right"] >= 0.6
    assert abs(found["shuffled"]) <= 0.2
    assert found["rows"] <= found["right"] - 0.1


def test_mapping_is_graph_walks_and_regression_in_one():
    latent, wires = regions.region_latents("subcortex"), regions.simulate_connectomes("subcortex")
    pair, walks = [(latent["human"], latent["mouse"])], {"per_region": 4, "dimensions": 5, "seed": 3}
    mapped = regions.map_phenotype(latent["mouse"], "mouse", pair, wires, repeats=2, **walks)
    vectors = regions.walk_vectors(regions.brain_graph(pair, wires), 2, **walks)
    pd.testing.assert_frame_equal(mapped, regions.carry(latent["mouse"], "mouse", vectors))
    ones = [regions.carry(latent["mouse"], "mouse", [each]) for each in vectors]
    np.testing.assert_allclose(mapped, (ones[0] + ones[1]) / 2)
    assert not np.allclose(ones[0], ones[1])  # each repeat has a seed of its own


def test_the_regression_by_hand_and_its_units():
    rng = np.random.default_rng(0)
    table = {"human": pd.DataFrame(rng.normal(size=(9, 3)), list("ABCDEFGHI"))}
    table["mouse"] = pd.DataFrame(rng.normal(size=(4, 3)), list("abcd"))
    weights = np.array([1.0, -2, 0.5])
    values = (table["human"] @ weights + 7).rename("thickness")
    carried = regions.carry(values[["C", "A", "I", "B", "E"]], "human", [table, table])
    np.testing.assert_allclose(carried["thickness"], table["mouse"] @ weights + 7)
    scaled = regions.carry(10 * values - 3, "human", [table])
    np.testing.assert_allclose(scaled["thickness"], 10 * carried["thickness"] - 3)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"from_species": "rat"}, "from_species='rat' is unknown"),
        (
            {"values": pd.Series([1.0, 2], ["CA1", "CA9"])},
            "1 regions of the values are not human.*'CA9'",
        ),
        (
            {"values": pd.Series([1.0, 2, 3], ["CA1", "CA1", "CA4DG"])},
            "1 regions have two values.*'CA1'",
        ),
        ({"values": pd.Series([1.0, np.nan], ["CA1", "CA4DG"])}, "1 values are NaN or infinite"),
        ({"values": pd.Series([1.0], ["CA1"])}, "values of 1 regions; at least two"),
        ({"repeats": 0}, "repeats=0 must be a whole number"),
        ({"per_region": 0}, "per_region=0 must be a whole number"),
    ],
)
def test_bad_phenotypes_are_told_before_the_walks(change, message, monkeypatch):
    monkeypatch.setattr(regions.phenotypes, "node_vectors", lambda *_: pytest.fail("walked"))
    latent, wires = regions.region_latents("subcortex"), regions.simulate_connectomes("subcortex")
    given = {"values": latent["human"][0], "from_species": "human", "connectomes": wires}
    given["embeddings"] = [(latent["human"], latent["mouse"])]
    with pytest.raises(ValueError, match=message):
        regions.map_phenotype(**given | change)


def test_an_unknown_walk_parameter_offers_the_nearest():
    latent, wires = regions.region_latents("subcortex"), regions.simulate_connectomes("subcortex")
    with pytest.raises(TypeError, match="'windows' is not a hyperparameter of the walks.*'window'"):
        regions.map_phenotype(
            latent["human"][0], "human", [(latent["human"], latent["mouse"])], wires, windows=3
        )


def test_regions_of_several_sets_of_vectors_are_met_by_name():
    rng = np.random.default_rng(0)
    human = pd.DataFrame(rng.normal(size=(6, 2)), list("ABCDEF"))
    mouse = pd.DataFrame(rng.normal(size=(4, 2)), list("abcd"))
    values = pd.Series(rng.normal(size=6), human.index)
    expected = carry(values, "human", [{"human": human, "mouse": mouse}])
    turned = {"human": human[::-1], "mouse": mouse[::-1]}
    found = carry(values, "human", [{"human": human, "mouse": mouse}, turned])
    np.testing.assert_allclose(found, expected)
    with pytest.raises(ValueError, match="Set 1 of the vectors has other mouse regions"):
        carry(values, "human", [turned, {"human": human, "mouse": mouse[:3]}])
    with pytest.raises(ValueError, match="There are no vectors"):
        carry(values, "human", [])


def test_regions_without_an_embedding_and_regions_named_twice_are_said():
    latent = regions.region_latents("subcortex", seed=0)
    wires = regions.simulate_connectomes("subcortex", seed=0)
    holed = latent["human"].copy()
    holed.iloc[0] = np.nan
    with pytest.raises(ValueError, match="human holds .* NaN or infinite values"):  # was likeness 0
        regions.brain_graph([(holed, latent["mouse"])], wires)
    twice = wires | {"mouse": pd.concat([wires["mouse"], wires["mouse"][:1]])}
    with pytest.raises(ValueError, match="The mouse connectome names .* twice"):
        regions.brain_graph([(latent["human"], latent["mouse"])], twice)
    with pytest.raises(ValueError, match="repeats=1.5 must be a whole number"):
        map_phenotype(
            latent["human"][0], "human", [(latent["human"], latent["mouse"])], wires, repeats=1.5
        )
