"""The inClust+ network: masks around a variational autoencoder with covariates and clusters.

The input mask decides what the encoder reads, the output mask what the reconstruction is judged by, row
by row. In between, ``z = z_mean - yh`` takes the covariate's embedding yh out of the latent (the
classifier reads z), and ``z + yh`` plus noise is what the decoder reads. Every cluster c is a Gaussian
around ``mu_c + yh``.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from ..nn.blocks import PACKAGE, LayerSeeds, apply
from ..nn.optimizer import adam

ACTIVATIONS = ("relu", "tanh")
# Last activation -> what it has to read to put a value out.
OUTPUTS = {"relu": np.asarray, "sigmoid": lambda y: np.log(y / (1 - y)), "tanh": np.arctanh}
STARTS = ("zero", "random")


@keras.saving.register_keras_serializable(PACKAGE)
class Mask(keras.layers.Layer):
    """Keep values where the mask is not 0, put 0 elsewhere, whatever stands there (NaN included).

    A chosen value, not a product: ``0 * NaN`` would be NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inclust.network import Mask
    >>> Mask()(np.array([[1.0, np.nan]]), np.array([[1.0, 0.0]])).numpy().tolist()
    [[1.0, 0.0]]
    """

    def call(self, values, mask):
        return masked(values, mask)


def masked(values, mask):
    """``values`` where ``mask`` is not 0, else 0: neither value nor gradient comes through.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inclust.network import masked
    >>> masked(np.array([3.0, np.inf]), np.array([1.0, 0.0])).numpy().tolist()
    [3.0, 0.0]
    """
    return tf.where(tf.not_equal(mask, 0), values, tf.zeros_like(values))


@keras.saving.register_keras_serializable(PACKAGE)
class Sample(keras.layers.Layer):
    """``mean + exp(log_var / 2) * noise``; noise is an input, so nothing is random here."""

    def call(self, mean, log_var, noise):
        return mean + tf.exp(log_var / 2) * noise


@keras.saving.register_keras_serializable(PACKAGE)
class ClusterDivergence(keras.layers.Layer):
    """``KL(N(z, s^2) || N(mu_c, I))`` of each row to each cluster c, with trainable means mu_c.

    With ``z = z_mean - yh`` it equals ``KL(N(z_mean, s^2) || N(mu_c + yh, I))``: both means are
    shifted by yh.

    Parameters
    ----------
    n_clusters
        Number of means.
    seed
        Of their starting values.
    start
        ``"random"``: Glorot's uniform numbers; ``"zero"``: all at 0, as in the published code.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inclust.network import ClusterDivergence
    >>> z = np.array([[3.0, 4.0]], "float32")
    >>> ClusterDivergence(2, start="zero")(z, np.zeros((1, 2), "float32")).numpy().tolist()
    [[12.5, 12.5]]
    """

    def __init__(self, n_clusters: int, seed: int = 0, start: str = "random", **kwargs):
        super().__init__(**kwargs)
        self.n_clusters, self.seed, self.start = n_clusters, seed, start

    def build(self, z_shape, log_var_shape=None):
        drawn = keras.initializers.GlorotUniform(seed=self.seed)
        self.means = self.add_weight(
            name="means",
            shape=(self.n_clusters, z_shape[-1]),
            initializer="zeros" if self.start == "zero" else drawn,
        )
        self.built = True

    def call(self, z, log_var):
        return cluster_divergence(z, log_var, self.means)

    def get_config(self):
        own = {"n_clusters": self.n_clusters, "seed": self.seed, "start": self.start}
        return {**super().get_config(), **own}


def cluster_divergence(z, log_var, means):
    """``KL(N(z, exp(log_var)) || N(means_c, I))``, rows x clusters.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inclust.network import cluster_divergence
    >>> z, means = np.zeros((1, 2)), np.array([[0.0, 0.0], [3.0, 4.0]])
    >>> cluster_divergence(z, np.zeros((1, 2)), means).numpy().tolist()
    [[0.0, 12.5]]
    """
    spread = tf.reduce_sum(tf.exp(log_var) - log_var - 1, axis=-1, keepdims=True)
    away = tf.reduce_sum((z[:, None, :] - means[None]) ** 2, axis=-1)
    return 0.5 * (spread + away)


@keras.saving.register_keras_serializable(PACKAGE)
class Expected(keras.layers.Layer):
    """``sum_c y_c * values_c``: the mean over clusters that the classifier expects, rows x 1."""

    def call(self, probability, values):
        return tf.reduce_sum(probability * values, axis=-1, keepdims=True)


@keras.saving.register_keras_serializable(PACKAGE)
class NegativeEntropy(keras.layers.Layer):
    """``sum_c y_c log y_c`` of each row, rows x 1; smallest where all clusters are as likely."""

    def call(self, probability):
        return tf.reduce_sum(probability * safe_log(probability), axis=-1, keepdims=True)


def build_parts(
    n_features: int,
    n_covariates: int,
    n_clusters: int,
    latent_dim: int = 50,
    hidden: Sequence[int] = (200, 50),
    decoder_hidden: Sequence[int] = (200,),
    output: str = "relu",
    seed: int = 0,
    start: np.ndarray | None = None,
    activation: str = "relu",
    covariate_start: str = "zero",
) -> dict[str, keras.Model]:
    """Build encoder, covariate embedding, classifier and decoder, each a Keras model.

    Parameters
    ----------
    n_features, n_covariates, n_clusters
        Widths of input and output, of the one-hot covariate and of the classifier.
    latent_dim, hidden, decoder_hidden
        Width of the latent, and of the hidden layers before and after it.
    output
        Activation of the last layer: ``"relu"`` for values of 0 or more, ``"sigmoid"`` for [0, 1],
        ``"tanh"`` for [-1, 1].
    seed
        Of the starting weights.
    start
        What the decoder puts out before training, whatever it reads: one positive value per feature,
        for example the mean. From a random start the output ReLU of a sparse gene is soon 0 for every
        cell, and no gradient reaches it any more. None: a random start.
    activation
        Of the hidden layers, ``"relu"`` or ``"tanh"``.
    covariate_start
        ``"zero"``: yh starts at 0, so what it takes out of the latent is what it has learnt, never a
        random offset; ``"random"``: as any other layer.

    Returns
    -------
    dict of keras.Model
        ``encoder``: cells and mask (rows x features) to ``[z_mean, z_log_var]``; ``covariates``:
        one-hot rows to yh; ``classifier``: z to probabilities; ``decoder``: latent to features.

    References
    ----------
    Wang et al., BMC Bioinformatics 25:41 (2024), Methods.

    Examples
    --------
    >>> from imap_keras.inclust.network import build_parts
    >>> {name: part.output_shape for name, part in build_parts(9, 2, 3, 4).items()}["decoder"]
    (None, 9)
    """
    seeds = LayerSeeds(seed)
    cells, mask = (keras.Input((n_features,), name=name) for name in ("cells", "input_mask"))
    read = Mask(name="read")(cells, mask)
    layers = [seeds.dense(w, f"encoder_{i + 1}", activation) for i, w in enumerate(hidden)]
    heads = [seeds.dense(latent_dim, name) for name in ("z_mean", "z_log_var")]
    summary = apply(layers, read)
    encoder = keras.Model([cells, mask], [head(summary) for head in heads], name="encoder")

    covariate = keras.Input((n_covariates,), name="covariate")
    z = keras.Input((latent_dim,), name="z")
    probability = seeds.dense(n_clusters, "probability", "softmax")(z)
    latent = keras.Input((latent_dim,), name="latent")
    layers = [seeds.dense(w, f"decoder_{i + 1}", activation) for i, w in enumerate(decoder_hidden)]
    layers.append(seeds.dense(n_features, "decoded", output))
    decoder = keras.Model(latent, apply(layers, latent), name="decoder")
    if start is not None:
        kernel = np.zeros(layers[-1].kernel.shape, "float32")
        layers[-1].set_weights([kernel, OUTPUTS[output](start)])
    covariate_layer = seeds.dense(latent_dim, "yh")
    embedding = covariate_layer(covariate)
    if covariate_start == "zero":
        covariate_layer.kernel.assign(tf.zeros_like(covariate_layer.kernel))
    return {
        "encoder": encoder,
        "covariates": keras.Model(covariate, embedding, name="covariates"),
        "classifier": keras.Model(z, probability, name="classifier"),
        "decoder": decoder,
    }


def build_network(
    encoder: keras.Model,
    covariates: keras.Model,
    classifier: keras.Model,
    decoder: keras.Model,
    seed: int = 0,
    cluster_start: str = "random",
) -> keras.Model:
    """Wire the parts into the training model: masks at both ends, minus and plus in the middle.

    Parameters
    ----------
    encoder, covariates, classifier, decoder
        From :func:`build_parts`.
    seed, cluster_start
        Of the cluster means' starting values; ``"random"`` or ``"zero"``.

    Returns
    -------
    keras.Model
        Inputs ``cells``, ``input_mask``, ``output_mask`` (rows x features), ``covariate`` (one-hot) and
        ``noise`` (rows x latent, standard normal). Outputs ``reconstruction`` (masked features),
        ``divergence`` and ``entropy`` (rows x 1), ``label`` (probabilities).

    References
    ----------
    Wang et al., BMC Bioinformatics 25:41 (2024), Methods.

    Examples
    --------
    >>> from imap_keras.inclust.network import build_network, build_parts
    >>> build_network(**build_parts(9, 2, 3, 4)).name
    'inclust'
    """
    n_features, latent_dim = decoder.output_shape[-1], decoder.input_shape[-1]
    n_covariates, n_clusters = covariates.input_shape[-1], classifier.output_shape[-1]
    widths = dict.fromkeys(("cells", "input_mask", "output_mask"), n_features)
    widths |= {"covariate": n_covariates, "noise": latent_dim}
    inputs = {name: keras.Input((width,), name=name) for name, width in widths.items()}
    parts = {"encoder": encoder, "covariates": covariates, "classifier": classifier, "decoder": decoder}
    clusters = ClusterDivergence(n_clusters, seed, cluster_start, name="clusters")
    return keras.Model(inputs, wire(inputs, parts, clusters), name="inclust")


def wire(inputs, parts, clusters) -> dict:
    """Symbolic outputs of the training model: mask, encode, minus, plus, decode, mask.

    Parameters
    ----------
    inputs, parts
        Symbolic inputs and Keras models by name, see :func:`build_network`.
    clusters
        A :class:`ClusterDivergence`.
    """
    z_mean, z_log_var = parts["encoder"]([inputs["cells"], inputs["input_mask"]])  # masks its input
    yh = parts["covariates"](inputs["covariate"])
    z, plus = minus_plus(z_mean, yh)
    label = parts["classifier"](z)
    decoded = parts["decoder"](Sample(name="sample")(plus, z_log_var, inputs["noise"]))
    return {
        "reconstruction": Mask(name="reconstruction")(decoded, inputs["output_mask"]),
        "divergence": Expected(name="divergence")(label, clusters(z, z_log_var)),
        "entropy": NegativeEntropy(name="entropy")(label),
        "label": label,
    }


def minus_plus(z_mean, yh) -> tuple:
    """Vector arithmetic: the latent without its covariate, and with it again.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inclust.network import minus_plus
    >>> z, plus = minus_plus(np.array([[3.0]], "float32"), np.array([[1.0]], "float32"))
    >>> float(z[0, 0]), float(plus[0, 0])
    (2.0, 3.0)
    """
    z = keras.layers.Subtract(name="minus")([z_mean, yh])
    return z, keras.layers.Add(name="plus")([z, yh])


def half_squared_error(target, output):
    """``sum over features of 0.5 * (x - x_hat)^2``, one value per row. Both sides come masked."""
    return 0.5 * tf.reduce_sum((target - output) ** 2, axis=-1)


def value_itself(target, output):
    """A loss that the network computed: its target is ignored."""
    return output[:, 0]


def labelled_cross_entropy(target, output):
    """``-sum_c target_c log output_c``, one value per row; 0 for an unlabelled row, all zero."""
    return -tf.reduce_sum(target * safe_log(output), axis=-1)


def safe_log(probability):
    """Logarithm of a probability, finite at 0."""
    return tf.math.log(tf.maximum(probability, 1e-7))


def compile_network(
    network: keras.Model,
    reconstruction_weight: float = 5.0,
    divergence_weight: float = 1.0,
    entropy_weight: float = 1.0,
    label_weight: float = 50.0,
    learning_rate: float = 1e-3,
) -> None:
    """Give the network its four losses, their weights and Adam.

    Parameters
    ----------
    network
        From :func:`build_network`.
    reconstruction_weight, divergence_weight, entropy_weight, label_weight
        Weights of the losses. The published code has 5, 1, 1 and 50; its entropy counts only where
        no row has a label.
    learning_rate
        Adam's; beta_1 0.9, beta_2 0.999 and epsilon 1e-7 are Keras', as in the published code.

    References
    ----------
    Wang et al., BMC Bioinformatics 25:41 (2024), Methods, loss function.

    Examples
    --------
    >>> from imap_keras.inclust.network import build_network, build_parts, compile_network
    >>> network = build_network(**build_parts(9, 2, 3, 4))
    >>> compile_network(network, label_weight=0.0)
    >>> network.optimizer.name
    'inclust_adam'
    """
    network.compile(
        optimizer=adam(learning_rate, "inclust_adam", epsilon=1e-7),
        loss={
            "reconstruction": half_squared_error,
            "divergence": value_itself,
            "entropy": value_itself,
            "label": labelled_cross_entropy,
        },
        loss_weights={
            "reconstruction": reconstruction_weight,
            "divergence": divergence_weight,
            "entropy": entropy_weight,
            "label": label_weight,
        },
    )
