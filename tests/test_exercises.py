"""Solutions of exercises pass, empty cells are open, three typical wrong answers get their hints."""

import ast
import importlib
import json
import re

import jupytext
import pytest
from right_answers import RIGHT

from imap_keras.course.exercises import Check, Exercise, Trial, agrees, find, unlike
from imap_keras.course.exercises import check as check_module
from imap_keras.course.runner import NOTEBOOKS

SOURCES = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))
SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n(.*?)^ *### END SOLUTION$", re.M | re.S)


def cells_of(source):
    return jupytext.read(source, fmt="py:percent").cells


def tagged(cell, tag):
    return tag in cell.metadata.get("tags", [])


def exercises():
    """Each exercise cell, with the check cell after it."""
    for source in SOURCES:
        code = [cell for cell in cells_of(source) if cell.cell_type == "code"]
        for place, cell in enumerate(code):
            if tagged(cell, "exercise"):
                name = cell.metadata["exercise"]
                check = next(c for c in code[place:] if f'check("{name}"' in c.source)
                yield pytest.param(source, cell, check, id=name)


def typed(cell, lines: str) -> str:
    """The cell's text with other lines between the marks."""
    assert SOLUTION.search(cell.source), cell.source

    def replaced(match):
        return "\n".join(match[1] + line for line in lines.splitlines())

    return SOLUTION.sub(replaced, cell.source)


def imports_of(source) -> str:
    """What the notebook imports at the top level."""
    found = []
    for cell in cells_of(source):
        if cell.cell_type == "code":
            nodes = ast.parse(cell.source).body
            found += [ast.unparse(n) for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
    return "\n".join(found)


def wrong_answers(name):
    return importlib.import_module(f"wrong_answers.{name.partition('_')[0]}")


@pytest.fixture
def line_of(tmp_path, capsys):
    """What the check says of a text of an exercise cell, and the points that it notes."""

    def told(source, cell_text, check_cell, name):
        space = {"check": Check(source.stem, tmp_path)}
        exec(imports_of(source), space)
        space |= wrong_answers(name).GIVEN.get(name, {})
        exec(cell_text, space)
        capsys.readouterr()
        exec(check_cell.source, space)
        written = json.loads((tmp_path / "results" / "points" / f"{source.stem}.json").read_text())
        return capsys.readouterr().out, written["exercises"][name]

    return told


@pytest.mark.parametrize("source, cell, check", exercises())
def test_the_solution_passes(source, cell, check, line_of):
    name, points = cell.metadata["exercise"], cell.metadata["points"]
    line, row = line_of(source, cell.source, check, name)
    assert f"✔ {name}: right, {points} of {points} points." in line
    assert row == {"points": points, "of": points, "state": "right"}


@pytest.mark.parametrize("source, cell, check", exercises())
def test_an_empty_cell_is_open_and_stops_nothing(source, cell, check, line_of):
    name = cell.metadata["exercise"]
    line, row = line_of(source, typed(cell, "pass"), check, name)
    assert line == f"○ {name}: no answer yet.\n"
    assert row == {"points": 0, "of": cell.metadata["points"], "state": "open"}


@pytest.mark.parametrize("source, cell, check", exercises())
def test_three_typical_wrong_answers_get_the_hint_that_fits(source, cell, check, line_of):
    name = cell.metadata["exercise"]
    wrong = wrong_answers(name).WRONG[name]
    assert len({hint for _, hint in wrong}) >= 3
    for lines, hint in wrong:
        line, row = line_of(source, typed(cell, lines), check, name)
        assert f"✘ {name}: not yet. " in line, (lines, line)
        assert hint in line, (lines, line)
        assert line.count("\n") == 1
        assert row["points"] == 0


@pytest.mark.parametrize("source, cell, check", exercises())
def test_a_right_answer_in_another_style_passes(source, cell, check, line_of):
    name = cell.metadata["exercise"]
    for lines in RIGHT.get(name, []):
        line, _ = line_of(source, typed(cell, lines), check, name)
        assert f"✔ {name}: right" in line, (lines, line)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_has_three_exercises_of_rising_demand(source):
    cells = cells_of(source)
    asked = [c for c in cells if tagged(c, "exercise") or tagged(c, "rubric")]
    levels = "".join(c.metadata["level"] for c in asked)
    assert re.fullmatch("a+b+c+", levels), levels
    for place, cell in enumerate(cells):
        if cell in asked:
            assert cells[place - 1].cell_type == "markdown"
            assert set(cell.metadata) == {"tags", "exercise", "level", "points", "minutes"}
            assert cell.metadata["exercise"].startswith(f"nb{source.stem[:2]}_")
        if tagged(cell, "exercise"):
            assert find(cell.metadata["exercise"]).points == cell.metadata["points"]
            check = next(c for c in cells[place + 1 :] if c.cell_type == "code")
            assert tagged(check, "check")
    assert len({c.metadata["exercise"] for c in asked}) == len(asked)
    assert any(c.source == "check.table()" for c in cells)


# ------------------------------------------------------------- the check itself


@pytest.fixture
def check(tmp_path, monkeypatch):
    twice = Exercise(2, (Trial(lambda f, rng: agrees(f(x := rng.normal()), 2 * x), "Twice."),))
    word = Exercise(1, (unlike("rises", "Other way."), Trial(lambda a, _: a == "falls", "A word.")))
    known = {"twice": twice, "word": word}
    monkeypatch.setattr(check_module, "find", known.__getitem__)
    return Check("02_building_blocks", tmp_path)


def test_a_broken_function_is_told_by_its_error_and_stops_nothing(check, capsys):
    check("twice", lambda x: x / 0)
    line = capsys.readouterr().out
    assert "✘ twice: not yet. Your lines stop with ZeroDivisionError: float division by zero" in line


def test_a_right_word_without_a_reason_is_not_enough(check, capsys):
    check("word", "falls", "because")
    assert "The answer is right. Now write your reason" in capsys.readouterr().out
    check("word", "falls", "because the loss is a mean")
    assert "✔ word: right, 1 of 1 points." in capsys.readouterr().out


def test_points_are_summed_and_the_last_answer_counts(check):
    check("word", "rises")
    check("word", "falls")
    check("twice", lambda x: x)
    assert check.table()["points"].to_dict() == {"word": 1, "twice": 0, "sum": 1}
    assert check.table()["of"].to_dict() == {"word": 1, "twice": 2, "sum": 3}


def test_points_are_returned_where_nbgrader_runs_and_nowhere_else(check, monkeypatch):
    assert check("word", "falls") is None
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert (check("word", "falls"), check("word", "rises"), check("word", None)) == (1.0, 0.0, 0.0)


def test_an_unknown_exercise_is_the_notebooks_mistake():
    with pytest.raises(KeyError, match="There is no exercise 'nb99_x'"):
        find("nb99_x")


@pytest.mark.parametrize(
    "value, expected, right",
    [
        (1.0, 1, True),
        ([1, 2], [1, 2.001], True),
        ([1], 1, False),
        ("a", 1, False),
        ([[1], [1, 2]], 1, False),
    ],
)
def test_values_agree_by_shape_and_number(value, expected, right):
    assert agrees(value, expected) is right
