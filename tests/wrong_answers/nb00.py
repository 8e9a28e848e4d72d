"""Typical wrong answers for each exercise of notebook 00: lines, and words of their hint."""

WRONG = {
    "nb00_threshold_three": [
        ("per_cent = 68.3", "at threshold 1"),
        ("per_cent = 95.4", "two standard deviations"),
        ("per_cent = 0.997", "Asked is per cent"),
        ("per_cent = 12.0", "scipy.stats.norm"),
    ],
    "nb00_negative": [
        ("return (near != own[:, None]).mean(axis=1) > 0.5", "exactly half"),
        ("return (near != own[:, None]).mean(axis=1) < 0.5", "turn it round"),
        ("return (near != own[:, None]).any(axis=1)", "One foreign neighbour is not enough"),
        ("return (near != own[:, None]).mean() >= 0.5", "one answer for each cell"),
        ("return (near != own[:, None]).sum(axis=1) >= 10", "what share differs"),
        ("return (near != own[:, None]).sum(axis=1) >= near.shape[1] // 2", "what share differs"),
    ],
}
GIVEN = {}
