"""Glossary, notation, links between notebooks, and the tag of what a student need not see."""

import html
import json
import math
import re

import jupytext
import nbformat
import pytest

from imap_keras import datasets, regions
from imap_keras.course.runner import NOTEBOOKS

SOURCES = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))
GLOSSARY = (NOTEBOOKS / "glossary.md").read_text()
NOTATION = (NOTEBOOKS / "notation.md").read_text()
TERMS = re.findall(r"^- \*\*(.+?)\*\*", GLOSSARY, flags=re.MULTILINE)
ACRONYM = r"\b[A-Za-z]*[A-Z]{2,}[A-Za-z]*\b"


def words_of_data() -> set[str]:
    """Names of genes, cells and regions: data, not words of the course."""
    demo, names = datasets.demo(), set()
    for part in ("cortex", "subcortex"):
        pairs = regions.homologous_pairs(part)
        names |= {word for text in pairs.to_numpy().ravel() for word in re.findall(r"\w+", str(text))}
    genes = set(re.findall(ACRONYM, " ".join(demo.var_names)))
    return names | genes | set(re.findall(ACRONYM, " ".join(demo.obs_names)))


def acronyms_of_tables() -> dict[str, str]:
    """Acronyms in the heads of rows and columns that a notebook prints, and one notebook that does."""
    found = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", ()):
                heads = re.findall(r"<th[^>]*>(.*?)</th>", output.get("data", {}).get("text/html", ""))
                found |= {w: path.stem for w in re.findall(ACRONYM, html.unescape(" ".join(heads)))}
    return found


def test_glossary_has_sixty_terms_in_order_each_with_its_notebook():
    assert len(TERMS) >= 60
    assert sorted(TERMS, key=str.lower) == TERMS
    numbers = {path.stem[:2] for path in SOURCES}
    for entry in re.findall(r"^- \*\*.+?(?=^- |\Z)", GLOSSARY, flags=re.MULTILINE | re.DOTALL):
        (number,) = re.findall(r"\((\d\d)\)\s*$", entry)
        assert number in numbers, entry


def test_every_acronym_of_a_table_is_in_the_glossary():
    data, known = words_of_data(), set(re.findall(r"\w+", GLOSSARY))
    unknown = {w: n for w, n in acronyms_of_tables().items() if w not in known | data}
    assert {"BRAS", "KBET", "PCR"} <= set(acronyms_of_tables())
    assert not unknown


def test_code_names_of_the_notation_are_used_in_the_library():
    rows = [line.split("|") for line in NOTATION.splitlines() if line.startswith("| $")]
    assert len(rows) >= 25
    library = "\n".join(p.read_text() for p in (NOTEBOOKS.parent / "imap_keras").rglob("*.py"))
    names = {name for row in rows for name in re.findall(r"`(\w+)`", row[-3])}
    assert [name for name in names if not re.search(rf"\b{name}\b", library)] == []


# Notebooks that are linked to their neighbours and have their plumbing marked.
NOT_YET = ("12",)
LINKED = [path for path in SOURCES if path.stem[:2] not in NOT_YET]


@pytest.mark.parametrize("source", LINKED, ids=lambda path: path.stem)
def test_first_cell_links_to_neighbours_and_to_the_words(source):
    opening = jupytext.read(source, fmt="py:percent").cells[0].source
    linked = re.findall(r"\]\(([\w.]+)\)", opening)
    place = SOURCES.index(source)
    beside = [
        p.with_suffix(".ipynb").name for p in SOURCES[max(place - 1, 0) : place + 2] if p != source
    ]
    assert set(linked) >= {*beside, "glossary.md", "notation.md"}


@pytest.mark.parametrize("source", LINKED, ids=lambda path: path.stem)
def test_what_a_student_need_not_see_is_tagged(source):
    for cell in jupytext.read(source, fmt="py:percent").cells:
        plumbing = re.search(r"results\.add\(|= Results\(|^versions_table\(\)", cell.source, re.M)
        if cell.cell_type == "code" and plumbing:
            assert "plumbing" in cell.metadata.get("tags", []), cell.source


def test_links_of_the_course_lead_somewhere():
    pages = [(p.name, p.read_text()) for p in (NOTEBOOKS / "glossary.md", NOTEBOOKS / "notation.md")]
    for source in SOURCES:
        cells = jupytext.read(source, fmt="py:percent").cells
        pages += [(source.stem, c.source) for c in cells if c.cell_type == "markdown"]
    for page, text in pages:
        for target in re.findall(r"\]\(([\w.]+\.(?:md|ipynb))\)", text):
            assert (NOTEBOOKS / target).exists(), (page, target)


# What notebooks call, by the name of its row in data/README.md.
OF_ROW = {
    "simulated": ["simulate"],
    "simulate_modalities": ["simulate_modalities"],
    "simulate_interactions": ["simulate_interactions"],
    "simulate_manifold": ["simulate_manifold"],
    "simulate_file": ["simulate_file"],
    "sc_mixology": ["sc_mixology"],
    "inclust_plus": ["surface_protein", "merfish_scrna"],
    "scgem": ["scgem"],
    "snareseq": ["snareseq"],
    "cbmc_protein": ["cbmc_protein"],
}


def users(functions: list[str]) -> list[str]:
    """Numbers of the notebooks that use one of these data sets."""
    names = "|".join(functions)
    used = rf'datasets\.(?:{names})\b|Settings\("(?:{names})"'
    return [source.stem[:2] for source in SOURCES if re.search(used, source.read_text())]


def minutes_said(source) -> float:
    """Minutes at the head of a notebook."""
    head = " ".join(jupytext.read(source, fmt="py:percent").cells[0].source.split())
    said = re.search(r"\*\*Time\*\* on two cores: about (half a|[\d.]+) minute", head)[1]
    return 0.5 if said == "half a" else float(said)


def seconds_taken(source) -> float:
    """Seconds of the committed run, on a machine that is faster than most laptops."""
    return json.loads((NOTEBOOKS / "results" / f"{source.stem}.json").read_text())["seconds"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_minutes_at_the_head_are_those_of_the_committed_run_or_up_to_two_and_a_half_times(source):
    seconds = seconds_taken(source)
    halves = math.ceil(2.5 * seconds / 30)
    assert seconds <= 60 * minutes_said(source) <= 30 * halves


def test_minutes_of_the_readme_hold_the_sums_of_the_notebooks():
    text = (NOTEBOOKS.parent / "README.md").read_text()
    ranges = re.search(r"the core, (\d+) to (\d+) minutes; all (\d+) to (\d+)\)", text).groups()
    for low, high, sources in ((*ranges[:2], SOURCES[:8]), (*ranges[2:], SOURCES)):
        assert sum(map(seconds_taken, sources)) <= 60 * int(high) / 1.5
        assert int(low) <= sum(map(minutes_said, sources)) <= int(high)


def test_the_page_of_data_says_which_notebooks_use_them():
    page = (NOTEBOOKS.parent / "data" / "README.md").read_text()
    for name, functions in OF_ROW.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*\| ([\d, -]*) \|$", page, flags=re.MULTILINE)
        assert row.split(", ") == users(functions), name


def test_the_readme_says_which_notebooks_need_no_download():
    fetched = ["sc_mixology", "inclust_plus", "scgem", "snareseq", "cbmc_protein"]
    need = users([function for name in fetched for function in OF_ROW[name]])
    readme = " ".join((NOTEBOOKS.parent / "README.md").read_text().split())
    assert need == ["07", "10", "11", "13", "14", "15"]
    assert "07, 10, 11 and 13-15 fetch 15 MB once" in readme
    assert "Notebooks 00-06, 08, 09, 12 and 16-19 need no download" in readme
