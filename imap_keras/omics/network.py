"""The network: an encoder for each modality, one joint code, a decoder for each (functional API)."""

import re
from collections.abc import Iterable, Mapping

import keras
import numpy as np
import tensorflow as tf

from ..nn.blocks import PACKAGE, LayerSeeds
from ..nn.optimizer import adam
from .hyperparameters import Modality
from .losses import LOSSES, before_activation

PLAIN = r"[A-Za-z0-9.][A-Za-z0-9_.-]*"  # what both Keras 2 and Keras 3 take as the name of a layer
LAYERS = ("_standardized", "_encoder", "_output")


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


def layer_names(modalities: Iterable[str]) -> dict[str, str]:
    """By modality, what its layers are named by: its own name, or a number where Keras takes it not.

    Keras takes letters, digits, ``_``, ``.`` and ``-``, and no two layers of the same name: a modality
    called ``code`` would meet the joint code.

    Examples
    --------
    >>> from imap_keras.omics.network import layer_names
    >>> layer_names(["rna", "ATAC/peaks", "code"])
    {'rna': 'rna', 'ATAC/peaks': 'modality_1', 'code': 'modality_2'}
    """
    chosen, taken = {}, {"joined", "code", "back", "multi_omics", "loss", "val_loss"}
    for number, modality in enumerate(modalities):
        name = modality
        while True:
            own = {name, *(name + part for part in LAYERS), f"{name}_loss", f"val_{name}_loss"}
            if re.fullmatch(PLAIN, name) and not own & taken:
                break
            name, number = f"modality_{number}", number + 1
        chosen[modality] = name
        taken |= own
    return chosen


def read_modality(values, name: str, spec: Modality, seeds: LayerSeeds):
    """Symbolic encoder of one modality: standardised, then a layer of its own width.

    Parameters
    ----------
    values
        Symbolic input, rows x features.
    name, spec, seeds
        What its layers are named by, its width and activation, and where their seeds come from.

    Examples
    --------
    >>> import keras
    >>> from imap_keras.nn.blocks import LayerSeeds
    >>> from imap_keras.omics import Modality
    >>> from imap_keras.omics.network import read_modality
    >>> read_modality(keras.Input((9,)), "rna", Modality("mse", 4), LayerSeeds(0)).shape[-1]
    4
    """
    x = Standardize(spec.loss == "poisson", name=f"{name}_standardized")(values)
    return seeds.dense(spec.width, f"{name}_encoder", spec.encoder)(x)


def build_joint_network(
    n_features: Mapping[str, int], specs: Mapping[str, Modality], latent_dim: int = 50, seed: int = 0
) -> keras.Model:
    """Build the autoencoder of any number of modalities.

    Each modality is standardised and read by a layer of its own; side by side they make the joint
    code, a linear layer. An ELU layer as wide as all encoders together leads back, and one output for
    each modality ends in the activation that fits its loss.

    Parameters
    ----------
    n_features
        By modality, its number of features. Modalities are named as Keras names layers, see
        :func:`layer_names`.
    specs
        By modality, its encoder's width and activation, and its output's activation.
    latent_dim, seed
        Width of the joint code; seed of the starting weights.

    Returns
    -------
    keras.Model
        Inputs by modality (rows x features, NaN where not measured), outputs by modality.

    References
    ----------
    The NBIS lecture's networks for scNMT-seq (``Modality("mse", 30)``, ``("bce", 30)`` twice) and for
    CITE-seq (below), standardised before the first layer, which they leave out.

    Examples
    --------
    The lecture's CITE-seq network, 976 genes and 10 proteins; what is standardised by is not trained:

    >>> import numpy as np
    >>> from imap_keras.omics import Modality
    >>> from imap_keras.omics.network import build_joint_network
    >>> specs = {"rna": Modality("mse", 50), "protein": Modality("mse", 10, encoder="linear")}
    >>> network = build_joint_network({"rna": 976, "protein": 10}, specs, latent_dim=50)
    >>> network.get_layer("code").units, network.get_layer("back").units
    (50, 60)
    >>> sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    115216
    """
    seeds = LayerSeeds(seed)
    inputs = {name: keras.Input((n_features[name],), name=name) for name in specs}
    read = [read_modality(inputs[name], name, spec, seeds) for name, spec in specs.items()]
    joined = keras.layers.Concatenate(name="joined")(read) if len(read) > 1 else read[0]
    code = seeds.dense(latent_dim, "code")(joined)
    back = seeds.dense(sum(spec.width for spec in specs.values()), "back", "elu")(code)
    outputs = {
        name: seeds.dense(n_features[name], f"{name}_output", spec.activation)(back)
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
    >>> import numpy as np
    >>> from imap_keras.omics import Modality
    >>> from imap_keras.omics.network import build_joint_network, start_from
    >>> specs, values = {"rna": Modality("mse", 4)}, {"rna": np.array([[1.0, 5.0], [3.0, 5.0]])}
    >>> network = build_joint_network({"rna": 2}, specs, latent_dim=1)
    >>> start_from(network, specs, values)
    >>> network.get_layer("rna_standardized").get_weights()[0].tolist()
    [2.0, 5.0]
    """
    for name, spec in specs.items():
        table = np.log1p(values[name]) if spec.loss == "poisson" else values[name]
        mean = np.nanmean(table, axis=0, dtype=float)
        scale = np.sqrt(np.mean(np.nanvar(table, axis=0, dtype=float)))
        scale = np.full(len(mean), scale if scale > 1e-6 else 1.0)
        network.get_layer(f"{name}_standardized").set_weights([mean, scale])
        output = network.get_layer(f"{name}_output")
        mean = np.nanmean(values[name], axis=0, dtype=float)
        output.set_weights([output.get_weights()[0], before_activation(mean, spec.activation)])


def compile_network(
    network: keras.Model, specs: Mapping[str, Modality], learning_rate: float = 1e-3
) -> None:
    """Give each output its loss and its weight, and the network Adam.

    Examples
    --------
    >>> from imap_keras.omics import Modality
    >>> from imap_keras.omics.network import build_joint_network, compile_network
    >>> specs = {"rna": Modality("mse", 4)}
    >>> network = build_joint_network({"rna": 2}, specs, latent_dim=1)
    >>> compile_network(network, specs)
    >>> network.optimizer.name
    'omics_adam'
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
