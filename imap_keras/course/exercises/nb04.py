"""Notebook 04: mutual neighbours by hand and from two tables; one step of a walk."""

import numpy as np

from .trial import Exercise, Trial, agrees, unlike


def forward(near_anchor: np.ndarray) -> set:
    """Pairs (query, anchor) that the query cells ask for."""
    return {(query, int(anchor)) for query, row in enumerate(near_anchor) for anchor in row}


def tables(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Three nearest of 6 anchor cells for each of 9 query cells, and the other way; some are mutual."""
    return tuple(
        np.array([rng.permutation(n_other)[:3] for _ in range(n)]) for n, n_other in ((9, 6), (6, 9))
    )


def pairs_of(value) -> set:
    """Pairs as a set, whatever they were listed in."""
    return {tuple(int(cell) for cell in pair) for pair in value}


def is_not(wrong, hint: str) -> Trial:
    """Not these typical wrong pairs."""

    def behaves(answer, rng):
        given = tables(rng)
        return pairs_of(answer(*given)) != wrong(*given)

    return Trial(behaves, hint, once=True)


def backward(near_query: np.ndarray) -> set:
    """Pairs (query, anchor) that the anchor cells ask for."""
    return {(query, anchor) for anchor, query in forward(near_query)}


def crowd(rng: np.random.Generator) -> tuple:
    """Links of ten cells, two of them alone, and seven walkers with a random number each."""
    links = [rng.choice(10, size, replace=False).tolist() for size in (4, 3, 0, 5, 4, 3, 0, 5, 4, 3)]
    here = np.concatenate([[2, 6], rng.permutation([0, 1, 3, 4, 5])])
    return links, here, np.append(np.arange(4) / 4, rng.random(3))[[4, 0, 5, 1, 2, 6, 3]]


def stepped(links, here, u) -> np.ndarray:
    """Where walkers stand after a step."""
    return np.array([links[c][int(x * len(links[c]))] if links[c] else c for c, x in zip(here, u)])


def moves_like(wrong):
    """Whether the walkers that have links moved in this typical wrong way."""

    def differs(answer, rng):
        links, here, u = crowd(rng)
        moving = np.array([bool(links[cell]) for cell in here])
        moved = np.asarray(answer(links, here.copy(), u))
        return not np.array_equal(moved[moving], wrong(links, here, u)[moving])

    return differs


def place_is_kept(answer, rng) -> bool:
    """The list that was handed over is as it was."""
    links, here, u = crowd(rng)
    before = here.copy()
    answer(links, here, u)
    return np.array_equal(before, here)


def the_lone_stay(answer, rng) -> bool:
    """Walkers at cells without links."""
    links, here, u = crowd(rng)
    return np.array_equal(np.asarray(answer(links, here.copy(), u))[:2], here[:2])


EXERCISES = {
    "nb04_by_hand": Exercise(
        1,
        (
            unlike([(0, 2), (1, 0), (2, 1)], "This is one direction. Does each anchor cell ask back?"),
            unlike([(0, 1), (2, 0)], "The query cell comes first in a pair."),
            unlike(
                [(0, 1), (0, 2), (1, 0)],
                "These are the anchor cells' wishes. Do the queries share them?",
            ),
            unlike([(1, 0), (0, 2)], "The right pairs. Sort them by query."),
            Trial(
                lambda answer, _: agrees(answer, [(0, 2), (1, 0)]),
                "Go through the query cells: does the anchor cell that each asks for ask back?",
            ),
        ),
    ),
    "nb04_mutual": Exercise(
        2,
        (
            is_not(lambda a, q: forward(a), "These are neighbours one way. Ask the anchor cells too."),
            is_not(lambda a, q: forward(a) | backward(q), "Either way is not enough: both must ask."),
            is_not(
                lambda a, q: forward(a) & forward(q),
                "Rows of `near_query` are anchor cells: turn its pairs round before you compare.",
            ),
            Trial(
                lambda answer, rng: (
                    pairs_of(answer(*(given := tables(rng)))) == forward(given[0]) & backward(given[1])
                ),
                "Make the set of pairs (query, anchor) of each table; what is in both?",
            ),
            Trial(
                lambda answer, rng: (
                    [*map(tuple, found := answer(*tables(rng)))] == sorted(map(tuple, found))
                ),
                "The right pairs. Now sort them, each once.",
            ),
        ),
    ),
    "nb04_walk_step": Exercise(
        2,
        (
            Trial(place_is_kept, "You changed `here` itself. Write into a copy."),
            Trial(
                moves_like(lambda links, here, u: np.array([(links[c] or [c])[0] for c in here])),
                "Each walker takes its first link. Which one does its random number choose?",
                once=True,
            ),
            Trial(
                moves_like(
                    lambda links, here, u: np.array(
                        [(links[w] or [w])[int(x * len(links[w]))] for w, x in enumerate(u)]
                    )
                ),
                "Links belong to the cell on which a walker stands, not to the number of the walker.",
                once=True,
            ),
            Trial(the_lone_stay, "A walker on a cell without links stays where it is."),
            Trial(
                lambda answer, rng: np.array_equal(answer(*(given := crowd(rng))), stepped(*given)),
                "The whole part of u times the number of links is the link to take.",
            ),
        ),
    ),
}
