"""Make the .ipynb notebooks from their .py sources: ``python notebooks/build.py [NN ...]``.

Each percent-format ``NN_title.py`` is the source; this executes it from top to bottom at its defaults and
writes ``NN_title.ipynb`` beside it, outputs in, without widget state, and its results into
``results/NN_title.json``: with these the sentences of the notebook are compared, and later runs of the course.
"""

import argparse
import shutil
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from tqdm import tqdm

from imap_keras.course.runner import prepare_environment
from imap_keras.nn.persistence import write_whole

HERE = Path(__file__).parent
MADE = HERE.parent / "build" / "course" / "results"  # where notebooks write at their defaults


def build(source: Path, execute: bool = True) -> Path:
    """Write the notebook of one source, complete or not at all."""
    notebook = jupytext.read(source, fmt="py:percent")
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem[:2]}-{number:03d}"  # stable, so that a rebuild changes outputs only
    notebook.metadata.pop("jupytext", None)
    if execute:
        NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            resources={"metadata": {"path": str(HERE)}},
            store_widget_state=False,
        ).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
        if cell.cell_type == "code":  # messages of this machine's drivers and libraries
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    target = source.with_suffix(".ipynb")
    write_whole(target, lambda path: nbformat.write(notebook, path))
    if execute:
        results = f"{source.stem}.json"
        write_whole(HERE / "results" / results, lambda path: shutil.copyfile(MADE / results, path))
    return target


def main() -> int:
    """Build the notebooks with the given numbers, all without any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("number", nargs="*", help="such as 00 04; default: all")
    parser.add_argument("--no-execute", action="store_true", help="without outputs, for a quick look")
    options = parser.parse_args()
    sources = sorted(HERE.glob("[0-9][0-9]_*.py"))
    known = [source.stem[:2] for source in sources]
    for number in options.number:
        if number not in known:
            parser.error(f"there is no notebook {number}; there are {', '.join(known)}")
    prepare_environment()
    chosen = [source for source in sources if source.stem[:2] in (options.number or known)]
    for source in tqdm(chosen, unit="notebook"):
        build(source, not options.no_execute)
    return 0


if __name__ == "__main__":
    sys.exit(main())
