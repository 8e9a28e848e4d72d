"""Typical wrong answers of notebook 16: lines, and words of their hint."""

REASON = 'reason = "Both groups of the background weigh alike, whatever their sizes."\n'
PLACES = "places = (np.arange(steps) + 0.5) / steps\n"
WAY = PLACES + "found = [gradient(other + a * (x - other)) for a in places]\n"
WRONG = {
    "nb16_line": [
        (REASON + "importance = (2 * (3 - 2.8), -1 * (1 - 2.8))", "weighs each *cell*"),
        (REASON + "importance = (6, -1)", "how far f is from 0"),
        (REASON + "importance = (2, -1)", "These are the gradients"),
        (REASON + "importance = (-2, -1)", "from the background to the cell"),
    ],
    "nb16_along": [
        (WAY + "return np.mean(found, axis=0)", "the mean gradient"),
        ("return (x - other) * gradient(x)", "the cell itself only"),
        (WAY + "return (x - other) * np.sum(found, axis=0)", "not a sum"),
        (WAY + "return (other - x) * np.mean(found, axis=0)", "The sign"),
        (
            PLACES + "return (x - other) * np.mean([gradient(a * x) for a in places], axis=0)",
            "not at 0",
        ),
        (
            "places = np.linspace(0, 1, steps)\n"
            "found = [gradient(other + a * (x - other)) for a in places]\n"
            "return (x - other) * np.mean(found, axis=0)",
            "middle of each step",
        ),
        (
            "places = np.arange(steps) / steps\n"
            "return (x - other) * np.mean([gradient(other + a * (x - other)) for a in "
            "places], axis=0)",
            "the middle of each step",
        ),
        (
            "places = (np.arange(steps) + 1) / steps\n"
            "return (x - other) * np.mean([gradient(other + a * (x - other)) for a in "
            "places], axis=0)",
            "the middle of each step",
        ),
    ],
}
GIVEN = {}
