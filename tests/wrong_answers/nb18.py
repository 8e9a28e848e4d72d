"""Typical wrong answers of notebook 18: lines, and words of their hint."""

REASON = 'reason = "It lies far out, though its neighbours agree: Unknown."\n'
NEAR = "near = lambda rows: np.sqrt(((rows[:, None] - points[None]) ** 2).sum(axis=2)).min(axis=1)\n"
WRONG = {
    "nb18_far": [
        (REASON + "numbers = (1.5, 1)", "1 minus the share of the vote"),
        (REASON + "numbers = (6, 0)", "In which unit"),
        (REASON + "numbers = (4 / 6, 0)", "The other way round"),
        (REASON + "numbers = (6 - 4, 0)", "how many times as far"),
        ("numbers = (1.5, 0)", "Now write your reason"),
    ],
    "nb18_novelty": [
        (NEAR + "return near(cells)", "Divide by what 99 %"),
        (NEAR + "return near(cells) / np.quantile(near(cells), 0.99)", "Whose own distance"),
        (
            NEAR.replace("min(", "mean(") + "return near(cells) / np.quantile(near(home), 0.99)",
            "the *nearest* point",
        ),
        (
            NEAR.replace("np.sqrt(", "(") + "return near(cells) / np.quantile(near(home), 0.99)",
            "This is squared",
        ),
        (NEAR + "return near(cells) / near(home).max()", "One stray cell"),
    ],
}
GIVEN = {}
