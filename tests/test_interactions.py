"""Ligand times receptor between types, p by shuffled types, and what is refused."""

import itertools
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from imap_keras.metrics import interaction_table, interactions
from imap_keras.metrics.interactions import permutation_p, shuffled, type_means

PAIRS = [("L1", "R1"), ("L2", "R1"), ("L2", "R2")]


@pytest.fixture
def cells():
    """60 cells of three types, two batches; L1 is high in type a, R1 in type b."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"cell_type": list("aabbbc") * 10, "batch": np.repeat(["x", "y"], 30)})
    values = rng.gamma(2.0, 0.3, (60, 5)).astype("float32")
    values[obs["cell_type"] == "a", 0] += 2
    values[obs["cell_type"] == "b", 2] += 2
    obs.index = [f"cell_{i}" for i in range(60)]
    return AnnData(values, obs, pd.DataFrame(index=["L1", "L2", "R1", "R2", "other"]))


def row(table, ligand, receptor, sender, receiver):
    wanted = (ligand, receptor, sender, receiver)
    (found,) = (r for r in table.itertuples() if tuple(r)[1:5] == wanted)
    return found


def refused(error, message, *arguments, **options):
    with pytest.raises(error) as caught:
        interaction_table(*arguments, **{"n_permutations": 999} | options)
    assert (caught.value.args[0] if error is KeyError else str(caught.value)) == message


# ------------------------------------------------------------------ scores and p


def test_scores_are_mean_ligand_times_mean_receptor(cells):
    table = interaction_table(cells, PAIRS, n_permutations=400)
    assert table.columns.tolist() == [
        *("ligand", "receptor", "sender", "receiver"),
        *("score", "p", "p_adjusted"),
    ]
    means = cells.to_df().groupby(cells.obs["cell_type"].to_numpy()).mean()
    expected = [
        (sender, receiver, *pair, means.loc[sender, pair[0]] * means.loc[receiver, pair[1]])
        for sender, receiver, pair in itertools.product("abc", "abc", PAIRS)
    ]
    assert len(table) == 27
    for sender, receiver, ligand, receptor, score in expected:
        assert row(table, ligand, receptor, sender, receiver).score == pytest.approx(score, rel=1e-5)


def test_p_counts_the_shuffles_that_score_as_high(cells):
    """The same with one loop over shuffles and one over types."""
    table = interaction_table(cells, PAIRS, n_permutations=200, rate=0.2, seed=3)
    kinds, values = cells.obs["cell_type"].to_numpy(), cells.to_df().astype(float)
    numbers = pd.Categorical(kinds).codes
    dealt = shuffled(numbers, np.zeros(60, int), 200, np.random.default_rng(3))
    names = ["ligand", "receptor", "sender", "receiver"]
    as_high = dict.fromkeys(table[names].itertuples(index=False, name=None), 0)
    scores = dict(zip(as_high, table["score"], strict=True))
    for codes in dealt:
        means = values.groupby(np.array(list("abc"))[codes]).mean()
        for ligand, receptor, sender, receiver in as_high:
            score = means.loc[sender, ligand] * means.loc[receiver, receptor]
            key = ligand, receptor, sender, receiver
            as_high[key] += score >= scores[key] * (1 - 1e-9)
    assert table["p"].tolist() == pytest.approx([(b + 1) / 201 for b in as_high.values()])
    assert row(table, "L1", "R1", "a", "b").p == 1 / 201


def test_p_agrees_with_counting_all_ways():
    """A ligand in 3 of 10 cells, all of them among the 4 of type a: 7 of 210 ways put them there."""
    values = np.column_stack([[1.0] * 3 + [0.0] * 7, np.ones(10)])
    codes = np.repeat([0, 1], [4, 6])
    genes = np.array([0]), np.array([1])
    score, p = permutation_p(values, codes, np.zeros(10, int), *genes, 2, 20_000, 0)
    assert score[0, 1, 0] == 0.75
    assert p[0, 1, 0] == pytest.approx(7 / 210, abs=0.004)
    assert p[1, 1, 0] == 1  # none in type b: every shuffle has as many or more


def test_p_is_uniform_where_types_say_nothing():
    rng = np.random.default_rng(1)
    values, codes = rng.gamma(2.0, 0.3, (90, 60)), np.arange(90) % 3
    genes = np.arange(30), np.arange(30, 60)
    _, p = permutation_p(values, codes, np.zeros(90, int), *genes, 3, 400, 0)
    for level in (0.1, 0.3, 0.5, 0.8):
        assert np.mean(p <= level) == pytest.approx(level, abs=0.08)


def test_sums_in_another_order_are_no_lower_score():
    """0.1 + 0.2 + 0.3 is more than 0.3 + 0.2 + 0.1 to a computer; whole numbers have no such doubt."""
    whole = np.array([1.0, 2.0, 3.0, 3.0, 2.0, 1.0, 2.0, 2.0])[:, None]
    rest = np.zeros(8, int), np.array([0]), np.array([0]), 2, 500, 0
    codes = np.repeat([0, 1], 4)
    _, exact = permutation_p(whole, codes, *rest)
    _, tenths = permutation_p(whole / 10, codes, *rest)
    assert tenths.tolist() == exact.tolist()


def test_adjusted_by_benjamini_and_hochberg(cells):
    table = interaction_table(cells, PAIRS, n_permutations=400)
    p = np.sort(table["p"])
    steps = np.minimum.accumulate((p * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
    assert np.sort(table["p_adjusted"]) == pytest.approx(np.minimum(steps, 1))
    found = table[table["p_adjusted"] <= 0.1]
    wanted = [("L1", "R1", "a", "b"), *(("L2", "R1", sender, "b") for sender in "abc")]  # R1 is enough
    assert found[found.columns[:4]].apply(tuple, axis=1).tolist() == wanted


def test_sparse_layer_and_order_of_cells_make_no_difference(cells):
    table = interaction_table(cells, PAIRS, n_permutations=300)
    cells.layers["sparse"] = sparse.csc_matrix(cells.X)
    cells.X = np.zeros_like(cells.X)
    again = interaction_table(cells, PAIRS, layer="sparse", n_permutations=300)
    pd.testing.assert_frame_equal(again, table)
    turned = interaction_table(cells[::-1], PAIRS, layer="sparse", n_permutations=300)
    assert turned["score"].tolist() == pytest.approx(table["score"].tolist())
    assert np.abs(turned["p"] - table["p"]).max() < 0.12  # other shuffles
    other = interaction_table(cells, PAIRS, layer="sparse", n_permutations=300, seed=1)
    assert other["p"].tolist() != table["p"].tolist()


def test_blocks_are_small_and_change_nothing(cells, monkeypatch):
    table = interaction_table(cells, PAIRS, n_permutations=300)
    ways = []

    def watched(values, codes, n_types):
        ways.append(len(codes))
        return type_means(values, codes, n_types)

    monkeypatch.setattr(interactions, "type_means", watched)
    monkeypatch.setattr(interactions, "ENTRIES", 60 * 7)
    pd.testing.assert_frame_equal(interaction_table(cells, PAIRS, n_permutations=300), table)
    assert ways == [1, *[7] * 42, 6]


# ------------------------------------------------------------------ batches


def test_types_are_dealt_within_each_stratum():
    codes, stratum = np.array([0, 1, 2, 2, 0, 1, 1]), np.array([1, 0, 1, 0, 1, 0, 1])
    dealt = shuffled(codes, stratum, 200, np.random.default_rng(0))
    for part in (0, 1):
        own = np.sort(dealt[:, stratum == part], axis=1)
        assert (own == np.sort(codes[stratum == part])).all()
    assert len(np.unique(dealt, axis=0)) == 3 * 12  # ways to deal 1, 1, 2 and 0, 0, 1, 2


def test_a_batch_that_measures_more_makes_false_interactions_unless_shuffled_within_batches():
    """Type a is mostly in batch x, which measures both genes better; within batches all are alike."""
    rng = np.random.default_rng(0)
    batch = np.repeat(["x", "y"], 60)
    kinds = np.array(["a"] * 45 + ["b"] * 15 + ["a"] * 15 + ["b"] * 45)
    values = rng.gamma(4.0, 0.1, (120, 2)) + 2.0 * (batch == "x")[:, None]
    adata = AnnData(values, var=pd.DataFrame(index=["L", "R"]))
    adata.obs["batch"], adata.obs["cell_type"] = batch, kinds
    options = {"pairs": [("L", "R")], "n_permutations": 399}
    assert row(interaction_table(adata, **options), "L", "R", "a", "a").p == 1 / 400
    assert row(interaction_table(adata, **options, batch_key="batch"), "L", "R", "a", "a").p > 0.1


# ------------------------------------------------------------------ what is refused


def test_genes_that_are_not_measured_are_named(cells):
    pairs = [("L1", "R1"), ("CCL5", "R1"), ("L2", "CCR5"), ("CCL5", "CCR5")]
    refused(
        ValueError,
        "2 of 5 ligands and receptors are not measured: CCL5, CCR5. Were they left out when variable "
        "genes were chosen? Keep them, or leave their pairs out (1 of 4 stay): "
        "pairs = [pair for pair in pairs if set(pair) <= set(adata.var_names)]",
        *(cells, pairs),
    )
    kept = [pair for pair in pairs if set(pair) <= set(cells.var_names)]
    assert len(interaction_table(cells, kept, n_permutations=99)) == 9
    many = [("L1", f"gene_{number:02}") for number in range(12)]
    with pytest.raises(ValueError, match=re.escape("gene_08, gene_09 .... Were they")):
        interaction_table(cells, many, n_permutations=2000)


def test_negative_values_say_which_output_to_take(cells):
    cells.layers["imap"] = cells.X.copy()
    cells.layers["imap"][:3, 1] = -0.25
    refused(
        ValueError,
        "adata.layers['imap'] holds 3 negative values (smallest -0.25); expression must be 0 or more. "
        "Scaled or centred data do not fit. Two negative means would multiply to a high score. Of "
        "corrected values take the output clipped at 0, layers['imap'] of imap_keras.integrate(), or "
        "clip: adata.layers['clipped'] = np.maximum(adata.layers['imap'], 0)",
        *(cells, PAIRS),
        layer="imap",
    )
    adata = cells
    adata.layers["clipped"] = np.maximum(adata.layers["imap"], 0)  # as the message says
    assert len(interaction_table(adata, PAIRS, layer="clipped", n_permutations=300)) == 27
    cells.X[0, 4] = -1  # a gene of no pair
    assert len(interaction_table(cells, PAIRS, n_permutations=300)) == 27


def test_counts_and_values_that_are_not_finite_are_refused(cells):
    cells.layers["counts"] = np.round(10 * cells.X)
    refused(
        ValueError,
        "adata.layers['counts'] holds whole numbers only, like counts; log-normalised values are "
        "expected. Call imap_keras.preprocess(adata, batch_key=...) first.",
        *(cells, PAIRS),
        layer="counts",
    )
    cells.X[0, 0] = np.nan
    with pytest.raises(ValueError, match="adata.X holds 1 NaN or infinite values"):
        interaction_table(cells, PAIRS)


def test_types_must_be_there_and_two_or_more(cells):
    cells.obs["one"], cells.obs["gaps"] = "a", cells.obs["cell_type"].astype(object)
    cells.obs.loc[cells.obs_names[:4], "gaps"] = None
    refused(
        ValueError,
        "All cells are of one type, 'a'; shuffling types takes two or more. Is label_key='one' the "
        "right column?",
        *(cells, PAIRS),
        label_key="one",
    )
    refused(
        ValueError,
        "adata.obs['gaps'] is empty for 4 cells. Fill it in or leave those cells out.",
        *(cells, PAIRS),
        label_key="gaps",
    )
    refused(
        KeyError,
        "label_key='kind' is not a column of adata.obs. Columns there: cell_type, batch, one, gaps.",
        *(cells, PAIRS),
        label_key="kind",
    )
    refused(
        KeyError,
        "layer='imap' is not in adata.layers. Layers there: none.",
        *(cells, PAIRS),
        layer="imap",
    )


def test_too_few_shuffles_for_the_rate(cells):
    refused(
        ValueError,
        "With n_permutations=8 no p is below 0.111, above the rate=0.1 that is wanted: nothing could "
        "be found. Take at least 9; from 269 on a single interaction among 27 can be found.",
        *(cells, PAIRS),
        n_permutations=8,
    )
    told = (
        "With n_permutations=99 and 27 tests, rate=0.1 is reached by 3 interactions together or by "
        "none; from 269 on a single one can."
    )
    with pytest.warns(UserWarning, match=re.escape(told)):
        interaction_table(cells, PAIRS, n_permutations=99)
    kinds = cells.obs["cell_type"].to_numpy()
    cells.X[:, 0], cells.X[:, 2] = 0.5 * (kinds == "a"), 0.5 * (kinds == "b")
    with warnings.catch_warnings(action="error"):
        table = interaction_table(cells, PAIRS[:1], n_permutations=89)
    (alone,) = np.flatnonzero(table["p_adjusted"] <= 0.1)  # at the rate exactly
    assert table["p_adjusted"][alone] == pytest.approx(0.1)
    with pytest.warns(UserWarning, match="2 interactions together or by none; from 89 on"):
        assert interaction_table(cells, PAIRS[:1], n_permutations=88)["p_adjusted"].min() > 0.1
    refused(ValueError, "rate=10 must lie between 0 and 1, such as 0.1.", cells, PAIRS, rate=10)
    told = "n_permutations=0 must be a whole number of at least 1."
    refused(ValueError, told, cells, PAIRS, n_permutations=0)


def test_pairs_are_two_names_each_once(cells):
    refused(
        ValueError,
        "pairs[1]='L2_R2' must be two names, (ligand, receptor); of a complex hand in a pair for each "
        "of its parts.",
        *(cells, [("L1", "R1"), "L2_R2"]),
    )
    refused(
        ValueError,
        "1 pairs are named twice, the first is ('L1', 'R1'); name each once.",
        *(cells, [("L1", "R1"), ("L2", "R1"), ["L1", "R1"]]),
    )
    refused(ValueError, 'There are no pairs; hand in names such as [("CCL5", "CCR5")].', *(cells, []))


def test_genes_may_be_numbers_in_an_index_that_was_set_in_place():
    rng = np.random.default_rng(0)
    cells = AnnData(np.log1p(rng.poisson(1, (40, 3))).astype("float32"))
    cells.var_names = ["1", "2", "3"]
    cells.obs["cell_type"] = np.repeat(["A", "B"], 20)
    expected = interaction_table(cells, [("3", "1")], n_permutations=99)
    cells.var["entrez"] = [1, 2, 3]
    cells.var.set_index("entrez", inplace=True)
    pd.testing.assert_frame_equal(interaction_table(cells, [(3, 1)], n_permutations=99), expected)
