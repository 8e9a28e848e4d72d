"""Generator, critic, gradient penalty and the order of the steps of stage II."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from imap_keras.imap.stage2 import WGANGP, build_critic, build_generator, paired_cells
from imap_keras.nn.blocks import Initializers

N_GENES = 10


def cells(seed, rows=12):
    return np.abs(np.random.default_rng(seed).normal(size=(rows, N_GENES))).astype("float32")


def small_gan(**options):
    init = Initializers("reference", 0)
    gan = WGANGP(
        build_generator(N_GENES, 4, (16, 8), init), build_critic(N_GENES, (16, 16), init), **options
    )
    gan.compile(learning_rate=1e-3)
    return gan


def values(network):
    return [variable.numpy().copy() for variable in network.trainable_variables]


def same(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


# ------------------------------------------------------------------ networks


def test_identity_start_hands_cells_through_before_training():
    x = cells(0)
    start = build_generator(N_GENES, 4, (16, 8), Initializers("reference", 0), identity_start=True)
    np.testing.assert_array_equal(start(x, training=False), x)
    other = build_generator(N_GENES, 4, (16, 8), Initializers("reference", 0))
    assert not np.allclose(other(x, training=False), x, atol=1e-3)


def test_generated_expression_is_never_negative(randomize):
    generator = randomize(build_generator(N_GENES, 4, (16, 8)))
    carried = np.asarray(generator(cells(0, rows=200), training=False))
    assert carried.min() == 0  # the ReLU is at work
    assert carried.max() > 0


def test_generator_adds_the_shortcut(randomize):
    generator = randomize(build_generator(N_GENES, 4, (16, 8)))
    inner = keras.Model(generator.input, generator.get_layer("shortcut").input[0])
    x = cells(0)
    expected = np.maximum(np.asarray(inner(x, training=False)) + x, 0)
    np.testing.assert_allclose(generator(x, training=False), expected, rtol=1e-5, atol=1e-6)


def test_without_the_relu_a_carried_value_may_fall_below_zero(randomize):
    x = cells(0, rows=200)
    cut = randomize(build_generator(N_GENES, 4, (16, 8)))
    free = build_generator(N_GENES, 4, (16, 8), relu_output=False)
    free.set_weights(cut.get_weights())
    carried = np.asarray(free(x, training=False))
    assert carried.min() < 0
    np.testing.assert_allclose(np.maximum(carried, 0), cut(x, training=False), rtol=1e-6)


def test_networks_have_the_widths_of_the_paper():
    def widths(network):
        return [layer.units for layer in network.layers if isinstance(layer, keras.layers.Dense)]

    def kinds(network, name):
        return [type(layer).__name__ for layer in network.layers].count(name)

    generator, critic = build_generator(50), build_critic(50)
    assert widths(generator) == [1024, 512, 256, 512, 1024, 50]
    assert widths(critic) == [512, 512, 1]
    assert (kinds(generator, "BatchNorm"), kinds(generator, "Mish")) == (5, 4)
    assert (kinds(critic, "BatchNorm"), kinds(critic, "Mish")) == (0, 2)


# ------------------------------------------------------------------ steps


@pytest.mark.parametrize("weights", [[3.0, 4.0], [0.3, -0.4], [1.0, 0.0]])
def test_penalty_of_a_linear_critic_is_its_slope_off_one(weights):
    critic = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    critic.layers[-1].set_weights([np.array(weights, "float32")[:, None], np.array([5.0])])
    gan = WGANGP(build_generator(2, 2, (4,)), critic)
    anchor, carried, eta = (tf.constant(cells(i, rows=6)[:, :2]) for i in range(3))
    slope = np.linalg.norm(weights)
    assert float(gan.penalty(anchor, carried, eta[:, :1])) == pytest.approx((slope - 1) ** 2, abs=1e-6)


def test_penalty_is_taken_between_anchor_and_carried_cells():
    class Square(keras.layers.Layer):
        def call(self, x):
            return tf.reduce_sum(x**2, axis=1, keepdims=True)

    gan = WGANGP(build_generator(N_GENES, 2, (4,)), keras.Sequential([Square()]))
    anchor, carried = cells(0), cells(1)
    eta = np.random.default_rng(2).uniform(size=(12, 1)).astype("float32")
    slope = np.linalg.norm(2 * (eta * anchor + (1 - eta) * carried), axis=1)  # of |x|^2 it is 2x
    found = gan.penalty(*(tf.constant(v) for v in (anchor, carried, eta)))
    assert float(found) == pytest.approx(np.mean((slope - 1) ** 2), rel=1e-5)


def test_critic_loss_is_carried_minus_anchor_plus_penalty():
    gan = small_gan(gradient_penalty=7.0)
    query, anchor, eta = tf.constant(cells(0)), tf.constant(cells(1)), tf.fill((12, 1), 0.3)
    carried = gan.generator(query, training=True)
    wasserstein = float(tf.reduce_mean(gan.critic(anchor)) - tf.reduce_mean(gan.critic(carried)))
    penalty = float(gan.penalty(anchor, carried, eta))
    losses, _ = gan.critic_step(query, anchor, eta)
    assert float(losses["wasserstein"]) == pytest.approx(wasserstein, rel=1e-4)
    assert float(losses["gradient_penalty"]) == pytest.approx(penalty, rel=1e-4)
    assert float(losses["critic_loss"]) == pytest.approx(-wasserstein + 7 * penalty, rel=1e-4)


def test_critic_step_changes_the_critic_alone():
    gan = small_gan()
    generator, critic = values(gan.generator), values(gan.critic)
    gan.critic_step(tf.constant(cells(0)), tf.constant(cells(1)), tf.fill((12, 1), 0.5))
    assert same(generator, values(gan.generator))
    changed = [not np.array_equal(a, b) for a, b in zip(critic, values(gan.critic), strict=True)]
    assert changed == [True] * 5 + [False]  # a shift of all scores changes no loss


def test_generator_step_changes_the_generator_alone():
    gan = small_gan()
    generator, critic = values(gan.generator), values(gan.critic)
    gan.generator_step(tf.constant(cells(0)), tf.constant(cells(1)))
    assert same(critic, values(gan.critic))
    after = values(gan.generator)
    assert not any(np.array_equal(a, b) for a, b in zip(generator[::4], after[::4], strict=True))


def test_without_pair_weight_the_paired_cell_does_not_matter():
    query = tf.constant(cells(0))
    _, gradients = small_gan(lambda_pair=0).generator_step(query, tf.constant(cells(1)))
    _, others = small_gan(lambda_pair=0).generator_step(query, tf.constant(cells(2)))
    assert same([g.numpy() for g in gradients], [g.numpy() for g in others])
    gan = small_gan(lambda_pair=0)
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(gan.critic(gan.generator(query, training=True)))
    expected = tape.gradient(loss, gan.generator.trainable_variables)
    for found, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-7)


def test_pair_weight_adds_the_gradient_of_the_squared_difference():
    query, anchor = tf.constant(cells(0)), tf.constant(cells(1))
    _, without = small_gan(lambda_pair=0).generator_step(query, anchor)
    losses, gradients = small_gan(lambda_pair=3.0).generator_step(query, anchor)
    gan = small_gan()
    with tf.GradientTape() as tape:
        pair = tf.reduce_mean((gan.generator(query, training=True) - anchor) ** 2)
    of_pair = tape.gradient(pair, gan.generator.trainable_variables)
    assert float(losses["pair_loss"]) == pytest.approx(float(pair), rel=1e-4)
    for found, adversarial, extra in zip(gradients, without, of_pair, strict=True):
        np.testing.assert_allclose(found, adversarial + 3 * extra, rtol=1e-3, atol=1e-6)


def test_a_critic_that_is_flat_has_a_penalty_and_no_gradient():
    """tf.norm gives NaN there: it divides by the length of the slope, PyTorch does not."""
    gan = small_gan()
    gan.critic.set_weights([np.zeros_like(w) for w in gan.critic.get_weights()])
    with tf.GradientTape() as tape:
        penalty = gan.penalty(*(tf.constant(v) for v in (cells(0), cells(1), cells(2)[:, :1])))
    assert float(penalty) == pytest.approx(1, abs=1e-5)
    for gradient in tape.gradient(penalty, gan.critic.trainable_variables):
        assert gradient is None or np.isfinite(gradient).all()


@pytest.mark.parametrize(
    "generator_first, expected",
    [
        (False, [False, False, True, False, False, True, False]),
        (True, [True, False, False, True, False, False, True]),
    ],
)
def test_generator_learns_on_every_third_batch(generator_first, expected):
    gan = small_gan(critic_steps=3, generator_first=generator_first)
    states = [(values(gan.generator), values(gan.critic))]

    class Record(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            states.append((values(gan.generator), values(gan.critic)))

    rows = tf.data.Dataset.from_tensors((cells(0), cells(1), cells(1))).repeat()
    gan.fit(rows, shuffle=False, steps_per_epoch=1, epochs=7, verbose=0, callbacks=[Record()])
    steps = list(zip(states, states[1:], strict=False))
    learned = [not same(before[0], after[0]) for before, after in steps]
    criticised = [not same(before[1], after[1]) for before, after in steps]
    assert learned == expected
    assert criticised == [True] * 7
    assert int(gan.critic_optimizer.iterations) == 7
    assert int(gan.generator_optimizer.iterations) == sum(expected)


# ------------------------------------------------------------------ training rows

# Cell i of the query is i, of the anchor 100 + i; pairs number the anchor's from 0, as the eye reads.
CELLS = np.concatenate([np.arange(8), 100 + np.arange(8)]).astype("float32")[:, None]
PAIRS = np.array([[0, 3], [2, 2], [5, 1], [7, 6], [7, 6], [7, 6]])


def rows_of(pairs, *arguments, **options):
    return paired_cells(CELLS, pairs + [0, 8], *arguments, **options)


def drawn(n_steps=1, rows=600, **options):
    batches = rows_of(PAIRS, rows, **options).take(n_steps)
    return [np.column_stack([q, a - 100]).astype(int) for q, a, _ in batches.as_numpy_iterator()]


@pytest.mark.parametrize("keep_pairs", [True, False])
def test_the_target_is_the_anchor_cell_of_the_own_pair_unless_pairs_walk_together(keep_pairs):
    partner = dict(PAIRS)
    for query, anchor, target in rows_of(PAIRS, 50, keep_pairs).take(3):
        expected = [100 + partner[int(cell)] for cell in query[:, 0]]
        np.testing.assert_array_equal(target[:, 0], expected)
        assert np.array_equal(anchor, target) == keep_pairs


@pytest.mark.parametrize("keep_pairs", [True, False])
def test_a_target_is_no_farther_than_the_own_walk_whatever_is_kept(keep_pairs):
    """Before, an unkept pair's target was any anchor cell."""
    walks = np.array([[0, 0], [1, 1], [2, 2], [5, 7], [6, 6], [7, 5]])
    for query, _, target in rows_of(walks, 200, keep_pairs, walk_length=3).take(2):
        move = (target - query)[:, 0].numpy()
        np.testing.assert_array_equal(move[query[:, 0] < 3], 100)
        assert set(move[query[:, 0] > 3]) == {98.0, 100.0, 102.0}


def test_the_target_moves_a_cell_as_another_pair_of_its_walk():
    walks = np.array([[0, 3], [1, 5], [2, 2], [5, 1], [6, 0], [7, 6]])  # moves 103 104 100, 96 94 99
    moves = {0: {104, 100}, 1: {103, 100}, 2: {103, 104}, 5: {94, 99}, 6: {96, 99}, 7: {96, 94}}
    found = {cell: set() for cell in moves}
    for query, anchor, target in rows_of(walks, 200, walk_length=3).take(3):
        for cell, partner, to in np.column_stack([query, anchor, target]).astype(int):
            assert [cell, partner - 100] in walks.tolist()
            found[cell].add(int(to - cell))
    assert found == moves  # each of the other two pairs is drawn, its own never


def test_pairs_are_drawn_as_often_as_their_weights_say():
    pairs = np.array([[0, 3], [1, 4], [2, 5], [3, 6], [4, 7], [5, 8]])  # two walks of three
    weights = np.array([0.1, 0.2, 0.1, 0.4, 0.15, 0.05])
    numbers = np.arange(10, dtype="float32")
    cells = np.concatenate([numbers, 100 * numbers**2])[:, None]
    rows = paired_cells(cells, pairs + [0, 10], 4000, walk_length=3, weights=weights)
    query, anchor, target = (np.asarray(part)[:, 0] for part in next(iter(rows)))
    own = query.astype(int)
    np.testing.assert_array_equal(anchor, 100.0 * (own + 3) ** 2)
    np.testing.assert_allclose(np.bincount(own) / 4000, weights, atol=0.03)
    # The other pair of the walk: never the own one, the rest by their weights.
    moves = 100.0 * (np.arange(6) + 3) ** 2 - np.arange(6)
    other = np.abs((target - query)[:, None] - moves).argmin(axis=1)
    assert (other // 3 == own // 3).all() and (other != own).all()
    of_first = np.bincount(other[own == 0], minlength=6) / np.sum(own == 0)
    np.testing.assert_allclose(of_first, [0, 2 / 3, 1 / 3, 0, 0, 0], atol=0.08)
    of_fifth = np.bincount(other[own == 4], minlength=6) / np.sum(own == 4)
    np.testing.assert_allclose(of_fifth, [0, 0, 0, 8 / 9, 0, 1 / 9], atol=0.08)


def test_kept_pairs_come_row_by_row_as_often_as_they_are_listed():
    rows = np.concatenate(drawn(5, keep_pairs=True))
    assert rows.shape == (3000, 2)
    found, times = np.unique(rows, axis=0, return_counts=True)
    np.testing.assert_array_equal(found, np.unique(PAIRS, axis=0))
    np.testing.assert_allclose(times / 3000, [1 / 6, 1 / 6, 1 / 6, 1 / 2], atol=0.03)


def test_pairs_that_are_not_kept_are_two_independent_draws_from_the_list():
    rows = np.concatenate(drawn(5, keep_pairs=False))
    assert set(rows[:, 0]) == set(PAIRS[:, 0])
    assert set(rows[:, 1]) == set(PAIRS[:, 1])
    together = np.mean((rows[:, 0] == 7) & (rows[:, 1] == 6))
    assert together == pytest.approx(1 / 4, abs=0.03)  # 1/2 if the sides went together
    assert ((rows[:, 0] == 0) & (rows[:, 1] == 1)).any()


@pytest.mark.parametrize("keep_pairs", [True, False])
def test_seed_decides_the_draws(keep_pairs):
    first, again, other = (drawn(2, keep_pairs=keep_pairs, seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], first[1])
