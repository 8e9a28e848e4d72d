"""Typical wrong answers for each exercise of notebook 05: lines, and words of their hint."""

from types import SimpleNamespace

TAPE = """x = {x}
with tf.GradientTape() as tape:
    tape.watch(x)
    score = critic(x)
slope = tape.gradient(score, x)
"""
BETWEEN = TAPE.format(x="eta * anchor + (1 - eta) * carried")
WRONG = {
    "nb05_penalty_of_a_line": [
        ("guess = 1.5", "How far is it from 1"),
        ("guess = 0.5", "now square it"),
        ("guess = (0.9**2 + 1.2**2 - 1) ** 2", "the root of the sum"),
        ("guess = 2.5", "Before the weight"),
        ("guess = 0.0", "Compare with what happened"),
    ],
    "nb05_one_sided_penalty": [
        (BETWEEN + "return tf.reduce_mean((tf.norm(slope, axis=1) - 1) ** 2)", "two-sided"),
        (
            TAPE.format(x="anchor")
            + "return tf.reduce_mean(tf.nn.relu(tf.norm(slope, axis=1) - 1) ** 2)",
            "at the anchor cells",
        ),
        (BETWEEN + "return tf.reduce_mean(tf.nn.relu(tf.norm(slope) - 1) ** 2)", "axis=1"),
        (
            BETWEEN + "return tf.reduce_mean(tf.nn.relu(tf.norm(slope, axis=1) - 1))",
            "square is missing",
        ),
        (
            BETWEEN.replace("    tape.watch(x)\n", "")
            + "return tf.reduce_mean(tf.norm(slope, axis=1))",
            "Your lines stop with ValueError",
        ),
        (
            BETWEEN + "return tf.reduce_sum(tf.nn.relu(tf.norm(slope, axis=1) - 1) ** 2) / 12",
            "what is above 1",
        ),
        (
            TAPE.format(x="eta * carried + (1 - eta) * anchor")
            + "return tf.reduce_mean(tf.nn.relu(tf.norm(slope, axis=1) - 1) ** 2)",
            "eta goes with the anchor",
        ),
    ],
    "nb05_critic_step": [
        (
            "gap = tf.reduce_mean(critic(anchor)) - tf.reduce_mean(critic(carried))\n"
            "loss = gap + weight * penalty(critic, anchor, carried)",
            "score carried cells higher",
        ),
        (
            "loss = tf.reduce_mean(critic(carried)) - tf.reduce_mean(critic(anchor))",
            "Without the penalty",
        ),
        (
            "gap = tf.reduce_mean(critic(carried)) - tf.reduce_mean(critic(anchor))\n"
            "loss = gap + penalty(critic, anchor, carried)",
            "has a weight",
        ),
        (
            "gap = tf.reduce_mean(critic(carried)) - tf.reduce_mean(critic(anchor))\n"
            "loss = gap - weight * penalty(critic, anchor, carried)",
            "A penalty is added",
        ),
        (
            "gap = tf.reduce_mean(critic(carried)) - tf.reduce_mean(critic(anchor))\n"
            "loss = gap + 10 * penalty(critic, anchor, carried)",
            "plus weight times penalty",
        ),
    ],
}


class Line:
    """Stands for the notebook's own line."""

    layers = (SimpleNamespace(set_weights=lambda weights: None),)


GIVEN = {
    "nb05_penalty_of_a_line": {
        "line": Line(),
        "points": 0.0,
        "by_hand": SimpleNamespace(penalty=lambda anchor, carried, eta: 0.25),
    }
}
