"""A small classifier head: on the frozen content code for cell types, on the genes for platforms."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from ..nn.blocks import Initializers, apply, dense_stack
from ..nn.fitting import fit_network
from ..nn.optimizer import adam
from ..nn.parameters import Parameters, count, number, seed, widths
from ..nn.rows import drawn_rows, gathered, shuffled_rows, steps_of
from .pool import Pool
from .stage1 import recalibrate_batch_norm

AT_MOST = 3000  # cells that the running statistics come from


@dataclass(frozen=True)
class ImportanceParameters(Parameters):
    """Hyperparameters of a head and of its explanation.

    Parameters
    ----------
    hidden
        Widths of the head's hidden layers.
    epochs, batch_size, learning_rate
        Of the head's training. The published code takes 200 epochs of 2,048 cells a step; smaller
        steps suit a thousand cells.
    held_out
        Share of every group that does not train the head and gives its accuracy.
    n_samples
        Random points a cell, rounded up to the same number for every group of the background.
    n_background
        Cells of each group in the background; all of a smaller group.
    n_cells
        Cells of each group that are explained; None: all.
    chunk
        Cells explained at a time: memory is a few times `chunk` x genes, whatever the number of cells.
    seed
        Seed of everything random.

    Examples
    --------
    >>> from imap_keras.imap.head import ImportanceParameters
    >>> ImportanceParameters(epochs=20).batch_size
    64
    """

    METHOD = "importance"

    hidden: tuple[int, ...] = widths((128, 64))
    epochs: int = count(100)
    batch_size: int = count(64, least=2)
    learning_rate: float = number(2e-4, "above 0")
    held_out: float = number(0.1, "above 0 and below 0.9")
    n_samples: int = count(100)
    n_background: int = count(50)
    n_cells: int | None = count(100, optional=True)
    chunk: int = count(256)
    seed: int = seed()


def build_head(
    n_inputs: int, n_classes: int, hidden: Sequence[int] = (128, 64), init: Initializers | None = None
) -> keras.Model:
    """Build the classifier head, inputs -> 128 -> 64 -> logits.

    BatchNorm and Mish follow the hidden layers; the logits are linear.

    Parameters
    ----------
    n_inputs, n_classes
        Width of the code, or number of genes; number of groups.
    hidden, init
        Widths of the hidden layers; starting weights, by default ``Initializers("zero_bias")``.

    Examples
    --------
    >>> from imap_keras.imap.head import build_head
    >>> build_head(256, 5).output_shape
    (None, 5)
    """
    inner = [True] * len(hidden) + [False]
    stack = dense_stack(n_inputs, (*hidden, n_classes), init or Initializers(), inner, inner, "head")
    inputs = keras.Input((n_inputs,), name="head_inputs")
    return keras.Model(inputs, apply(stack, inputs), name="head")


def train_head(
    head: keras.Model,
    inputs: np.ndarray | Pool,
    codes: np.ndarray,
    rows: np.ndarray,
    parameters: ImportanceParameters,
    verbose: int = 0,
) -> pd.DataFrame:
    """Train a head by softmax cross-entropy; returns its loss by epoch.

    The running statistics of BatchNorm are measured anew at the end.

    Parameters
    ----------
    head
        From :func:`build_head`.
    inputs, codes
        Cells x width of the head, and the group of each, 0 ... n_classes - 1.
    rows
        Cells to train on.
    parameters, verbose
        Of the training; 0 shows no progress bar.

    Raises
    ------
    FloatingPointError
        Training diverged.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.head import ImportanceParameters, build_head, train_head
    >>> x, codes = np.eye(4, dtype="float32"), np.array([0, 0, 1, 1])
    >>> head, few = build_head(4, 2, hidden=(8,)), ImportanceParameters(epochs=2, batch_size=4)
    >>> list(train_head(head, x, codes, np.arange(4), few))
    ['epoch', 'loss']
    """
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    head.compile(adam(parameters.learning_rate, "head_adam", beta_1=0.5), loss)
    table = tf.constant(inputs) if isinstance(inputs, np.ndarray) else inputs
    members, codes = tf.constant(rows), tf.constant(codes, tf.int32)
    size = min(parameters.batch_size, len(rows))

    def draw(step):
        index = tf.gather(members, shuffled_rows(step, len(rows), size, parameters.seed))
        return gathered(table, index), tf.gather(codes, index)

    steps, some = steps_of(len(rows), size), (inputs[rows[:2]], codes[:2])
    losses = fit_network(
        head, drawn_rows(draw), parameters.epochs, "the head", steps=steps, verbose=verbose, some=some
    )
    # Codes are far from 0 against their spread: running statistics that lag behind the weights by a
    # few steps would move every cell.
    few = np.random.default_rng(parameters.seed).permutation(rows)[:AT_MOST]
    recalibrate_batch_norm(head, inputs[few])
    return losses
