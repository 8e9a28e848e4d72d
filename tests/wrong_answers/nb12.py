"""Typical wrong answers of notebook 12: lines, and words of their hint."""

REASON = 'reason = "The homologues of one mouse region share the first ranks."\n'
WRONG = {
    "nb12_best": [
        (REASON + "best_rank = 1", "can all of them have rank 1"),
        (REASON + "best_rank = 53", "the middle of the ranks"),
        (
            REASON + 'n = regions.homologous_pairs("cortex").groupby("mouse_region").size()\n'
            "best_rank = ((n + 1) / 2).mean()",
            "a mean over mouse regions",
        ),
        ("best_rank = 86 / 41", "Now write your reason"),
    ],
    "nb12_rank": [
        ("return 1 + (correlations > correlations[homologue]).sum()", "Right without ties"),
        (
            "size, own = abs(correlations), abs(correlations[homologue])\n"
            "return 1 + (size > own).sum() + ((size == own).sum() - 1) / 2",
            "no likeness",
        ),
        (
            "lower = (correlations < correlations[homologue]).sum()\n"
            "return 1 + lower + ((correlations == correlations[homologue]).sum() - 1) / 2",
            "grow with the correlation",
        ),
        (
            "higher = (correlations > correlations[homologue]).sum()\n"
            "return higher + ((correlations == correlations[homologue]).sum() - 1) / 2",
            "begin at 0",
        ),
        (
            "own = correlations[homologue]\n"
            "return 1 + (correlations > own).sum() + 0.5 * ((correlations == own).sum() > 1)",
            "those that tie",
        ),
    ],
}
GIVEN = {}
