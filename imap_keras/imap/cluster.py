"""Cells through the fitted networks by the workers of a Dask cluster, a block a task."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ..inputs.cells import BLOCK, Cells
from ..inputs.cluster import Place, in_order, place_of
from ..inputs.expression import check_expression
from ..inputs.writing import Store, put_rows
from .query_batch import one_thread
from .streaming import PLACES, Form, integrated


class Told(NamedTuple):
    """What every task is told.

    Parameters
    ----------
    kind, folder
        Class of the model, and where it was saved.
    place
        The cells.
    keep, form
        What is kept, and as what.
    store, own
        The zarr store of the result, and what workers write into it themselves.
    """

    kind: type
    folder: str
    place: Place
    keep: tuple[str, ...]
    form: Form
    store: str
    own: tuple[str, ...]


def stream_by_workers(
    client,
    model,
    cells: Cells,
    labels: np.ndarray,
    keep: Sequence[str],
    form: Form,
    store: Store,
    widths: dict[str, int],
    put: Callable,
    verbose: int = 0,
) -> None:
    """As :func:`imap_keras.imap.streaming.stream`, a task a block; each writes the chunks it makes.

    A chunk of a zarr store holds a block, so no two tasks write one. What cannot be written in any
    order, a sparse matrix or an .h5ad file, comes back and is put here. A block is `BLOCK` cells
    however few there are.

    Parameters
    ----------
    client
        As for :func:`imap_keras.inputs.cluster.connected`.
    model, cells, labels, keep, verbose
        As for :func:`imap_keras.imap.streaming.stream`.
    form, store, widths
        What the result is kept as; where; and columns of each.
    put
        Where the other results go.

    Raises
    ------
    TypeError
        The cells are in memory.
    RuntimeError
        They changed while they were read.
    """
    place, starts = place_of(cells), range(0, len(cells), BLOCK)
    own = tuple(name for name in keep if store.path.is_dir() and not form.is_sparse(name))
    for name in own:
        store.make(PLACES[name], widths[name], form.dtype_of(name))
    # Where the result lies workers can write, so there they can read the model too.
    beside = store.path.absolute()
    with tempfile.TemporaryDirectory(prefix="writing-", suffix="-model", dir=beside.parent) as folder:
        model.save(folder)
        told = Told(type(model), folder, place, tuple(keep), form, str(beside), own)
        calls = ((told, start, labels[start : start + BLOCK]) for start in starts)
        with (
            tqdm(total=len(cells), desc="transform", unit="cell", disable=not verbose) as bar,
            closing(in_order(client, carried_block, calls)) as results,
        ):
            for start, found in zip(starts, results, strict=True):
                for name, values in found.items():
                    put(name, start, values)
                bar.update(min(BLOCK, len(cells) - start))
    cells.check_unchanged()


def carried_block(told: Told, start: int, labels: np.ndarray) -> dict:
    """Read a block, carry it, write what may be written; the rest goes back."""
    block = told.place.block(start, start + len(labels))
    check_expression(block, None, f"X, cells from {start} on,")
    found = integrated(_loaded(told.kind, told.folder), block, labels, told.keep)
    found = {name: told.form.of(name, values) for name, values in found.items()}
    for name in told.own:
        put_rows(told.store, PLACES[name], start, found.pop(name))
    return found


@lru_cache(maxsize=1)
def _loaded(kind: type, folder: str):
    """A saved model, read once by each worker."""
    one_thread()
    return kind.load(Path(folder))
