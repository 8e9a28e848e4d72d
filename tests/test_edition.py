"""Editions: no solution in the student's, hints in the teacher's, and nbgrader grades by the check."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

from imap_keras.course import edition
from imap_keras.course.edition import SOLUTION, is_tagged, make_edition, write_edition
from imap_keras.course.runner import NOTEBOOKS, run_notebook

SOURCES = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))


def read(source):
    return jupytext.read(source, fmt="py:percent").cells


def lines_of(text: str) -> set[str]:
    """Lines long enough to tell something."""
    return {line.strip() for line in text.splitlines() if len(line.strip()) >= 12}


def solution_lines(cells) -> set[str]:
    """Lines of solutions and rubrics that stand nowhere else in the notebook."""
    held, told = set(), set()
    for cell in cells:
        if is_tagged(cell, "rubric"):
            held |= lines_of(cell.source)
        elif is_tagged(cell, "exercise"):
            for match in SOLUTION.finditer(cell.source):
                held |= lines_of(match[2])
        else:
            told |= lines_of(cell.source)
    return held - told


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The student's edition."""
    folder = tmp_path_factory.mktemp("student")
    write_edition("student", folder)
    return folder


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_text_of_a_solution_is_in_the_students_edition(source, made):
    cells = read(source)
    text = (made / f"{source.stem}.ipynb").read_text()
    for line in solution_lines(cells):
        assert json.dumps(line)[1:-1] not in text, line
    if any(is_tagged(cell, "exercise") for cell in cells):
        assert len(solution_lines(cells)) >= 6
    assert "BEGIN SOLUTION" not in text
    assert "END SOLUTION" not in text


def test_a_solution_line_left_in_would_be_found(made):
    """The test above looks at something: the teacher's edition holds each of these lines."""
    source = NOTEBOOKS / "02_building_blocks.py"
    text = "\n".join(cell.source for cell in make_edition(source, "teacher").cells)
    lines = solution_lines(read(source))
    assert "return bent + x * (1 - bent**2) * sigmoid" in lines
    assert all(line in text for line in lines)


def test_the_students_edition_is_whole_empty_and_folded(made):
    assert sorted(p.name for p in made.iterdir()) == sorted(
        [*(f"{source.stem}.ipynb" for source in SOURCES), "glossary.md", "notation.md"]
    )
    for source in SOURCES:
        notebook, told = nbformat.read(made / f"{source.stem}.ipynb", as_version=4), read(source)
        nbformat.validate(notebook)
        assert [cell.cell_type for cell in notebook.cells] == [cell.cell_type for cell in told]
        for cell, before in zip(notebook.cells, told):
            if cell.cell_type == "code":
                assert cell.outputs == []
            if is_tagged(cell, "plumbing"):
                assert cell.metadata["jupyter"] == {"source_hidden": True}
            if is_tagged(cell, "exercise"):
                assert cell.source.count(edition.CODE_STUB.splitlines()[0]) == 1
                compile(cell.source, source.stem, "exec")
            elif is_tagged(cell, "rubric"):
                assert cell.source == "*Write your answer here.*"
            elif not is_tagged(cell, "parameters"):
                assert cell.source == before.source
        assert any('output_dir = "course"' in cell.source for cell in notebook.cells)


def test_the_teachers_edition_has_solutions_rubric_hints_and_minutes():
    cells = make_edition(NOTEBOOKS / "02_building_blocks.py", "teacher").cells
    text = "\n".join(cell.source for cell in cells)
    assert "**Teacher's edition.** 3 exercises, 7 points, 23 minutes." in cells[0].source
    head = "**For the teacher: nb02_mish_slope**, level b, 2 points, 10 minutes."
    (hints,) = (c for c in cells if c.source.startswith(head))
    assert "What a wrong answer is told:" in hints.source
    assert "- The chain rule goes one step further: softplus has a slope too." in hints.source
    assert "**For the teacher: nb02_pca_ahead**, level c, 3 points, 10 minutes. Rubric:" in text
    assert "return bent + x * (1 - bent**2) * sigmoid" in text


def test_a_stub_stands_where_the_solution_stood():
    source = (
        "def f(x):\n    ### BEGIN SOLUTION\n    y = x\n    return y\n    ### END SOLUTION\n\n\nz = 1"
    )
    assert edition.without_solution(source) == (
        "def f(x):\n    # Write your lines here.\n    pass\n\n\nz = 1"
    )


def test_the_command_makes_an_edition_and_says_where(tmp_path, capsys):
    assert edition.main(["--edition", "teacher", "--output-dir", str(tmp_path / "t")]) == 0
    told = f"{len(SOURCES)} notebooks of the teacher's edition are in {tmp_path / 't'}.\n"
    assert capsys.readouterr().out == told
    assert (tmp_path / "t" / "00_tour.ipynb").exists()
    call = ["--nbgrader", "--output-dir", str(tmp_path / "n"), "--notebooks", str(tmp_path)]
    assert edition.main(call) == 2
    assert f"There are no sources of notebooks in {tmp_path}" in capsys.readouterr().out


def test_the_students_notebook_runs_to_its_end_unanswered(made, tmp_path):
    path = made / "02_building_blocks.ipynb"
    outcome = run_notebook(path, tmp_path, {"fast": True, "epochs": 2}, timeout=300)
    assert not outcome.message.startswith("cell "), outcome.message
    points = json.loads((tmp_path / "results" / "points" / "02_building_blocks.json").read_text())
    assert {row["state"] for row in points["exercises"].values()} == {"open"}


# ------------------------------------------------------------- nbgrader

NAME = "02_building_blocks"


def small_source(folder: Path) -> Path:
    """Notebook 02 without its training: parameters, imports, plumbing, exercises."""
    notebook = jupytext.read(NOTEBOOKS / f"{NAME}.py", fmt="py:percent")
    marks = ("exercise", "check", "rubric", "parameters")
    notebook.cells = [
        cell
        for cell in notebook.cells
        if any(is_tagged(cell, mark) for mark in marks)
        or cell.source.startswith("import keras")
        or "= Check(" in cell.source
    ]
    folder.mkdir()
    jupytext.write(notebook, folder / f"{NAME}.py", fmt="py:percent")
    return folder


@pytest.fixture
def classroom(tmp_path):
    """A course folder of nbgrader, and its command."""
    pytest.importorskip(
        "nbgrader", reason="nbgrader is in an extra of its own: pip install '.[nbgrader]'"
    )
    course = tmp_path / "course"
    write_edition("nbgrader", course, small_source(tmp_path / "sources"))
    place = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # it calls alembic
    own = {"HOME": str(tmp_path), "PATH": place, "TF_CPP_MIN_LOG_LEVEL": "3"}

    def command(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *words],
            cwd=course,
            env={**os.environ, **own},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return course, command


def submit(course: Path, who: str, solved: set[str]):
    """Hand in the released notebook with the solutions of some exercises."""
    released = nbformat.read(course / "release" / NAME / f"{NAME}.ipynb", as_version=4)
    solutions = {
        c.metadata["exercise"]: c for c in read(NOTEBOOKS / f"{NAME}.py") if is_tagged(c, "exercise")
    }
    for cell in released.cells:
        if is_tagged(cell, "exercise") and cell.metadata["exercise"] in solved:
            cell.source = solutions[cell.metadata["exercise"]].source
        elif is_tagged(cell, "rubric") and len(solved) == 2:
            cell.source = "The cells are few, and the training is short."
    place = course / "submitted" / who / NAME
    place.mkdir(parents=True)
    nbformat.write(released, place / f"{NAME}.ipynb")


def test_nbgrader_gives_all_points_half_of_them_and_none(classroom):
    course, command = classroom
    command("generate_assignment", NAME)
    released = (course / "release" / NAME / f"{NAME}.ipynb").read_text()
    assert not [
        line
        for line in solution_lines(read(NOTEBOOKS / f"{NAME}.py"))
        if json.dumps(line)[1:-1] in released
    ]
    both = {"nb02_parameters", "nb02_mish_slope"}
    for who, solved in {"all": both, "half": {"nb02_parameters"}, "none": set()}.items():
        submit(course, who, solved)
    command("autograde", NAME, "--create")

    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course}/gradebook.db") as book:
        points = {s.student.id: (s.score, s.max_score) for s in book.assignment_submissions(NAME)}
    # 2 + 2 by the checks; the open question's 3 are the teacher's to give.
    assert points == {"all": (4, 7), "half": (2, 7), "none": (0, 7)}
    told = command("validate", str(course / "submitted" / "all" / NAME / f"{NAME}.ipynb"))
    assert "Success! Your notebook passes all the tests." in told
