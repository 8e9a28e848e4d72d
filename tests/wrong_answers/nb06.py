"""Typical wrong answers for each exercise of notebook 06: lines, and words of their hint."""

WRONG = {
    "nb06_one_deviation": [
        ("by_formula = 6.0", "How many standard deviations"),
        ("by_formula = (44 - 50) / 5", "no sign"),
        ("by_formula = 6 / 25", "Take its root"),
        ("by_formula = 0.6", "Expected is n times p"),
    ],
    "nb06_deviation": [
        (
            "expected, seen = len(near) * share, np.bincount(near, minlength=len(share))\n"
            "return np.abs(seen - expected) / np.sqrt(expected * (1 - share))",
            "One number for a cell",
        ),
        (
            "expected, seen = len(near) * share, np.bincount(near, minlength=len(share))\n"
            "return np.max((seen - expected) / np.sqrt(expected * (1 - share)))",
            "absolute value first",
        ),
        (
            "expected, seen = len(near) * share, np.bincount(near, minlength=len(share))\n"
            "return np.max(np.abs(seen - expected) / (expected * (1 - share)))",
            "Take its root",
        ),
        (
            "expected, seen = len(near) * share, np.bincount(near, minlength=len(share))\n"
            "return np.mean(np.abs(seen - expected) / np.sqrt(expected * (1 - share)))",
            "asks for the greatest",
        ),
        (
            "expected = len(near) * share\nseen = np.bincount(near, minlength=3)\n"
            "return np.max(np.abs(seen - expected) / np.sqrt(expected * (1 - share)))",
            "Your lines stop with ValueError",
        ),
        (
            "expected = 100 * share\nseen = np.bincount(near, minlength=len(share))\n"
            "return np.max(np.abs(seen - expected) / np.sqrt(expected * (1 - share)))",
            "subtract n times its share",
        ),
    ],
    "nb06_ceiling": [
        (
            "share = np.bincount(batches) / len(batches)\n"
            "drawn = (rng.choice(batches, n, replace=False) for _ in range(2000))\n"
            "return np.mean([deviation(some, share) > threshold for some in drawn])",
            "the share that fails",
        ),
        (
            "share = np.bincount(batches) / len(batches)\n"
            "drawn = (rng.choice(batches, n) for _ in range(2000))\n"
            "return np.mean([deviation(some, share) <= threshold for some in drawn])",
            "twice",
        ),
        ("return 1.0", "count how many pass"),
    ],
}
GIVEN = {}
