"""Typical wrong answers of notebook 15: lines, and words of their hint."""

REASON = 'reason = "The draws contradict one another, so much of the doubt is information."\n'
EACH = "each = -0.9 * np.log(0.9) - 0.1 * np.log(0.1)\n"
TERMS = (
    "spread = (scale / prior_scale) ** 2\n"
    "terms = spread + (mean / prior_scale) ** 2 - 1 - np.log(spread)\n"
)
WRONG = {
    "nb15_doubt": [
        (REASON + "doubt = (np.log(2), np.log(2))", "hesitates a little by itself"),
        (REASON + EACH + "doubt = (np.log(2), each)", "This is what each draw has"),
        (REASON + EACH + "doubt = (each, np.log(2) - each)", "entropy of the *mean*"),
        (REASON + EACH + "doubt = (1.0, 1 - each / np.log(2))", "Right in bits"),
    ],
    "nb15_kl": [
        (
            "spread = (prior_scale / scale) ** 2\n"
            "return 0.5 * np.sum(spread + (mean / scale) ** 2 - 1 - np.log(spread))",
            "not the same the other way round",
        ),
        (TERMS + "return 0.5 * np.mean(terms)", "a sum, not a mean"),
        (TERMS + "return np.sum(terms)", "what stands before the sum"),
        (
            "spread = (scale / prior_scale) ** 2\nmove = (mean / prior_scale) ** 2\n"
            "return 0.5 * np.sum(spread + move - 1 - np.log(scale / prior_scale))",
            "squares' quotient",
        ),
        ("return 0.5 * np.sum(scale**2 + mean**2 - 1 - np.log(scale**2))", "width 1 only"),
    ],
}
GIVEN = {}
