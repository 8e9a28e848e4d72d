"""Adam as one TensorFlow operation a weight matrix.

Keras writes Adam's update as a dozen elementwise operations, each of which reads and writes a whole
weight matrix. The networks of stage I have 10 million weights, and on a CPU such a step waits for
memory. TensorFlow's fused operation does the same arithmetic in one pass: a step with 64 rows a batch
takes a tenth less processor time, one with 512 rows, nearly all matrix products, 1 or 2 % less.
"""

import keras
import tensorflow as tf

from .blocks import PACKAGE


def tensorflow_variable(variable) -> tf.Variable:
    """The TensorFlow variable itself: Keras 3 wraps it, Keras 2 does not."""
    return variable if isinstance(variable, tf.Variable) else variable.value


def one_replica() -> bool:
    """Nobody else has gradients to add.

    The sum over replicas is then the gradient itself. TensorFlow's `all_reduce` registers a gradient of
    its own for it all the same, and the registry holds the graph of the step, with all weights and
    moments, as long as the process lives: 220 MB a fit of iMAP at its full widths.

    Examples
    --------
    >>> from imap_keras.nn.optimizer import one_replica
    >>> one_replica()
    True
    """
    return tf.distribute.get_strategy().num_replicas_in_sync == 1


@keras.saving.register_keras_serializable(PACKAGE)
class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam, its update done by TensorFlow's fused operation: the same up to rounding.

    With gradient g, ``m = beta_1 m + (1 - beta_1) g``, ``v = beta_2 v + (1 - beta_2) g**2`` and
    ``w = w - rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)`` (Kingma and Ba
    2015, section 2). Learning rate, decoupled weight decay, clipping and saving are Keras'. `amsgrad`
    and gradients of some rows only (`tf.IndexedSlices`) take Keras' own way.

    Parameters
    ----------
    corrected_epsilon
        Add epsilon to the bias-corrected root, ``sqrt(v / (1 - beta_2**t)) + epsilon``, as the paper's
        algorithm 1 and PyTorch do. Keras adds it before the correction; at epsilon 0.01 the first
        steps then have up to three times another length.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from imap_keras.nn.optimizer import FusedAdam
    >>> weight, optimizer = tf.Variable([1.0]), FusedAdam(0.1, name="fused_adam")
    >>> done = optimizer.apply_gradients([(tf.constant([2.0]), weight)])
    >>> round(float(weight[0]), 4)
    0.9
    """

    def __init__(self, *arguments, corrected_epsilon: bool = False, **options):
        super().__init__(*arguments, **options)
        self.corrected_epsilon = corrected_epsilon

    def build(self, var_list):
        super().build(var_list)
        if hasattr(self, "_moments_of"):
            return  # Keras 2 builds before each step; the moments keep the order of the first time
        # Under a strategy each weight is one variable a device, and so are its moments.
        local, self._moments_of = tf.distribute.get_strategy().experimental_local_results, {}
        for kept_together in zip(var_list, self._momentums, self._velocities):
            for w, m, v in zip(*(local(tensorflow_variable(variable)) for variable in kept_together)):
                self._moments_of[w.ref()] = m, v

    def _all_reduce_sum_gradients(self, grads_and_vars):  # as Keras 3 calls it
        if one_replica():
            return list(grads_and_vars)
        return super()._all_reduce_sum_gradients(grads_and_vars)

    def aggregate_gradients(self, grads_and_vars):  # as Keras 2 does
        if one_replica():
            return list(grads_and_vars)
        return super().aggregate_gradients(grads_and_vars)

    def update_step(self, gradient, variable, *learning_rate):
        # Keras 3 hands the rate over, Keras 2 does not.
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            return super().update_step(gradient, variable, *learning_rate)
        (rate,) = learning_rate or (self.learning_rate,)
        weight = tensorflow_variable(variable)
        m, v = self._moments_of[weight.ref()]
        steps = tf.cast(self.iterations, weight.dtype) + 1.0
        beta2_power = self.beta_2**steps
        epsilon = self.epsilon * tf.sqrt(1 - beta2_power) if self.corrected_epsilon else self.epsilon
        tf.raw_ops.ResourceApplyAdam(
            var=weight.handle,
            m=m.handle,
            v=v.handle,
            beta1_power=self.beta_1**steps,
            beta2_power=beta2_power,
            lr=tf.cast(rate, weight.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=epsilon,
            grad=tf.cast(gradient, weight.dtype),
        )

    def get_config(self):
        return {**super().get_config(), "corrected_epsilon": self.corrected_epsilon}


def adam(
    learning_rate: float,
    name: str,
    beta_1: float = 0.9,
    epsilon: float = 1e-8,
    corrected_epsilon: bool = False,
    weight_decay: float | None = None,
) -> FusedAdam:
    """Adam as every method here takes it; iMAP's two stages name a `beta_1` of 0.5.

    Parameters
    ----------
    learning_rate, name, beta_1, epsilon, weight_decay
        As in `keras.optimizers.Adam`; with a weight decay it is AdamW.
    corrected_epsilon
        See :class:`FusedAdam`.

    Examples
    --------
    >>> from imap_keras.nn.optimizer import adam
    >>> float(adam(5e-4, "stage1_adam", beta_1=0.5).beta_1)
    0.5
    """
    return FusedAdam(
        learning_rate,
        beta_1=beta_1,
        beta_2=0.999,
        epsilon=epsilon,
        corrected_epsilon=corrected_epsilon,
        weight_decay=weight_decay,
        name=name,
    )
