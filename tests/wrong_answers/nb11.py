"""Typical wrong answers of notebook 11: lines, and words of their hint."""

REASON = 'reason = "A product with NaN is NaN, whatever the other factor."\n'
WRONG = {
    "nb11_nan": [
        (REASON + "sums = (4.0, 4.0)", "what is 0 * NaN"),
        (REASON + 'sums = (float("nan"), float("nan"))', "it chooses"),
        (REASON + 'sums = (float("nan"), 2.0)', "not a mean"),
        ('sums = (float("nan"), 4.0)', "Now write your reason"),
    ],
    "nb11_mask": [
        (
            "return 0.5 * tf.reduce_sum((mask * x - mask * output) ** 2, axis=1)",
            "a product with 0 hides no NaN",
        ),
        (
            "square = tf.where(mask == 1, (x - output) ** 2, 0.0)\n"
            "return 0.5 * tf.reduce_sum(square, axis=1)",
            "`tf.where` chose after the square",
        ),
        (
            "x = tf.where(mask == 1, x, 0.0)\nreturn 0.5 * tf.reduce_sum((x - output) ** 2, axis=1)",
            "it must not be judged there",
        ),
        (
            "gap = tf.where(mask == 1, x, output) - output\nreturn tf.reduce_sum(gap**2, axis=1)",
            "Twice too large",
        ),
        (
            "gap = tf.where(mask == 1, x, output) - output\nreturn 0.5 * tf.reduce_sum(gap**2)",
            "One error for each row",
        ),
        (
            "gap = tf.where(mask == 1, x, output) - output\nreturn 3 * tf.reduce_mean(gap**2, axis=1)",
            "then subtract, square, sum",
        ),
    ],
}
GIVEN = {}
