"""Editions of the course, made from its sources: ``python -m imap_keras.course --edition student``."""

import argparse
import re
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from ..nn.persistence import write_whole
from .exercises import find
from .runner import DONE, NOTEBOOKS, WRONG_CALL

SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION$", re.M | re.S)
CODE_STUB, TEXT_STUB = "# Write your lines here.\npass", "*Write your answer here.*"
CONFIG = f'''"""What nbgrader needs to know: a cell that is not answered must not stop the notebook."""

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "imap_keras"
c.ClearSolutions.code_stub = {{"python": {CODE_STUB!r}}}
c.ClearSolutions.text_stub = {TEXT_STUB!r}
c.Execute.timeout = 600
'''


def is_tagged(cell: NotebookNode, tag: str) -> bool:
    """Say whether a cell carries a tag.

    Examples
    --------
    >>> import nbformat
    >>> from imap_keras.course.edition import is_tagged
    >>> is_tagged(nbformat.v4.new_markdown_cell("", metadata={"tags": ["rubric"]}), "rubric")
    True
    """
    return tag in cell.metadata.get("tags", [])


def without_solution(source: str) -> str:
    """Return a cell's source with a stub in place of what is between the marks.

    Examples
    --------
    >>> from imap_keras.course.edition import without_solution
    >>> source = "guess = None\\n### BEGIN SOLUTION\\nguess = 3\\n### END SOLUTION"
    >>> without_solution(source).splitlines()
    ['guess = None', '# Write your lines here.', 'pass']
    """
    return SOLUTION.sub(lambda match: textwrap.indent(CODE_STUB, match[1]), source)


def student(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Cells as a student gets them: no solution, no rubric, plumbing folded.

    Examples
    --------
    >>> from imap_keras.course.edition import student
    >>> student([])
    []
    """
    for cell in cells:
        if is_tagged(cell, "exercise"):
            cell.source = without_solution(cell.source)
        elif is_tagged(cell, "rubric"):
            cell.source = TEXT_STUB
        elif is_tagged(cell, "parameters"):  # a folder beside the notebooks, wherever they are copied
            cell.source = re.sub(r"(?m)^(output_dir = ).*$", r'\1"course"', cell.source)
        elif is_tagged(cell, "plumbing"):
            cell.metadata["jupyter"] = {"source_hidden": True}
    return cells


def teacher(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Cells with solutions, and behind each exercise its points, minutes and hints.

    Examples
    --------
    >>> from imap_keras.course.edition import teacher
    >>> teacher([])
    []
    """
    made, waiting = [], None
    for cell in cells:
        made.append(cell)
        if is_tagged(cell, "exercise"):
            waiting = cell.metadata
        elif is_tagged(cell, "rubric"):
            cell.source = f"{_head(cell.metadata)} Rubric:\n\n{cell.source}"
        elif is_tagged(cell, "check") and waiting:
            hints = dict.fromkeys(f"- {trial.hint}" for trial in find(waiting["exercise"]).trials)
            text = "\n".join([f"{_head(waiting)} What a wrong answer is told:", "", *hints])
            made.append(new_markdown_cell(text, metadata={"tags": ["hints"]}))
            waiting = None
    asked = [c.metadata for c in cells if "exercise" in c.metadata]
    if asked:
        points, minutes = (sum(cell[name] for cell in asked) for name in ("points", "minutes"))
        made[
            0
        ].source += (
            f"\n\n**Teacher's edition.** {len(asked)} exercises, {points} points, {minutes} minutes."
        )
    return made


def _head(asked: dict) -> str:
    return (
        f"**For the teacher: {asked['exercise']}**, level {asked['level']}, "
        f"{asked['points']} points, {asked['minutes']} minutes."
    )


def nbgrader(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Cells as nbgrader's source: solutions in, which it takes out itself; ids, points and locks.

    Examples
    --------
    >>> from imap_keras.course.edition import nbgrader
    >>> nbgrader([])
    []
    """
    waiting = None
    for cell in cells:
        if is_tagged(cell, "exercise"):
            waiting = cell.metadata
            cell.metadata["nbgrader"] = _graded(cell.metadata["exercise"], solution=True)
        elif is_tagged(cell, "check") and waiting:
            name, points = f"{waiting['exercise']}_check", waiting["points"]
            cell.metadata["nbgrader"] = _graded(name, grade=True, locked=True, points=points)
            waiting = None
        elif is_tagged(cell, "rubric"):
            name, points = cell.metadata["exercise"], cell.metadata["points"]
            cell.metadata["nbgrader"] = _graded(name, grade=True, solution=True, points=points)
    return cells


def _graded(grade_id: str, grade=False, solution=False, locked=False, **points: int) -> dict:
    kinds = {"grade": grade, "solution": solution, "locked": locked, "task": False}
    return {"grade_id": grade_id, **kinds, **points, "schema_version": 3}


EDITIONS: dict[str, Callable] = {"student": student, "teacher": teacher, "nbgrader": nbgrader}


def make_edition(source: Path, edition: str) -> NotebookNode:
    """Make one notebook of an edition, without outputs.

    Parameters
    ----------
    source
        The percent-format ``NN_title.py``.
    edition
        ``"student"``, ``"teacher"`` or ``"nbgrader"``.

    Examples
    --------
    >>> from imap_keras.course.edition import make_edition
    >>> from imap_keras.course.runner import NOTEBOOKS
    >>> notebook = make_edition(NOTEBOOKS / "02_building_blocks.py", "student")
    >>> sum("# Write your lines here." in cell.source for cell in notebook.cells)
    2
    """
    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata.pop("jupytext", None)
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.cells = EDITIONS[edition](notebook.cells)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem[:2]}-{number:03d}"
    return notebook


def write_edition(edition: str, folder: Path, sources: Path = NOTEBOOKS) -> list[Path]:
    """Write an edition of all notebooks, with the pages that they link to.

    Parameters
    ----------
    edition
        As :func:`make_edition`. For nbgrader each notebook is an assignment,
        ``source/NN_title/NN_title.ipynb``, beside ``nbgrader_config.py``.
    folder
        Made if it is not there; files of the same names are replaced, others stay.
    sources
        Folder of the sources.

    Returns
    -------
    list of Path
        The notebooks.

    Raises
    ------
    FileNotFoundError
        There are no sources (a wheel holds the library only).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from imap_keras.course.edition import write_edition
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_edition("student", Path(folder))
    >>> written[0].name
    '00_tour.ipynb'
    """
    found, written = sorted(sources.glob("[0-9][0-9]_*.py")), []
    if not found:
        raise FileNotFoundError(f"There are no sources of notebooks in {sources}; run from a clone.")
    for source in found:
        place = folder / "source" / source.stem if edition == "nbgrader" else folder
        place.mkdir(parents=True, exist_ok=True)
        notebook, path = make_edition(source, edition), place / f"{source.stem}.ipynb"
        write_whole(path, lambda to, made=notebook: nbformat.write(made, to))
        written.append(path)
        for page in sorted(sources.glob("*.md")):
            shutil.copyfile(page, place / page.name)
    if edition == "nbgrader":
        (folder / "nbgrader_config.py").write_text(CONFIG)
    return written


def main(arguments: list[str] | None = None) -> int:
    """Write an edition; returns 0, or 2 for a wrong call."""
    parser = argparse.ArgumentParser(
        prog="python -m imap_keras.course",
        description="Make an edition of the course from its sources.",
    )
    parser.add_argument("--edition", choices=EDITIONS, help="student, teacher or nbgrader")
    parser.add_argument(
        "--nbgrader",
        dest="edition",
        action="store_const",
        const="nbgrader",
        help="the same as --edition nbgrader: the folder source/ for nbgrader generate_assignment",
    )
    parser.add_argument("--output-dir", type=Path, help="default: build/ and the name of the edition")
    parser.add_argument("--notebooks", type=Path, default=NOTEBOOKS, help="folder of the sources")
    options = parser.parse_args(arguments)
    folder = (options.output_dir or Path("build") / options.edition).expanduser()
    try:
        written = write_edition(options.edition, folder, options.notebooks.expanduser())
    except OSError as error:
        print(f"{parser.prog}: {error}")
        return WRONG_CALL
    print(f"{len(written)} notebooks of the {options.edition}'s edition are in {folder}.")
    return DONE
