"""The small results file every notebook ends with: numbers, the bounds they must keep, versions."""

import json
import operator
import re
import time
from pathlib import Path

import pandas as pd

from ..nn.backend import describe_device, installed_versions
from ..nn.persistence import write_whole

OWN_FILE = "none: your own file"
COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}


def holds(value: float, bound: str) -> bool:
    """Say whether a value keeps a bound such as ``">= 0.9"``.

    Raises
    ------
    ValueError
        The bound is not a comparison and a number.

    Examples
    --------
    >>> from imap_keras.course.results import holds
    >>> holds(0.95, ">= 0.9"), holds(float("nan"), "<= 1")
    (True, False)
    """
    match = re.fullmatch(r"\s*(>=|<=|==|>|<)\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*", bound)
    if not match:
        raise ValueError(f"bound={bound!r} is not a comparison with a number, such as '>= 0.9'.")
    return bool(COMPARISONS[match[1]](float(value), float(match[2])))


def versions_table() -> pd.DataFrame:
    """:func:`installed_versions` as a table, for the end of a notebook.

    Examples
    --------
    >>> from imap_keras.course.results import versions_table
    >>> "keras" in versions_table().index
    True
    """
    return pd.Series(installed_versions(), name="version").to_frame()


class Results:
    """Collect a notebook's results and write them to ``results/NN_title.json``.

    Parameters
    ----------
    notebook
        Name of the notebook without ending, for example ``"03_stage_one"``.
    output_dir
        The course's output folder.
    parameters
        The notebook's parameters. Where `dataset` is the path of a file, which is the user's own, the
        bounds do not apply: they were set on data that we know.

    Examples
    --------
    >>> from imap_keras.course.results import Results
    >>> results = Results("00_tour", "build/course", {"seed": 0})
    >>> results.add("types_kept", 0.97, ">= 0.9")
    >>> results.rows[0]["holds"]
    True
    """

    def __init__(self, notebook: str, output_dir: str | Path, parameters: dict):
        self.notebook, self.parameters = notebook, parameters
        self.output_dir = Path(output_dir).expanduser()
        self.rows: list[dict] = []
        self._start = time.perf_counter()

    def add(self, name: str, value: float, bound: str, tolerance: float | None = None) -> None:
        """Add a number and the bound it must keep.

        Parameters
        ----------
        name, value, bound
            For example ``"types_kept"``, 0.97 and ``">= 0.9"``.
        tolerance
            Share of the value by which another run may differ, where it is not the usual tenth
            (:mod:`imap_keras.course.baseline`); for seconds and memory, for example.

        Raises
        ------
        ValueError
            The name was added before, or the bound is not a comparison with a number.
        """
        if name in [row["name"] for row in self.rows]:
            raise ValueError(f"A result named {name!r} was added before; give it another name.")
        value = float(value)
        row = {"name": name, "value": value, "bound": bound, "holds": holds(value, bound)}
        if str(self.parameters.get("dataset", "")).endswith(".h5ad"):
            row |= {"bound": OWN_FILE, "holds": True}
        if tolerance is not None:
            row["tolerance"] = tolerance
        self.rows.append(row)

    def save(self) -> pd.DataFrame:
        """Write the file, whole or not at all, and return the results as a table."""
        content = {
            "notebook": self.notebook,
            "parameters": self.parameters,
            "device": describe_device(),
            "versions": installed_versions(),
            "seconds": round(time.perf_counter() - self._start, 1),
            "results": self.rows,
        }
        path = self.output_dir / "results" / f"{self.notebook}.json"
        text = json.dumps(content, indent=1)
        write_whole(path, lambda temporary: temporary.write_text(text))
        return pd.DataFrame(self.rows, columns=["name", "value", "bound", "holds"])


class SkipNotebook(Exception):
    """Raised by a notebook that cannot run here, for example without network and cache."""
