"""Typical wrong answers of notebook 17: lines, and words of their hint."""

ORDER = "order, n = np.argsort(p), len(p)\n"
RANKED = ORDER + "by_rank = p[order] * n / np.arange(1, n + 1)\nresult = np.empty(n)\n"
WRONG = {
    "nb17_few_shuffles": [
        ("both = (0.0, 0.0)", "one more shuffle"),
        ("both = (1 / 19, 1.0)", "how many in all"),
        ("both = (1 / 20, 1 / 20)", "its rank is 1"),
        ("both = (1 / 20, 108.0)", "never more than the largest p"),
        ("both = 1 / 20", "Two numbers"),
    ],
    "nb17_adjusted": [
        ("return np.minimum(p * len(p), 1)", "Bonferroni"),
        (RANKED + "result[order] = by_rank\nreturn result", "that of a larger p"),
        (
            RANKED + "result[order] = np.maximum.accumulate(by_rank)\nreturn result",
            "running minimum from the largest",
        ),
        (
            RANKED + "return np.minimum.accumulate(by_rank[::-1])[::-1]",
            "put each where its p came from",
        ),
        ("return p", "false_discovery_control"),
    ],
}
GIVEN = {}
