"""The paper's index on layouts whose answer is known, pair purity, and scIB's table."""

import gc
import logging
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import imap_keras
from imap_keras.metrics import (
    correlation_agreement,
    differential_agreement,
    imap_index,
    index_ceiling,
    neighbor_agreement,
    pair_purity,
    partner_rank,
    predictability,
    scib_neighbors,
    scib_table,
)
from imap_keras.metrics.scib import exact_search


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


def test_scib_table_has_garbage_collected_among_its_own_objects_alone(monkeypatch):
    """It collects before each measure: seconds, among all of TensorFlow's objects."""
    benchmark = pytest.importorskip("scib_metrics.benchmark", exc_type=ImportError)
    from scib_metrics import nearest_neighbors

    frozen = []

    def stops(self):
        frozen.append(gc.get_freeze_count())
        assert logging.getLogger("scib_metrics").level == logging.WARNING  # none of its own lines
        assert nearest_neighbors.pynndescent.__module__ == "imap_keras.metrics.scib"
        raise RuntimeError("stopped")

    monkeypatch.setattr(benchmark.Benchmarker, "benchmark", stops)
    adata = spaced(["t", "t", "u", "u"] * 25, ["a", "b"] * 50)
    asked = mock.Mock()
    with (
        mock.patch.object(gc, "collect", asked.collect),
        mock.patch.object(gc, "freeze", asked.freeze),
        pytest.raises(RuntimeError, match="stopped"),
    ):
        scib_table(adata, ["X_pca", "X_imap"])
    assert asked.mock_calls[-2:] == [mock.call.collect(), mock.call.freeze()]
    frozen.clear()
    with pytest.raises(RuntimeError, match="stopped"):
        scib_table(adata, ["X_pca", "X_imap"])
    assert frozen[0] > 10_000 and gc.get_freeze_count() < 1000  # some are Python 3.12's own
    assert logging.getLogger("scib_metrics").level == logging.INFO
    gc.freeze()
    try:
        with pytest.raises(RuntimeError, match="stopped"):
            scib_table(adata, ["X_pca", "X_imap"])
        assert gc.get_freeze_count() > 10_000  # whoever asked for it keeps it
    finally:
        gc.unfreeze()


def test_kbet_searches_inside_a_type_as_the_table_does(monkeypatch):
    """Its own search compiles for 40 seconds, and is approximate."""
    kbet = pytest.importorskip("scib_metrics", exc_type=ImportError).kbet_per_label
    import scib_metrics.nearest_neighbors

    monkeypatch.setattr("pynndescent.NNDescent", None)  # nobody may call it
    rng, own = np.random.default_rng(0), scib_metrics.nearest_neighbors.pynndescent
    batch, kind = np.tile(["a", "b"], 60), np.repeat(["t", "u"], 60)
    space = rng.normal(size=(120, 5)) + 50 * (kind == "u")[:, None]
    shares = []
    for apart in (0, 20):  # cells of one type mixed, and the batches one behind the other
        cells = scib_neighbors(space + apart * (batch == "b")[:, None] * [1, 0, 0, 0, 0], 40)
        with exact_search():
            shares.append(kbet(cells, batch, kind))
    assert shares[0] > 0.9 and shares[1] < 0.1
    assert scib_metrics.nearest_neighbors.pynndescent is own


def test_scib_table_needs_the_cells_before_integration():
    adata = spaced(["t", "t", "u", "u"] * 25, ["a", "b"] * 50)
    with pytest.raises(ValueError) as error:
        scib_table(adata, ["X_imap"])
    assert str(error.value) == (
        "spaces=['X_imap'] has nothing to compare with: scIB's PCR comparison needs the cells before "
        "integration as the first space, e.g. ['X_pca', 'X_imap']."
    )


def spaced(types, batches) -> AnnData:
    """Cells of these types and batches at random places of two spaces."""
    rng, n = np.random.default_rng(0), len(types)
    spaces = {"X_pca": rng.normal(size=(n, 3)), "X_imap": rng.normal(size=(n, 3))}
    adata = AnnData(np.zeros((n, 1), "float32"), obsm=spaces)
    adata.obs["batch"], adata.obs["cell_type"] = batches, types
    return adata


def test_scib_table_says_that_cells_are_too_few():
    """scib-metrics says: n must be smaller than the number of neighbors."""
    with pytest.raises(ValueError) as error:
        scib_table(spaced(["t", "u"] * 36, ["a", "b"] * 36), ["X_pca", "X_imap"])
    assert str(error.value) == (
        "scIB's table needs at least 90 cells, for it looks at as many neighbours of each; adata has "
        "72. imap_index takes fewer."
    )


@pytest.mark.parametrize("first", [[], ["v"] * 2], ids=["of one batch each", "one cell of each"])
def test_scib_table_says_that_no_type_is_in_two_batches(first):
    """scib-metrics says: No objects to concatenate."""
    batches = ["a", "b"] * 50
    types = first + batches[len(first) :]
    with pytest.raises(ValueError) as error:
        scib_table(spaced(types, batches), ["X_pca", "X_imap"])
    assert str(error.value) == (
        "scIB's table needs a type with several cells in two batches: each type of 'cell_type' lies in "
        "one batch of 'batch', or has one cell of each, so there is no mixing to measure. Are the "
        "types named alike in all batches?"
    )


def test_unknown_space_is_refused(logged):
    with pytest.raises(KeyError, match=r"'X_umap' is not in adata.obsm"):
        scib_table(logged, ["X_umap"])


# ------------------------------------------------------------------ ceiling, ResPAN's rules, no type


def test_the_ceiling_is_what_neighbours_drawn_without_replacement_score():
    rng = np.random.default_rng(0)
    kind = np.repeat(["t", "u", "v"], [240, 150, 60])
    batch = rng.choice(["a", "b", "c"], len(kind), p=[0.5, 0.3, 0.2])
    ceiling = index_ceiling(batch, kind)
    drawn = []
    for _ in range(8):
        for name in ("t", "u", "v"):
            codes = np.unique(batch[kind == name], return_inverse=True)[1]
            p, n = np.bincount(codes) / len(codes), min(100, len(codes))
            for cell in range(len(codes)):
                others = rng.choice(np.delete(codes, cell), n - 1, replace=False)
                seen = np.bincount(np.append(others, codes[cell]), minlength=3)
                drawn.append(np.max(np.abs(seen - n * p) / np.sqrt(n * p * (1 - p))) <= 1)
    assert ceiling == pytest.approx(np.mean(drawn), abs=0.02)
    assert 0.6 < ceiling < 0.9
    assert index_ceiling(batch[kind == "v"], kind[kind == "v"]) == pytest.approx(1)  # at most k2 cells
    assert index_ceiling(np.repeat("a", 300), np.repeat("t", 300)) == pytest.approx(1)  # one batch


def test_the_ceiling_by_hand():
    # Four cells, two of each batch, n = 2: the cell and one of three, of which one is of its own batch.
    # p = 1/2, sd = sqrt(1/2): two of a kind deviate by 1 / sd = 1.41, one of each by 0.
    batch, kind = list("aabb"), ["t"] * 4
    assert index_ceiling(batch, kind, k2=2, threshold=1.0) == pytest.approx(2 / 3)
    assert index_ceiling(batch, kind, k2=2, threshold=1.42) == pytest.approx(1)
    assert index_ceiling(list("aaab"), kind, k2=1, threshold=0.6) == pytest.approx(3 / 4)
    index = imap_index(np.arange(4.0)[:, None], batch, kind, k2=2)
    assert index["ceiling"] == pytest.approx(2 / 3) and index["rules"] == "imap"


def test_the_ceilings_of_the_demo_are_the_texts_numbers():
    adata = imap_keras.datasets.demo()
    batch, kind = adata.obs["batch"].to_numpy(), adata.obs["cell_type"].to_numpy()
    assert index_ceiling(batch, kind) == pytest.approx(0.774, abs=5e-4)
    assert index_ceiling(batch, kind, threshold=3) == pytest.approx(1, abs=5e-4)


def test_the_ceilings_of_sc_mixology_are_the_texts_numbers(real_data):
    real_data("sc_mixology")
    adata = imap_keras.datasets.sc_mixology()
    adata = adata[~adata.obs["doublet"]]
    batch, kind = adata.obs["batch"].to_numpy(), adata.obs["cell_type"].to_numpy()
    assert index_ceiling(batch, kind) == pytest.approx(0.516, abs=5e-4)
    assert index_ceiling(batch, kind, threshold=3) == pytest.approx(1, abs=5e-4)


def test_respans_rules_by_a_plain_computation():
    rng = np.random.default_rng(5)
    space, batch, kind = rng.normal(size=(120, 3)), rng.integers(3, size=120), rng.integers(2, size=120)
    space[kind == 1, 0] += 1.5
    index = imap_index(space, batch, kind, k=8, k2=30, rules="respan")
    assert index["threshold"] == 3 and index["rules"] == "respan"
    unit = space / np.linalg.norm(space, axis=1, keepdims=True)
    for threshold in (3, 0.8):
        found = imap_index(space, batch, kind, 8, 30, threshold, rules="respan")["label"]
        for cell in range(120):
            near = np.argsort(-unit @ unit[cell])
            own = kind[near] == kind[cell]
            p = np.array([np.mean(batch[kind == kind[cell]] == b) for b in range(3)])
            counted = near[:30][own[:30]]
            seen = np.array([np.sum(batch[counted] == b) for b in range(3)])
            n = len(counted)
            mixed = np.max(np.abs(seen - n * p) / np.sqrt(n * p * (1 - p))) <= threshold
            positive = np.mean(own[1:9]) > 0.5
            expected = "negative" if not positive else "true positive" if mixed else "positive"
            assert found[cell] == expected
    with pytest.raises(ValueError, match="rules='scib' is unknown; choose one of .'imap', 'respan'.."):
        imap_index(space, batch, kind, rules="scib")


@pytest.mark.parametrize("nothing", [np.nan, None, pd.NA])
def test_cells_without_a_type_are_left_out_and_counted(nothing):
    space, batch = line(104), np.tile(["a", "b"], 52)
    kind = np.array(["t"] * 100 + [nothing] * 4, dtype=object)
    with pytest.warns(UserWarning, match="^4 of 104 cells have no type and are left out.$"):
        index = imap_index(space, batch, kind)
    known = imap_index(space[:100], batch[:100], kind[:100])
    assert list(index["label"][:100]) == list(known["label"]) and known["n_cells"] == 100
    assert set(index["label"][100:]) == {"without type"}
    for name in ("negative", "positive", "true_positive", "ceiling", "n_cells"):
        assert index[name] == known[name]
    with pytest.warns(UserWarning, match="4 of 104"):
        assert index_ceiling(batch, kind) == known["ceiling"]
    with pytest.warns(UserWarning, match="4 of 104"):
        told = predictability(space, np.where(pd.isna(kind), kind, batch))
    assert told == predictability(space[:100], batch[:100])
    pairs = np.array([[0, 1], [2, 103], [101, 102]])
    with pytest.warns(UserWarning, match="^2 of 3 pairs have a cell without a type and are left out.$"):
        assert pair_purity(pairs, kind, kind) == 1
    with (
        pytest.warns(UserWarning),
        pytest.raises(ValueError, match="No pair has two cells with a type"),
    ):
        pair_purity(pairs[2:], kind, kind)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="1 cells have a type; the index"):
        imap_index(space[99:], batch[99:], kind[99:])


# ------------------------------------------------------------------ what correction did to a batch

BATCH = np.repeat(["a", "b"], 60)
CELLS = np.random.default_rng(2).normal(size=(120, 8))


def test_moving_a_batch_as_a_whole_keeps_its_neighbours_and_shuffling_it_does_not():
    moved = CELLS + 7.0 * (BATCH == "a")[:, None]
    assert neighbor_agreement(CELLS, moved, BATCH) == 1
    half = moved.copy()
    half[:60] = half[np.random.default_rng(0).permutation(60)]
    found = neighbor_agreement(CELLS, half, BATCH, k=15)
    assert found == pytest.approx((1 + 15 / 59) / 2, abs=0.04)
    # Four cells on a line; k of 1: cells 0, 2 and 3 keep their neighbour, cell 1 changes it.
    before, after = np.array([[0.0], [1], [3], [4.5]]), np.array([[0.0], [2.6], [4], [5.4]])
    assert neighbor_agreement(before, after, list("aaaa"), k=1) == 0.5
    with pytest.raises(ValueError, match="No batch has three cells"):
        neighbor_agreement(before, after, list("aabb"))
    with pytest.raises(ValueError, match="before has 4 cells, after 3, batch 4"):
        neighbor_agreement(before, after[:3], list("aaaa"))


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "csr"])
def test_correlations_within_batches_are_compared(kind):
    cells = np.abs(CELLS)
    cells[:, 1] += 2 * cells[:, 0]
    cells[:, 3] = 1  # constant: left out
    shifted = cells * 3 + 5 * (BATCH == "b")[:, None]
    assert correlation_agreement(kind(cells), kind(shifted), BATCH) == pytest.approx(1, abs=1e-6)
    broken = cells.copy()
    broken[:, 1] = broken[::-1, 1]
    found = correlation_agreement(kind(cells), kind(broken), BATCH)
    varied, by_batch = [0, 1, 2, 4, 5, 6, 7], []
    for rows in (BATCH == "a", BATCH == "b"):
        both = [np.corrcoef(x[rows][:, varied].T)[np.triu_indices(7, 1)] for x in (cells, broken)]
        by_batch.append(np.corrcoef(*both)[0, 1])
    assert found == pytest.approx(np.mean(by_batch), abs=1e-5) and found < 0.8
    with pytest.raises(ValueError, match="before has 8 genes, after 7"):
        correlation_agreement(cells, cells[:, :7], BATCH)
    with pytest.raises(ValueError, match="three genes that vary"):
        correlation_agreement(cells[:, [3, 3, 0]], cells[:, [3, 3, 0]], BATCH)


def test_f1_of_differential_genes_counts_those_lost_and_those_invented():
    kind = np.tile(["t", "u"], 60)
    cells = CELLS.copy()
    cells[kind == "t", :4] += 5
    assert differential_agreement(cells, cells * 2, BATCH, kind) == pytest.approx(1, abs=0.1)
    lost = cells.copy()
    lost[:, :2] = CELLS[:, :2]  # half of the four: recall 1/2, precision 1, F1 2/3
    invented = cells.copy()
    invented[kind == "t", 4:] += 5  # eight found, four of them true: F1 2/3
    for after in (lost, invented):
        assert differential_agreement(cells, after, BATCH, kind, alpha=1e-4) == pytest.approx(2 / 3)
    assert differential_agreement(cells, CELLS * 0, BATCH, kind, alpha=1e-4) == 0
    typeless = np.append(kind[:-1].astype(object), np.nan)
    with pytest.warns(UserWarning, match="1 of 120 cells have no type"):
        assert differential_agreement(cells, cells, BATCH, typeless, alpha=1e-4) == 1
    with pytest.raises(ValueError, match=r"before correction \(types of at least 10 cells.*0.0001"):
        differential_agreement(CELLS, cells, BATCH, kind, alpha=1e-4)


def test_a_cell_without_a_batch_is_no_batch_of_its_own():
    space, batch = np.random.default_rng(0).normal(size=(40, 3)), np.tile(["a", "b"], 20).astype(object)
    kind = np.repeat(["t", "u"], 20)
    batch[:5] = None
    scores = (
        lambda: imap_index(space, batch, kind),
        lambda: index_ceiling(batch, kind),
        lambda: neighbor_agreement(space, space, batch),
        lambda: correlation_agreement(space, space, batch),
        lambda: differential_agreement(space, space, batch, kind),
    )
    for score in scores:
        with pytest.raises(ValueError, match="5 of 40 cells have no batch"):
            score()


def test_values_that_are_not_finite_are_no_good_score():
    space = np.random.default_rng(0).normal(size=(40, 3))
    batch, kind = np.tile(["a", "b"], 20), np.repeat(["t", "u"], 20)
    for wrong in (np.nan, np.inf):
        holed = space.copy()
        holed[3, 1] = wrong
        for score in (
            lambda x=holed: partner_rank(x, space),  # was near 0: nothing is nearer than NaN
            lambda x=holed: partner_rank(space, x),
            lambda x=holed: predictability(x, kind),
            lambda x=holed: neighbor_agreement(space, x, batch),
            lambda x=holed: correlation_agreement(space, x, batch),
            lambda x=holed: differential_agreement(x, sparse.csr_matrix(space), batch, kind),
        ):
            with pytest.raises(ValueError, match="holds 1 NaN or infinite"):
                score()


def test_a_space_in_which_all_cells_coincide_finds_no_partner():
    same = np.zeros((50, 2))
    assert partner_rank(same, same) == pytest.approx(0.49)  # was 0, the best
    small = np.array([[0], [16], [32]], "uint8")  # 16 x 16 does not fit into a byte
    assert partner_rank(small, small + np.uint8(1)) == 0
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 3)))
    assert partner_rank(table, table) == 0
    with pytest.raises(ValueError, match="first is 20 x 3 and second 10 x 3"):
        partner_rank(table, table[:10])


def test_labels_of_other_cells_and_too_few_neighbours_are_said():
    space = np.random.default_rng(0).normal(size=(40, 3))
    with pytest.raises(ValueError, match="space has 40 cells and there are 20 labels"):
        predictability(space, ["a", "b"] * 10)
    with pytest.raises(ValueError, match="leave 8 to be neighbours; neighbors=15"):
        predictability(space[:10], ["a", "b"] * 5)
    with pytest.raises(ValueError, match=r"all are \['a'\]; two labels are needed"):
        predictability(space, ["a"] * 40)
    rare = (
        "The 10 labels of 40 labelled cells are too rare: the most frequent one has 4 cells, and in 5"
    )
    with pytest.raises(ValueError, match=rare):
        predictability(space, np.tile(list("abcdefghij"), 4))
    words = predictability(space, np.tile(["a", "b"], 20))
    assert predictability(space, np.tile([0.5, 1.5], 20)) == words  # fractions are labels, too
    assert predictability(space, np.tile(np.array([True, False], object), 20)) > 0
    with pytest.raises(ValueError, match="before has 40 cells, cell_type 80"):
        differential_agreement(space, space, ["a"] * 40, ["t", "u"] * 40)
    with pytest.raises(ValueError, match="k=0 must be a whole number of at least 1"):
        imap_index(space, ["a", "b"] * 20, ["t"] * 40, k=0)
    with pytest.raises(ValueError, match="expected is a dense array"):
        imap_index(space[:, 0], ["a", "b"] * 20, ["t"] * 40)


@pytest.mark.parametrize(
    "score, message",
    [
        (lambda x, kind: predictability(x, kind, neighbors=0), "neighbors=0 .* at least 1"),
        (lambda x, kind: predictability(x, kind, max_cells=0), "max_cells=0 .* at least 1"),
        (lambda x, kind: partner_rank(x, x, max_cells=0), "max_cells=0 .* at least 1"),  # was NaN
        (lambda x, kind: scib_neighbors(x, 0), "k=0 .* at least 1"),
        (lambda x, kind: neighbor_agreement(x, x, kind, k=0), "k=0 .* at least 1"),
        (lambda x, kind: correlation_agreement(x, x, kind, max_genes=2), "max_genes=2 .* at least 3"),
        (lambda x, kind: differential_agreement(x, x, kind, kind, min_cells=0), "min_cells=0 .* at l"),
        (lambda x, kind: differential_agreement(x, x, kind, kind, alpha=-1), "alpha=-1 .* above 0"),
    ],
)
def test_numbers_out_of_range_are_named(score, message):
    with pytest.raises(ValueError, match=message):
        score(np.random.default_rng(0).normal(size=(40, 3)), np.tile(["a", "b"], 20))


def test_agreement_takes_tables_and_every_kind_of_sparse_matrix():
    rng = np.random.default_rng(0)
    cells, batch = rng.poisson(1.0, (60, 5)).astype("float32"), np.repeat(["a", "b"], 30)
    after = cells + rng.normal(size=cells.shape).astype("float32")
    expected = correlation_agreement(cells, after, batch)
    for kind in (sparse.coo_matrix, sparse.csc_array, pd.DataFrame):
        assert correlation_agreement(kind(cells), after, batch) == expected


def test_scib_names_the_space_that_is_wrong_before_any_work():
    adata = imap_keras.datasets.simulate(n_cells=100, n_genes=20)
    adata.obsm["a"] = np.random.default_rng(0).normal(size=(100, 3))
    adata.obsm["b"] = np.where(adata.obsm["a"] > 2, np.nan, adata.obsm["a"])
    with pytest.raises(ValueError, match=r"adata.obsm\['b'\] holds \d+ NaN"):
        scib_table(adata, ["a", "b"])
    with pytest.raises(ValueError, match="names 'a' twice"):
        scib_table(adata, ["a", "a"])


def test_a_sparse_space_is_refused_with_what_to_do():
    space = sparse.csr_matrix(np.ones((20, 2)))
    for measure in (imap_index, lambda space, batch, kind: predictability(space, kind)):
        with pytest.raises(ValueError, match=r"space is sparse; hand in a dense array .*toarray"):
            measure(space, ["a", "b"] * 10, ["t"] * 10 + ["u"] * 10)
    with pytest.raises(ValueError, match=r"space is sparse; hand in a dense array .*toarray"):
        scib_neighbors(space, 5)


def test_purity_of_pairs_that_lie_on_their_side_is_refused():
    with pytest.raises(ValueError, match=r"pairs have the shape \(2, 3\); expected are pairs x 2"):
        pair_purity(np.array([[0, 0, 0], [1, 1, 1]]), np.array(["t", "u"]), np.array(["t", "u"]))
    assert pair_purity([[0, 0], [1, 1]], np.array(["t", "u"]), np.array(["t", "u"])) == 1
