"""Check answers: one line, red or green, a hint that fits the mistake, points in a file."""

import importlib
import json
import os
from functools import wraps
from pathlib import Path

import numpy as np
import pandas as pd

from ...nn.persistence import write_whole
from .trial import Exercise

SEEDS = (0, 1, 2)
RED, GREEN, PLAIN = "\033[31m", "\033[32m", "\033[0m"


class _NotAnswered(Exception):
    """The student's function gives nothing back: its lines are not written yet."""


def find(name: str) -> Exercise:
    """Return an exercise by its name, such as ``"nb02_mish"``.

    Raises
    ------
    KeyError
        There is none of this name.

    Examples
    --------
    >>> from imap_keras.course.exercises import find
    >>> find("nb02_parameters").points
    2
    """
    try:
        module = importlib.import_module(f".{name.partition('_')[0]}", __package__)
        return module.EXERCISES[name]
    except (ModuleNotFoundError, KeyError):
        raise KeyError(f"There is no exercise {name!r} in imap_keras/course/exercises/.") from None


class Check:
    """Check a notebook's exercises; called with the name of an exercise and the answer.

    It never stops a notebook. Each call prints one line and notes the points in
    ``results/points/NN_title.json`` of the output folder.

    Parameters
    ----------
    notebook
        Name of the notebook without ending.
    output_dir
        The course's output folder.

    Examples
    --------
    >>> from imap_keras.course.exercises import Check
    >>> check = Check("02_building_blocks", "build/course")
    >>> check("nb02_parameters", None)
    ○ nb02_parameters: no answer yet.
    """

    def __init__(self, notebook: str, output_dir: str | Path):
        self.path = Path(output_dir).expanduser() / "results" / "points" / f"{notebook}.json"
        self.rows: dict[str, dict] = {}

    def __call__(self, name: str, answer, reason: str | None = None, **given) -> float | None:
        """Print whether the answer is right, else a hint; note the points.

        Parameters
        ----------
        name
            Of the exercise.
        answer
            A value or a function; None, or a function that returns None, is not answered yet.
        reason
            Where a reason is asked for: the student's, of five words or more.
        **given
            What the trials need of the notebook, a table for example.

        Returns
        -------
        None, but the points where nbgrader runs the notebook: it reads them from the cell's output.

        Raises
        ------
        KeyError
            There is no exercise of this name: a mistake of the notebook, not of the student.
        """
        exercise = find(name)
        state, told = judge(exercise, answer, reason, given)
        points = exercise.points if state == "right" else 0
        self.rows[name] = {"points": points, "of": exercise.points, "state": state}
        text = json.dumps({"exercises": self.rows}, indent=1)
        write_whole(self.path, lambda temporary: temporary.write_text(text))
        if state == "right":
            print(f"{GREEN}✔ {name}: right, {points} of {exercise.points} points.{PLAIN}")
        elif state == "wrong":
            print(f"{RED}✘ {name}: not yet. {told}{PLAIN}")
        else:
            print(f"○ {name}: no answer yet.")
        return float(points) if "NBGRADER_EXECUTION" in os.environ else None

    def table(self) -> pd.DataFrame:
        """Return the points of the exercises checked so far, and their sum."""
        table = pd.DataFrame.from_dict(self.rows, orient="index", columns=["points", "of", "state"])
        table.loc["sum"] = [table["points"].sum(), table["of"].sum(), ""]
        return table


def judge(exercise: Exercise, answer, reason: str | None, given: dict) -> tuple[str, str]:
    """Say ``"right"``, ``"wrong"`` or ``"open"``, and the hint of the first trial that fails.

    Examples
    --------
    >>> from imap_keras.course.exercises import find
    >>> from imap_keras.course.exercises.check import judge
    >>> judge(find("nb02_parameters"), 764 * 256, None, {})[0]
    'wrong'
    """
    if answer is None:
        return "open", ""
    asked = _told_if_empty(answer) if callable(answer) else answer
    for trial in exercise.trials:
        behaved = any if trial.once else all
        try:
            right = behaved(trial.behaves(asked, np.random.default_rng(s), **given) for s in SEEDS)
        except _NotAnswered:
            return "open", ""
        except Exception as error:  # whatever a student's lines may raise
            told = [*str(error).strip().splitlines(), ""][0]
            return "wrong", f"Your lines stop with {type(error).__name__}: {told}"
        if not right:
            return "wrong", trial.hint
    if reason is not None and len(reason.split()) < 5:
        return "wrong", "The answer is right. Now write your reason, a sentence."
    return "right", ""


def _told_if_empty(function):
    @wraps(function)
    def asked(*arguments, **named):
        value = function(*arguments, **named)
        if value is None:
            raise _NotAnswered
        return value

    return asked
