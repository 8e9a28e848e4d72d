"""Notebook 05: the penalty of a line, a one-sided penalty, the heart of the critic's step."""

import numpy as np
import tensorflow as tf

from .trial import Exercise, Trial, agrees, unlike


def drawn(rng: np.random.Generator) -> tuple:
    """A critic that bends, with slopes below and above 1, and cells to stand between."""
    weights = tf.constant(rng.normal(0, 0.8, size=(4, 3)), tf.float32)
    n = int(rng.integers(8, 20))
    anchor, carried = (tf.constant(rng.normal(size=(n, 4)), tf.float32) for _ in range(2))
    eta = tf.constant(rng.uniform(0.2, 0.8, size=(n, 1)), tf.float32)

    def critic(cells, training=False):
        return tf.reduce_sum(tf.sin(tf.matmul(cells, weights)), axis=1, keepdims=True)

    return critic, anchor, carried, eta


def lengths(critic, x) -> np.ndarray:
    """Length of the critic's slope at each row."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = critic(x)
    return np.linalg.norm(tape.gradient(score, x).numpy(), axis=1)


def between(critic, anchor, carried, eta) -> np.ndarray:
    """Lengths where the penalty looks."""
    return lengths(critic, eta * anchor + (1 - eta) * carried)


def too_steep(length) -> float:
    """Mean square of what is above 1."""
    return np.mean(np.maximum(length - 1, 0) ** 2)


def penalty_is_not(wrong, hint: str) -> Trial:
    """Not this typical wrong penalty."""

    def behaves(answer, rng):
        given = drawn(rng)
        return not agrees(answer(*given), wrong(*given))

    return Trial(behaves, hint, once=True)


class Line:
    """A critic of one layer, with the part of a Keras model that a step needs."""

    def __init__(self, w: np.ndarray):
        self.w = tf.Variable(w, dtype=tf.float32)
        self.trainable_variables = self.trainable_weights = self.weights = [self.w]

    def __call__(self, cells, training=False):
        return tf.matmul(cells, self.w[:, None])


def penalty(critic, anchor, carried):
    """Of a line: the same everywhere."""
    return (tf.norm(critic.w) - 1) ** 2


def a_step(rng: np.random.Generator) -> tuple:
    """A line and cells to tell apart."""
    w, anchor, carried = rng.normal(size=3), rng.normal(1, 1, (6, 3)), rng.normal(-1, 1, (6, 3))
    return Line(w), tf.constant(anchor, tf.float32), tf.constant(carried, tf.float32), penalty


def loss_of(sign: float, weight: float):
    """The critic's loss, or one with another sign of the gap or weight of the penalty."""

    def loss(critic, anchor, carried, penalty):
        gap = tf.reduce_mean(critic(carried)) - tf.reduce_mean(critic(anchor))
        return float(sign * gap + weight * penalty(critic, anchor, carried))

    return loss


def loss_is_not(wrong, hint: str) -> Trial:
    """Not this typical wrong loss; computed before the step changes the critic."""

    def behaves(answer, rng):
        given = a_step(rng)
        expected = wrong(*given)
        return not agrees(answer(*given), expected)

    return Trial(behaves, hint, once=True)


def loss_is_right(answer, rng) -> bool:
    """The loss of the step, whatever the weight, and it is smaller after it."""
    given, weight = a_step(rng), rng.uniform(2, 20)
    expected = loss_of(1, weight)(*given)
    found = answer(*given, weight=weight, rate=1e-3)
    return agrees(found, expected) and loss_of(1, weight)(*given) < expected


EXERCISES = {
    "nb05_penalty_of_a_line": Exercise(
        1,
        (
            unlike(1.5, "That is the length of the slope. How far is it from 1, squared?"),
            unlike(0.5, "How far the length is from 1: now square it."),
            unlike((1.5**2 - 1) ** 2, "The length is the root of the sum of squares."),
            unlike(2.5, "Before the weight 10."),
            Trial(
                lambda answer, _, happened: agrees(answer, happened),
                "Compare with what happened: the length of w, minus 1, squared.",
            ),
        ),
    ),
    "nb05_one_sided_penalty": Exercise(
        3,
        (
            penalty_is_not(
                lambda *given: np.mean((between(*given) - 1) ** 2),
                "This is the two-sided penalty: a slope below 1 must cost nothing.",
            ),
            penalty_is_not(
                lambda critic, anchor, carried, eta: too_steep(lengths(critic, anchor)),
                "This is the slope at the anchor cells. Look between them and the carried ones.",
            ),
            penalty_is_not(
                lambda *given: too_steep(np.linalg.norm(between(*given))),
                "One length for all rows together: each row has a length of its own (axis=1).",
            ),
            penalty_is_not(
                lambda critic, anchor, carried, eta: too_steep(
                    between(critic, anchor, carried, 1 - eta)
                ),
                "As good a point, but not the one above: eta goes with the anchor cells.",
            ),
            penalty_is_not(
                lambda *given: np.mean(np.maximum(between(*given) - 1, 0)), "The square is missing."
            ),
            Trial(
                lambda answer, rng: agrees(answer(*(given := drawn(rng))), too_steep(between(*given))),
                "A point between, watched by the tape; its slope; each row's length; what is above 1.",
            ),
        ),
    ),
    "nb05_critic_step": Exercise(
        2,
        (
            loss_is_not(
                loss_of(-1, 10),
                "This critic learns to score carried cells higher. Turn the gap round.",
            ),
            loss_is_not(loss_of(1, 0), "Without the penalty the score grows without end."),
            loss_is_not(loss_of(1, 1), "The penalty has a weight."),
            loss_is_not(loss_of(1, -10), "A penalty is added: it makes the loss larger."),
            Trial(
                loss_is_right,
                "One number: the gap of the two mean scores, plus weight times penalty.",
            ),
        ),
    ),
}
