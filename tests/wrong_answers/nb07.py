"""Typical wrong answers for each exercise of notebook 07: lines, and words of their hint."""

import numpy as np

WRONG = {
    "nb07_gap_share": [
        ('gap_share = gap["before"].mean() / gap["after"].mean()', "not the other way"),
        ('gap_share = gap["after"][gap["before"].argmax()] / gap["before"].max()', "worst gene alone"),
        ('gap_share = 1 - gap["after"].mean() / gap["before"].mean()', "How much is left"),
        ('gap_share = round(gap["after"].mean() / gap["before"].mean(), 2)', "three digits"),
        ('gap_share = np.mean(gap["after"] / gap["before"])', "divided by the mean before"),
    ],
    "nb07_intruders": [
        ("return np.mean(kinds[near] != kinds[:, None])", "of another type"),
        ("return np.mean(batch[near] != batch[:, None])", "is welcome"),
        (
            "held = set(zip(batch, kinds))\n"
            "return np.mean([(batch[o], kinds[o]) not in held for row in near for o in row])",
            "Whose type is asked",
        ),
        (
            "kind = np.unique(kinds)\n"
            "held = {b: set(kinds[batch == b]) for b in set(batch)}\n"
            "foreign = np.array([len(held[b]) < len(kind) for b in batch])\n"
            "lacking = np.array([any(k not in types for types in held.values()) for k in kinds])\n"
            "return np.mean(foreign[near] & lacking[:, None])",
            "Does this one lack this one",
        ),
        ("return 0.5", "is there any cell of this batch"),
    ],
}
GIVEN = {
    "nb07_gap_share": {
        "gap": {"before": np.array([2.0, 0.7, 0.4, 1.1]), "after": np.array([0.1, 0.3, 0.2, 0.5])}
    }
}
