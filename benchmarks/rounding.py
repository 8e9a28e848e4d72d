"""Whether a notebook's bounds hold where sums are rounded otherwise, as another processor does.

    python benchmarks/rounding.py --shift 1 --run 00 03 04
    python benchmarks/rounding.py --called "another processor" --keep FOLDER
    python benchmarks/rounding.py --text

Seeds fix all that is random. The order in which a processor adds is not fixed, and a training that
starts from weights a millionth larger drifts as far as on another processor. The first command runs
notebooks (default: all) with weights so many millionths larger; the second takes the results of a
course that was run elsewhere. Values are added to benchmarks/results/rounding.csv; a test holds each
against the bound in the committed results. The third says which numbers move most.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from rows import RESULTS, keep

COMMITTED = Path(__file__).parent.parent / "notebooks" / "results"
# What a kernel does before the first cell.
START = """
from keras.src.initializers import random_initializers as drawn

def larger(draw):
    return lambda self, *shape, **options: draw(self, *shape, **options) * (1 + {shift} * 1e-6)

for kind in (drawn.RandomNormal, drawn.RandomUniform, drawn.VarianceScaling, drawn.TruncatedNormal):
    kind.__call__ = larger(kind.__call__)
"""


def run(shift: int, numbers: list[str], folder: Path) -> None:
    """The course with larger weights; a notebook that misses a bound has its results all the same."""
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-larger.py").write_text(START.format(shift=shift))
    command = [sys.executable, "-m", "imap_keras.course", *numbers, "--output-dir", str(folder)]
    subprocess.run(command, env={**os.environ, "IPYTHONDIR": str(folder / "ipython")}, check=False)


def values_of(folder: Path) -> pd.DataFrame:
    """Notebook, name and value of each result in a folder of the course."""
    rows = []
    for path in sorted(folder.glob("*.json")):
        for row in json.loads(path.read_text())["results"]:
            rows.append({"notebook": path.stem, "name": row["name"], "value": row["value"]})
    return pd.DataFrame(rows)


def moved(table: pd.DataFrame, committed: pd.DataFrame) -> pd.DataFrame:
    """How far each number was from the committed one in any run, the farthest first."""
    both = table.merge(committed, on=["notebook", "name"], suffixes=("", "_committed"))
    both["moved"] = (both["value"] - both["value_committed"]).abs()
    both = both[both["moved"] > 1e-3 * both["value_committed"].abs()]  # the table has four digits
    ends = both.groupby(["notebook", "name"])["value"].agg(["min", "max"])
    far = both.groupby(["notebook", "name"])[["value_committed", "moved"]].max().join(ends)
    return far.sort_values("moved", ascending=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shift", type=int, default=1, help="millionths")
    parser.add_argument("--called", help="what else tells the run of --keep apart")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", nargs="*", metavar="NUMBER", help="notebooks; default all")
    what.add_argument("--keep", type=Path, metavar="FOLDER", help="output folder of a course")
    what.add_argument("--text", action="store_true", help="print what moves most")
    arguments = parser.parse_args()
    if arguments.text:
        table = pd.read_csv(RESULTS / "rounding.csv")
        print(moved(table, values_of(COMMITTED)).round(4).to_string())
        return
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.keep or Path(made)
        if arguments.run is not None:
            run(arguments.shift, arguments.run, folder)
        values = values_of(folder / "results")
    values["run"] = arguments.called or f"shift {arguments.shift}"
    keep("rounding.csv", values.to_dict("records"), ["notebook", "name", "run"])


if __name__ == "__main__":
    main()
