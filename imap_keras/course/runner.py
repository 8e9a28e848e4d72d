"""Run the course: ``python -m imap_keras.course [NN ...] --output-dir DIR -p name value``."""

import argparse
import ast
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

from .results import SkipNotebook

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@dataclass
class Outcome:
    """How one notebook ended."""

    notebook: str
    seconds: float
    status: str  # "passed", "skipped" or "failed"
    message: str = ""


def find_notebooks(numbers: list[str], folder: Path = NOTEBOOKS) -> list[Path]:
    """Return the notebooks with the given numbers, all of them without any.

    Raises
    ------
    FileNotFoundError
        There is no notebook folder (a wheel holds the library only) or no such number.

    Examples
    --------
    >>> from imap_keras.course.runner import find_notebooks
    >>> find_notebooks(["00"])[0].name  # doctest: +SKIP
    '00_tour.ipynb'
    """
    every = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not every:
        raise FileNotFoundError(
            f"There are no notebooks in {folder}. Run the course from a clone of the project, "
            "installed with `pip install -e '.[course]'`, or name the folder with --notebooks."
        )
    known = {path.name[:2]: path for path in every}
    unknown = [number for number in numbers if number not in known]
    if unknown:
        raise FileNotFoundError(f"There is no notebook {unknown[0]}; there are {', '.join(known)}.")
    return [known[number] for number in numbers] if numbers else every


def declared_parameters(path: Path) -> list[str]:
    """Names that the notebook's cell tagged "parameters" assigns.

    Examples
    --------
    >>> declared_parameters(find_notebooks(["00"])[0])  # doctest: +SKIP
    ['dataset', 'seed', 'output_dir', 'fast']
    """
    names = []
    for cell in nbformat.read(path, as_version=4).cells:
        if "parameters" in cell.metadata.get("tags", []):
            for statement in ast.parse(cell.source).body:
                if isinstance(statement, ast.Assign):
                    names += [target.id for target in statement.targets]
    return names


def check_parameters(paths: list[Path], parameters: dict) -> None:
    """Raise if none of the notebooks declares a parameter.

    papermill itself only warns and goes on with the default, a quiet way to run the wrong thing.

    Raises
    ------
    ValueError
        Names the parameter and those that exist.

    Examples
    --------
    >>> check_parameters([], {})
    """
    declared = {name for path in paths for name in declared_parameters(path)}
    for name in parameters:
        if name not in declared:
            raise ValueError(
                f"No notebook has a parameter {name!r}; there are {', '.join(sorted(declared))}."
            )


def prepare_environment() -> None:
    """Set what every notebook inherits: a quiet TensorFlow and a cache folder that does not move.

    Notebooks run in a folder of their own, so a relative ``IMAP_KERAS_DATA`` is made absolute.

    Examples
    --------
    >>> from imap_keras.course.runner import prepare_environment
    >>> prepare_environment()
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if os.environ.get("IMAP_KERAS_DATA"):
        os.environ["IMAP_KERAS_DATA"] = os.path.abspath(os.environ["IMAP_KERAS_DATA"])


def run_notebook(path: Path, output_dir: Path, parameters: dict, timeout: int) -> Outcome:
    """Execute one notebook into ``output_dir/notebooks`` with its share of the parameters.

    Parameters
    ----------
    path
        The notebook.
    output_dir
        Handed to the notebook as its parameter `output_dir`.
    parameters
        By name; those that this notebook does not declare are left out.
    timeout
        Seconds a single cell may take.

    Returns
    -------
    Outcome
        Passed, failed (with the failing cell and its error) or skipped (with the reason).

    Examples
    --------
    >>> run_notebook(find_notebooks(["00"])[0], Path("build/course"), {}, 600)  # doctest: +SKIP
    """
    prepare_environment()
    declared = declared_parameters(path)
    given = {name: value for name, value in parameters.items() if name in declared}
    if "output_dir" in declared:
        given["output_dir"] = str(output_dir)
    target = output_dir / "notebooks" / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    result = output_dir / "results" / f"{path.stem}.json"
    result.unlink(missing_ok=True)  # an old result must not stand for this run
    start = time.perf_counter()
    try:
        papermill.execute_notebook(
            path,
            target,
            parameters=given,
            cwd=path.parent,
            progress_bar=False,
            execution_timeout=timeout,
            kernel_name="python3",
        )
    except PapermillExecutionError as error:
        if error.ename == SkipNotebook.__name__:
            return Outcome(path.stem, time.perf_counter() - start, "skipped", str(error.evalue))
        message = f"cell {error.exec_count}: {error.ename}: {error.evalue}"
        return Outcome(path.stem, time.perf_counter() - start, "failed", message)
    except Exception as error:  # a dead kernel or a timeout is a failure of this notebook only
        message = f"{type(error).__name__}: {error}"
        return Outcome(path.stem, time.perf_counter() - start, "failed", message)
    if not result.exists():
        return Outcome(path.stem, time.perf_counter() - start, "failed", "wrote no results file")
    rows = json.loads(result.read_text())["results"]
    broken = [f"{r['name']} = {r['value']:.4g}, not {r['bound']}" for r in rows if not r["holds"]]
    status = "failed" if broken else "passed"
    return Outcome(path.stem, time.perf_counter() - start, status, "; ".join(broken))


def summary(outcomes: list[Outcome]) -> str:
    """Table of notebook, seconds and status, with the failing cell and its error.

    Examples
    --------
    >>> from imap_keras.course.runner import Outcome, summary
    >>> print(summary([Outcome("00_tour", 12.3, "passed")]))
    notebook  seconds  status
    00_tour      12.3  passed
    """
    width = max(len("notebook"), *(len(o.notebook) for o in outcomes))
    lines = [f"{'notebook':<{width}}  seconds  status"]
    for o in outcomes:
        lines.append(f"{o.notebook:<{width}}  {o.seconds:7.1f}  {o.status} {o.message}".rstrip())
    return "\n".join(lines)


def _value(text: str):
    """Read a parameter as Python would (3, 0.5, True), else as text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False}.get(text.lower(), text)


def main(arguments: list[str] | None = None) -> int:
    """Run notebooks and print the summary; returns 1 if one failed, 2 for a wrong call."""
    parser = argparse.ArgumentParser(
        prog="python -m imap_keras.course",
        description="Run the course's notebooks through papermill.",
    )
    parser.add_argument("number", nargs="*", help="notebooks to run, such as 00 04; default: all")
    parser.add_argument("--output-dir", type=Path, default=Path("build/course"))
    parser.add_argument("--notebooks", type=Path, default=NOTEBOOKS, help="folder of the notebooks")
    parser.add_argument("--timeout", type=int, default=600, help="seconds a cell may take")
    parser.add_argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a notebook parameter, such as -p seed 1 -p fast True",
    )
    options = parser.parse_args(arguments)
    parameters = {name: _value(text) for name, text in options.parameters}
    try:
        paths = find_notebooks(options.number, options.notebooks)
        own = str(parameters.get("dataset", ""))
        if own.endswith(".h5ad"):  # notebooks run in a folder of their own
            parameters["dataset"] = os.path.abspath(os.path.expanduser(own))
        if "output_dir" in parameters:
            raise ValueError("output_dir is set by --output-dir.")
        check_parameters(paths, parameters)
    except (FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    output_dir = options.output_dir.resolve()
    outcomes = []
    bar = tqdm(paths, unit="notebook", file=sys.stdout)
    for path in bar:
        bar.set_description(path.stem)
        outcomes.append(run_notebook(path, output_dir, parameters, options.timeout))
    bar.close()
    print(summary(outcomes))
    print(f"Executed notebooks, figures and results are in {output_dir}.")
    return int(any(outcome.status == "failed" for outcome in outcomes))
