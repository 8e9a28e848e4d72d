"""Check an exercise of the course against its hidden solution."""

import numpy as np


def check(answer, solution) -> None:
    """Say whether an answer is right; None means not answered yet.

    Numbers and arrays of the same shape agree to a relative 1e-3; anything else must be equal.

    Parameters
    ----------
    answer
        The student's.
    solution
        From the hidden cell above the check.

    Raises
    ------
    AssertionError
        The answer is wrong; the message says what was given, not the solution.

    Examples
    --------
    >>> from imap_keras.course.exercise import check
    >>> check(None, 3)
    No answer yet. Put yours in place of None; the cell before this one hides a solution.
    >>> check(3.0001, 3)
    Right.
    """
    if answer is None:
        print("No answer yet. Put yours in place of None; the cell before this one hides a solution.")
        return
    try:
        given, expected = np.shape(answer), np.shape(solution)
    except ValueError:  # lists of unequal length
        given = expected = None
    assert given == expected, (
        f"Not yet: {answer!r} has the shape {given}, expected is {expected} (() is one value)."
    )
    try:
        right = np.allclose(answer, solution, rtol=1e-3)
    except (TypeError, ValueError):  # words
        right = np.array_equal(answer, solution)
    assert right, f"Not yet: {answer!r} is not what the solution gives. Read the exercise once more."
    print("Right.")
