"""Typical wrong answers of notebook 14: lines, and words of their hint."""

REASON = 'reason = "The slope with respect to p is 0 where p is x."\n'
MEASURED = "measured = tf.math.is_finite(x)\n"
LOSS = "loss = -x * tf.math.log(p) - (1 - x) * tf.math.log(1 - p)\n"
CLIPPED = "p = tf.clip_by_value(p, 1e-7, 1 - 1e-7)\n"
FILLED = "x, p = tf.where(measured, x, 0.0), tf.where(measured, p, 0.5)\n"
MEAN = "return tf.reduce_mean(tf.boolean_mask(loss, measured))"
WRONG = {
    "nb14_floor": [
        (REASON + "lowest = (0.3, 0.0)", "is that 0"),
        (REASON + "lowest = (0.3, -0.3 * np.log(0.3))", "a second term"),
        (REASON + "lowest = (0.3, -0.3 * np.log2(0.3) - 0.7 * np.log2(0.7))", "in bits"),
        (REASON + "lowest = (1.0, 0.0)", "set the slope"),
    ],
    "nb14_masked": [
        (
            "measured = tf.cast(tf.math.is_finite(x), p.dtype)\n"
            + CLIPPED
            + LOSS
            + "return tf.reduce_sum(measured * loss) / tf.reduce_sum(measured)",
            "a product with 0 hides no NaN",
        ),
        (
            MEASURED + CLIPPED + LOSS + "kept = tf.where(measured, loss, 0.0)\n"
            "return tf.reduce_sum(kept) / tf.reduce_sum(tf.cast(measured, p.dtype))",
            "chose after the logarithms",
        ),
        (
            MEASURED + FILLED + CLIPPED + LOSS + "return tf.reduce_mean(tf.where(measured, loss, 0.0))",
            "not by all",
        ),
        (
            "x = tf.where(tf.math.is_finite(x), x, 0.0)\n"
            + CLIPPED
            + LOSS
            + "return tf.reduce_mean(loss)",
            "counts as a 0",
        ),
        (MEASURED + FILLED + LOSS + MEAN, "keep p a little off"),
    ],
}
GIVEN = {}
