"""Typical wrong answers of notebook 19: lines, and words of their hint."""

REASON = 'reason = "CSR is larger where more than half of the values are not 0."\n'
RIGHT = (
    "m, own = len(block), block.mean(axis=0)\n"
    "inside = ((block - own) ** 2).sum(axis=0)\n"
    "total = (n * mean + m * own) / (n + m)\n"
    "whole = squares + inside + n * m / (n + m) * (own - mean) ** 2\n"
)
WRONG = {
    "nb19_bytes": [
        (REASON + "numbers = (16, 1.92)", "four bytes, not eight"),
        (REASON + "numbers = (8, 0.64)", "a column beside each value"),
        (REASON + "numbers = (2, 0.32)", "How many bytes is each"),
        (REASON + "numbers = (8, 14.72)", "are *not* 0"),
        ("numbers = (8, 1.28)", "Now write your reason"),
    ],
    "nb19_moments": [
        (RIGHT + "return n + m, (mean + own) / 2, whole", "weigh each by its rows"),
        (RIGHT + "return n + m, total, squares + inside", "what does that add"),
        (
            RIGHT + "return n + m, total, squares + ((block - mean) ** 2).sum(axis=0)",
            "from the old mean",
        ),
        (RIGHT + "return n + m, total, whole / (n + m)", "leave the division"),
        (
            "m, own = len(block), block.mean(axis=0)\noff, share = own - mean, 11 / 16\n"
            "squares = squares + ((block - own) ** 2).sum(axis=0) + 5 * share * off**2\n"
            "return n + m, mean + share * off, squares",
            "Three things",
        ),
    ],
}
GIVEN = {}
