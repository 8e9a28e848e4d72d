"""Notebook 07: what is left of the gap; neighbours where none should be."""

import numpy as np

from .trial import ROUNDED, Exercise, Trial, agrees, rounded


def not_like(wrong, hint: str) -> Trial:
    """Not this typical wrong share of the gap."""
    return Trial(lambda answer, _, gap: not agrees(answer, wrong(*gap.values())), hint, once=True)


def left(gap) -> float:
    """The share of the gap that the correction leaves."""
    return gap["after"].mean() / gap["before"].mean()


def drawn(rng: np.random.Generator) -> tuple:
    """Some 40 cells with ten neighbours each; batch "b" has no type "NK", batch "c" no type "B"."""
    n = int(rng.integers(36, 48))
    batch, kinds = rng.choice(["a", "b", "c"], n), rng.choice(["B", "NK", "T"], n)
    kinds[(batch == "b") & (kinds == "NK")] = "T"
    kinds[(batch == "c") & (kinds == "B")] = "T"
    near = np.array([rng.permutation(n)[:10] for _ in range(n)])
    return near, batch, kinds


def share_where(stranger):
    """Share of neighbours for which ``stranger(batch, kind, own batch, own kind, pairs)`` is true."""

    def share(near, batch, kinds):
        held = set(zip(batch, kinds))
        return np.mean(
            [
                stranger(batch[other], kinds[other], batch[own], kinds[own], held)
                for own, row in enumerate(near)
                for other in row
            ]
        )

    return share


intruders = share_where(lambda b, k, own_b, own_k, held: (b, own_k) not in held)


def lacks_some(batch, held) -> bool:
    """Whether there is a type that this batch has not."""
    return any((batch, kind) not in held for _, kind in held)


def is_lacking(kind, held) -> bool:
    """Whether there is a batch that has not this type."""
    return any((batch, kind) not in held for batch, _ in held)


def share_is_not(stranger, hint: str) -> Trial:
    """Not this typical wrong share of intruders."""

    def behaves(answer, rng):
        given = drawn(rng)
        return not agrees(answer(*given), share_where(stranger)(*given))

    return Trial(behaves, hint, once=True)


EXERCISES = {
    "nb07_gap_share": Exercise(
        1,
        (
            not_like(lambda b, a: b.mean() / a.mean(), "After divided by before, not the other way."),
            not_like(
                lambda b, a: a[b.argmax()] / b[b.argmax()],
                "This is the worst gene alone. Take all genes.",
            ),
            not_like(
                lambda b, a: 1 - a.mean() / b.mean(), "That share of the gap is gone. How much is left?"
            ),
            Trial(lambda answer, _, gap: not rounded(answer, left(gap)), ROUNDED),
            Trial(
                lambda answer, _, gap: agrees(answer, left(gap), atol=6e-4),
                "The mean over the genes after the correction, divided by the mean before.",
            ),
        ),
    ),
    "nb07_intruders": Exercise(
        2,
        (
            share_is_not(
                lambda b, k, own_b, own_k, held: k != own_k,
                "These are neighbours of another type. Has their batch the type at all? That is asked.",
            ),
            share_is_not(
                lambda b, k, own_b, own_k, held: b != own_b,
                "A neighbour of another batch is welcome, if that batch holds the type of the cell.",
            ),
            share_is_not(
                lambda b, k, own_b, own_k, held: (b, k) not in held,
                "A batch holds the neighbour's own type, of course. Whose type is asked?",
            ),
            share_is_not(
                lambda b, k, own_b, own_k, held: lacks_some(b, held) and is_lacking(own_k, held),
                "The batch lacks a type, and a batch lacks the cell's. Does this one lack this one?",
            ),
            Trial(
                lambda answer, rng: agrees(answer(*(given := drawn(rng))), intruders(*given)),
                "For each cell and neighbour: is there any cell of this batch with that type?",
            ),
        ),
    ),
}
