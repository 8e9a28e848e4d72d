"""How much memory training takes: measured in a process of its own, which does nothing else.

Of that process the resident memory is read after the same training on a file of 512 cells: what
libraries, network and TensorFlow take anyway. What the whole file adds is the highest resident memory
of the process' life less that.
"""

import json
import tempfile
from pathlib import Path

import anndata
import numpy as np

from ..inputs.files import check_file
from ..inputs.values import dense
from ..nn.memory import highest_resident, resident, run_apart
from ..nn.rows import minibatches
from .autoencoder import build_deep_autoencoder, train_autoencoder
from .backed import BackedCells, counts_in

SETTINGS = {"memory": 20e6, "hidden": (64,), "latent_dim": 16, "epochs": 1, "seed": 0, "dense": True}


def measure_memory(path: str | Path, **settings) -> dict:
    """Train an autoencoder from a file in a process of its own, and say how much memory that took.

    Parameters
    ----------
    path
        An ``.h5ad`` file with counts, see :class:`imap_keras.omics.BackedCells`.
    settings
        ``memory`` (bytes, for :class:`imap_keras.omics.BackedCells`), ``hidden`` and ``latent_dim``
        (see :func:`imap_keras.omics.build_deep_autoencoder`), ``epochs``, ``seed``; ``dense``: do the
        same with the whole matrix in memory afterwards.

    Returns
    -------
    dict
        Bytes: ``dense_bytes`` (the file as a dense float32 matrix), ``backed_peak`` and, if asked for,
        ``dense_peak``, what each training took at most beyond the small one. ``val_loss`` by epoch: the
        error of the held-out cells, standardised, so that predicting the mean gives 1.

    Raises
    ------
    TypeError
        An unknown setting.
    FileNotFoundError
        There is no such file.
    RuntimeError
        The process failed; the message ends with what it said.

    Examples
    --------
    >>> measure_memory("many_cells.h5ad", memory=20e6)["backed_peak"]  # doctest: +SKIP
    """
    for name in settings:
        if name not in SETTINGS:
            raise TypeError(f"{name!r} is no setting; there are {list(SETTINGS)}.")
    path = Path(path).expanduser()
    check_file(path)
    order = [str(path), {**SETTINGS, **settings}]
    return run_apart(__name__, order, f"Training from {path}", CUDA_VISIBLE_DEVICES="-1")


def _train(path: str | Path, settings: dict) -> list[float]:
    cells = BackedCells(path, settings["memory"], seed=settings["seed"]).standardize()
    network = build_deep_autoencoder(
        cells.n_features, settings["hidden"], settings["latent_dim"], seed=settings["seed"]
    )
    history = train_autoencoder(
        network, cells.minibatches(), cells.steps(), settings["epochs"], cells.validation()
    )
    return history["val_loss"].tolist()


def main(order: str) -> None:
    """Measure and print JSON; what the process started by :func:`measure_memory` does."""
    path, settings = json.loads(order)
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.h5ad"
        with counts_in(Path(path)) as (counts, _):
            shape = counts.shape
            anndata.AnnData(counts[:512]).write_h5ad(small)
        _train(small, settings | {"epochs": 1})
    before = resident()
    found = {"dense_bytes": 4 * int(np.prod(shape)), "val_loss": _train(path, settings)}
    found["backed_peak"] = highest_resident() - before
    if settings["dense"]:
        matrix = np.empty(shape, "float32")
        with counts_in(Path(path)) as (counts, _):
            for i in range(0, len(matrix), 1000):
                matrix[i : i + 1000] = np.log1p(dense(counts[i : i + 1000]))
        network = build_deep_autoencoder(matrix.shape[1], settings["hidden"], settings["latent_dim"])
        train_autoencoder(network, minibatches(matrix), steps=20, epochs=1)
        found["dense_peak"] = highest_resident() - before
    print(json.dumps(found))
