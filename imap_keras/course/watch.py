"""What a fit and a transform hold and read, moment by moment: watched in a process of its own."""

import json
import threading
import time
from pathlib import Path
from typing import NamedTuple

import anndata
import numpy as np
import pandas as pd

from ..imap import model as model_module
from ..inputs.cells import Cells
from ..nn.memory import resident, run_apart

# The steps of `IMAP.fit` that are functions of their own, by what they are called here.
STEPS = {"read_pool": "read", "train_stage1": "stage I", "merge_batches": "stage II"}


class Watched(NamedTuple):
    """What was seen.

    Parameters
    ----------
    memory
        Table of ``seconds`` and ``bytes``: what the process held beyond libraries, again and again.
    reads
        Table of ``seconds``, ``start`` and ``stop``: rows that were read from disk.
    steps
        Second in which each step began, by its name, in order; the last one is the end.
    """

    memory: pd.DataFrame
    reads: pd.DataFrame
    steps: dict[str, float]


def watch(path: str | Path, out: str | Path, in_memory: bool, every: float = 0.05, **hyperparameters):
    """Fit cells of a zarr store and carry them, and say what that held and read when.

    Parameters
    ----------
    path
        The store.
    out
        A folder that is not there yet: ``model``, and the result as ``result.zarr`` or, of cells in
        memory, its components as ``X_imap.npy``.
    in_memory
        True: all cells are read first, and the result stays in memory.
    every
        Seconds between two looks at the memory.
    hyperparameters
        Of :class:`imap_keras.IMAP`.

    Returns
    -------
    Watched
        Tables of memory and of reading.

    Raises
    ------
    RuntimeError
        The process failed; ends with what it said.
    """
    order = [str(path), str(out), in_memory, every, hyperparameters]
    found = run_apart(__name__, order, f"Watching {path}")
    tables = (pd.DataFrame(found[name]) for name in ("memory", "reads"))
    return Watched(*tables, found["steps"])


def main(order: str) -> None:
    """Do what :func:`watch` was asked for, and print JSON."""
    path, out, in_memory, every, hyperparameters = json.loads(order)
    begin, held = time.perf_counter(), resident()
    found = {
        "memory": {"seconds": [], "bytes": []},
        "reads": {"seconds": [], "start": [], "stop": []},
        "steps": {},
    }

    def note(table: str, **values: float) -> None:
        for name, value in ({"seconds": time.perf_counter() - begin} | values).items():
            found[table][name].append(value)

    def step(name: str) -> None:
        found["steps"][name] = time.perf_counter() - begin

    done = threading.Event()

    def look() -> None:
        while not done.wait(every):
            note("memory", bytes=resident() - held)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        _noted_steps(step)
        _noted_reads(note)
        _fit_and_carry(Path(path), Path(out), in_memory, hyperparameters, step, note)
        step("end")
    finally:
        done.set()
        looking.join()
    print(json.dumps(found))


def _noted_steps(step) -> None:
    for function, name in STEPS.items():
        plain = getattr(model_module, function)

        def noted(*arguments, plain=plain, name=name, **options):
            step(name)
            result = plain(*arguments, **options)
            if name == "stage II":
                step("components")
            return result

        setattr(model_module, function, noted)


def _noted_reads(note) -> None:
    plain = Cells.block

    def block(cells: Cells, start: int, stop: int):
        if not cells.in_memory:
            note("reads", start=int(start), stop=int(stop))
        return plain(cells, start, stop)

    Cells.block = block


def _fit_and_carry(path: Path, out: Path, in_memory: bool, hyperparameters, step, note) -> None:
    out.mkdir(parents=True)
    step("open")
    cells = path
    if in_memory:
        cells = anndata.read_zarr(path)
        note("reads", start=0, stop=cells.n_obs)
    model = model_module.IMAP(**hyperparameters).fit(cells, verbose=0)
    model.save(out / "model")
    step("transform")
    if in_memory:
        np.save(out / "X_imap.npy", model.transform(cells).obsm["X_imap"])
    else:
        kept = ("X_imap", "X_imap_content", "imap")
        model.transform(cells, out=out / "result.zarr", keep=kept, verbose=0)
