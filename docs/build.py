"""Make the book: ``python docs/build.py`` writes build/book/index.html.

Nothing is listed here: every committed notebook, every page and every module of the library is in the
book. Pages keep their places (``notebooks/04_pairs.ipynb``), so the links between them hold.
"""

import importlib.util
import pkgutil
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from sphinx.cmd.build import build_main

HERE = Path(__file__).parent
ROOT = HERE.parent
BOOK = ROOT / "build" / "book"
WORK = ROOT / "build" / "book-work"
DONE = WORK / "done"  # tests look at no other book than one built without a warning
sys.path[:0] = [str(HERE), str(ROOT)]

from words import glossary  # noqa: E402

from imap_keras.course.edition import without_solution  # noqa: E402

LINK = re.compile(r"\]\(([^)#\s:]+)(#[^)]*)?\)")
# What is shown only to those who open it: tag of a cell -> what the fold says.
FOLDED = {"plumbing": "What the course keeps for its tests", "exercise": "A solution"}
RUBRIC = "<details>\n<summary>What an answer may hold</summary>\n\n{}\n\n</details>"
# Answers of the exercises and the runners are not for reading.
NOT_SHOWN = re.compile(r"\.(nb\d\d|__main__|_\w+)$")


def folded(notebook: NotebookNode) -> NotebookNode:
    """A notebook with its plumbing, solutions and rubrics folded, and a text for each figure."""
    made = []
    for cell in notebook.cells:
        tags, shown = set(cell.metadata.get("tags", [])), {}
        if "exercise" in tags:  # what is asked for stays in sight
            made.append(new_code_cell(without_solution(cell.source)))
        for tag in set(FOLDED) & tags:
            tags.add("hide-cell" if cell.get("outputs") and tag == "plumbing" else "hide-input")
            shown = {"code_prompt_show": FOLDED[tag], "code_prompt_hide": FOLDED[tag]}
        if "rubric" in tags:
            cell.source = RUBRIC.format(cell.source)
        pictures = [
            output.get("metadata", {}).get("image/png", {}) for output in cell.get("outputs", ())
        ]
        texts = [picture["alt"] for picture in pictures if "alt" in picture]
        if texts:
            shown["image"] = {"alt": " ".join(texts)}
        cell.metadata |= {"tags": sorted(tags), "mystnb": shown}
        made.append(cell)
    notebook.cells = made
    return notebook


def glossary_page(text: str) -> str:
    """The glossary as Sphinx reads one, so that its terms can be linked."""
    notebooks = {path.stem[:2]: path.name for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")}
    entries = "\n\n".join(
        "\n".join(terms) + f"\n  {meaning} ([{number}]({notebooks[number]}))"
        for terms, meaning, number in glossary(text)
    )
    return f"{text.partition('- **')[0]}\n::::{{glossary}}\n{entries}\n::::\n"


def units() -> dict[str, list[str]]:
    """Packages of the library, and the public modules of each."""
    modules = [m.name for m in pkgutil.walk_packages([str(ROOT / "imap_keras")], "imap_keras.")]
    found: dict[str, list[str]] = {"imap_keras": []}
    for name in modules:
        if not NOT_SHOWN.search(name):
            found.setdefault(".".join(name.split(".")[:2]), []).append(name)
    return found


def api_page(unit: str, modules: list[str]) -> str:
    """The page of one package: what it offers, then its modules one by one."""
    text = "" if modules == [unit] else part(unit, "=")
    for module in modules:
        text += part(module, "=" if modules == [unit] else "-") if module != unit or not text else ""
    return text


def part(name: str, line: str) -> str:
    """A heading and what is below it: the names that a package offers, or the members of a module."""
    module = importlib.import_module(name)
    text = f"{name}\n{line * len(name)}\n\n.. automodule:: {name}\n"
    if not hasattr(module, "__path__"):
        return text + "   :members:\n   :member-order: bysource\n   :show-inheritance:\n\n"
    offered = getattr(module, "__all__", [])
    if offered:
        text += "\n.. autosummary::\n   :nosignatures:\n\n" + "".join(f"   {n}\n" for n in offered)
    return text + "\n" + "".join(written_nowhere_else(name, n, getattr(module, n)) for n in offered)


def written_nowhere_else(package: str, name: str, thing) -> str:
    """What has no page of its own: a constant, or a thing of a private module that is public here."""
    kind = "class" if isinstance(thing, type) else "function" if callable(thing) else "data"
    if isinstance(thing, ModuleType) or kind != "data" and "._" not in thing.__module__:
        return ""
    return f".. auto{kind}:: {package}.{name}\n\n"


def pages() -> dict[str, str]:
    """Every page of the book by its place."""
    made = {"index.md": (HERE / "index.md").read_text()}
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        made[f"notebooks/{path.name}"] = nbformat.writes(folded(nbformat.read(path, as_version=4)))
    waiting = [
        p
        for folder in ("", "docs", "notebooks", "teach", "benchmarks")
        for p in (ROOT / folder).glob("*.md")
    ]
    while waiting:
        path = waiting.pop()
        place = path.relative_to(ROOT).as_posix()
        if place in made or place == "docs/index.md":
            continue
        made[place] = text = path.read_text()
        linked = [path.parent / target for target, _ in LINK.findall(text) if target.endswith(".md")]
        waiting += [p.resolve() for p in linked if p.is_file()]
    made["notebooks/glossary.md"] = glossary_page(made["notebooks/glossary.md"])
    for unit, modules in units().items():
        made[f"api/{unit.rpartition('.')[2]}.rst"] = api_page(unit, modules)
    return made


def gather(folder: Path) -> None:
    """Write the pages, and beside them the files that they offer; unchanged ones are left alone."""
    made = pages()
    files = {"docs/references.bib": HERE / "references.bib"}
    for place, text in made.items():
        for target, _ in LINK.findall(text) if place.endswith(".md") else ():
            linked = (ROOT / place).parent.joinpath(target).resolve()
            if linked.is_file() and linked.relative_to(ROOT).as_posix() not in made:
                files[linked.relative_to(ROOT).as_posix()] = linked
    for place in {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}:
        if place not in made and place not in files:
            (folder / place).unlink()
    wanted = {place: text.encode() for place, text in made.items()}
    wanted |= {place: path.read_bytes() for place, path in files.items()}  # figures, too
    for place, content in wanted.items():
        target = folder / place
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def copy_mathjax(folder: Path) -> None:
    """Put MathJax beside the pages: what sets formulas, without the part that reads them aloud."""
    package = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent
    kept = shutil.ignore_patterns("sre", "a11y", "mml*", "*svg*", "asciimath*", "node-main.js")
    shutil.copytree(package / "static" / "mathjax", folder, dirs_exist_ok=True, ignore=kept)


def main() -> int:
    """Gather and build; a warning is an error."""
    DONE.unlink(missing_ok=True)
    gather(WORK / "source")
    options = ["-b", "html", "-W", "--keep-going", "-q", "-j", "1", "-c", str(HERE)]
    failed = build_main([*options, "-d", str(WORK / "doctrees"), str(WORK / "source"), str(BOOK)])
    if not failed:
        copy_mathjax(BOOK / "_static" / "mathjax")
        DONE.touch()
        print(f"{BOOK / 'index.html'}: {len(list(BOOK.rglob('*.html')))} pages")
    return failed


if __name__ == "__main__":
    sys.exit(main())
