"""Typical wrong answers for each exercise of notebook 03: lines, and words of their hint."""

import numpy as np

WRONG = {
    "nb03_constant_code": [
        ("guess = 3", "the weight of this loss"),
        ("guess = -1.0", "cannot be negative"),
        ("guess = 0.5", "Compare with what happened"),
    ],
    "nb03_content_loss": [
        ("return tf.reduce_mean((encode(decode(encode(x), random_batch)) - encode(x)) ** 2)", "axis 1"),
        (
            "return tf.reduce_mean((encode(decode(encode(x), batch)) - encode(x)) ** 2, axis=1)",
            "own batch",
        ),
        (
            "return tf.reduce_mean((decode(encode(x), random_batch) - x) ** 2, axis=1)",
            "You compare cells",
        ),
        (
            "return tf.reduce_sum((encode(decode(encode(x), random_batch)) - encode(x)) ** 2, 1)",
            "their mean",
        ),
        (
            "gap = encode(decode(encode(x), random_batch)) - encode(x)\n"
            "return tf.sqrt(tf.reduce_mean(gap**2, axis=1))",
            "the root",
        ),
        (
            "first = encode(x)\nsecond = encode(decode(first, random_batch))\n"
            "return tf.reduce_sum((second - first) ** 2, axis=1) / 3",
            "Encode, decode",
        ),
        (
            "first = encode(x)\nsecond = encode(decode(first, batch[:, ::-1]))\n"
            "return tf.reduce_mean((second - first) ** 2, axis=1)",
            "into the random batch",
        ),
    ],
}
GIVEN = {
    "nb03_constant_code": {"cells": np.random.default_rng(0).normal(size=(60, 5)).astype("float32")}
}
