"""Training rows: which cell is read through which mask, and judged through which other one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from ..inputs.cells import AT_ONCE, BLOCK
from ..inputs.parts import drawn_of_each
from ..nn.rows import drawn_rows, gathered, shuffled_rows
from .measured import Measured
from .network import masked

UNLABELLED = -1
SLICE = 1024  # cells that are summed at a time


@dataclass(frozen=True)
class Rows:
    """Cells, and the blocks of rows that are made of them.

    A block is a set of cells, an input mask (what the encoder reads) and an output mask (what the
    reconstruction is judged by); the same cell may be in several blocks. Rows are pairs of a cell and
    a block, so the values of a cell are kept once.

    Parameters
    ----------
    values
        Cells x features, float32; what stands where a cell was not measured has no effect. Many cells
        stay where they are, and are read where rows of them are asked for.
    input_masks, output_masks
        Blocks x features, 1 where a feature is read or judged.
    cell, block
        For each row, the number of its cell and of its block.
    blocks, features, modalities, cells
        Names of the blocks, of the features, the modality of each feature, names of the cells.
    covariate, covariates
        For each cell the number of its covariate (its batch, say), and the names.
    label, labels
        For each cell the number of its label, -1 for none, and the names.

    Raises
    ------
    ValueError
        A mask has another shape than blocks x features, or other values than 0 and 1; a row has every
        input masked; a block has no output; a label or covariate is not among the names.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inclust import Rows
    >>> rows = Rows(
    ...     values=np.ones((2, 3), "float32"),
    ...     input_masks=np.array([[1, 1, 0]]), output_masks=np.array([[1, 1, 1]]),
    ...     cell=np.array([0, 1]), block=np.array([0, 0]),
    ...     blocks=["all"], features=["a", "b", "c"], modalities=["rna"] * 3, cells=["x", "y"],
    ...     covariate=np.array([0, 0]), covariates=["batch"],
    ...     label=np.array([-1, 0]), labels=["T"],
    ... )
    >>> len(rows), rows.supervision
    (2, 'semi-supervised')
    """

    values: np.ndarray | Measured
    input_masks: np.ndarray
    output_masks: np.ndarray
    cell: np.ndarray
    block: np.ndarray
    blocks: Sequence[str]
    features: Sequence[str]
    modalities: Sequence[str]
    cells: Sequence[str]
    covariate: np.ndarray
    covariates: Sequence[str]
    label: np.ndarray
    labels: Sequence[str]

    def __post_init__(self):
        shape = (len(self.blocks), self.values.shape[1])
        for what in ("input_masks", "output_masks"):
            mask = np.asarray(getattr(self, what))
            if mask.shape != shape:
                raise ValueError(
                    f"{what} has the shape {mask.shape}; expected blocks x features, {shape}. "
                    "Give one mask of 0 and 1 per block."
                )
            other = mask[~np.isin(mask, (0, 1))]
            if len(other):
                raise ValueError(f"{what} holds {other[0]}; a mask is made of 0 and 1.")
            object.__setattr__(self, what, mask.astype("float32"))
            empty = [name for name, some in zip(self.blocks, mask.any(axis=1)) if not some]
            if empty:
                side = "input" if what == "input_masks" else "output"
                raise ValueError(
                    f"Block {empty[0]!r} has every {side} masked: its rows would teach nothing. "
                    f"Leave at least one feature in {what}, or leave the block out."
                )
        for what, names in (("label", self.labels), ("covariate", self.covariates)):
            least = UNLABELLED if what == "label" else 0
            codes = getattr(self, what)
            unknown = codes[(codes < least) | (codes >= len(names))]
            if len(unknown):
                raise ValueError(
                    f"{what} holds {unknown[0]}, unknown among {len(names)} names: {list(names)}."
                )

    def __len__(self) -> int:
        return len(self.cell)

    @property
    def supervision(self) -> str:
        """``"supervised"``, ``"semi-supervised"`` or ``"unsupervised"``: all, some or no labels."""
        labelled = self.label[self.cell] != UNLABELLED
        if labelled.all():
            return "supervised"
        return "semi-supervised" if labelled.any() else "unsupervised"

    def judged_mean(self) -> np.ndarray:
        """Mean of each feature over the rows that are judged by it, 0 without any."""
        total, count = np.zeros((2, self.values.shape[1]))
        for name, mask in zip(self.blocks, self.output_masks):
            cells, judged = self.of_block(name), np.flatnonzero(mask)
            count[judged] += len(cells)
            # A slice of cells at a time, never a copy of a whole block; sums in double precision.
            for i in range(0, len(cells), SLICE):
                some = self.values[cells[i : i + SLICE]].take(judged, axis=1)
                total[judged] += some.sum(axis=0, dtype=float)
        return total / np.maximum(count, 1)

    def largest(self) -> float:
        """The largest value; NaN may stand where nothing is read or judged."""
        starts = range(0, len(self.values), SLICE)
        return float(np.nanmax([np.nanmax(self.values[i : i + SLICE]) for i in starts]))

    def slices(self, block: str) -> Iterator[np.ndarray]:
        """Cells (their numbers) of the block of a name, so many as may be dense at one time."""
        cells = self.of_block(block)
        for start in range(0, max(len(cells), 1), BLOCK):
            yield cells[start : start + BLOCK]

    def in_training(self, pool_size: int, seed: int = 0) -> "Rows":
        """Rows to train on, in memory: of more than 20,000 cells at most so many of each covariate.

        Parameters
        ----------
        pool_size, seed
            Most cells of a covariate, drawn by this seed.

        Raises
        ------
        RuntimeError
            A file changed while it was read.
        """
        if len(self.values) <= AT_ONCE:
            return self
        drawn = drawn_of_each(self.covariate, pool_size, seed)
        read = isinstance(self.values, Measured)
        kept = np.isin(self.cell, drawn)
        return replace(
            self,
            values=self.values.read(drawn) if read else self.values[drawn],
            cell=np.searchsorted(drawn, self.cell[kept]),
            block=self.block[kept],
            cells=[self.cells[number] for number in drawn],
            covariate=self.covariate[drawn],
            label=self.label[drawn],
        )

    def keep(self, blocks: Sequence[str]) -> "Rows":
        """Rows of the named blocks alone, for ablations.

        Raises
        ------
        ValueError
            There is no block of such a name.
        """
        numbers = np.sort([self.number_of(name) for name in blocks])
        kept = np.isin(self.block, numbers)
        return replace(
            self,
            input_masks=self.input_masks[numbers],
            output_masks=self.output_masks[numbers],
            cell=self.cell[kept],
            block=np.searchsorted(numbers, self.block[kept]),
            blocks=[self.blocks[number] for number in numbers],
        )

    def number_of(self, block: str) -> int:
        """Number of the block of a name.

        Raises
        ------
        ValueError
            There is no such block.
        """
        if block not in self.blocks:
            raise ValueError(f"block={block!r} is unknown; choose one of {list(self.blocks)}.")
        return list(self.blocks).index(block)

    def of_block(self, block: str) -> np.ndarray:
        """Cells (their numbers) of the block of a name."""
        return self.cell[self.block == self.number_of(block)]


def draw_rows(
    rows: Rows, n_clusters: int, latent_dim: int = 50, rows_per_step: int = 500, seed: int = 0
) -> tf.data.Dataset:
    """Endless training steps: every row once an epoch, in a new order, with its masks and its noise.

    Parameters
    ----------
    rows
        Cells and blocks.
    n_clusters, latent_dim
        Widths of the label and of the noise.
    rows_per_step
        Rows per step (500 in the published code).
    seed
        The same seed gives the same rows, order and noise.

    Returns
    -------
    tf.data.Dataset
        ``(inputs, targets)`` for the model of :func:`imap_keras.inclust.network.build_network`.

    Examples
    --------
    >>> from imap_keras.datasets import simulate_modalities
    >>> from imap_keras.inclust import paired
    >>> from imap_keras.inclust.rows import draw_rows
    >>> rows = paired(simulate_modalities(30, {"rna": 6, "protein": 4}), "cell_type")
    >>> inputs, targets = next(iter(draw_rows(rows, n_clusters=4, rows_per_step=8)))
    >>> tuple(inputs["cells"].shape), tuple(targets["label"].shape)
    ((8, 10), (8, 4))
    """
    values = rows.values
    if isinstance(values, np.ndarray):
        values = tf.constant(values, tf.float32)
    masks = [tf.constant(mask, tf.float32) for mask in (rows.input_masks, rows.output_masks)]
    cell, block = tf.constant(rows.cell, tf.int32), tf.constant(rows.block, tf.int32)
    covariate, label = tf.constant(rows.covariate, tf.int32), tf.constant(rows.label, tf.int32)
    none = tf.zeros((rows_per_step, 1))

    def draw(step):
        row = shuffled_rows(step, len(rows), rows_per_step, seed)
        of_cell, of_block = tf.gather(cell, row), tf.gather(block, row)
        inputs = {
            "cells": gathered(values, of_cell),
            "input_mask": tf.gather(masks[0], of_block),
            "output_mask": tf.gather(masks[1], of_block),
            "covariate": tf.one_hot(tf.gather(covariate, of_cell), len(rows.covariates)),
            "noise": tf.random.stateless_normal(
                (rows_per_step, latent_dim), tf.stack([tf.constant(seed, tf.int64), step])
            ),
        }
        targets = {
            "reconstruction": masked(inputs["cells"], inputs["output_mask"]),
            "divergence": none,
            "entropy": none,
            # one_hot of -1 is all zero: an unlabelled row.
            "label": tf.one_hot(tf.gather(label, of_cell), n_clusters),
        }
        return inputs, targets

    return drawn_rows(draw)
