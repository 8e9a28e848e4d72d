"""Trials made of the right answer and of typical wrong ones, each with its hint."""

from collections.abc import Callable

import numpy as np

from .trial import ROUNDED, Trial, agrees, rounded, unlike


def against(
    look: Callable, right: Callable, wrong: dict[Callable, str], otherwise: str
) -> tuple[Trial, ...]:
    """Return the trials of a function that a student writes.

    Parameters
    ----------
    look
        Called with a function and a seeded generator; returns a tuple of what the function does on
        random inputs.
    right, wrong
        A function that is right, and typical mistakes, functions too, each with its hint. Who does as a
        mistake does, where that is not right as well, gets its hint.
    otherwise
        The hint for all other mistakes.

    Examples
    --------
    >>> from imap_keras.course.exercises.against import against
    >>> def look(function, rng):
    ...     return (function(rng.normal()),)
    >>> trials = against(look, lambda x: 2 * x, {lambda x: x / 2: "Twice, not half."}, "Try x = 1.")
    >>> import numpy as np
    >>> [trial.behaves(lambda x: x / 2, np.random.default_rng(0)) for trial in trials]
    [False, False]
    """

    def seen(answer, seed):
        return look(answer, np.random.default_rng(seed))

    def is_not(mistake):
        def behaves(answer, rng):
            seed = int(rng.integers(2**31))
            found = seen(answer, seed)
            return alike(found, seen(right, seed)) or not alike(found, seen(mistake, seed))

        return behaves

    def is_right(answer, rng):
        seed = int(rng.integers(2**31))
        return alike(seen(answer, seed), seen(right, seed))

    mistakes = (Trial(is_not(mistake), hint, once=True) for mistake, hint in wrong.items())
    return *mistakes, Trial(is_right, otherwise)


def alike(found: tuple, expected: tuple) -> bool:
    """Say whether two tuples of values, of any shapes, agree one by one.

    Examples
    --------
    >>> from imap_keras.course.exercises.against import alike
    >>> alike(([1, 2], "a"), ([1.0, 2.0], "a")), alike((1, 2), (1, 3))
    (True, False)
    """
    return len(found) == len(expected) and all(map(agrees, found, expected))


def value(right, wrong: dict[object, str], otherwise: str) -> tuple[Trial, ...]:
    """Return the trials of an answer that is a value: a number, a word, or several of them.

    Examples
    --------
    >>> from imap_keras.course.exercises.against import value
    >>> [trial.hint for trial in value(4, {5: "Not the sum."}, "Multiply.")]
    ['Not the sum.', 'Right so far, but rounded: give three digits after the point.', 'Multiply.']
    """
    mistakes = (unlike(answer, hint) for answer, hint in wrong.items())
    return (
        *mistakes,
        Trial(lambda answer, _: not rounded(answer, right), ROUNDED),
        Trial(lambda answer, _: agrees(answer, right, atol=6e-4), otherwise),
    )
