"""A dense layer whose weights are distributions, and the annealing of what that costs."""

import keras
import numpy as np
import tensorflow as tf

from ..nn.blocks import PACKAGE


def kl_to_prior(mean, scale, prior_scale):
    """``KL(N(mean, scale^2) || N(0, prior_scale^2))``, summed over all weights.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.bayes.layers import kl_to_prior
    >>> float(kl_to_prior(np.array([2.0, 0.0]), np.array([1.0, 1.0]), 1.0))
    2.0
    """
    spread = (scale / prior_scale) ** 2
    return 0.5 * tf.reduce_sum(spread + (mean / prior_scale) ** 2 - 1.0 - tf.math.log(spread))


@keras.saving.register_keras_serializable(PACKAGE)
class VariationalDense(keras.layers.Layer):
    """A dense layer with a normal distribution over each weight and bias (Bayes by backprop).

    In training mode each call draws the weights anew, ``mean + scale * noise`` with a scale of
    ``softplus(rho)``: the noise is separate, so gradients reach mean and rho (reparameterisation). Out
    of training mode the means are used. The divergence from the prior N(0, prior_scale^2) is added to
    the loss, over the number of training rows, for the loss is a mean over rows.

    Parameters
    ----------
    units, activation
        As in `keras.layers.Dense`.
    n_rows
        Number of training rows.
    prior_scale
        Standard deviation of the prior.
    start_scale
        Standard deviation of every weight before training.
    seed
        Of starting weights and noise.

    References
    ----------
    Blundell et al., ICML 2015; Kingma and Welling, ICLR 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.bayes import VariationalDense
    >>> layer = VariationalDense(3, n_rows=100, seed=1)
    >>> first, second = (layer(np.ones((1, 4), "float32"), training=True) for _ in range(2))
    >>> bool(np.allclose(first, second))
    False
    """

    def __init__(
        self,
        units: int,
        activation: str | None = None,
        n_rows: int = 1,
        prior_scale: float = 1.0,
        start_scale: float = 0.05,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units, self.n_rows, self.seed = units, n_rows, seed
        self.prior_scale, self.start_scale = prior_scale, start_scale
        self.activation = keras.activations.get(activation)

    def build(self, shape):
        # The biases are the last row of the weights.
        shape = (shape[-1] + 1, self.units)
        start = keras.initializers.RandomNormal(0.0, 1 / np.sqrt(shape[0]), seed=self.seed)
        rho = keras.initializers.Constant(np.log(np.expm1(self.start_scale)))
        self.mean = self.add_weight(name="mean", shape=shape, initializer=start)
        self.rho = self.add_weight(name="rho", shape=shape, initializer=rho)
        # Of the divergence in the loss, and which noise comes next.
        self.annealing = self.add_weight(
            name="annealing", shape=(), initializer="ones", trainable=False
        )
        self.draw = self.add_weight(
            name="draw", shape=(), initializer="zeros", trainable=False, dtype="int64"
        )
        self.built = True

    def divergence(self):
        """``KL(q || prior)`` of all weights of the layer, one number."""
        return kl_to_prior(self.mean, tf.nn.softplus(self.rho), self.prior_scale)

    def sample(self):
        """Weights and biases (in the last row) of the next draw."""
        seeds = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(self.draw, tf.int64)])
        self.draw.assign(self.draw + 1)
        noise = tf.random.stateless_normal(self.mean.shape, seeds)
        return self.mean + tf.nn.softplus(self.rho) * noise

    def call(self, inputs, training=False):
        weights = self.sample() if training else self.mean
        self.add_loss(self.annealing * self.divergence() / self.n_rows)
        return self.activation(tf.matmul(inputs, weights[:-1]) + weights[-1])

    def get_config(self):
        names = ("units", "n_rows", "prior_scale", "start_scale", "seed")
        own = {name: getattr(self, name) for name in names}
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), **own, "activation": activation}


class AnnealDivergence(keras.callbacks.Callback):
    """Let the weight of the divergence grow from a part of 1 to 1 over the first epochs.

    With the full weight from the start the prior wins before the data have been read, and the weights
    stay where they are. `divergence` keeps the divergence after each epoch.

    Parameters
    ----------
    epochs
        Epochs until the weight is 1.

    References
    ----------
    Bowman et al., CoNLL 2016; Sønderby et al., NeurIPS 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.bayes import AnnealDivergence, build_classifier
    >>> network, annealing = build_classifier(4, 3), AnnealDivergence(4)
    >>> network.compile("sgd", "sparse_categorical_crossentropy")
    >>> x, y = np.ones((9, 4), "float32"), np.zeros(9)
    >>> done = network.fit(x, y, epochs=2, verbose=0, callbacks=[annealing])
    >>> annealing.weight
    [0.25, 0.5]
    """

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs, self.weight, self.divergence = epochs, [], []

    def on_train_begin(self, logs=None):
        self.weight, self.divergence = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.weight.append(min((epoch + 1) / self.epochs, 1.0))
        for layer in variational_layers(self.model):
            layer.annealing.assign(self.weight[-1])

    def on_epoch_end(self, epoch, logs=None):
        total = sum(float(layer.divergence()) for layer in variational_layers(self.model))
        self.divergence.append(total)


def variational_layers(network: keras.Model) -> list[VariationalDense]:
    """The variational layers of a network, in order.

    Examples
    --------
    >>> from imap_keras.bayes import build_classifier
    >>> from imap_keras.bayes.layers import variational_layers
    >>> len(variational_layers(build_classifier(5, 3, hidden=(4,))))
    2
    """
    return [layer for layer in network.layers if isinstance(layer, VariationalDense)]
