"""What `imap-keras check` promises beside what `imap-keras integrate` takes: seconds and memory.

    python benchmarks/command.py --cells 3000 12000

The demo first (700 cells, with report and model, as a user would call it), then simulated sets of three
batches and 2,000 genes. Every run is a process of its own that starts in an empty folder. Beside the
clock stand the processor's seconds, which other programs on the machine change little.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from imap_keras import datasets

COMMAND = [sys.executable, "-m", "imap_keras.command.main"]
KEYS = ["--batch-key", "batch"]
REPORT = ["--label-key", "cell_type", "--report", "report.html", "--model", "model"]


def promised(folder: str) -> tuple[float, float]:
    """Minutes and gigabytes that `check` expects."""
    call = [*COMMAND, "check", "cells.h5ad", *KEYS, "--min-genes", "50"]
    said = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=True).stdout
    gigabytes, minutes = re.search(r"two cores: ([\d.]+) GB, ([\d.]+) minutes", said).groups()
    return float(minutes), float(gigabytes)


def measured(folder: str, more: list[str]) -> tuple[float, float, float]:
    """Seconds of the clock and of the processor, and peak gigabytes, of one `integrate`."""
    call = [*COMMAND, "integrate", "cells.h5ad", *KEYS, "--min-genes", "50", "-o", "out.h5ad", *more]
    start = time.perf_counter()
    with open(Path(folder) / "said.txt", "w") as said:
        process = subprocess.Popen(call, cwd=folder, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError((Path(folder) / "said.txt").read_text()[-2000:])
    seconds = time.perf_counter() - start
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6


def main() -> None:
    """Print one row of a table a set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="*", default=[3000, 12000])
    parser.add_argument("--keep", type=Path, help="where the demo's files shall stay")
    options = parser.parse_args()
    print("| cells x genes | promised | clock | processor | memory |", flush=True)
    for n_cells in [None, *options.cells]:
        with tempfile.TemporaryDirectory() as folder:
            adata = datasets.demo() if n_cells is None else datasets.simulate(n_cells, 2000, 3)
            adata.write_h5ad(f"{folder}/cells.h5ad")
            minutes, gigabytes = promised(folder)
            seconds, processor, peak = measured(folder, REPORT if n_cells is None else [])
            if n_cells is None and options.keep:
                (Path(folder) / "report.html").rename(options.keep / "report.html")
        print(
            f"| {adata.n_obs:,} x {adata.n_vars:,} | {60 * minutes:.0f} s, {gigabytes:.1f} GB | "
            f"{seconds:.0f} s | {processor:.0f} s | {peak:.2f} GB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
