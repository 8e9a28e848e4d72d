"""Encoder and decoder of the conditional VAE: the batch enters their first layers, and nothing else."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from ..nn.blocks import PACKAGE, LayerSeeds

# The layers that read expression (or the latent code) beside the batch.
FIRST_LAYERS = ("encoder_dense_1", "decoder_dense_1")


@keras.saving.register_keras_serializable(PACKAGE)
class BatchTable(keras.layers.Layer):
    """One row of weights a batch, picked by a one-hot row; the first rows may be frozen.

    A bias-free dense layer on the one-hot batch, with its kernel in two pieces: the rows of batches
    known before surgery, which no optimiser sees, and the rows of new batches.

    Parameters
    ----------
    units
        Width of a row.
    n_batches, n_frozen
        Rows in all, and how many of them, from the first, are frozen.
    scale, seed
        Rows start as N(0, scale).

    Examples
    --------
    >>> from imap_keras.scarches import BatchTable
    >>> table = BatchTable(4, n_batches=3, n_frozen=2, name="batch")
    >>> table.build((None, 3))
    >>> table.rows().shape, [tuple(weight.shape) for weight in table.trainable_weights]
    ((3, 4), [(1, 4)])
    """

    def __init__(
        self,
        units: int,
        n_batches: int,
        n_frozen: int = 0,
        scale: float = 0.05,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units, self.n_batches, self.n_frozen = units, n_batches, n_frozen
        self.scale, self.seed = scale, seed

    def build(self, input_shape):
        def draw(stream):
            return keras.initializers.RandomNormal(0.0, self.scale, seed=self.seed + stream)

        shape = (self.n_batches - self.n_frozen, self.units)
        self.known = None
        if self.n_frozen:
            known = (self.n_frozen, self.units)
            self.known = self.add_weight(
                name="known", shape=known, initializer=draw(1), trainable=False
            )
        self.new = self.add_weight(name="new", shape=shape, initializer=draw(0), trainable=True)
        self.built = True

    def call(self, one_hot):
        rows = self.new if self.known is None else tf.concat([self.known, self.new], axis=0)
        return tf.matmul(one_hot, tf.convert_to_tensor(rows))

    def rows(self) -> np.ndarray:
        """All rows, batches x units."""
        parts = [self.new] if self.known is None else [self.known, self.new]
        return np.concatenate([np.asarray(part) for part in parts])

    def set_rows(self, rows: np.ndarray) -> None:
        """Set all rows."""
        if self.known is not None:
            self.known.assign(rows[: self.n_frozen])
        self.new.assign(rows[self.n_frozen :])

    def get_config(self):
        names = ("units", "n_batches", "n_frozen", "scale", "seed")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable(PACKAGE)
class Log1p(keras.layers.Layer):
    """``log(1 + x)``: counts span decades, and a dense layer does better on their logarithm."""

    def call(self, counts):
        return tf.math.log1p(counts)


def hidden_blocks(
    x,
    batch,
    hidden: Sequence[int],
    dropout: float,
    n_frozen: int,
    seeds: LayerSeeds,
    name: str,
    bias: bool = True,
    epsilon: float = 1e-5,
):
    """Blocks of dense, LayerNorm (without weights), ReLU and dropout; the first one reads the batch.

    Parameters
    ----------
    x, batch
        Symbolic inputs, rows x anything and rows x batches (one-hot).
    hidden, dropout
        Widths; share of units left out in training (0: no such layer).
    n_frozen
        Batches, from the first, whose rows are frozen.
    seeds, name
        Starting weights; prefix of the layer names.
    bias
        Whether the dense layers have a bias.
    epsilon
        Added to the variance in layer normalisation.

    Examples
    --------
    >>> import keras
    >>> from imap_keras.nn.blocks import LayerSeeds
    >>> from imap_keras.scarches.network import hidden_blocks
    >>> cells, batch = keras.Input((20,)), keras.Input((3,))
    >>> hidden_blocks(cells, batch, (8, 4), 0.05, 0, LayerSeeds(0), "encoder").shape[-1]
    4
    """
    for number, units in enumerate(hidden, start=1):
        x = seeds.dense(units, f"{name}_dense_{number}", use_bias=bias)(x)
        if number == 1:  # the one layer that reads the batch
            rows = BatchTable(units, batch.shape[-1], n_frozen, seed=seeds.draw(), name=f"{name}_batch")
            x = keras.layers.Add(name=f"{name}_first")([x, rows(batch)])
        norm = {"epsilon": epsilon, "name": f"{name}_norm_{number}"}
        x = keras.layers.LayerNormalization(center=False, scale=False, **norm)(x)
        x = keras.layers.ReLU(name=f"{name}_relu_{number}")(x)
        if dropout:
            x = seeds.dropout(dropout, f"{name}_dropout_{number}")(x)
    return x


def build_conditional_encoder(
    n_genes: int,
    n_batches: int,
    latent_dim: int = 10,
    hidden: Sequence[int] = (128, 128),
    counts: bool = True,
    dropout: float = 0.05,
    n_frozen: int = 0,
    norm_epsilon: float = 1e-5,
    seed: int = 0,
) -> keras.Model:
    """Build the encoder: cells and their batch in, mean and log-variance of the latent code out.

    Parameters
    ----------
    n_genes, n_batches, latent_dim
        Widths of the two inputs and of each output.
    hidden
        Widths of the hidden layers; the batch enters the first.
    counts
        The cells are counts, and log1p comes first.
    dropout
        Share of hidden units left out in training.
    n_frozen
        Batches, from the first, whose weights are frozen.
    norm_epsilon
        Added to the variance in layer normalisation.
    seed
        Seed of the starting weights.

    Returns
    -------
    keras.Model
        Inputs ``[cells, batch]`` (rows x genes, rows x batches one-hot), outputs
        ``[mean, log_variance]`` (rows x `latent_dim` each).

    References
    ----------
    Lotfollahi et al., Nature Biotechnology 40:121 (2022), Methods, "Architecture surgery".

    Examples
    --------
    >>> from imap_keras.scarches import build_conditional_encoder
    >>> encoder = build_conditional_encoder(20, 3, latent_dim=2, hidden=(8,))
    >>> [tuple(output.shape) for output in encoder.outputs]
    [(None, 2), (None, 2)]
    """
    seeds = LayerSeeds(seed)
    cells, batch = keras.Input((n_genes,), name="cells"), keras.Input((n_batches,), name="batch")
    x = Log1p(name="log1p")(cells) if counts else cells
    x = hidden_blocks(x, batch, hidden, dropout, n_frozen, seeds, "encoder", epsilon=norm_epsilon)
    heads = [seeds.dense(latent_dim, f"encoder_{head}")(x) for head in ("mean", "log_variance")]
    return keras.Model([cells, batch], heads, name="conditional_encoder")


def build_conditional_decoder(
    n_genes: int,
    n_batches: int,
    latent_dim: int = 10,
    hidden: Sequence[int] = (128, 128),
    likelihood: str = "nb",
    dropout: float = 0.05,
    n_frozen: int = 0,
    norm_epsilon: float = 1e-5,
    bias: bool = False,
    seed: int = 0,
) -> keras.Model:
    """Build the decoder: latent code and batch in, the parameters of the likelihood out.

    Parameters
    ----------
    n_genes, n_batches, latent_dim, dropout, n_frozen, norm_epsilon, seed
        As for :func:`build_conditional_encoder`.
    hidden
        Widths of the hidden layers in the decoder's own order; the batch enters the first.
    likelihood
        ``"nb"``, ``"zinb"`` or ``"mse"``.
    bias
        Whether the hidden layers have a bias.

    Returns
    -------
    keras.Model
        Inputs ``[code, batch]``. Outputs, rows x genes each: for ``"mse"`` the expression (ReLU);
        for ``"nb"`` the share of each gene (softmax) and the log-dispersion, one value a gene and
        batch; for ``"zinb"`` the logit of an extra zero as well.

    Examples
    --------
    >>> from imap_keras.scarches import build_conditional_decoder
    >>> len(build_conditional_decoder(20, 3, latent_dim=2, hidden=(8,), likelihood="zinb").outputs)
    3
    """
    seeds = LayerSeeds(seed)
    code, batch = keras.Input((latent_dim,), name="code"), keras.Input((n_batches,), name="batch")
    x = hidden_blocks(code, batch, hidden, dropout, n_frozen, seeds, "decoder", bias, norm_epsilon)
    out = seeds.dense(n_genes, "decoder_mean")(x)
    if likelihood == "mse":
        outputs = [keras.layers.ReLU(name="expression")(out)]
    else:
        table = BatchTable(n_genes, n_batches, n_frozen, seed=seeds.draw(), name="log_dispersion")
        outputs = [keras.layers.Softmax(name="share")(out), table(batch)]
    if likelihood == "zinb":
        outputs.append(seeds.dense(n_genes, "zero_logit")(x))
    return keras.Model([code, batch], outputs, name="conditional_decoder")


def start_as_published(network: keras.Model, seed: int = 0) -> None:
    """Draw starting weights as the published code does.

    Dense layers and batch rows are uniform in +-1/sqrt(inputs), biases too, as PyTorch has it; the
    log-dispersions are N(0, 1).

    Parameters
    ----------
    network
        An encoder or a decoder; changed.
    seed
        Seed of the draws.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches.network import build_conditional_encoder, start_as_published
    >>> encoder = build_conditional_encoder(25, 3, latent_dim=2, hidden=(8,))
    >>> start_as_published(encoder)
    >>> kernel, bias = encoder.get_layer("encoder_dense_1").get_weights()
    >>> bool(np.abs(kernel).max() < 0.2 and np.ptp(bias) > 0)
    True
    """
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        if isinstance(layer, BatchTable):
            shape, limit = (layer.n_batches, layer.units), 1 / np.sqrt(layer.n_batches)
            dispersion = layer.name == "log_dispersion"
            layer.set_rows(rng.normal(size=shape) if dispersion else rng.uniform(-limit, limit, shape))
        elif layer.weights:
            weights = layer.get_weights()
            limit = 1 / np.sqrt(len(weights[0]))
            layer.set_weights([rng.uniform(-limit, limit, weight.shape) for weight in weights])
