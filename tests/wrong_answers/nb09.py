"""Typical wrong answers of notebook 09: lines, and words of their hint."""

HOME = """was = (types[before] == types[:, None]).mean(axis=1) >= 0.5
now = (types[after] == types[:, None]).mean(axis=1) >= 0.5
"""
REASON = 'reason = "In a mixture nobody knows the batch of a neighbour."\n'
WRONG = {
    "nb09_expect": [
        (REASON + "shares = (0, 1)", "its own among them"),
        (REASON + "shares = (0.5, 1)", "count the batches"),
        (REASON + "shares = (1 / 3, 0.5)", "How many of them do you want"),
        (REASON + "shares = (1 / 3, 0)", "share of the *own* batch"),
        ("shares = (1 / 3, 1)", "Now write your reason"),
    ],
    "nb09_moved": [
        (HOME + "return np.mean(~now)", "ask for before as well"),
        (HOME + "return was.mean() - now.mean()", "make up for cells that leave"),
        (
            "was, now = types[before] == types[:, None], types[after] == types[:, None]\n"
            "return np.mean(was & ~now)",
            "These are neighbours",
        ),
        (HOME + "return np.mean(~now[was])", "share of all cells"),
        (HOME + "return was & ~now", "one number"),
        (
            "was, now = ((types[near] == types[:, None]).sum(axis=1) >= 3 for near in "
            "(before, after))\nreturn np.mean(was & ~now)",
            "half of them or more",
        ),
    ],
}
GIVEN = {}
