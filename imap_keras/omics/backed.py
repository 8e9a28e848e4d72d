"""Minibatches from an ``.h5ad`` file that need not fit into memory."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf
from anndata.io import sparse_dataset

from ..inputs.files import check_file, stamp_of
from ..inputs.values import check_counts, dense
from ..nn.parameters import check_count, check_seed
from ..nn.rows import steps_of, untuned


@contextmanager
def counts_in(path: Path) -> Iterator[tuple]:
    """The counts of an ``.h5ad`` file, not read yet, and what they are called; then close the file.

    Counts are looked for where :func:`imap_keras.preprocess` puts them, in ``layers["counts"]``, then
    in ``X``. (anndata's own backed mode would read all layers into memory.)

    Raises
    ------
    ValueError
        The file is no ``.h5ad``, or holds no matrix, or keeps it gene by gene (CSC), so that every
        block of cells would read the whole of it.

    Examples
    --------
    >>> import tempfile
    >>> from imap_keras.datasets import simulate_file
    >>> from imap_keras.omics.backed import counts_in
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with counts_in(simulate_file(f"{folder}/cells.h5ad", 30, 20)) as (counts, name):
    ...         counts[:5].shape, name
    ((5, 20), 'X')
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} cannot be read as an .h5ad file: {error}.") from error
    with file:
        name, key = ("layers['counts']", "layers/counts") if "layers/counts" in file else ("X", "X")
        if key not in file:
            raise ValueError(f"{path} holds neither layers['counts'] nor X; put the counts there.")
        counts = file[key]
        if not isinstance(counts, h5py.Dataset):
            counts = sparse_dataset(counts)
            if counts.format != "csr":
                raise ValueError(
                    f"{name} of {path} is kept gene by gene (CSC): each block of cells would read all "
                    f"of it. Convert it once: adata = anndata.read_h5ad({str(path)!r}); adata.{name} = "
                    f"adata.{name}.tocsr(); adata.write_h5ad('by_cells.h5ad')."
                )
        yield counts, name


class BackedCells:
    """Cells of a file, read a block at a time: log1p of the counts, standardised.

    A block is a run of neighbouring cells, for reading scattered ones is slow. Several blocks from all
    over the file are read, shuffled together and handed out in minibatches, so a file sorted by batch
    or type does no harm. The cells held at any time stay below the memory that is given; libraries,
    reading buffers and the network itself come on top. The file is open during a pass over its blocks,
    and no longer.

    Parameters
    ----------
    path
        An ``.h5ad`` file with counts in ``layers["counts"]``, or else in ``X``, sparse (CSR) or dense.
    memory
        Bytes for cells, shuffled ones and the copies that this takes.
    held_out
        Share of the blocks that are not trained on.
    seed
        Of the order, and of the choice of blocks to hold out.

    Attributes
    ----------
    n_cells, n_features
        Sizes of the file.
    dense_bytes
        What the file would take as a dense float32 matrix.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The memory holds fewer than 64 cells, or `held_out` is out of range or leaves nothing to train
        on; the file is kept gene by gene (CSC); values that are no counts, in the first block or,
        later, where a block is read.
    RuntimeError
        The file was written anew after it was first looked at.

    Examples
    --------
    >>> import tempfile
    >>> from imap_keras.datasets import simulate_file
    >>> from imap_keras.omics import BackedCells
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cells = BackedCells(simulate_file(f"{folder}/cells.h5ad", 100, 20), memory=1e6)
    ...     rows = cells.minibatches(batch_size=16)
    ...     [len(x) for x, target in rows.take(cells.steps(batch_size=16))]
    [16, 16, 16, 16, 16, 8]
    """

    COPIES = 4  # blocks as read, side by side, shuffled, and the minibatches in TensorFlow's queue
    BLOCKS_TOGETHER = 8

    def __init__(self, path: str | Path, memory: float = 50e6, held_out: float = 0.1, seed: int = 0):
        path = Path(path).expanduser()
        check_file(path)
        if not 0 < held_out < 1:
            raise ValueError(f"held_out={held_out} must be between 0 and 1.")
        self.path, self.seed = path, check_seed("seed", seed)
        self.stamp = stamp_of(path)
        with counts_in(path) as (counts, self.name):
            self.n_cells, self.n_features = counts.shape
        self.dense_bytes = 4 * self.n_cells * self.n_features
        together = int(memory / (4 * self.n_features * self.COPIES))
        if together < 64:
            raise ValueError(
                f"memory={memory:g} bytes hold {together} cells of {self.n_features} features; give at "
                f"least {64 * 4 * self.n_features * self.COPIES:g}, for 64 cells."
            )
        # At least eight blocks in the file, or there is nothing to hold out and to shuffle.
        self.block = max(min(together // self.BLOCKS_TOGETHER, self.n_cells // 8), 1)
        starts = np.random.default_rng((seed, 0)).permutation(np.arange(0, self.n_cells, self.block))
        n_held_out = max(round(held_out * len(starts)), 1)
        if n_held_out >= len(starts):
            raise ValueError(
                f"held_out={held_out} of {len(starts)} blocks ({self.n_cells} cells) leaves none to "
                "train on; lower it, or give a file with more cells."
            )
        self.held_out, self.inside = np.sort(starts[:n_held_out]), np.sort(starts[n_held_out:])
        self.mean, self.scale = np.zeros(self.n_features), np.ones(self.n_features)
        self.read(0)  # no counts: said here rather than in the middle of a training

    def read(self, start: int) -> np.ndarray:
        """One block: log1p of its counts, cells x features, float32."""
        (block,) = self._blocks([start])
        return block

    def _blocks(self, starts: Iterable[int]) -> Iterator[np.ndarray]:
        """Blocks one after the other, from a file that is open until the last one is read."""
        if stamp_of(self.path) != self.stamp:
            raise RuntimeError(
                f"{self.path} changed since it was first read: its mean and its blocks may be others. "
                "Make BackedCells of it anew."
            )
        with counts_in(self.path) as (counts, name):
            for start in starts:
                rows = counts[start : min(start + self.block, self.n_cells)]
                check_counts(rows, f"{name} of {self.path.name}, cells from {start} on,")
                yield np.log1p(dense(rows))

    def standardize(self) -> "BackedCells":
        """Find mean and standard deviation of each feature in one pass over the training blocks.

        Returns
        -------
        BackedCells
            Itself; from now on blocks come standardised. A feature that never varies stays 0.

        Raises
        ------
        ValueError
            Any block, held out or not, holds something else than counts.
        """
        n, total, squares = 0, np.zeros(self.n_features), np.zeros(self.n_features)
        for rows in self._blocks(self.inside):
            n += len(rows)
            total += rows.sum(axis=0, dtype=float)
            squares += np.einsum("ij,ij->j", rows, rows, dtype=float)
        self.mean = total / n
        scale = np.sqrt(np.maximum(squares / n - self.mean**2, 0))
        self.scale = np.where(scale > 1e-3, scale, 1.0)
        for _ in self._blocks(self.held_out):  # wrong values are found here, not after an epoch
            pass
        return self

    def steps(self, batch_size: int = 128) -> int:
        """Minibatches in an epoch: together they hold each cell of the training blocks once."""
        n = sum(min(self.block, self.n_cells - start) for start in self.inside)
        return steps_of(n, check_count("batch_size", batch_size))

    def minibatches(self, batch_size: int = 128) -> tf.data.Dataset:
        """Endless minibatches of the training blocks, as input and as target."""
        check_count("batch_size", batch_size)
        return self._dataset(lambda: self._epochs(batch_size))

    def validation(self, batch_size: int = 128) -> tf.data.Dataset:
        """The held-out blocks once, as input and as target."""
        check_count("batch_size", batch_size)
        return self._dataset(lambda: self._in_batches(self.held_out, 1, batch_size))

    def _dataset(self, rows) -> tf.data.Dataset:
        shape = tf.TensorSpec((None, self.n_features), tf.float32)
        cells = tf.data.Dataset.from_generator(rows, output_signature=shape)
        return untuned(cells.map(lambda x: (x, x)))

    def _epochs(self, batch_size: int) -> Iterator[np.ndarray]:
        rng = np.random.default_rng((self.seed, 1))
        while True:
            starts = rng.permutation(self.inside)
            yield from self._in_batches(starts, self.BLOCKS_TOGETHER, batch_size, rng)

    def _in_batches(self, starts, together: int, batch_size: int, rng=None) -> Iterator[np.ndarray]:
        """Blocks in minibatches, so many blocks read at once; with `rng` their cells are shuffled."""
        mean, scale = self.mean.astype("float32"), self.scale.astype("float32")
        rest = np.empty((0, self.n_features), "float32")  # too few for a minibatch: with the next ones
        with closing(self._blocks(starts)) as blocks:
            for _ in range(0, len(starts), together):
                cells = np.concatenate([rest, *islice(blocks, together)])
                order = np.arange(len(cells)) if rng is None else rng.permutation(len(cells))
                full = len(cells) - len(cells) % batch_size
                for first in range(0, full, batch_size):
                    yield (cells[order[first : first + batch_size]] - mean) / scale
                rest = cells[order[full:]]
        if len(rest):
            yield (rest - mean) / scale
