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
            "return tf.norm(encode(decode(encode(x), random_batch)) - encode(x), axis=1) / 3**0.5",
            "the root",
        ),
    ],
}


class Encoder:
    """Stands for the notebook's own."""

    def get_weights(self):
        return [np.ones(3)]

    def set_weights(self, weights):
        assert not np.any(weights)


encoder = Encoder()
GIVEN = {
    "nb03_constant_code": {
        "encoder": encoder,
        "losses": lambda x, batch, random_batch: (0.0, 1.0),
        **dict.fromkeys(["x", "batch", "random_batch"]),
    }
}
