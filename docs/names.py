"""Short names of the library lead to where a thing is written; one that leads nowhere is a warning."""

import builtins
import importlib
import sys
from types import ModuleType

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

OURS = "imap_keras"
logger = logging.getLogger(__name__)


def find(dotted: str):
    """What a dotted name means, None if nothing.

    Examples
    --------
    >>> find("imap_keras.IMAP.fit").__qualname__
    'IMAP.fit'
    >>> find("imap_keras.no_such_thing")
    """
    first, *rest = dotted.split(".")
    found = sys.modules.get(first)
    for place, part in enumerate(rest, start=2):
        if not hasattr(found, part) and isinstance(found, ModuleType):
            try:
                importlib.import_module(".".join(dotted.split(".")[:place]))
            except ImportError:
                return None
        found = getattr(found, part, None)
    return found


def home(thing) -> str:
    """The full name of a thing where it is written.

    Examples
    --------
    >>> import imap_keras
    >>> home(imap_keras.IMAP), home(imap_keras.pairs)
    ('imap_keras.imap.model.IMAP', 'imap_keras.imap.pairs')
    """
    if isinstance(thing, ModuleType):
        return thing.__name__
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"


def candidates(node: nodes.Element) -> list[str]:
    """Full names that a short one may stand for: in its class, in its module, in a package above."""
    target, module, of_class = (
        node["reftarget"],
        node.get("py:module") or "",
        node.get("py:class") or "",
    )
    parts = [p for p in module.split(".") if p]
    above = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    names = [f"{module}.{of_class}.{target}"] if of_class else []
    return [target, *names, *(f"{package}.{target}" for package in above)]


def places(name: str, near: str, objects: dict) -> list[str]:
    """Where a bare name is documented; if nowhere, the first module that holds it, below `near`."""
    documented = [full for full in objects if full.endswith("." + name)]
    loaded = [full for full in sorted(sys.modules) if full.startswith(near) and full in objects]
    return documented or [full for full in loaded if hasattr(sys.modules[full], name)][:1]


def resolve(app: Sphinx, env, node: nodes.Element, shown: nodes.Element):
    """Find the page of a name that Sphinx does not know."""
    if node.get("refdomain") != "py":
        return None
    objects = env.get_domain("py").objects
    for name in candidates(node):
        thing = find(name) if name.split(".")[0] == OURS else None
        if thing is None:
            continue
        owner = name.rpartition(".")[0]
        for full in (name, home(thing), owner):
            if full in objects:
                entry = objects[full]
                page = node["refdoc"]
                return make_refnode(app.builder, page, entry.docname, entry.node_id, shown, full)
        return shown
    elsewhere = places(node["reftarget"], node.get("py:module") or OURS, objects)
    if len(elsewhere) == 1:
        entry = objects[elsewhere[0]]
        return make_refnode(
            app.builder, node["refdoc"], entry.docname, entry.node_id, shown, elsewhere[0]
        )
    foreign = node["reftype"] in ("class", "obj") or hasattr(builtins, node["reftarget"])
    if not foreign or node["reftarget"].startswith(OURS):
        logger.warning("%s is not in the library", node["reftarget"], location=node, type="names")
    return None


def setup(app: Sphinx) -> dict:
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
