"""The bricks all networks are built of: Mish, BatchNorm and a stack of dense layers."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar

import keras
import numpy as np

from .backend import OWN_DRAWS, mish

PACKAGE = "imap_keras"
INITIALIZATIONS = ("zero_bias", "reference")


@keras.saving.register_keras_serializable(PACKAGE)
class Mish(keras.layers.Layer):
    """Mish activation, ``x * tanh(log(1 + exp(x)))``, as a layer.

    Smooth, slightly negative for small negative inputs, and never quite flat, so a unit that is
    switched off still receives a gradient (Misra 2019; used by Wang et al. 2021, Methods).

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.nn.blocks import Mish
    >>> [round(float(y), 4) for y in Mish()(np.array([0.0, 1.0], "float32"))]
    [0.0, 0.8651]
    """

    def call(self, inputs):
        return mish(inputs)


@keras.saving.register_keras_serializable(PACKAGE)
class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalisation whose momentum can be given call by call.

    In stage I the encoder reads real cells and decoded cells in one step. Each call moves the
    running statistics; with a momentum of its own each call has the weight it deserves.
    """

    # Replicas call one layer in turns, each in a thread: what one is given must not reach another.
    _given = ContextVar("momentum", default=None)

    @property
    def momentum(self) -> float:
        """Share of the running statistics that a call leaves: given to this call, or the layer's."""
        given = self._given.get()
        return self._momentum if given is None else given

    @momentum.setter
    def momentum(self, share: float) -> None:
        self._momentum = share

    def call(self, inputs, training=None, momentum=None, **kwargs):
        before = self._given.set(momentum)
        try:
            return super().call(inputs, training=training, **kwargs)
        finally:
            self._given.reset(before)


class Initializers:
    """Draw the starting weights of one network, each layer from a seed of its own.

    Parameters
    ----------
    kind
        ``"zero_bias"``: kernels N(0, 0.02), BatchNorm gammas 1, every bias 0.
        ``"reference"``: what the published code does, kernels N(0, 0.02), gammas N(1, 0.02),
        biases uniform in +-1/sqrt(fan_in). Random biases before an output ReLU leave many genes
        at zero for every cell, where no gradient reaches them.
    seed
        Seed of the network.

    Raises
    ------
    ValueError
        `kind` is not one of the two.

    Examples
    --------
    >>> from imap_keras.nn.blocks import Initializers
    >>> init = Initializers("zero_bias", seed=0)
    """

    def __init__(self, kind: str = "zero_bias", seed: int = 0):
        if kind not in INITIALIZATIONS:
            raise ValueError(f"initialization={kind!r} is unknown; choose one of {INITIALIZATIONS}.")
        self.kind = kind
        self._random = np.random.default_rng(seed)

    def _seed(self) -> int:
        return int(self._random.integers(2**31 - 1))

    def kernel(self):
        return keras.initializers.RandomNormal(0.0, 0.02, seed=self._seed())

    def gamma(self):
        if self.kind == "zero_bias":
            return keras.initializers.Ones()
        return keras.initializers.RandomNormal(1.0, 0.02, seed=self._seed())

    def bias(self, fan_in: int):
        if self.kind == "zero_bias":
            return keras.initializers.Zeros()
        limit = 1 / np.sqrt(fan_in)
        return keras.initializers.RandomUniform(-limit, limit, seed=self._seed())


class LayerSeeds:
    """A seed for each layer of a network, all following from one.

    Examples
    --------
    >>> from imap_keras.nn.blocks import LayerSeeds
    >>> LayerSeeds(0).dense(3, "code", "relu").name
    'code'
    """

    def __init__(self, seed: int):
        self._random = np.random.default_rng(seed)

    def draw(self) -> int:
        """The next seed."""
        return int(self._random.integers(2**31 - 1))

    def dense(self, units: int, name: str, activation: str | None = None, **options):
        """A dense layer with starting weights (Glorot, uniform) from the next seed."""
        kernel = keras.initializers.GlorotUniform(seed=self.draw())
        return keras.layers.Dense(units, activation, kernel_initializer=kernel, name=name, **options)

    def dropout(self, share: float, name: str, mask: tuple | None = None):
        """Dropout with draws from the next seed, whatever TensorFlow's global seed is.

        `mask` is Keras' `noise_shape`: ``(None, 1)`` draws once for a whole row.
        """
        return keras.layers.Dropout(share, mask, self.draw(), name=name, **OWN_DRAWS)


def dense_stack(
    fan_in: int,
    widths: Sequence[int],
    init: Initializers,
    batch_norm: Sequence[bool],
    activation: Sequence[bool],
    name: str,
) -> list[keras.layers.Layer]:
    """Make the layers of ``Dense (-> BatchNorm) (-> Mish)`` blocks, one block a width.

    Parameters
    ----------
    fan_in
        Number of inputs of the first block.
    widths
        Units of each block.
    init
        Starting weights.
    batch_norm, activation
        For each block, whether BatchNorm and Mish follow the dense layer.
    name
        Prefix of the layer names.

    Returns
    -------
    list of keras.layers.Layer
        Apply them with :func:`apply`.

    Examples
    --------
    >>> import keras
    >>> from imap_keras.nn.blocks import Initializers, apply, dense_stack
    >>> stack = dense_stack(5, (8, 2), Initializers(), (True, False), (True, False), "tiny")
    >>> [type(layer).__name__ for layer in stack]
    ['Dense', 'BatchNorm', 'Mish', 'Dense']
    """
    layers = []
    for i, units in enumerate(widths):
        layers.append(
            keras.layers.Dense(
                units,
                kernel_initializer=init.kernel(),
                bias_initializer=init.bias(fan_in),
                name=f"{name}_dense_{i + 1}",
            )
        )
        if batch_norm[i]:
            # epsilon and momentum as in the reference (PyTorch writes this momentum as 0.1).
            layers.append(
                BatchNorm(
                    momentum=0.9,
                    epsilon=1e-5,
                    gamma_initializer=init.gamma(),
                    name=f"{name}_norm_{i + 1}",
                )
            )
        if activation[i]:
            layers.append(Mish(name=f"{name}_mish_{i + 1}"))
        fan_in = units
    return layers


def apply(layers: Sequence[Callable], inputs, momentum: float | None = None):
    """Run `inputs` through `layers`; `momentum` goes to every BatchNorm among them.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.nn.blocks import Mish, apply
    >>> float(apply([Mish()], np.zeros((1, 1), "float32"))[0, 0])
    0.0
    """
    outputs = inputs
    for layer in layers:
        if momentum is not None and isinstance(layer, BatchNorm):
            outputs = layer(outputs, momentum=momentum)
        else:
            outputs = layer(outputs)
    return outputs


def rescaled(network: keras.Model, before: float = 1.0, after: float = 1.0) -> keras.Model:
    """Wrap a network: its inputs are multiplied by one number, its outputs by another.

    So a network that was trained on scaled cells reads and writes cells as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.nn.blocks import rescaled
    >>> from imap_keras.imap.stage2 import build_generator
    >>> same = rescaled(build_generator(2, 2, (4,), identity_start=True), before=4.0, after=0.25)
    >>> same(np.ones((1, 2), "float32")).numpy().tolist()
    [[1.0, 1.0]]
    """
    if before == after == 1:
        return network
    inputs = keras.Input(network.input_shape[1:], name="unscaled")
    outputs = network(keras.layers.Rescaling(before, name="before")(inputs))
    outputs = keras.layers.Rescaling(after, name="after")(outputs)
    return keras.Model(inputs, outputs, name=f"rescaled_{network.name}")
