"""A convolutional classifier of small images: the lecture's, for any size."""

import keras
import numpy as np
import pandas as pd

from ..nn.blocks import LayerSeeds, apply
from ..nn.fitting import fit_network
from ..nn.parameters import check_count
from ..nn.rows import minibatches, steps_of

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
    seeds = LayerSeeds(seed)

    def bounded(axis):
        return {"kernel_constraint": keras.constraints.MaxNorm(MOST_NORM, axis=axis)}

    def convolution(name):
        start = keras.initializers.GlorotUniform(seed=seeds.draw())
        options = {"padding": "same", "activation": "relu", "kernel_initializer": start}
        return keras.layers.Conv2D(filters, 3, name=name, **options, **bounded([0, 1, 2]))

    layers = [
        convolution("convolution_1"),
        seeds.dropout(dropout[0], "dropout_1"),
        convolution("convolution_2"),
        keras.layers.MaxPooling2D(2, name="pooling"),
        keras.layers.Flatten(name="flatten"),
        seeds.dense(units, "dense", "relu", **bounded(0)),
        seeds.dropout(dropout[1], "dropout_2"),
        seeds.dense(n_classes, "classes", "softmax"),
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
) -> pd.DataFrame:
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
    pandas.DataFrame
        ``loss``, ``accuracy`` and, with `held_out`, ``val_loss``, ``val_accuracy``, by epoch.

    Raises
    ------
    ValueError
        Another shape than the network's, no image, pixels outside [0, 1] or NaN, or labels that are
        not one class an image; the same of those held out. `epochs` below 1.
    FloatingPointError
        Training diverged.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics import build_image_classifier, train_image_classifier
    >>> images = np.random.default_rng(0).random((20, 4, 4, 1))
    >>> network = build_image_classifier((4, 4, 1), 2, filters=2, units=3)
    >>> history = train_image_classifier(network, images, np.arange(20) % 2, epochs=2)
    >>> sorted(history)
    ['accuracy', 'epoch', 'loss']
    """
    epochs = check_count("epochs", epochs)
    images, labels = checked_images(network, images, labels)
    if held_out is not None:
        held_out = checked_images(network, *held_out, "held-out images")
    rate = keras.optimizers.schedules.InverseTimeDecay(learning_rate, 1, learning_rate / epochs)
    network.compile(
        optimizer=keras.optimizers.SGD(rate, momentum=0.9, name="image_sgd"),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return fit_network(
        network,
        minibatches(images, labels, batch_size=batch_size, seed=seed),
        epochs,
        "the image classifier",
        steps=steps_of(len(images), batch_size),
        validation=held_out,
        some=(images[:2], labels[:2]),
    )


def checked_images(
    network: keras.Model, images: np.ndarray, labels: np.ndarray, what: str = "images"
) -> tuple[np.ndarray, np.ndarray]:
    """Images as float32 and their classes as whole numbers, if the network can be trained on them.

    Raises
    ------
    ValueError
        As :func:`train_image_classifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics import build_image_classifier
    >>> from imap_keras.omics.images import checked_images
    >>> network = build_image_classifier((4, 4, 1), 2, filters=2, units=3)
    >>> checked_images(network, np.zeros((1, 4, 4, 1)), [1.0])[1].tolist()
    [1]
    """
    images = np.asarray(images, "float32")
    if images.shape[1:] != network.input_shape[1:]:
        raise ValueError(
            f"{what} are {images.shape[1:]}; the network reads {network.input_shape[1:]}: height, "
            "width and channels. Reshape them, or build the network for their shape."
        )
    labels, n_classes = np.asarray(labels), network.output_shape[-1]
    if labels.size != len(images) or not np.isin(labels, np.arange(n_classes)).all():
        found = np.unique(labels) if labels.size else ["none"]
        raise ValueError(
            f"{labels.size} labels from {found[0]} to {found[-1]} for {len(images)} {what}; expected "
            f"one an image, 0 ... {n_classes - 1}; "
            "np.unique(names, return_inverse=True)[1] makes numbers of names."
        )
    if not len(images):
        raise ValueError(f"There are no {what}.")
    if not (images.min() >= 0 and images.max() <= 1):  # NaN is neither
        raise ValueError(
            f"Pixels reach from {images.min():.4g} to {images.max():.4g}; scale them to [0, 1]. (These "
            f"are {what}; NaN must be filled in.)"
        )
    return images, labels.astype("int32").reshape(-1)
