"""The book: its links, its names, its words, and its pages in a browser. ``make book`` builds it."""

import doctest
import functools
import html
import importlib
import json
import pkgutil
import re
import threading
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import imap_keras

pytest.importorskip("sphinx", reason="sphinx is not installed: make book")

ROOT = Path(__file__).parent.parent
DOCS, BOOK = ROOT / "docs", ROOT / "build" / "book"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
CITED = r"(?<!\w, )\b[A-ZÀ-Þ][\w-]+(?: et al\.| and [A-Z]\w+)[^.;()]{0,60}?[\s(](?:19|20)\d\d\b"


class Page(HTMLParser):
    """What of a page matters here: its anchors, its links, what it loads."""

    def __init__(self, path: Path):
        super().__init__()
        self.path, self.ids, self.links, self.loaded, self.folds = path, {""}, [], [], 0
        self.titles: dict[str, str] = {}
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids.add(given.get("id") or given.get("name") or "")
        self.folds += tag == "details"
        if "src" in given:
            self.loaded.append(given["src"])
        elif tag == "link":
            self.loaded.append(given["href"])
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])
            self.titles[given.get("title", "")] = given["href"]


@pytest.fixture(scope="module")
def built() -> dict[Path, Page]:
    """Pages of the book, by path."""
    done = ROOT / "build" / "book-work" / "done"
    if not done.is_file():
        pytest.skip("no book here: make book")
    sources = [*ROOT.glob("*.md"), *NOTEBOOKS, *DOCS.iterdir(), *(ROOT / "imap_keras").rglob("*.py")]
    newer = [path for path in sources if path.is_file() and path.stat().st_mtime > done.stat().st_mtime]
    if newer:
        pytest.skip(f"the book is older than {newer[0].relative_to(ROOT)}: make book")
    return {path: Page(path) for path in sorted(BOOK.rglob("*.html"))}


@pytest.fixture
def docs(monkeypatch):
    """Import a module of docs/ by its name."""
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module


# ------------------------------------------------------------------ as files


def test_every_link_inside_leads_to_a_page_and_a_place_in_it(built):
    dead = []
    for path, page in built.items():
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme or link.startswith("//"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            known = built[target].ids if target in built else {""}
            if not target.is_file() or (place not in known and path.name != "search.html"):
                dead.append((path.relative_to(BOOK).as_posix(), link))
    assert len(built) > 40
    assert dead == []


def test_pages_load_nothing_from_elsewhere(built):
    for path, page in built.items():
        elsewhere = [address for address in page.loaded if re.match(r"(\w+:)?//", address)]
        assert elsewhere == [], path
    for path in BOOK.rglob("*.css"):
        assert not re.search(r"(url\(|@import )[\"']?(\w+:)?//", path.read_text()), path


def packages():
    modules = pkgutil.walk_packages(imap_keras.__path__, "imap_keras.")
    for name in ["imap_keras", *(m.name for m in modules if m.ispkg)]:
        yield name, getattr(importlib.import_module(name), "__all__", [])


def test_every_public_name_is_on_the_page_of_its_package_and_leads_to_its_text(built):
    counted = 0
    for package, names in packages():
        unit = ".".join(package.split(".")[:2]).rpartition(".")[2]
        page = built[BOOK / "api" / f"{unit}.html"]
        for name in names:
            written = getattr(getattr(importlib.import_module(package), name), "__name__", name)
            found = [a for title, a in page.titles.items() if title.split(".")[-1] in (name, written)]
            assert any("#" in address for address in found), f"{package}.{name}"
            counted += 1
    assert counted > 120


def test_notebooks_follow_one_another(built):
    pages = [BOOK / "notebooks" / f"{path.stem}.html" for path in NOTEBOOKS]
    for page, following in zip(pages[:-1], pages[1:], strict=True):
        text = page.read_text()
        assert f'<link rel="next" title="{following.stem[:2]} ·' in text, page
        assert f'<link rel="prev" title="{page.stem[:2]} ·' in following.read_text(), page


def test_plumbing_solutions_and_rubrics_are_folded(built):
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text())["cells"]
        tags = [tag for cell in cells for tag in cell["metadata"].get("tags", [])]
        page = built[BOOK / "notebooks" / f"{path.stem}.html"]
        assert page.folds == sum(tags.count(name) for name in ("plumbing", "exercise", "rubric")), path


# ------------------------------------------------------------- words, papers


@pytest.mark.parametrize("module", ["words", "names"])
def test_examples_of_the_books_own_modules_run(docs, module):
    failed, tried = doctest.testmod(docs(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert (failed, tried > 3) == (0, True)


def test_the_glossary_is_read_whole(docs):
    text = (ROOT / "notebooks" / "glossary.md").read_text()
    entries = docs("words").glossary(text)
    assert len(entries) == len(re.findall(r"^- \*\*", text, re.M))
    assert (["positive", "negative"], "00") in [(terms, number) for terms, _, number in entries]


def test_every_paper_that_is_cited_is_in_the_bibliography(docs):
    words, parse = docs("words"), importlib.import_module("pybtex.database").parse_file
    entries = parse(DOCS / "references.bib").entries.values()
    known = [(words.surname_of(entry), entry.fields["year"]) for entry in entries]
    assert len(set(known)) == len(known), "two papers of one name and year cannot be told apart"
    pattern = "|".join(words.pattern_of_paper(*paper) for paper in known)
    sources = [
        *(ROOT / "imap_keras").rglob("*.py"),
        *(ROOT / "notebooks").glob("*.py"),
        ROOT / "README.md",
    ]
    text = " ".join(re.sub(r"\s*\n\s*(# )?", " ", path.read_text()) for path in sources)
    cited = re.findall(CITED, text)
    assert len(cited) > 60
    assert [paper for paper in cited if not re.match(pattern, paper + ")")] == []


# -------------------------------------------------------------- in a browser


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def served(built):
    """Address of the book on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(BOOK)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def tab(browser):
    """A narrow window that keeps what its console says and what it asks for."""
    page = browser.new_page(viewport={"width": 400, "height": 800})
    page.set_default_timeout(180_000)  # other tests may want the cores, too
    page.said, page.asked = [], []
    page.on("console", lambda line: line.type in ("error", "warning") and page.said.append(line.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    page.close()


LOOK = """async () => {
  if (window.MathJax) await MathJax.startup.promise;
  await Promise.all([...document.images].map(image => {
    image.loading = "eager";
    return image.decode().catch(() => null);
  }));
  return {
    unloaded: [...document.images].filter(image => !image.naturalWidth).map(image => image.src),
    nameless: [...document.images].filter(image => !image.alt).map(image => image.src),
    images: document.images.length,
    formulas: document.querySelectorAll(".math").length,
    set: document.querySelectorAll(".math mjx-container").length,
    wrong: document.querySelectorAll("mjx-merror, [data-mml-node=merror]").length,
    wide: document.documentElement.scrollWidth,
  };
}"""


def test_every_page_loads_in_a_narrow_window(built, served, tab):
    seen = {}
    for path in built:
        place = path.relative_to(BOOK).as_posix()
        tab.goto(served + place)
        seen[place] = looked = tab.evaluate(LOOK)
        assert tab.said == [], place
        assert looked["unloaded"] == [], place
        assert looked["nameless"] == [], place
        assert (looked["set"], looked["wrong"]) == (looked["formulas"], 0), place
        assert looked["wide"] <= 400, (place, looked["wide"])
    assert [url for url in tab.asked if not url.startswith((served, "data:"))] == []
    assert seen["notebooks/00_tour.html"]["images"] >= 5
    assert seen["notebooks/05_stage_two.html"]["formulas"] >= 10


def test_search_finds_the_gradient_penalty(served, tab):
    tab.goto(served + "search.html?q=gradient+penalty")
    tab.wait_for_selector("#search-results ul.search li")
    tab.wait_for_function("document.querySelector('.search-summary').textContent.match(/\\d/)")
    found = [a.get_attribute("href") for a in tab.query_selector_all("ul.search li a")]
    assert any("05_stage_two" in address for address in found)
    assert tab.said == []


def test_a_word_says_what_it_means(docs, served, tab):
    tab.goto(served + "notebooks/05_stage_two.html")
    word = tab.query_selector('a.word[href$="#term-gradient-penalty"]')
    entries = docs("words").glossary((ROOT / "notebooks" / "glossary.md").read_text())
    meaning = next(text for terms, text, _ in entries if terms == ["gradient penalty"])
    assert word.text_content() == "gradient penalty"
    assert html.unescape(word.get_attribute("title")) == meaning
    word.click()
    assert tab.url.endswith("glossary.html#term-gradient-penalty")
