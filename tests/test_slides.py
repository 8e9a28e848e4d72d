"""Slides show every figure of the course with what to see on it, and need no network."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from imap_keras.course.slides import SEE, page, slides_of, write_slides

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("[0-9][0-9]_*.ipynb"))
OVERFULL = """() => [...document.querySelectorAll("section")].map((slide, number) => {
  const shown = slide.querySelector(".shown"), picture = slide.querySelector(".shown > img");
  const small = picture && picture.getBoundingClientRect().height < 60;
  const over = slide.scrollHeight > slide.clientHeight || slide.scrollWidth > slide.clientWidth ||
    shown.scrollHeight > shown.clientHeight + 1;
  return [number + 1, small, over];
}).filter(([_, small, over]) => small || over)"""
SHOWN = """() => [...document.querySelectorAll("section")].findIndex(slide =>
  Math.abs(slide.getBoundingClientRect().top) < 5)"""


def cell(*shown: str):
    """A code cell that shows figures and tables of these names."""
    outputs = []
    for name in shown:
        data = {"text/html": f"<table><td>{name}</td></table>"}
        if not name.startswith("table"):
            data = {"image/png": name}
        outputs.append(new_output("display_data", data, metadata={"image/png": {"alt": f"<{name}>"}}))
    return new_code_cell("pass", outputs=outputs)


def see(text: str):
    return new_markdown_cell(f"**{SEE}:** {text}")


def heading(text: str):
    return new_markdown_cell(f"## {text}")


def pairs(*cells) -> list[tuple[str, str]]:
    """Which figure or table comes with which words."""
    found = []
    for slide in slides_of(new_notebook(cells=[new_markdown_cell("# 00 · One\n\nHello."), *cells]))[1:]:
        (name,) = re.findall(r"base64,(\w+)|<td>(\w+)", slide.shown)
        found.append(("".join(name), slide.said.removeprefix(f"**{SEE}:** ")))
    return found


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([see("of a"), cell("a")], [("a", "of a")]),
        ([cell("a"), see("of a"), cell("b")], [("a", "of a"), ("b", "")]),
        ([cell("a"), cell("table"), see("of a")], [("a", "of a")]),
        ([cell("table"), see("of a"), cell("a")], [("a", "of a")]),
        ([cell("a"), cell(), see("of b"), cell("b")], [("a", ""), ("b", "of b")]),
        ([see("of a"), cell("a"), see("of b"), cell("b")], [("a", "of a"), ("b", "of b")]),
        ([cell("table"), see("of it"), heading("next"), cell("a")], [("table", "of it"), ("a", "")]),
        ([cell("table"), see("of it"), see("of a"), cell("a")], [("table", "of it"), ("a", "of a")]),
        ([cell("a", "b"), see("of both")], [("a", ""), ("b", "of both")]),
        ([cell("a"), see("of a"), cell("b"), cell(), see("of b")], [("a", "of a"), ("b", "of b")]),
    ],
)
def test_words_go_to_what_they_speak_of(cells, expected):
    assert pairs(*cells) == expected


def test_words_on_printed_numbers_are_a_slide_of_their_own():
    cells = [
        new_markdown_cell("# 1\n\nHello."),
        heading("x"),
        cell(),
        see("it"),
        heading("y"),
        cell("a"),
    ]
    made = slides_of(new_notebook(cells=cells))
    assert [(slide.heading, slide.shown[:4], slide.said) for slide in made[1:]] == [
        ("x", "", f"**{SEE}:** it"),
        ("y", "<img", ""),
    ]


def test_a_slide_has_its_heading_and_what_was_learnt_is_the_last():
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# 07 · Real\n\n**You will learn** much.\n\n[06](06.ipynb) ←"),
            heading("Scores"),
            cell("a"),
            new_markdown_cell("## What was learnt\n\nMuch."),
        ]
    )
    made = slides_of(notebook)
    assert [slide.heading for slide in made] == ["07 · Real", "Scores", "What was learnt"]
    assert [slide.said for slide in made] == ["**You will learn** much.", "", "Much."]
    assert made[1].shown == '<img alt="&lt;a&gt;" src="data:image/png;base64,a">'


def test_formulas_are_pictures_and_links_are_words():
    text = page(
        slides_of(new_notebook(cells=[new_markdown_cell("# 1\n\nThe $x^2$ of [04](04.ipynb).")])), "x"
    )
    assert 'alt="x^2" src="data:image/svg+xml;base64,' in text
    assert "$" not in re.sub(r"(?s)<(style|script)>.*?</\1>", "", text)
    assert "The <img" in text and "of 04." in text and "href" not in text.partition("<section")[2]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
def test_every_figure_and_all_that_is_said_of_one_is_on_a_slide(path):
    notebook = nbformat.read(path, as_version=4)
    made = slides_of(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    figures = sum("image/png" in output.get("data", {}) for output in outputs)
    assert sum("<img" in slide.shown for slide in made) == figures >= 1
    assert [slide.heading for slide in made if '<img alt=""' in slide.shown] == []
    told = sum(SEE in cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert sum(SEE in slide.said for slide in made) == told
    assert [slide.heading for slide in made if slide.said.startswith("#")] == []
    assert made[-1].heading == "What was learnt"


def test_slides_fit_a_projector_and_the_keys_lead_on(browser, tmp_path):
    for path in write_slides(tmp_path / "slides"):
        tab = browser.new_page(viewport={"width": 1280, "height": 720})
        said, asked = [], []
        tab.on("console", lambda line, said=said: said.append(line.text))
        tab.on("pageerror", lambda error, said=said: said.append(str(error)))
        tab.on("request", lambda request, asked=asked: asked.append(request.url))
        tab.goto(path.as_uri())
        assert tab.evaluate(OVERFULL) == [], path.name
        for key, there in (("ArrowRight", 1), (" ", 2), ("ArrowLeft", 1)):
            tab.keyboard.press(key)
            tab.wait_for_function(f"({SHOWN})() === {there}")
        assert said == [], path.name
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        tab.close()


def test_where_there_are_no_notebooks_it_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="There are no notebooks in .*; run from a clone."):
        write_slides(tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()
