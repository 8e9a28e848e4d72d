"""Weights of pairs: what every cell counts, and what the mean difference of the pairs becomes."""

import numpy as np
import pytest

from imap_keras.imap.balance import balanced_weights


def test_every_query_cell_counts_the_same_and_anchor_cells_nearly():
    rng = np.random.default_rng(0)
    # Cells with small numbers are listed far more often, as the cells in the middle of a cloud are.
    pairs = (rng.random((5000, 2)) ** 2 * [40, 60]).astype(int)
    weights = balanced_weights(pairs)
    assert weights.sum() == pytest.approx(1)
    assert weights.min() > 0
    np.testing.assert_allclose(np.bincount(pairs[:, 0], weights), 1 / 40, rtol=1e-10)
    listed = np.bincount(pairs[:, 1]) / 5000
    counted = np.bincount(pairs[:, 1], weights)
    assert listed.max() / listed.min() > 10
    assert counted.max() / counted.min() < 1.01


def test_types_of_different_size_are_balanced_each_by_itself():
    # Type A: 2 query and 1 anchor cell; type B: 1 query and 3 anchor cells, one of them listed thrice.
    pairs = np.array([[0, 0], [1, 0], [1, 0], [2, 1], [2, 1], [2, 1], [2, 2], [2, 3]])
    weights = balanced_weights(pairs)
    np.testing.assert_allclose(np.bincount(pairs[:, 0], weights), [1 / 3] * 3)
    np.testing.assert_allclose(np.bincount(pairs[:, 1], weights), [2 / 3, 1 / 9, 1 / 9, 1 / 9])


def test_the_mean_move_of_selected_pairs_becomes_that_of_the_cells():
    rng = np.random.default_rng(1)
    query, anchor = rng.normal(size=(300, 1)), rng.normal(size=(300, 1)) + 2.0
    # Pairs prefer cells that lie towards the other batch, as mutual neighbours do.
    towards = [np.exp(1.0 * query[:, 0]), np.exp(-1.0 * anchor[:, 0])]
    pairs = np.column_stack([rng.choice(300, 20_000, p=p / p.sum()) for p in towards])
    move = (anchor[pairs[:, 1]] - query[pairs[:, 0]])[:, 0]
    true = float(anchor.mean() - query.mean())
    assert move.mean() < 0.3 * true
    assert np.sum(balanced_weights(pairs) * move) == pytest.approx(true, abs=0.1)


def test_names_of_cells_do_not_matter():
    pairs = np.array([[7, 100], [7, 300], [9, 300]])
    np.testing.assert_allclose(
        balanced_weights(pairs), balanced_weights(np.array([[0, 0], [0, 1], [1, 1]]))
    )
