"""Minibatches from an ``.h5ad`` file that need not fit into memory."""

from collections.abc import Iterator
from pathlib import Path

import anndata
import numpy as np
import tensorflow as tf

from ..inputs.files import check_file
from ..inputs.values import check_values, dense
from ..nn.rows import untuned


class BackedCells:
    """Cells of a file, read a block at a time: log1p of the counts, standardised.

    A block is a run of neighbouring cells, for reading scattered ones is slow. Several blocks from all
    over the file are read, shuffled together and handed out in minibatches, so a file sorted by batch
    or type does no harm. The cells held at any time stay below the memory that is given; libraries,
    reading buffers and the network itself come on top.

    Parameters
    ----------
    path
        An ``.h5ad`` file with counts in ``X``, sparse (CSR) or dense.
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
        on; later, where a block is read, counts that are negative or NaN.

    Examples
    --------
    >>> cells = BackedCells("many_cells.h5ad", memory=50e6)  # doctest: +SKIP
    >>> train_autoencoder(network, cells.minibatches(), cells.steps())  # doctest: +SKIP
    """

    COPIES = 4  # blocks as read, side by side, shuffled, and the minibatches in TensorFlow's queue
    BLOCKS_TOGETHER = 8

    def __init__(self, path: str | Path, memory: float = 50e6, held_out: float = 0.1, seed: int = 0):
        check_file(path)
        if not 0 < held_out < 1:
            raise ValueError(f"held_out={held_out} must be between 0 and 1.")
        self.path, self.seed = Path(path), seed
        self.data = anndata.read_h5ad(path, backed="r")
        self.n_cells, self.n_features = self.data.shape
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

    def read(self, start: int) -> np.ndarray:
        """One block: log1p of its counts, cells x features, float32."""
        rows = self.data.X[start : min(start + self.block, self.n_cells)]
        check_values(rows, f"X of {self.path.name}, cells from {start} on,")
        return np.log1p(dense(rows))

    def standardize(self) -> "BackedCells":
        """Find mean and standard deviation of each feature in one pass over the training blocks.

        Returns
        -------
        BackedCells
            Itself; from now on blocks come standardised. A feature that never varies stays 0.
        """
        n, total, squares = 0, np.zeros(self.n_features), np.zeros(self.n_features)
        for start in self.inside:
            rows = self.read(start)
            n += len(rows)
            total += rows.sum(axis=0, dtype=float)
            squares += np.einsum("ij,ij->j", rows, rows, dtype=float)
        self.mean = total / n
        scale = np.sqrt(np.maximum(squares / n - self.mean**2, 0))
        self.scale = np.where(scale > 1e-3, scale, 1.0)
        return self

    def steps(self, batch_size: int = 128) -> int:
        """Minibatches in an epoch over the training blocks."""
        n = sum(min(self.block, self.n_cells - start) for start in self.inside)
        return max(n // batch_size, 1)

    def minibatches(self, batch_size: int = 128) -> tf.data.Dataset:
        """Endless minibatches of the training blocks, as input and as target."""
        return self._dataset(lambda: self._training(batch_size))

    def validation(self, batch_size: int = 128) -> tf.data.Dataset:
        """The held-out blocks once, as input and as target."""
        return self._dataset(lambda: self._in_batches(self.held_out, batch_size, None))

    def _dataset(self, rows) -> tf.data.Dataset:
        shape = tf.TensorSpec((None, self.n_features), tf.float32)
        cells = tf.data.Dataset.from_generator(rows, output_signature=shape)
        return untuned(cells.map(lambda x: (x, x)))

    def _training(self, batch_size: int) -> Iterator[np.ndarray]:
        rng = np.random.default_rng((self.seed, 1))
        while True:
            order = rng.permutation(self.inside)
            for i in range(0, len(order), self.BLOCKS_TOGETHER):
                yield from self._in_batches(order[i : i + self.BLOCKS_TOGETHER], batch_size, rng)

    def _in_batches(self, starts, batch_size: int, rng) -> Iterator[np.ndarray]:
        """Blocks in minibatches; with `rng` shuffled together, without one after another."""
        mean, scale = self.mean.astype("float32"), self.scale.astype("float32")
        groups = [starts] if rng is not None else np.array_split(starts, len(starts))
        for group in groups:
            cells = np.concatenate([self.read(start) for start in group])
            order = rng.permutation(len(cells)) if rng is not None else np.arange(len(cells))
            for i in range(0, len(cells), batch_size):
                yield (cells[order[i : i + batch_size]] - mean) / scale
