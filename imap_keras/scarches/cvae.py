"""The conditional VAE: encoder, decoder and what one training step does with them."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ..nn.replicas import all_rows, n_replicas, own_rows, parts_of_the_mean
from .classifier import cross_entropy
from .losses import WIDTHS, kl_divergence, mmd, negative_binomial, zero_inflated

LOSSES = ("loss", "reconstruction", "kl", "mmd")


class CVAE(keras.Model):
    """A conditional variational autoencoder in trVAE's flavour.

    Parameters
    ----------
    encoder, decoder
        From :func:`build_conditional_encoder` and :func:`build_conditional_decoder`.
    likelihood
        The one the decoder was built for.
    kl_weight, kl_steps, kl_stair
        Weight of the KL term, the steps over which it grows from 0 to it, and for how many steps it
        stays where it is.
    mmd_weight, mmd_widths
        Weight of the discrepancy between batches; widths of its kernels.
    least_variance
        Added to the variance of the code.
    weight_decay
        L2 penalty, added to the gradient as ``weight_decay * weight``.
    classifier, label_weight
        From :func:`imap_keras.scarches.classifier.build_classifier`, where labels are trained on, and
        the weight of their cross-entropy.
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
        kl_stair: int = 1,
        mmd_weight: float = 0.0,
        mmd_widths: Sequence[float] = WIDTHS["published"],
        least_variance: float = 0.0,
        weight_decay: float = 0.0,
        classifier: keras.Model | None = None,
        label_weight: float = 0.0,
        n_groups: int = 1,
        seed: int = 0,
    ):
        super().__init__(name="cvae")
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.kl_weight, self.kl_steps, self.kl_stair = kl_weight, kl_steps, kl_stair
        self.mmd_weight, self.mmd_widths = mmd_weight, tuple(mmd_widths)
        self.least_variance, self.weight_decay = least_variance, weight_decay
        self.n_groups, self.seed = n_groups, seed
        self.classifier, self.label_weight = classifier, label_weight
        names = LOSSES if classifier is None else (*LOSSES, "label")
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}

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

    def losses_of(self, cells, batch, noise, kl_weight, labels=None, training=True):
        """The loss and its terms for rows of cells; `noise` makes the code a sample."""
        mean, log_variance = self.encoder([cells, batch], training=training)
        if self.least_variance:
            log_variance = tf.math.log(tf.exp(log_variance) + self.least_variance)
        z = mean + noise * tf.exp(log_variance / 2)
        outputs = self.decoder([z, batch], training=training)
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        reconstruction = tf.reduce_mean(self.reconstruction(cells, outputs))
        kl = tf.reduce_mean(kl_divergence(mean, log_variance))
        # Neither is a mean over rows: on replicas, too, each looks at all rows of the step.
        compared = self.mmd_weight and self.n_groups > 1
        every = all_rows(z, self.n_groups) if compared or self.classifier is not None else z
        apart = mmd(every, self.n_groups, self.mmd_widths) if compared else 0.0
        loss = reconstruction + kl_weight * kl + self.mmd_weight * apart
        losses = {"loss": loss, "reconstruction": reconstruction, "kl": kl, "mmd": apart}
        if self.classifier is not None:
            losses["label"] = cross_entropy(self.classifier(every), all_rows(labels, self.n_groups))
            losses["loss"] += self.label_weight * losses["label"]
        return losses

    def kl_weight_at(self, step):
        """Weight of the KL term in a step, counted from 0."""
        step = step // self.kl_stair * self.kl_stair
        return self.kl_weight * tf.minimum(tf.cast(step, tf.float32) / self.kl_steps, 1.0)

    def gradients_of(self, cells, batch, noise, kl_weight, labels=None):
        """Losses, and the gradient of every trainable weight, its L2 penalty among it."""
        weights = self.trainable_variables
        with tf.GradientTape() as tape:
            losses = self.losses_of(cells, batch, noise, kl_weight, labels)
        gradients = tape.gradient(losses["loss"], weights)
        if self.weight_decay:
            decay = [self.weight_decay * tf.convert_to_tensor(weight) for weight in weights]
            gradients = [a + b for a, b in zip(gradients, decay, strict=True)]
        return losses, gradients

    def train_step(self, data):
        cells, batch, *labels = data
        step = self.optimizer.iterations
        shape = (tf.shape(cells)[0] * n_replicas(), self.encoder.output_shape[0][-1])
        seeds = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(step, tf.int64)])
        noise = own_rows(tf.random.stateless_normal(shape, seeds), self.n_groups)
        losses, gradients = self.gradients_of(cells, batch, noise, self.kl_weight_at(step), *labels)
        gradients = parts_of_the_mean(gradients)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        return self.track(losses)

    def test_step(self, data):
        """The loss at full KL weight, without noise and dropout, so that epochs can be compared."""
        cells, batch, *labels = data
        return self.track(self.losses_of(cells, batch, 0.0, self.kl_weight, *labels, training=False))

    def track(self, losses) -> dict:
        """Hand losses to their running means."""
        for name, value in losses.items():
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}
