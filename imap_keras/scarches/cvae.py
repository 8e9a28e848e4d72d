"""The conditional VAE: encoder, decoder and what one training step does with them."""

import keras
import tensorflow as tf

from .losses import kl_divergence, mmd, negative_binomial, zero_inflated

LOSSES = ("loss", "reconstruction", "kl", "mmd")


class CVAE(keras.Model):
    """A conditional variational autoencoder in trVAE's flavour.

    Parameters
    ----------
    encoder, decoder
        From :func:`build_conditional_encoder` and :func:`build_conditional_decoder`.
    likelihood
        The one the decoder was built for.
    kl_weight, kl_steps
        Weight of the KL term, and the steps over which it grows from 0 to it.
    mmd_weight
        Weight of the discrepancy between batches.
    n_groups
        Batches in each minibatch; rows come grouped by batch, the same number each.
    seed
        Seed of the noise.

    References
    ----------
    Lotfollahi et al., Nature Biotechnology 40:121 (2022), Methods; Sohn et al., NeurIPS 2015.

    Examples
    --------
    >>> from imap_keras.scarches import CVAE, build_conditional_decoder, build_conditional_encoder
    >>> cvae = CVAE(build_conditional_encoder(20, 3), build_conditional_decoder(20, 3))
    >>> [metric.name for metric in cvae.metrics]
    ['loss', 'reconstruction', 'kl', 'mmd']
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        likelihood: str = "nb",
        kl_weight: float = 1.0,
        kl_steps: int = 1,
        mmd_weight: float = 0.0,
        n_groups: int = 1,
        seed: int = 0,
    ):
        super().__init__(name="cvae")
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.kl_weight, self.kl_steps = kl_weight, kl_steps
        self.mmd_weight, self.n_groups, self.seed = mmd_weight, n_groups, seed
        self.trackers = {name: keras.metrics.Mean(name=name) for name in LOSSES}

    @property
    def metrics(self):
        return list(self.trackers.values())

    def call(self, inputs, training=False):
        return self.encoder(inputs, training=training)

    def reconstruction(self, cells, outputs):
        """Minus the log-likelihood of each cell, summed over genes (squared error for ``"mse"``)."""
        if self.likelihood == "mse":
            return tf.reduce_sum((cells - outputs[0]) ** 2, axis=1)
        share, log_dispersion, *zero_logit = outputs
        mean = share * tf.reduce_sum(cells, axis=1, keepdims=True)
        likelihood = zero_inflated if zero_logit else negative_binomial
        return -tf.reduce_sum(likelihood(cells, mean, tf.exp(log_dispersion), *zero_logit), axis=1)

    def losses_of(self, cells, batch, noise, kl_weight, training=True):
        """The loss and its three terms for rows of cells; `noise` makes the code a sample."""
        mean, log_variance = self.encoder([cells, batch], training=training)
        z = mean + noise * tf.exp(log_variance / 2)
        outputs = self.decoder([z, batch], training=training)
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        reconstruction = tf.reduce_mean(self.reconstruction(cells, outputs))
        kl = tf.reduce_mean(kl_divergence(mean, log_variance))
        apart = mmd(z, self.n_groups) if self.mmd_weight and self.n_groups > 1 else 0.0
        loss = reconstruction + kl_weight * kl + self.mmd_weight * apart
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl, "mmd": apart}

    def train_step(self, data):
        cells, batch = data[:2]
        step = self.optimizer.iterations
        shape = (tf.shape(cells)[0], self.encoder.output_shape[0][-1])
        noise = tf.random.stateless_normal(shape, tf.stack([self.seed, tf.cast(step, tf.int32)]))
        kl_weight = self.kl_weight * tf.minimum(tf.cast(step, tf.float32) / self.kl_steps, 1.0)
        with tf.GradientTape() as tape:
            losses = self.losses_of(cells, batch, noise, kl_weight)
        gradients = tape.gradient(losses["loss"], self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        return self.track(losses)

    def test_step(self, data):
        """The loss at full KL weight, without noise and dropout, so that epochs can be compared."""
        cells, batch = data[:2]
        return self.track(self.losses_of(cells, batch, 0.0, self.kl_weight, training=False))

    def track(self, losses) -> dict:
        """Hand losses to their running means."""
        for name, value in losses.items():
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}
