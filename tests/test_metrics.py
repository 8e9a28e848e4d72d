"""The paper's index on layouts whose answer is known, pair purity, and scIB's table."""

import numpy as np
import pytest
from anndata import AnnData

from imap_keras.metrics import imap_index, pair_purity, scib_table


def line(n):
    return np.arange(n, dtype=float)[:, None]


def test_types_mixed_one_by_one_are_all_negative():
    index = imap_index(line(160), np.tile(["a", "a", "b", "b"], 40), np.tile(["t", "u"], 80))
    assert (index["negative"], index["positive"], index["true_positive"]) == (1, 0, 0)
    assert set(index["label"]) == {"negative"}


def test_perfectly_separated_batches_are_positive_but_not_truly():
    space = np.concatenate([line(100), line(100) + 1e4])
    index = imap_index(space, np.repeat(["a", "b"], 100), np.repeat("t", 200))
    assert (index["negative"], index["positive"], index["true_positive"]) == (0, 1, 0)
    assert set(index["label"]) == {"positive"}


def test_batches_that_alternate_are_true_positive():
    index = imap_index(line(200), np.tile(["a", "b"], 100), np.repeat("t", 200))
    assert (index["negative"], index["positive"], index["true_positive"]) == (0, 1, 1)


def test_small_data_are_indexed_too():
    """Fewer cells than k2 neighbours: all of them are looked at."""
    for n in (20, 100, 101, 102):
        index = imap_index(line(n), np.tile(["a", "b"], n)[:n], np.repeat("t", n))
        assert index["positive"] == 1
    index = imap_index(line(20), np.tile(["a", "b"], 10), np.repeat("t", 20))
    assert index["true_positive"] == 1  # all 20 cells hold the batches 10 to 10


# Eight cells of one type on a line, k2 = 4 and p = 1/2: the standard deviation is sqrt(4/4) = 1, so
# the deviation is |number of a among the cell and its 3 nearest - 2|.
POSITIONS = np.array([0, 1, 2.1, 3.3, 4.6, 6, 7.5, 9.1])[:, None]
DEVIATIONS = np.array([2, 2, 2, 1, 0, 1, 2, 2])


@pytest.mark.parametrize("threshold", [0.0, 0.99, 1.0, 1.99, 2.0])
def test_deviation_by_hand_against_the_threshold(threshold):
    index = imap_index(POSITIONS, list("aaaabbbb"), ["t"] * 8, k=3, k2=4, threshold=threshold)
    assert index["positive"] == 1
    np.testing.assert_array_equal(index["label"] == "true positive", threshold >= DEVIATIONS)
    assert index["true_positive"] == np.mean(threshold >= DEVIATIONS)


def test_deviation_of_unequal_batches_by_hand():
    # p = (1/4, 3/4), k2 = 4: sd = sqrt(3)/2 for both. Cells 0 and 1 see 2 of a: (2 - 1)/sd = 1.15.
    index = {
        t: imap_index(POSITIONS, list("aabbbbbb"), ["t"] * 8, k=3, k2=4, threshold=t)["label"]
        for t in (1.15, 1.16)
    }
    n_a = np.array([2, 2, 2, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(index[1.15] == "true positive", n_a == 1)
    np.testing.assert_array_equal(index[1.16] == "true positive", n_a <= 2)


def test_index_equals_a_plain_computation():
    rng = np.random.default_rng(3)
    space, batch, kind = rng.normal(size=(130, 2)), rng.integers(3, size=130), rng.integers(2, size=130)
    space[kind == 1, 0] += 1.5
    space[batch == 2, 1] += 0.7
    index = imap_index(space, batch, kind, k=8, k2=25, threshold=1.2)
    for cell in range(130):
        same = kind == kind[cell]
        near = np.argsort(np.linalg.norm(space - space[cell], axis=1))
        negative = np.mean(kind[near[1 : 1 + min(8, same.sum())]] != kind[cell]) >= 0.5
        n = min(25, same.sum())
        p = np.array([np.mean(batch[same] == b) for b in range(3)])
        seen = np.array([np.sum(batch[near[:n]] == b) for b in range(3)])
        mixed = np.max(np.abs(seen - n * p) / np.sqrt(n * p * (1 - p))) <= 1.2
        expected = "negative" if negative else "true positive" if mixed else "positive"
        assert index["label"][cell] == expected
    assert all(index[name] > 0.1 for name in ("negative", "true_positive"))
    assert index["positive"] == 1 - index["negative"]


def test_neighbours_are_clipped_at_the_size_of_the_type():
    """Of the 20 nearest of the rare cells 18 are of another type, of the 3 nearest only one."""
    space = np.concatenate([line(3) / 10, 50 + line(120)])
    batch = np.concatenate([["a", "a", "b"], np.tile(["a", "b"], 60)])
    kind = np.array(["rare"] * 3 + ["common"] * 120)
    label = imap_index(space, batch, kind)["label"]
    # k2 is clipped as well: the 3 nearest are the type itself, with exactly its batches.
    assert list(label[:3]) == ["true positive"] * 3


def test_batches_that_a_type_lacks_or_fills_do_not_count():
    space = np.concatenate([line(60), 1e4 + line(120)])
    batch = np.concatenate([["c"] * 60, np.tile(["a", "b"], 60)])
    kind = np.repeat(["only_in_c", "in_a_and_b"], [60, 120])
    index = imap_index(space, batch, kind)
    assert index["true_positive"] == 1  # p is 1, 0, 0 and 0, 1/2, 1/2


def test_perfect_random_mixing_of_two_batches_scores_about_three_quarters():
    """Of 100 neighbours 45 to 55 may be of one batch: 0.73 of a binomial distribution."""
    found = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        batch = rng.permutation(np.repeat(["a", "b"], 1000))
        index = imap_index(rng.normal(size=(2000, 20)), batch, np.repeat("t", 2000))
        assert index["positive"] == 1
        found.append(index["true_positive"])
    assert 0.68 <= np.mean(found) <= 0.77


def test_cells_at_one_position_count_themselves_first():
    """All 40 cells coincide: each is in its own neighbourhood all the same (k2 = 1)."""
    batch = np.tile(["a", "b"], 20)
    index = imap_index(np.zeros((40, 2)), batch, np.repeat("t", 40), k=5, k2=1, threshold=1.0)
    assert index["true_positive"] == 1  # |1 - 1/2| / sqrt(1/4) = 1


def test_index_says_what_it_was_computed_with():
    index = imap_index(
        line(50),
        np.tile(["a", "b"], 25),
        np.repeat("t", 50),
        k=7,
        k2=9,
        threshold=3,
        space_name="X_pca",
    )
    told = {name: index[name] for name in ("k", "k2", "threshold", "space", "n_cells")}
    assert told == {"k": 7, "k2": 9, "threshold": 3, "space": "X_pca", "n_cells": 50}
    assert len(index["label"]) == 50


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="space has 50 cells, batch 49, cell_type 50"):
        imap_index(line(50), np.repeat("a", 49), np.repeat("t", 50))


def test_nan_in_the_space_is_refused():
    space = line(50)
    space[3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        imap_index(space, np.repeat("a", 50), np.repeat("t", 50))


def test_pair_purity_is_the_share_of_pairs_of_one_type():
    left, right = np.array(["T", "B", "T"]), np.array(["B", "T"])
    pairs = np.array([[0, 1], [0, 0], [1, 0], [2, 1]])
    assert pair_purity(pairs, left, right) == 3 / 4
    assert pair_purity(pairs[1:2], left, right) == 0
    with pytest.raises(ValueError, match="no pairs"):
        pair_purity(np.empty((0, 2), int), left, right)


def test_scib_table_tells_mixed_from_separated(monkeypatch):
    """Two of scib-metrics' measures on small data; all of them would take a minute to compile."""
    benchmark = pytest.importorskip("scib_metrics.benchmark", exc_type=ImportError)
    from scib_metrics.nearest_neighbors import jax_approx_min_k

    class Quick(benchmark.Benchmarker):
        def __init__(self, *args, **kwargs):
            kwargs["bio_conservation_metrics"] = benchmark.BioConservation(*[False] * 4, clisi_knn=True)
            kwargs["batch_correction_metrics"] = benchmark.BatchCorrection(False, True, *[False] * 3)
            super().__init__(*args, **kwargs)

        def prepare(self, neighbor_computer=None):
            super().prepare(jax_approx_min_k)

    monkeypatch.setattr(benchmark, "Benchmarker", Quick)
    rng = np.random.default_rng(0)
    batch, kind = np.tile(["a", "b"], 100), np.repeat(["t", "u"], 100)
    mixed = rng.normal(size=(200, 3)) + 20 * (kind == "t")[:, None]
    apart = mixed + np.array([0, 100, 0]) * (batch == "a")[:, None]
    scrambled = rng.normal(size=(200, 3))
    adata = AnnData(
        np.zeros((200, 1), "float32"), obsm={"mixed": mixed, "apart": apart, "scrambled": scrambled}
    )
    adata.obs["batch"], adata.obs["cell_type"] = batch, kind
    table = scib_table(adata, ["apart", "mixed", "scrambled"])
    assert list(table.index) == ["apart", "mixed", "scrambled"]
    assert table.loc["mixed", "iLISI"] > 0.8 > 0.05 > table.loc["apart", "iLISI"]
    assert table.loc["mixed", "cLISI"] > 0.95 > 0.6 > table.loc["scrambled", "cLISI"]
    totals = 0.6 * table["Bio conservation"] + 0.4 * table["Batch correction"]
    np.testing.assert_allclose(table["Total"], totals, rtol=1e-6)


def test_unknown_space_is_refused(logged):
    with pytest.raises(KeyError, match=r"'X_umap' is not in adata.obsm"):
        scib_table(logged, ["X_umap"])
