"""Typical wrong answers of notebook 13: lines, and words of their hint."""

AXES = "axes = np.linalg.svd(cells - mean, full_matrices=False)[2][:n]\n"
BACK = "rebuilt = mean + (new - mean) @ axes.T @ axes\n"
WRONG = {
    "nb13_linear": [
        ('chosen = ("a", "x")', "what are they together"),
        ('chosen = ("c", "z")', "The best of what"),
        ('chosen = ("b", "x")', "Multiply six matrices"),
        ('chosen = ("c", "x")', "Two letters"),
    ],
    "nb13_pca": [
        (
            "mean = 0\n" + AXES + BACK + "return np.mean((rebuilt - new) ** 2)",
            "add it again at the end",
        ),
        (
            "mean = cells.mean(axis=0)\n" + AXES + "gap = new - new.mean(axis=0)\n"
            "return np.mean((gap @ axes.T @ axes - gap) ** 2)",
            "centred by the mean of `cells`",
        ),
        (
            "mean = new.mean(axis=0)\naxes = np.linalg.svd(new - mean, full_matrices=False)[2][:n]\n"
            + BACK
            + "return np.mean((rebuilt - new) ** 2)",
            "so they flatter",
        ),
        (
            "mean = cells.mean(axis=0)\n"
            + AXES
            + BACK
            + "return np.mean(np.sum((rebuilt - new) ** 2, 1))",
            "a sum over features",
        ),
        (
            "mean = cells.mean(axis=0)\n" + AXES + BACK + "return np.mean(np.abs(rebuilt - new))",
            "project and come back",
        ),
    ],
}
GIVEN = {}
