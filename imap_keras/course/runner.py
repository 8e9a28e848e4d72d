"""Run the course: ``python -m imap_keras.course [NN ...] --output-dir DIR -p name value``."""

import argparse
import fcntl
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

from .baseline import drift_report, rows_of
from .kernel import kernel_options
from .parameters import declared_parameters, read_parameters
from .results import SkipNotebook

DONE, FAILED, WRONG_CALL, INTERRUPTED = 0, 1, 2, 130
EXIT_CODES = (
    "Exit code: 0 all passed or were skipped, 1 a notebook failed or a result drifted from the "
    "baseline, 2 a wrong call, 130 interrupted."
)
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
    >>> find_notebooks(["00"])[0].name
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
    """
    prepare_environment()
    declared = declared_parameters(path)
    given = {name: value for name, value in parameters.items() if name in declared}
    if "output_dir" in declared:
        given["output_dir"] = str(output_dir)
    result = output_dir / "results" / f"{path.stem}.json"
    log = output_dir / "logs" / f"{path.stem}.txt"
    start = time.perf_counter()

    def ended(status: str, message: str = "") -> Outcome:
        return Outcome(path.stem, time.perf_counter() - start, status, message)

    try:
        (output_dir / "notebooks").mkdir(parents=True, exist_ok=True)
        result.unlink(missing_ok=True)  # an old result must not stand for this run
        with kernel_options(log) as options:
            papermill.execute_notebook(
                path,
                output_dir / "notebooks" / path.name,
                parameters=given,
                cwd=path.parent,
                progress_bar=False,
                execution_timeout=timeout,
                kernel_name="python3",
                **options,
            )
        if not result.exists():
            return ended("failed", "wrote no results file")
        rows = rows_of(result)
    except PapermillExecutionError as error:
        if error.ename == SkipNotebook.__name__:
            return ended("skipped", str(error.evalue))
        return ended("failed", f"cell {error.exec_count}: {error.ename}: {error.evalue}")
    except DeadKernelError:
        return ended(
            "failed",
            "its Python died, most often for want of memory, or inside a compiled library; its last "
            f"words are in {log}",
        )
    except Exception as error:  # a timeout or a full disk is a failure of this notebook only
        return ended("failed", f"{type(error).__name__}: {error}")
    broken = [f"{r['name']} = {r['value']:.4g}, not {r['bound']}" for r in rows if not r["holds"]]
    return ended("failed" if broken else "passed", "; ".join(broken))


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


@contextmanager
def the_only_run(output_dir: Path) -> Iterator[None]:
    """Make the output folder, and hold it so that a second run is refused.

    Raises
    ------
    ValueError
        It cannot be made or written, or another run holds it.

    Examples
    --------
    >>> from pathlib import Path
    >>> from imap_keras.course.runner import the_only_run
    >>> with the_only_run(Path("build/course")):
    ...     pass
    """
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output_dir).close()
        lock = output_dir / "running.lock"
        lock.touch()
    except OSError as error:
        raise ValueError(f"--output-dir {output_dir} cannot be written: {error.strerror}.") from None
    with open(lock) as file:
        try:
            fcntl.flock(
                file, fcntl.LOCK_EX | fcntl.LOCK_NB
            )  # the system lets go of it if we are killed
        except OSError:
            raise ValueError(
                f"another run of the course is at work in {output_dir}; wait for its end, or give "
                "another --output-dir."
            ) from None
        yield


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends what runs as Ctrl-C does, so that no kernel is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_all(parameters: dict[Path, dict], output_dir: Path, timeout: int) -> tuple[list[Outcome], bool]:
    """Run notebooks one after the other, behind a bar; an interruption keeps what is done.

    Parameters
    ----------
    parameters
        Of each notebook.
    output_dir, timeout
        As :func:`run_notebook`.

    Returns
    -------
    outcomes, interrupted
        Of the notebooks that came to an end, and whether Ctrl-C or SIGTERM stopped the rest.

    Examples
    --------
    >>> from pathlib import Path
    >>> from imap_keras.course.runner import run_all
    >>> run_all({}, Path("build/course"), 600)
    ([], False)
    """
    outcomes = []
    bar = tqdm(parameters.items(), unit="notebook", file=sys.stdout, disable=not parameters)
    with bar, _terminated_as_interrupted():
        try:
            for path, given in bar:
                bar.set_description(path.stem)
                outcomes.append(run_notebook(path, output_dir, given, timeout))
        except KeyboardInterrupt:
            return outcomes, True
    return outcomes, False


def _at_least_one(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} seconds; at least 1 is needed")
    return int(text)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m imap_keras.course",
        description="Run the course's notebooks through papermill. Before the course: --check, alone. "
        "Editions: --edition student, teacher or nbgrader. Slides of the figures: --slides.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("number", nargs="*", help="notebooks to run, such as 00 04; default: all")
    parser.add_argument("--output-dir", type=Path, default=Path("build/course"))
    parser.add_argument("--notebooks", type=Path, default=NOTEBOOKS, help="folder of the notebooks")
    parser.add_argument("--timeout", type=_at_least_one, default=600, help="seconds a cell may take")
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="FOLDER",
        help="results of an earlier run, such as notebooks/results: every number is compared with it",
    )
    parser.add_argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a notebook parameter, such as -p seed 1 -p fast True",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run notebooks and print the summary; returns one of :data:`EXIT_CODES`."""
    options = _options(arguments)
    output_dir = options.output_dir.expanduser().absolute()
    baseline = options.baseline and options.baseline.expanduser()
    texts = dict(options.parameters)
    try:
        paths = find_notebooks(options.number, options.notebooks.expanduser())
        if texts.get("dataset", "").endswith(".h5ad"):  # notebooks run in a folder of their own
            texts["dataset"] = os.path.abspath(os.path.expanduser(texts["dataset"]))
        parameters = read_parameters(paths, texts)
        for path in paths if baseline else []:
            rows_of(baseline / f"{path.stem}.json")  # each is there and can be read
        with the_only_run(output_dir):
            outcomes, interrupted = run_all(parameters, output_dir, options.timeout)
            if outcomes:
                print(summary(outcomes))
            print(f"Executed notebooks, figures and results are in {output_dir}.")
            if interrupted:
                left = " ".join(path.stem[:2] for path in paths[len(outcomes) :])
                print(f"Interrupted. To go on: the same command with the notebooks {left}.")
                return INTERRUPTED
            drifted = False
            if baseline:
                names = [o.notebook for o in outcomes if o.status != "skipped"]
                told, drifted = drift_report(names, output_dir / "results", baseline)
                print(told)
    except (FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_CALL
    return FAILED if drifted or any(o.status == "failed" for o in outcomes) else DONE
