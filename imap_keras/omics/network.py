"""The network: an encoder a modality, one joint code, a decoder a modality (functional API)."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from ..nn.blocks import PACKAGE
from ..nn.optimizer import adam
from .hyperparameters import Modality
from .losses import LOSSES, before_activation


@keras.saving.register_keras_serializable(PACKAGE)
class Standardize(keras.layers.Layer):
    """``(x - mean) / scale`` of each feature; 0, the mean, where x is NaN.

    Parameters
    ----------
    log
        Take ``log(1 + x)`` first: for counts.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics.network import Standardize
    >>> layer = Standardize()
    >>> layer.build((None, 2))
    >>> layer.set_weights([np.array([1.0, 1.0]), np.array([2.0, 2.0])])
    >>> layer(np.array([[5.0, np.nan]], "float32")).numpy().tolist()
    [[2.0, 0.0]]
    """

    def __init__(self, log: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.log = log

    def build(self, shape):
        for name, start in (("mean", "zeros"), ("scale", "ones")):
            weight = self.add_weight(name=name, shape=(shape[-1],), initializer=start, trainable=False)
            setattr(self, name, weight)
        self.built = True

    def call(self, values):
        x = tf.where(tf.math.is_finite(values), values, 0.0)
        x = tf.math.log1p(x) if self.log else x
        return tf.where(tf.math.is_finite(values), (x - self.mean) / self.scale, 0.0)

    def get_config(self):
        return {**super().get_config(), "log": self.log}


def dense(units: int, name: str, seeds: np.random.Generator, activation: str | None = None):
    """A dense layer with a name and with starting weights from the next seed.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics.network import dense
    >>> dense(3, "code", np.random.default_rng(0)).name
    'code'
    """
    start = keras.initializers.GlorotUniform(seed=int(seeds.integers(2**31 - 1)))
    return keras.layers.Dense(units, activation, kernel_initializer=start, name=name)


def read_modality(values, name: str, spec: Modality, seeds: np.random.Generator):
    """Symbolic encoder of one modality: standardised, then an ELU layer of its own width.

    Examples
    --------
    >>> read_modality(inputs["rna"], "rna", Modality("mse"), seeds)  # doctest: +SKIP
    """
    x = Standardize(spec.loss == "poisson", name=f"{name}_standardized")(values)
    return dense(spec.width, f"{name}_encoder", seeds, "elu")(x)


def build_joint_network(
    n_features: Mapping[str, int], specs: Mapping[str, Modality], latent_dim: int = 50, seed: int = 0
) -> keras.Model:
    """Build the autoencoder of any number of modalities.

    Each modality is standardised and read by an ELU layer of its own; side by side they make the
    joint code, a linear layer. An ELU layer as wide as all encoders together leads back, and one output
    a modality ends in the activation that fits its loss.

    Parameters
    ----------
    n_features
        By modality, its number of features.
    specs
        By modality, its encoder's width and its output's activation.
    latent_dim, seed
        Width of the joint code; seed of the starting weights.

    Returns
    -------
    keras.Model
        Inputs by modality (rows x features, NaN where not measured), outputs by modality.

    Examples
    --------
    >>> from imap_keras.omics import Modality
    >>> from imap_keras.omics.network import build_joint_network
    >>> specs = {"rna": Modality("mse", 8), "methylation": Modality("bce", 4)}
    >>> network = build_joint_network({"rna": 20, "methylation": 9}, specs, latent_dim=3)
    >>> network.get_layer("code").units, network.get_layer("back").units
    (3, 12)
    """
    seeds = np.random.default_rng(seed)
    inputs = {name: keras.Input((n_features[name],), name=name) for name in specs}
    read = [read_modality(inputs[name], name, spec, seeds) for name, spec in specs.items()]
    joined = keras.layers.Concatenate(name="joined")(read) if len(read) > 1 else read[0]
    code = dense(latent_dim, "code", seeds)(joined)
    back = dense(sum(spec.width for spec in specs.values()), "back", seeds, "elu")(code)
    outputs = {
        name: dense(n_features[name], f"{name}_output", seeds, spec.activation)(back)
        for name, spec in specs.items()
    }
    return keras.Model(inputs, outputs, name="multi_omics")


def start_from(network: keras.Model, specs: Mapping[str, Modality], values: Mapping) -> None:
    """Set what is standardised by, and let every output start at the mean of its feature.

    Each feature is centred; a modality's features are all divided by one number, the root of their mean
    variance. Divided each by its own, the last principal component would weigh as much as the first,
    and what tells cell types apart would drown in noise.

    Parameters
    ----------
    network
        From :func:`build_joint_network`; changed.
    specs, values
        By modality: how it is judged, and the training cells x features, NaN where not measured.

    Examples
    --------
    >>> start_from(network, specs, values)  # doctest: +SKIP
    """
    for name, spec in specs.items():
        table = np.log1p(values[name]) if spec.loss == "poisson" else values[name]
        mean, scale = np.nanmean(table, axis=0), np.sqrt(np.mean(np.nanvar(table, axis=0)))
        scale = np.full(len(mean), scale if scale > 1e-6 else 1.0)
        network.get_layer(f"{name}_standardized").set_weights([mean, scale])
        output = network.get_layer(f"{name}_output")
        mean = np.nanmean(values[name], axis=0)
        output.set_weights([output.get_weights()[0], before_activation(mean, spec.activation)])


def compile_network(
    network: keras.Model, specs: Mapping[str, Modality], learning_rate: float = 1e-3
) -> None:
    """Give each output its loss and its weight, and the network Adam.

    Examples
    --------
    >>> compile_network(network, specs)  # doctest: +SKIP
    """
    network.compile(
        optimizer=adam(learning_rate, "omics_adam"),
        loss={name: LOSSES[spec.loss].function for name, spec in specs.items()},
        loss_weights={name: spec.weight for name, spec in specs.items()},
    )


def encoder_of(network: keras.Model) -> keras.Model:
    """The part of a network up to its layer ``code``, weights shared.

    Examples
    --------
    >>> from imap_keras.omics import build_deep_autoencoder
    >>> from imap_keras.omics.network import encoder_of
    >>> encoder_of(build_deep_autoencoder(50)).output_shape
    (None, 2)
    """
    return keras.Model(network.input, network.get_layer("code").output, name="encoder")
