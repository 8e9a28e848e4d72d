"""Slides of the course's figures and tables: ``python -m imap_keras.course --slides``.

A slide is what a notebook shows and what it says is to be seen there. Each notebook gives one page
that needs no network: a click, the arrows or the space bar lead on, and a browser prints it as a PDF, a
slide a sheet. Pages come from the committed notebooks, so slides and course cannot differ.
"""

import argparse
import base64
import html
import io
import re
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import nbformat
from matplotlib.mathtext import math_to_image
from nbconvert.filters import markdown2html
from nbformat import NotebookNode

from ..nn.persistence import write_whole
from .runner import DONE, NOTEBOOKS, WRONG_CALL

HEADING, SEE = re.compile(r"^##? (.+)$", re.M), "What to see"
STYLE = """
html { scroll-snap-type: y mandatory; font: 20px/1.35 system-ui, sans-serif; color: #222; }
body { margin: 0; }
section { height: 100vh; box-sizing: border-box; padding: 3vh 4vw; scroll-snap-align: start;
  display: flex; flex-direction: column; gap: 2vh; page-break-after: always; overflow: hidden; }
h1 { font-size: 1.5em; margin: 0; } h2 { font-size: 1.2em; margin: 0; }
.shown { flex: 1 1 auto; min-height: 0; display: flex; justify-content: center; align-items: center; }
.shown:empty { display: none; }
.shown > img { width: 100%; height: 100%; object-fit: contain; }
.said { flex: 0 0 auto; font-size: 0.85em; } .said p, .said ul { margin: 0.2em 0; }
.shown:empty + .said { flex: 1 0 auto; font-size: 1.1em; }
.said img { height: 1.1em; vertical-align: -0.2em; }
table { border-collapse: collapse; font-size: 0.8em; }
td, th { padding: 0.2em 0.7em; text-align: right; }
footer { font-size: 0.6em; color: #666; }
@page { size: 297mm 167mm; margin: 0; }
"""
MOVE = """
const slides = [...document.querySelectorAll("section")];
const here = () => slides.findIndex(slide => slide.getBoundingClientRect().bottom > innerHeight / 2);
const go = step => slides[Math.min(Math.max(here() + step, 0), slides.length - 1)].scrollIntoView();
const STEPS = {ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1,
  ArrowLeft: -1, ArrowUp: -1, PageUp: -1};
addEventListener("keydown", event => {
  if (event.key in STEPS) { event.preventDefault(); go(STEPS[event.key]); }
});
addEventListener("click", event => { if (!event.target.closest("a")) go(1); });
"""


@dataclass
class Slide:
    """One slide: its heading, what is shown (HTML of a figure or table), what is said (Markdown)."""

    heading: str
    shown: str = ""
    said: str = ""


def figures(cell: NotebookNode) -> list[str]:
    """HTML of the figures that a cell drew, with their alternative texts.

    Examples
    --------
    >>> import nbformat
    >>> from imap_keras.course.slides import figures
    >>> figures(nbformat.v4.new_markdown_cell("no figure"))
    []
    """
    found = []
    for output in cell.get("outputs", ()):
        picture = output.get("data", {}).get("image/png")
        if picture:
            alt = output["metadata"].get("image/png", {}).get("alt", "")
            picture = picture.replace("\n", "")
            found.append(f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{picture}">')
    return found


def table(cell: NotebookNode) -> str:
    """HTML of the last table that a cell shows, or nothing.

    Examples
    --------
    >>> import nbformat
    >>> from imap_keras.course.slides import table
    >>> table(nbformat.v4.new_code_cell("1 + 1"))
    ''
    """
    tables = [output.get("data", {}).get("text/html", "") for output in cell.get("outputs", ())]
    return next(
        (re.sub(r"(?s)<style.*?</style>", "", t) for t in reversed(tables) if "<table" in t), ""
    )


def shown_by(cells: list[NotebookNode], place: int, claimed: dict[int, str]) -> int | None:
    """Which cell shows what the text at `place` speaks of.

    The figure just before it that nothing else speaks of, with or without a table between; else the
    next figure; else the last table; else a figure before it. A heading is not crossed, nor another
    such text.

    Examples
    --------
    >>> import nbformat
    >>> from imap_keras.course.slides import shown_by
    >>> shown_by([nbformat.v4.new_markdown_cell("**What to see:** nothing")], 0, {}) is None
    True
    """
    before = list(takewhile(lambda at: not titled(cells[at]), range(place - 1, -1, -1)))
    for at in takewhile(lambda at: figures(cells[at]) or table(cells[at]), before):
        if figures(cells[at]) and at not in claimed:
            return at
    after = takewhile(lambda at: not titled(cells[at]), range(place + 1, len(cells)))
    found = [at for at in after if figures(cells[at]) and not starts_late(cells[place])][:1]
    found += [at for at in before if table(cells[at])][:1]
    found += [at for at in before if figures(cells[at]) and at not in claimed][:1]
    return found[0] if found else None


def starts_late(cell: NotebookNode) -> bool:
    """Whether a new section begins within a text, so that what follows belongs to that."""
    return "\n## " in cell.source


def titled(cell: NotebookNode) -> bool:
    """Whether a cell begins a section, or speaks of a figure of its own."""
    starts = cell.source.startswith("#") or SEE in cell.source
    return cell.cell_type == "markdown" and bool(starts)


def slides_of(notebook: NotebookNode) -> list[Slide]:
    """The title, each figure with what to see on it, tables that are spoken of, what was learnt.

    Parameters
    ----------
    notebook
        Executed, outputs in.

    Examples
    --------
    >>> import nbformat
    >>> from imap_keras.course.slides import slides_of
    >>> title = nbformat.v4.new_markdown_cell("# 00 · Tour\\n\\nHello.")
    >>> slides_of(nbformat.v4.new_notebook(cells=[title]))
    [Slide(heading='00 · Tour', shown='', said='Hello.')]
    """
    cells, said = notebook.cells, {}
    for place, cell in enumerate(cells):
        if cell.cell_type == "markdown" and SEE in cell.source:
            words = cell.source.partition("\n## ")[0] if starts_late(cell) else cell.source
            shown = shown_by(cells, place, said)
            said[place if shown is None else shown] = re.sub(r"(?m)^## .*$", "", words).strip()
    made, heading = [], ""
    for place, cell in enumerate(cells):
        if cell.cell_type == "code":
            pictures = figures(cell) or [table(cell)] * (place in said)
            made += [Slide(heading, picture) for picture in pictures]
            if pictures:
                made[-1].said = said.get(place, "")
            continue
        titles = HEADING.findall(cell.source)
        heading = titles[-1] if titles else heading
        if titles and not made:
            # The last paragraph leads to the neighbours of the notebook.
            words = cell.source.partition("\n")[2].strip().split("\n\n")
            made.append(Slide(heading, said="\n\n".join(words[:-1] or words)))
        elif place in said:  # of numbers that were printed
            made.append(Slide(heading, said=said[place]))
        elif titles and heading == "What was learnt":
            made.append(Slide(heading, said=cell.source.partition(heading)[2].strip()))
    return made


def formula(match: re.Match) -> str:
    """One formula as a small picture, since no script for them can be fetched."""
    file = io.BytesIO()
    math_to_image(match[0].replace(r"\lVert", r"\|").replace(r"\rVert", r"\|"), file, format="svg")
    picture = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{html.escape(match[1])}" src="data:image/svg+xml;base64,{picture}">'


def page(slides: list[Slide], name: str) -> str:
    """One page of slides that needs nothing but itself.

    Parameters
    ----------
    slides
        In order, the title first.
    name
        File name of the notebook, for the foot of each slide.

    Examples
    --------
    >>> from imap_keras.course.slides import Slide, page
    >>> page([Slide("00 · Tour", said="Hello.")], "00_tour").count("<section")
    1
    """
    sections = []
    for number, slide in enumerate(slides):
        words = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", slide.said)  # there is nothing to follow here
        said = markdown2html(re.sub(r"\$([^$\n]+)\$", formula, words)) if words else ""
        level = "h2" if number else "h1"
        sections.append(
            f"<section><{level}>{html.escape(slide.heading)}</{level}>"
            f'<div class="shown">{slide.shown}</div><div class="said">{said}</div>'
            f"<footer>{name} · {number + 1} of {len(slides)}</footer></section>"
        )
    title = html.escape(slides[0].heading)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<link rel="icon" href="data:,"><style>{STYLE}</style>{"".join(sections)}'
        f"<script>{MOVE}</script></html>"
    )


def write_slides(folder: Path, notebooks: Path = NOTEBOOKS) -> list[Path]:
    """Write a page of slides for each committed notebook.

    Parameters
    ----------
    folder
        Made if it is not there; pages of the same names are replaced.
    notebooks
        Folder of the executed notebooks.

    Returns
    -------
    list of Path
        The pages.

    Raises
    ------
    FileNotFoundError
        There are no notebooks (a wheel holds the library only).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from imap_keras.course.slides import write_slides
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_slides(Path(folder))
    >>> written[0].name
    '00_tour.html'
    """
    found, written = sorted(notebooks.glob("[0-9][0-9]_*.ipynb")), []
    if not found:
        raise FileNotFoundError(f"There are no notebooks in {notebooks}; run from a clone.")
    folder.mkdir(parents=True, exist_ok=True)
    for source in found:
        text = page(slides_of(nbformat.read(source, as_version=4)), source.stem)
        written.append(folder / f"{source.stem}.html")
        write_whole(written[-1], lambda to, text=text: to.write_text(text, encoding="utf-8"))
    return written


def main(arguments: list[str] | None = None) -> int:
    """Write the slides; returns 0, or 2 for a wrong call."""
    parser = argparse.ArgumentParser(
        prog="python -m imap_keras.course", description="Slides of the figures of all notebooks."
    )
    parser.add_argument("--slides", action="store_true", required=True)
    parser.add_argument("--output-dir", type=Path, default=Path("build/slides"))
    parser.add_argument("--notebooks", type=Path, default=NOTEBOOKS, help="folder of the notebooks")
    options = parser.parse_args(arguments)
    folder = options.output_dir.expanduser()
    try:
        written = write_slides(folder, options.notebooks.expanduser())
    except OSError as error:
        print(f"{parser.prog}: {error}")
        return WRONG_CALL
    print(f"Slides of {len(written)} notebooks are in {folder}.")
    return DONE
