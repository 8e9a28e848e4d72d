"""Rows for training: from groups, in minibatches, held out."""

import numpy as np
import pytest
import tensorflow as tf

from imap_keras.nn.rows import draw_from_groups, hold_out, minibatches


def test_rows_are_drawn_from_every_group_alike():
    members, sizes = tf.constant([9, 8, 7, 6, 5, 4]), np.array([1, 3, 2])
    rows = draw_from_groups(members, sizes, (400,), (0, 1)).numpy()
    assert rows.shape == (3, 400)
    assert [sorted(set(group.tolist())) for group in rows] == [[9], [6, 7, 8], [4, 5]]
    counts = np.bincount(rows[1])[6:9]
    assert counts.min() > 400 / 3 - 3 * np.sqrt(400 * 2 / 9)


def test_every_row_of_a_large_table_can_be_drawn():
    """float32 knows no odd number above 2**24: a position over the whole table would skip rows."""
    start = 2**25
    members = tf.range(start, start + 4)
    rows = draw_from_groups(members, np.array([4]), (100,), (0, 0)).numpy()
    assert set(rows.ravel().tolist()) == set(range(start, start + 4))
    sizes = np.array([2**25, 4])
    last = draw_from_groups(tf.range(2**25 + 4), sizes, (100,), (0, 0)).numpy()[1]
    assert set(last.tolist()) == set(range(2**25, 2**25 + 4))


def test_minibatches_keep_rows_together_and_do_not_follow_the_global_seed():
    first, second = np.arange(10.0), np.arange(10) * 2
    orders = []
    for seed in (1, 2):
        tf.random.set_seed(seed)
        rows = list(minibatches(first, second, batch_size=4, seed=3).take(3))
        for a, b in rows:
            np.testing.assert_array_equal(2 * a.numpy(), b.numpy())
        orders.append(np.concatenate([a.numpy() for a, _ in rows]))
    np.testing.assert_array_equal(*orders)
    assert sorted(set(orders[0].tolist())) == first.tolist()


@pytest.mark.parametrize("share, expected", [(0.1, [2, 1]), (0.5, [10, 1]), (0.99, [19, 2])])
def test_hold_out_takes_a_share_of_every_group_and_never_all(share, expected):
    groups = np.repeat([1, 0], [20, 3])
    inside, held_out = hold_out(23, share, seed=0, groups=groups)
    assert [int(np.sum(groups[held_out] == group)) for group in (1, 0)][0] == expected[0]
    assert 1 <= np.sum(groups[held_out] == 0) <= 2
    assert sorted([*inside, *held_out]) == list(range(23))
    np.testing.assert_array_equal(hold_out(23, share, 0, groups)[1], held_out)
    assert hold_out(23, share, 1, groups)[1].tolist() != held_out.tolist() or share == 0.99


@pytest.mark.parametrize("wrong", [0, -1, 2.5])
def test_a_batch_size_that_is_none_is_an_error(wrong):
    with pytest.raises(ValueError, match=f"batch_size={wrong} must be a whole number of at least 1"):
        minibatches(np.ones((9, 2), "float32"), batch_size=wrong)
