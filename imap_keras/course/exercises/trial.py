"""What is asked of an answer: behaviours, each with the hint that fits where it fails."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ROUNDED = "Right so far, but rounded: give three digits after the point."


@dataclass(frozen=True)
class Trial:
    """One behaviour that an answer must show, and what to say where it does not.

    Parameters
    ----------
    behaves
        Called with the answer, a seeded generator for random inputs, and whatever the check cell gives
        by name; says whether the answer is right.
    hint
        Points to the mistake without telling the solution. May hold no line break.
    once
        Behaving on one of the random inputs is enough. For typical mistakes: a right answer may look
        like one by chance.

    Examples
    --------
    >>> from imap_keras.course.exercises import Trial
    >>> Trial(lambda answer, rng: answer(rng.normal()) >= 0, "Take the square.").hint
    'Take the square.'
    """

    behaves: Callable[..., bool]
    hint: str
    once: bool = False


@dataclass(frozen=True)
class Exercise:
    """Points, and trials in order: the first that fails gives its hint, so mistakes stand first.

    Examples
    --------
    >>> from imap_keras.course.exercises import Exercise, Trial
    >>> Exercise(1, (Trial(lambda answer, rng: answer == 3, "Count again."),)).points
    1
    """

    points: int
    trials: tuple[Trial, ...]


def agrees(value, expected, rtol: float = 1e-3, atol: float = 1e-5) -> bool:
    """Say whether a value has the expected shape and numbers, or is the same text, in capitals or not.

    Examples
    --------
    >>> from imap_keras.course.exercises import agrees
    >>> agrees(3.0001, 3), agrees([3, 3], 3), agrees("Falls", "falls"), agrees("3", 3)
    (True, False, True, False)
    """
    try:
        value, expected = dense(value), np.asarray(expected)
        if value.shape != expected.shape:
            return False
        if "U" in (expected.dtype.kind, value.dtype.kind):
            alike = value.dtype.kind == expected.dtype.kind
            return alike and bool(np.array_equal(np.char.lower(value), np.char.lower(expected)))
        return bool(
            np.allclose(value.astype(float), expected.astype(float), rtol, atol, equal_nan=True)
        )
    except (TypeError, ValueError):  # lists of unequal length, words where numbers are expected
        return False


def dense(value) -> np.ndarray:
    """Return an array of whatever holds numbers; a sparse table is as good as a dense one.

    Examples
    --------
    >>> import scipy.sparse
    >>> from imap_keras.course.exercises.trial import dense
    >>> dense(scipy.sparse.eye(2)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return np.asarray(value.toarray() if hasattr(value, "toarray") else value)


def rounded(value, right) -> bool:
    """Say whether numbers are the right ones, but some have one or two digits after the point only.

    Examples
    --------
    >>> from imap_keras.course.exercises.trial import rounded
    >>> rounded(2.8, 2.7726), rounded(2.773, 2.7726), rounded((0.33, 1), (1 / 3, 1)), rounded("b", 2)
    (True, False, True, False)
    """
    if agrees(value, right, atol=6e-4):
        return False
    try:
        value, right = np.asarray(value, float), np.asarray(right, float)
        near = [np.isclose(value, right, 1e-3, 6e-4)]
        near += [np.isclose(value, np.round(right, digits), 1e-9) for digits in (1, 2)]
    except (TypeError, ValueError):  # words; another number of numbers
        return False
    return value.shape == right.shape and bool(np.any(near, axis=0).all())


def unlike(wrong, hint: str, rtol: float = 1e-3) -> Trial:
    """Return the trial that an answer, a number or a word, is not this typical wrong one.

    Examples
    --------
    >>> from imap_keras.course.exercises import unlike
    >>> unlike(764 * 256, "And the biases?").behaves(195584, None)
    False
    """
    return Trial(lambda answer, *_, **__: not agrees(answer, wrong, rtol), hint)
