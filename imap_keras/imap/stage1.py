"""Stage I: an autoencoder whose content code carries no batch (Wang et al. 2021, Methods).

The encoder E turns a cell into its content. Two decoders rebuild it: the batch decoder G1 reads the
batch alone, the content decoder G2 reads content and batch, and ``Dec(c, b) = ReLU(G1(b) + G2(c, b))``.
Two errors are minimised, both mean squared:

- reconstruction: ``Dec(E(x), own batch)`` against ``x``;
- content: ``E(Dec(E(x), random batch))`` against ``E(x)``. A code that survives being decoded into
  any batch cannot say which batch it came from.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from ..nn.blocks import BatchNorm, Initializers, apply, dense_stack
from ..nn.optimizer import adam
from ..nn.rows import draw_from_groups, drawn_rows, gathered
from .row_layers import AddPicked, AllBatches, PutRows, RowsThatMove, TakeRows

# The reference reads real cells three times a step and decoded cells once, between the second and
# the third. Reading each once with these momenta moves the running statistics just as far:
# 0.9**4 of the old value stays, 0.09 comes from decoded cells, the rest from real ones.
REAL_MOMENTUM = 0.9**4 / 0.91
DECODED_MOMENTUM = 0.91


def build_encoder(
    n_genes: int,
    latent_dim: int = 256,
    hidden: Sequence[int] = (1024, 512),
    init: Initializers | None = None,
) -> keras.Model:
    """Build the encoder E, genes -> 1024 -> 512 -> content.

    BatchNorm and Mish follow the hidden layers, the output is linear.

    Parameters
    ----------
    n_genes, latent_dim
        Width of the input and of the content code (l = 256 in the paper).
    hidden
        Widths of the hidden layers.
    init
        Starting weights; the default draws ``Initializers("zero_bias", seed=0)``.

    Returns
    -------
    keras.Model
        Cells x genes in, cells x `latent_dim` out.

    Examples
    --------
    >>> from imap_keras.imap.stage1 import build_encoder
    >>> build_encoder(20, 4, hidden=(8, 8)).output_shape
    (None, 4)
    """
    widths = (*hidden, latent_dim)
    inner = [True] * len(hidden) + [False]
    stack = dense_stack(n_genes, widths, init or Initializers(), inner, inner, "encoder")
    cells = keras.Input((n_genes,), name="cells")
    return keras.Model(cells, apply(stack, cells), name="encoder")


def build_decoder(
    n_inputs: int,
    n_genes: int,
    hidden: Sequence[int] = (512, 1024),
    init: Initializers | None = None,
    name: str = "decoder",
) -> keras.Model:
    """Build G1 or G2, inputs -> 512 -> 1024 -> genes, Mish on the hidden layers, no BatchNorm.

    Parameters
    ----------
    n_inputs
        Number of batches for G1, `latent_dim` + number of batches for G2.
    n_genes
        Width of the output.
    hidden, init, name
        Widths of the hidden layers, starting weights, name of the model.

    Examples
    --------
    >>> from imap_keras.imap.stage1 import build_decoder
    >>> build_decoder(3, 20, hidden=(8, 8)).output_shape
    (None, 20)
    """
    widths = (*hidden, n_genes)
    inner = [True] * len(hidden) + [False]
    stack = dense_stack(n_inputs, widths, init or Initializers(), [False] * len(widths), inner, name)
    inputs = keras.Input((n_inputs,), name=f"{name}_inputs")
    return keras.Model(inputs, apply(stack, inputs), name=name)


def stage1_networks(
    n_genes: int,
    n_batches: int,
    latent_dim: int = 256,
    hidden: Sequence[int] = (1024, 512),
    init: Initializers | None = None,
) -> dict[str, keras.Model]:
    """E, G2 and G1 by the names that :func:`build_autoencoder` gives them.

    Parameters
    ----------
    n_genes, n_batches, latent_dim
        Widths of cells, of the one-hot batch and of the content.
    hidden, init
        Widths of the encoder's hidden layers, which the decoders mirror; starting weights.

    Examples
    --------
    >>> from imap_keras.imap.stage1 import stage1_networks
    >>> list(stage1_networks(20, 3, 4, (8, 8)))
    ['encoder', 'content_decoder', 'batch_decoder']
    """
    init, back = init or Initializers(), tuple(reversed(hidden))
    code = latent_dim + n_batches
    return {
        "encoder": build_encoder(n_genes, latent_dim, hidden, init),
        "content_decoder": build_decoder(code, n_genes, back, init, "content_decoder"),
        "batch_decoder": build_decoder(n_batches, n_genes, back, init, "batch_decoder"),
    }


def decode(content, batch, profiles, content_decoder: keras.Model, name: str):
    """Symbolic ``Dec(c, b) = ReLU(G1(b) + G2(c, b))`` for one-hot rows `batch`.

    Every layer has a name: automatic ones count up from run to run, TensorFlow sums gradients in the
    order of names, and a second fit in one session would differ from the first.

    Parameters
    ----------
    content, batch
        Rows x latent_dim and rows x batches.
    profiles
        G1 of every batch, batches x genes.
    content_decoder
        G2.
    name
        Name of the output.
    """
    code = keras.layers.Concatenate(name=f"{name}_code")([content, batch])
    total = AddPicked(name=f"{name}_sum")(content_decoder(code), batch, profiles)
    return keras.layers.ReLU(name=name)(total)


def decode_moving(content, rebuilt, inputs, profiles, content_decoder: keras.Model):
    """Symbolic ``Dec(E(x), random batch)``: the reconstruction where the random batch is the own one.

    One row in n_batches is not decoded a second time: an eighth less arithmetic with two batches, a
    twelfth with three, and the same result.

    Parameters
    ----------
    content, rebuilt
        E(x), rows x latent_dim, and ``Dec(E(x), own batch)``, rows x genes.
    inputs
        ``batch`` and ``random_batch``, rows x batches.
    profiles, content_decoder
        As in :func:`decode`.
    """
    rows = RowsThatMove(name="moving_rows")(inputs["batch"], inputs["random_batch"])
    code = TakeRows(name="moving_content")(content, rows)
    batch = TakeRows(name="moving_batch")(inputs["random_batch"], rows)
    moved = decode(code, batch, profiles, content_decoder, "moved")
    return PutRows(name="decoded")(rebuilt, rows, moved)


def build_autoencoder(
    encoder: keras.Model, content_decoder: keras.Model, batch_decoder: keras.Model
) -> keras.Model:
    """Wire encoder and decoders into the stage I model with its two named outputs.

    Parameters
    ----------
    encoder
        E, from :func:`build_encoder`.
    content_decoder, batch_decoder
        G2 and G1, from :func:`build_decoder`.

    Returns
    -------
    keras.Model
        Inputs ``cells`` (rows x genes), ``batch`` and ``random_batch`` (rows x batches, one-hot).
        Outputs ``reconstruction`` (rows x genes) and ``content`` (rows x latent_dim), the latter
        being what the content changed by when the cell was decoded into the random batch: its
        target is zero.

    Examples
    --------
    >>> from imap_keras.imap.stage1 import build_autoencoder, build_decoder, build_encoder
    >>> small = dict(hidden=(8, 8))
    >>> e = build_encoder(20, 4, **small)
    >>> g2, g1 = build_decoder(4 + 3, 20, name="g2", **small), build_decoder(3, 20, name="g1", **small)
    >>> [model.name for model in (e, g2, g1, build_autoencoder(e, g2, g1))][-1]
    'stage1'
    """
    n_genes, n_batches = encoder.input_shape[-1], batch_decoder.input_shape[-1]
    widths = {"cells": n_genes, "batch": n_batches, "random_batch": n_batches}
    inputs = {name: keras.Input((width,), name=name) for name, width in widths.items()}
    profiles = batch_decoder(AllBatches(name="all_batches")(inputs["batch"]))
    content = apply(encoder.layers[1:], inputs["cells"], momentum=REAL_MOMENTUM)
    rebuilt = decode(content, inputs["batch"], profiles, content_decoder, "reconstruction")
    decoded = decode_moving(content, rebuilt, inputs, profiles, content_decoder)
    content_again = apply(encoder.layers[1:], decoded, momentum=DECODED_MOMENTUM)
    change = keras.layers.Subtract(name="content")([content_again, content])
    return keras.Model(inputs, {"reconstruction": rebuilt, "content": change}, name="stage1")


def compile_autoencoder(
    autoencoder: keras.Model,
    lambda_content: float = 3.0,
    lambda_reconstruction: float = 1.0,
    learning_rate: float = 5e-4,
) -> None:
    """Give the autoencoder its two losses, their weights and Adam with the paper's settings.

    Parameters
    ----------
    autoencoder
        From :func:`build_autoencoder`.
    lambda_content, lambda_reconstruction
        Weights of the two losses (3 and 1 in the paper).
    learning_rate
        Adam's, with betas 0.5 and 0.999.
    """
    autoencoder.compile(
        optimizer=adam(learning_rate, "stage1_adam", beta_1=0.5),
        loss={"reconstruction": "mse", "content": "mse"},
        loss_weights={"reconstruction": lambda_reconstruction, "content": lambda_content},
    )


def draw_mixtures(table, members, sizes: np.ndarray, rows_per_batch: int, seeds: Sequence):
    """Rows ``a*x1 + (1-a)*x2`` of two random cells of one batch, grouped by batch.

    Parameters
    ----------
    table
        Cells x genes, see :func:`imap_keras.nn.rows.gathered`.
    members, sizes
        Indices of the cells, batch after batch, and the number of cells of each batch.
    rows_per_batch
        Rows drawn from each batch.
    seeds
        Two stateless seeds (shape 2 each): for the cells and for a.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.stage1 import draw_mixtures
    >>> table, members, sizes = np.float32([[0], [1], [5], [6]]), np.arange(4), np.array([2, 2])
    >>> rows = draw_mixtures(table, members, sizes, 3, seeds=[(0, 1), (0, 2)]).numpy()
    >>> rows.shape, bool((rows[:3] <= 1).all()), bool((rows[3:] >= 5).all())
    ((6, 1), True, True)
    """
    drawn = tf.reshape(draw_from_groups(members, sizes, (rows_per_batch, 2), seeds[0]), (-1, 2))
    x1, x2 = (gathered(table, drawn[:, i]) for i in (0, 1))
    a = tf.random.stateless_uniform((len(x1), 1), seeds[1])
    return a * x1 + (1 - a) * x2


def mixed_cells(
    cells: np.ndarray,
    batch_codes: np.ndarray,
    latent_dim: int = 256,
    rows_per_batch: int = 512,
    seed: int = 0,
) -> tf.data.Dataset:
    """Endless training rows: each a mixture ``a*x1 + (1-a)*x2`` of two cells of one batch.

    Cells are one tensor, or a :class:`imap_keras.imap.pool.Pool`, whose rows become dense only when
    they are drawn; indices are drawn on tensors and rows gathered, no Python loop over cells.
    Every batch gives the same number of rows, however many cells it has.

    Parameters
    ----------
    cells
        Cells x genes, float32, or a pool of cells.
    batch_codes
        Batch of each cell, 0 ... n_batches - 1.
    latent_dim
        Width of the content target (zeros).
    rows_per_batch
        Rows drawn from each batch in each step (512 in the reference).
    seed
        The same seed gives the same rows.

    Returns
    -------
    tf.data.Dataset
        ``(inputs, targets)`` for :func:`build_autoencoder`'s model, rows grouped by batch.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.stage1 import mixed_cells
    >>> rows = mixed_cells(np.ones((6, 2), "float32"), np.array([0, 0, 0, 1, 1, 1]), 4, 5)
    >>> inputs, targets = next(iter(rows))
    >>> tuple(inputs["cells"].shape), tuple(targets["content"].shape)
    ((10, 2), (10, 4))
    """
    table = tf.constant(cells, tf.float32) if isinstance(cells, np.ndarray) else cells
    sizes = np.bincount(batch_codes)
    n_batches, rows = len(sizes), len(sizes) * rows_per_batch
    members = tf.constant(np.argsort(batch_codes, kind="stable"), tf.int32)
    own, no_change = tf.repeat(tf.eye(n_batches), rows_per_batch, axis=0), tf.zeros((rows, latent_dim))

    def draw(step):
        seeds = [tf.stack([tf.constant(3 * seed + i, tf.int64), step]) for i in range(3)]
        x = draw_mixtures(table, members, sizes, rows_per_batch, seeds)
        random_batch = tf.random.stateless_uniform((rows,), seeds[2], 0, n_batches, tf.int32)
        inputs = {"cells": x, "batch": own, "random_batch": tf.one_hot(random_batch, n_batches)}
        return inputs, {"reconstruction": x, "content": no_change}

    return drawn_rows(draw)


def recalibrate_batch_norm(network: keras.Model, cells: np.ndarray) -> None:
    """Set every BatchNorm's running statistics to those of real cells.

    Training saw mixtures of cells (two thirds of the variance) and decoded cells; at inference real
    cells would meet statistics of another scale. One pass, layer by layer, puts that right.

    Parameters
    ----------
    network
        A chain of layers (the encoder of stage I or, up to its shortcut, the generator of stage II).
    cells
        Cells x genes, a sample of at most some thousand.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.stage1 import build_encoder, recalibrate_batch_norm
    >>> encoder = build_encoder(3, 2, hidden=(4,))
    >>> recalibrate_batch_norm(encoder, np.zeros((5, 3), "float32"))
    >>> encoder.get_layer("encoder_norm_1").moving_variance.numpy().tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    norms = [i for i, layer in enumerate(network.layers) if isinstance(layer, BatchNorm)]
    values = tf.constant(cells, tf.float32)
    for i, layer in enumerate(network.layers[1 : norms[-1] + 1], start=1):  # 0 is the input
        if i in norms:
            mean, variance = tf.nn.moments(values, axes=0)
            gamma, beta = layer.get_weights()[:2]
            layer.set_weights([gamma, beta, mean.numpy(), variance.numpy()])
        values = layer(values)
