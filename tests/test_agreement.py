"""Pairs that agree: true pairs pass, pairs between foreign types do not, whatever the batch adds."""

import numpy as np
import pytest
import scanpy as sc

import imap_keras
from imap_keras import datasets
from imap_keras.imap.agreement import pair_agreement
from imap_keras.imap.pairs import exact_neighbors, mutual_neighbors


def test_slopes_equal_a_regression_written_out():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(9, 4)), rng.normal(size=(7, 4))
    pairs = np.array([[0, 3], [8, 6], [4, 4]])
    unit_left, unit_right = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (left, right))

    def slope(cell, partner, batch):
        from_cell, from_partner = (np.sum((batch - point) ** 2, axis=1) for point in (cell, partner))
        return np.polyfit(from_partner, from_cell, 1)[0]

    expected = [
        min(
            slope(unit_left[q], unit_right[a], unit_right),
            slope(unit_right[a], unit_left[q], unit_left),
        )
        for q, a in pairs
    ]
    np.testing.assert_allclose(pair_agreement(left, right, pairs), expected, rtol=1e-9)


def test_a_shift_at_right_angles_to_the_types_changes_nothing():
    rng = np.random.default_rng(1)
    types = np.eye(6)[rng.integers(0, 3, 60)] + 0.01 * rng.normal(size=(60, 6))
    types[:, 5] = 0.0  # the batch's own direction
    kind = types[:, :3].argmax(1)
    for strength in (0.0, 1.0, 3.0):
        moved = types.copy()
        moved[:, 5] = strength
        same = [np.array([[i, j]]) for i, j in ((0, np.flatnonzero(kind == kind[0])[1]),)]
        other = np.array([[0, np.flatnonzero(kind != kind[0])[0]]])
        length = np.sqrt(1 + strength**2)  # unit rows: a shift shortens what tells types apart
        assert pair_agreement(moved, moved, same[0])[0] == pytest.approx(1, abs=0.1)
        assert pair_agreement(types, moved, same[0])[0] == pytest.approx(1 / length, abs=0.1)
        assert pair_agreement(types, moved, other)[0] < 0


@pytest.mark.parametrize("n_types, strength", [(2, 0.3), (4, 0.5), (6, 0.8)])
@pytest.mark.parametrize("seed", [0, 1])
def test_batches_without_a_common_type_have_no_pair_to_trust(n_types, strength, seed):
    types = [f"type_{i}" for i in range(n_types)]
    missing = {"batch_0": types[: n_types // 2], "batch_1": types[n_types // 2 :]}
    cells, batch, _ = components(
        n_types=n_types, batch_strength=strength, missing=missing, seed=100 + seed
    )
    pairs, agreement = judged(cells[batch == "batch_0"], cells[batch == "batch_1"])
    assert len(pairs) > 100  # mutual neighbours there are all the same
    assert np.mean(agreement >= 0.5) < 0.01


def test_where_some_types_are_shared_only_their_pairs_are_kept():
    missing = {"batch_0": ["type_0", "type_1"], "batch_1": ["type_4", "type_5"]}
    cells, batch, kind = components(n_types=6, batch_strength=0.5, missing=missing, seed=13)
    left, right = batch == "batch_0", batch == "batch_1"
    pairs, agreement = judged(cells[left], cells[right])
    pure = kind[left][pairs[:, 0]] == kind[right][pairs[:, 1]]
    kept = agreement >= 0.5
    assert pure.mean() < 0.8
    assert pure[kept].mean() > 0.99
    assert kept[pure].mean() > 0.9


def components(**options):
    raw = datasets.simulate(n_cells=600, n_genes=800, n_batches=2, **options)
    adata = imap_keras.preprocess(raw, "batch", min_genes=50, verbose=0)
    sc.pp.pca(adata, n_comps=30, mask_var=None)
    labels = (adata.obs[key].astype(str).to_numpy() for key in ("batch", "cell_type"))
    return adata.obsm["X_pca"], *labels


def judged(left, right):
    pairs = mutual_neighbors(left, right, 20, search=exact_neighbors, n_trees=10, seed=0)
    return pairs, pair_agreement(left, right, pairs)
