"""Settings of the book; `docs/build.py` gathers its pages and runs Sphinx with them."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import imap_keras  # noqa: E402

project = "imap_keras"
author = "The imap_keras developers"
release = imap_keras.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinxcontrib.bibtex",
    "names",  # two of our own, beside this file
    "words",
]

# Notebooks are shown as they were committed, never run.
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3
bibtex_bibfiles = [str(HERE / "references.bib")]

autosummary_generate = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_inherit_docstrings = False  # Keras' own are written for another tool
napoleon_google_docstring = False
napoleon_use_ivar = False
napoleon_use_rtype = False
default_role = "literal"
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = "imap_keras"
html_static_path = [str(HERE / "book.css")]
html_favicon = str(HERE / "favicon.svg")
html_css_files = ["book.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}

# Formulas are set by a copy of MathJax that `docs/build.py` puts beside the pages: no network.
mathjax_path = "mathjax/tex-chtml.js"
