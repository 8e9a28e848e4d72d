"""A convolutional classifier of small images: the lecture's, for any size."""

import keras
import numpy as np
import tensorflow as tf

from ..nn.blocks import apply
from ..nn.rows import untuned

MOST_NORM = 3.0


def build_image_classifier(
    shape: tuple[int, int, int] = (28, 28, 1),
    n_classes: int = 10,
    filters: int = 32,
    units: int = 512,
    dropout: tuple[float, float] = (0.2, 0.5),
    seed: int = 0,
) -> keras.Model:
    """Build convolution, dropout, convolution, pooling, a dense layer, dropout, softmax.

    The weights that lead to one unit (one filter) may be no longer than 3: after every step a longer
    vector is cut back. So dropout can be trained fast without weights that blow up.

    Parameters
    ----------
    shape
        Height, width and channels of an image.
    n_classes, filters, units, dropout
        Widths of the output, of both convolutions (3 x 3) and of the dense layer; shares left out.
    seed
        Of starting weights and dropout.

    Raises
    ------
    ValueError
        An image lower or narrower than 2.

    References
    ----------
    Srivastava et al., Journal of Machine Learning Research 15:1929 (2014): dropout with max-norm.

    Examples
    --------
    >>> from imap_keras.omics import build_image_classifier
    >>> build_image_classifier((28, 28, 1)).count_params()
    3226474
    """
    if min(shape[:2]) < 2:
        raise ValueError(f"shape={shape}: pooling 2 x 2 needs images at least 2 high and 2 wide.")
    seeds = np.random.default_rng(seed)

    def options(axis, name):
        return {
            "kernel_initializer": keras.initializers.GlorotUniform(seed=int(seeds.integers(2**31 - 1))),
            "kernel_constraint": keras.constraints.MaxNorm(MOST_NORM, axis=axis),
            "name": name,
        }

    def convolution(name):
        return keras.layers.Conv2D(
            filters, 3, padding="same", activation="relu", **options([0, 1, 2], name)
        )

    def left_out(share, name):
        return keras.layers.Dropout(share, seed=int(seeds.integers(2**31 - 1)), name=name)

    layers = [
        convolution("convolution_1"),
        left_out(dropout[0], "dropout_1"),
        convolution("convolution_2"),
        keras.layers.MaxPooling2D(2, name="pooling"),
        keras.layers.Flatten(name="flatten"),
        keras.layers.Dense(units, activation="relu", **options(0, "dense")),
        left_out(dropout[1], "dropout_2"),
        keras.layers.Dense(
            n_classes,
            activation="softmax",
            kernel_initializer=keras.initializers.GlorotUniform(seed=int(seeds.integers(2**31 - 1))),
            name="classes",
        ),
    ]
    images = keras.Input(shape, name="images")
    return keras.Model(images, apply(layers, images), name="image_classifier")


def train_image_classifier(
    network: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    epochs: int = 10,
    learning_rate: float = 0.01,
    batch_size: int = 32,
    held_out: tuple[np.ndarray, np.ndarray] | None = None,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Train by stochastic gradient descent with momentum 0.9; the rate falls step by step.

    At step t the rate is ``learning_rate / (1 + t * learning_rate / epochs)``.

    Parameters
    ----------
    network
        From :func:`build_image_classifier`.
    images, labels
        Images x height x width x channels, in [0, 1]; the class of each, 0 ... n_classes - 1.
    epochs, learning_rate, batch_size, seed
        Of the training; seed of the order.
    held_out
        Images and labels to watch.

    Returns
    -------
    dict
        ``loss``, ``accuracy`` and, with `held_out`, ``val_loss``, ``val_accuracy``, by epoch.

    Raises
    ------
    ValueError
        Another shape than the network's, pixels outside [0, 1], or labels that are not one class an
        image.

    Examples
    --------
    >>> history = train_image_classifier(network, images, labels)  # doctest: +SKIP
    """
    images = np.asarray(images, "float32")
    if images.shape[1:] != network.input_shape[1:]:
        raise ValueError(
            f"images are {images.shape[1:]}; the network reads {network.input_shape[1:]}: height, "
            "width and channels. Reshape them, or build the network for their shape."
        )
    labels, n_classes = np.asarray(labels), network.output_shape[-1]
    if labels.size != len(images) or not np.isin(labels, np.arange(n_classes)).all():
        found = np.unique(labels) if labels.size else ["none"]
        raise ValueError(
            f"{labels.size} labels from {found[0]} to {found[-1]} for {len(images)} images; expected "
            f"one an image, 0 ... {n_classes - 1}; "
            "np.unique(names, return_inverse=True)[1] makes numbers of names."
        )
    if images.min() < 0 or images.max() > 1:
        raise ValueError(
            f"Pixels reach from {images.min():.4g} to {images.max():.4g}; scale them to [0, 1]."
        )
    rate = keras.optimizers.schedules.InverseTimeDecay(learning_rate, 1, learning_rate / epochs)
    network.compile(
        optimizer=keras.optimizers.SGD(rate, momentum=0.9, name="image_sgd"),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    rows = tf.data.Dataset.from_tensor_slices((images, labels))
    rows = rows.shuffle(len(images), seed=seed, reshuffle_each_iteration=True).batch(batch_size)
    rows = untuned(rows)
    fitted = network.fit(rows, validation_data=held_out, epochs=epochs, verbose=0, shuffle=False)
    return {name: [float(v) for v in values] for name, values in fitted.history.items()}
