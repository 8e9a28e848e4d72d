"""Typical wrong answers for each exercise of notebook 04: lines, and words of their hint."""

WRONG = {
    "nb04_by_hand": [
        ("mutual_by_hand = [(0, 2), (1, 0), (2, 1)]", "one direction"),
        ("mutual_by_hand = [(0, 1), (2, 0)]", "query cell comes first"),
        ("mutual_by_hand = [(0, 1), (0, 2), (1, 0)]", "wishes"),
        ("mutual_by_hand = [(1, 0)]", "Go through the query cells"),
        ("mutual_by_hand = [(1, 0), (0, 2)]", "Sort them by query"),
    ],
    "nb04_mutual": [
        ("return [(q, a) for q, row in enumerate(near_anchor) for a in row]", "one way"),
        (
            "asked = {(q, a) for q, row in enumerate(near_anchor) for a in row}\n"
            "return sorted(asked | {(q, a) for a, row in enumerate(near_query) for q in row})",
            "Either way is not enough",
        ),
        (
            "asked = {(q, a) for q, row in enumerate(near_anchor) for a in row}\n"
            "return sorted(asked & {(a, q) for a, row in enumerate(near_query) for q in row})",
            "turn its pairs round",
        ),
        (
            "asked = {(q, a) for q, row in enumerate(near_anchor) for a in row}\n"
            "both = asked & {(q, a) for a, row in enumerate(near_query) for q in row}\n"
            "return sorted(both, reverse=True)",
            "Now sort them",
        ),
    ],
    "nb04_walk_step": [
        ("return np.array([(links[cell] or [cell])[0] for cell in here])", "takes its first link"),
        (
            "return np.array([(links[w] or [w])[int(x * len(links[w]))] for w, x in enumerate(u)])",
            "not to the number of the walker",
        ),
        (
            "return np.array([(links[c] or [0])[int(x * len(links[c]))] for c, x in zip(here, u)])",
            "without links stays",
        ),
        (
            "for w, cell in enumerate(here):\n"
            "    if links[cell]:\n"
            "        here[w] = links[cell][int(u[w] * len(links[cell]))]\n"
            "return here",
            "Write into a copy",
        ),
        ("return np.array([links[c][int(x * len(links[c]))] for c, x in zip(here, u)])", "IndexError"),
        (
            "places = [int(np.ceil(x * len(links[c]))) - 1 for c, x in zip(here, u)]\n"
            "return np.array([links[c][k] if links[c] else c for c, k in zip(here, places)])",
            "whole part of u",
        ),
    ],
}
GIVEN = {}
