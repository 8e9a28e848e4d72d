"""Words of the glossary and papers of the bibliography, linked where the pages name them."""

import re
from functools import cache
from pathlib import Path

from docutils import nodes
from pybtex.database import parse_file
from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent
ENTRY = re.compile(
    r"^- \*\*(.+?)\*\*(?: \(also \*\*(.+?)\*\*\))?: (.+?)\((\d\d)\)\s*?(?=^- |\Z)", re.M | re.S
)
# Where a word is a name, part of a link, or set as code, it is left alone.
UNTOUCHED = (nodes.reference, nodes.literal, nodes.literal_block, nodes.math, nodes.title, nodes.raw)
UNTOUCHED += (nodes.math_block, nodes.comment, nodes.thead, nodes.doctest_block)


def glossary(text: str) -> list[tuple[list[str], str, str]]:
    """Entries of the glossary: its terms, what they mean, and the notebook that explains them.

    Examples
    --------
    >>> glossary("- **kBET** (also **KBET**): a share. 1: best. (07)")
    [(['kBET', 'KBET'], 'a share. 1: best.', '07')]
    """
    return [
        ([*terms.split(", "), *([also] if also else [])], " ".join(meaning.split()), number)
        for terms, also, meaning, number in ENTRY.findall(text)
    ]


def pattern_of_term(term: str) -> str:
    """A term as running text has it: in the plural, at the start of a sentence.

    Examples
    --------
    >>> [bool(re.fullmatch(pattern_of_term("anchor"), word)) for word in ("Anchors", "ANCHOR")]
    [True, False]
    >>> bool(re.fullmatch(pattern_of_term("LISI"), "lisi"))
    False
    """
    first = term[0] if term[0].isupper() else f"[{term[0]}{term[0].upper()}]"
    return first + re.escape(term[1:]).replace("\\ ", r"\s+") + "s?"


def pattern_of_paper(surname: str, year: str) -> str:
    """A paper as text cites it: ``Wang et al., Genome Biology 22:63 (2021)``, ``Wang et al. 2021``.

    Examples
    --------
    >>> paper = re.compile(pattern_of_paper("Wang", "2021"))
    >>> paper.search("iMAP (Wang et al., Genome Biology 22:63, 2021) works").group()
    'Wang et al., Genome Biology 22:63, 2021'
    >>> paper.search("as Wang et al. (2021) did").group()
    'Wang et al. (2021)'
    >>> paper.search("Wang et al., Cell 181:936 (2020); Wu et al. 2021")
    """
    others = r"(?:\s+et\s+al\.|(?:,\s+\w+)?\s+and\s+\w+)?"
    return rf"\b{surname}{others},?\s[^.;()]{{0,60}}?(?:\({year}\)|{year}\b)"


def surname_of(entry) -> str:
    """Surname of the first author, as text has it.

    Examples
    --------
    >>> from pybtex.database import Entry, Person
    >>> surname_of(Entry("article", persons={"author": [Person("Wang, Dongfang")]}))
    'Wang'
    """
    return " ".join(entry.persons["author"][0].last_names).strip("{}")


class Words:
    """All that is linked: compiled once for a build."""

    def __init__(self, app: Sphinx):
        text = (ROOT / "notebooks" / "glossary.md").read_text()
        self.meaning = {term: meaning for terms, meaning, _ in glossary(text) for term in terms}
        longest_first = sorted(self.meaning, key=len, reverse=True)
        self.terms = [
            (re.compile(rf"(?<![\w-]){pattern_of_term(t)}(?![\w-])"), t) for t in longest_first
        ]
        entries = parse_file(ROOT / "docs" / "references.bib").entries
        self.papers = [
            (re.compile(pattern_of_paper(surname_of(e), e.fields["year"])), key, e.fields["title"])
            for key, e in entries.items()
        ]
        self.app = app

    def link_of_term(self, page: str, term: str) -> tuple[str, str, str]:
        target, label = self.app.env.get_domain("std").objects["term", term]
        return self.app.builder.get_relative_uri(page, target) + f"#{label}", self.meaning[term], "word"

    def link_of_paper(self, page: str, key: str, title: str) -> tuple[str, str, str]:
        found = next(c for c in self.app.env.get_domain("cite").citations if c.key == key)
        target = found.bibliography_key.docname
        address = self.app.builder.get_relative_uri(page, target)
        return f"{address}#{found.citation_id}", title.replace("{", "").replace("}", ""), "paper"

    def found(self, page: str, text: str, seen: set[str]) -> list[tuple[int, int, tuple]]:
        """Start, end and link of what a text names: all papers, and each term once on a page."""
        hits = [
            (*match.span(), self.link_of_paper(page, key, title))
            for pattern, key, title in self.papers
            for match in pattern.finditer(text)
        ]
        for pattern, term in self.terms if page.startswith("notebooks/") else ():
            match = pattern.search(text)
            if match and term not in seen and not overlaps(match.span(), hits):
                seen.add(term)
                hits.append((*match.span(), self.link_of_term(page, term)))
        return sorted(hits)


def overlaps(span: tuple[int, int], hits: list[tuple]) -> bool:
    """Say whether a place in a text is taken.

    Examples
    --------
    >>> overlaps((3, 6), [(0, 4, "paper")]), overlaps((4, 6), [(0, 4, "paper")])
    (True, False)
    """
    return any(span[0] < end and start < span[1] for start, end, *_ in hits)


def joined(parent: nodes.Element) -> None:
    """Make one text of texts side by side: lines of a paragraph come one by one."""
    for place in range(len(parent) - 1, 0, -1):
        left, right = parent[place - 1], parent[place]
        if isinstance(left, nodes.Text) and isinstance(right, nodes.Text):
            parent[place - 1 : place + 1] = [nodes.Text(str(left) + str(right))]


@cache
def words_of(app: Sphinx) -> Words:
    """The words of a build."""
    return Words(app)


def link_words(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Link the words and papers of a page."""
    if page in ("docs/references", "notebooks/glossary"):
        return
    words, seen = words_of(app), set()
    for parent in {id(text.parent): text.parent for text in doctree.findall(nodes.Text)}.values():
        joined(parent)
    for text in list(doctree.findall(nodes.Text)):
        above = text.parent
        while above is not None and not isinstance(above, UNTOUCHED):
            above = above.parent
        hits = words.found(page, str(text), seen) if above is None else []
        if hits:
            text.parent.replace(text, list(pieces(str(text), hits)))


def pieces(text: str, hits: list[tuple[int, int, tuple]]):
    """A text cut where links begin and end."""
    done = 0
    for start, end, (address, title, kind) in hits:
        yield nodes.Text(text[done:start])
        shown = text[start:end]
        yield nodes.reference("", shown, refuri=address, reftitle=title, classes=[kind], internal=True)
        done = end
    yield nodes.Text(text[done:])


def setup(app: Sphinx) -> dict:
    app.connect("doctree-resolved", link_words)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
