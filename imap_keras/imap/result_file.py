"""Cells through the fitted networks into an .h5ad file or a zarr store, whole or not at all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..inputs.cells import Cells
from ..inputs.writing import check_described, check_out, check_room, result_store, written_behind
from .cluster import stream_by_workers
from .streaming import PLACES, Form, stream, summary


def into_file(
    model,
    cells: Cells,
    labels: np.ndarray,
    keep: Sequence[str],
    out: str | Path,
    dtype: str = "float32",
    verbose: int = 1,
    client=None,
) -> Path:
    """The results of :func:`imap_keras.imap.streaming.stream` as an .h5ad file or a zarr store.

    Expression that a ReLU clipped is kept sparse; a file without it stays small.

    Parameters
    ----------
    model, cells, labels, keep, verbose
        As for :func:`imap_keras.imap.streaming.stream`.
    out
        Path that ends in .h5ad or .zarr, and is not there yet.
    dtype
        Of the expression, ``"float32"`` or ``"float16"``.
    client
        Of a Dask cluster, see :func:`imap_keras.imap.cluster.stream_by_workers`; None: here.

    Raises
    ------
    OSError
        The disk has too little room, or `out` exists.
    """
    path, form, widths = check_out(out), form_of(model, dtype), result_widths(model, cells)
    check_described(cells.obs, cells.var)
    with result_store(path, len(cells), bytes_needed(model, cells, keep, dtype)) as store:
        store.describe(cells.obs, cells.var, {"imap": summary(model)})

        def put(name: str, start: int, values) -> None:
            store.put(PLACES[name], start, form.of(name, values))

        if client is None:
            with written_behind(put) as put_later:
                stream(model, cells, labels, keep, put_later, verbose)
        else:
            stream_by_workers(client, model, cells, labels, keep, form, store, widths, put, verbose)
    return path


def check_fits(model, cells: Cells, keep: Sequence[str], out: str | Path, dtype: str) -> None:
    """Raise before any work if :func:`into_file` could not write there.

    Parameters
    ----------
    model, cells, keep, out, dtype
        As for :func:`into_file`.

    Raises
    ------
    ValueError, OSError
        As :func:`into_file`.
    """
    check_room(check_out(out), bytes_needed(model, cells, keep, dtype))
    check_described(cells.obs, cells.var)


def form_of(model, dtype: str) -> Form:
    """What a result of a model is kept as."""
    return Form(model.hyperparameters.relu_output and dtype == "float32", dtype)


def result_widths(model, cells: Cells) -> dict[str, int]:
    """Columns of each result."""
    return {
        "X_imap": model.pca.output_shape[-1],
        "X_imap_content": model.encoder.output_shape[-1],
        "imap": cells.shape[1],
    }


def bytes_needed(model, cells: Cells, keep: Sequence[str], dtype: str) -> int:
    """Room that a result may take; of a sparse value the place is kept too."""
    form, widths = form_of(model, dtype), result_widths(model, cells)
    bytes_of = {
        name: 8 if form.is_sparse(name) else np.dtype(form.dtype_of(name)).itemsize for name in keep
    }
    return len(cells) * sum(widths[name] * size for name, size in bytes_of.items())
