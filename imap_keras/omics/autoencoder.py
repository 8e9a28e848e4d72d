"""An autoencoder of one modality, and principal components as the linear autoencoder beside it."""

from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from scipy import sparse
from sklearn.decomposition import PCA

from ..inputs.values import check_finite
from ..nn.blocks import LayerSeeds, apply
from ..nn.callbacks import BestEpoch
from ..nn.fitting import fit_network, run
from ..nn.optimizer import adam
from ..nn.rows import hold_out, minibatches, steps_of, untuned


def build_deep_autoencoder(
    n_features: int,
    hidden: Sequence[int] = (30, 20, 10),
    latent_dim: int = 2,
    activation: str = "elu",
    seed: int = 0,
) -> keras.Model:
    """Build features -> 30 -> 20 -> 10 -> 2 -> 10 -> 20 -> 30 -> features: eight dense layers.

    The bottleneck and the output are linear. A sigmoid output could not rebuild a value below 0 or
    above 1, and principal components have both.

    Parameters
    ----------
    n_features
        Width of input and output.
    hidden, latent_dim
        Widths of the layers before the bottleneck (mirrored after it), and of the bottleneck, whose
        layer is called ``code``.
    activation
        Of the hidden layers.
    seed
        Of the starting weights.

    References
    ----------
    Hinton and Salakhutdinov, Science 313:504 (2006).

    Examples
    --------
    >>> from imap_keras.omics import build_deep_autoencoder
    >>> [layer.units for layer in build_deep_autoencoder(50).layers[1:]]
    [30, 20, 10, 2, 10, 20, 30, 50]
    """
    seeds = LayerSeeds(seed)
    down = [seeds.dense(width, f"down_{i + 1}", activation) for i, width in enumerate(hidden)]
    code = seeds.dense(latent_dim, "code")
    up = [seeds.dense(width, f"up_{i + 1}", activation) for i, width in enumerate(hidden[::-1])]
    cells = keras.Input((n_features,), name="cells")
    rebuilt = apply([*down, code, *up, seeds.dense(n_features, "rebuilt")], cells)
    return keras.Model(cells, rebuilt, name="autoencoder")


def train_autoencoder(
    autoencoder: keras.Model,
    rows: tf.data.Dataset,
    steps: int,
    epochs: int = 100,
    held_out: np.ndarray | tf.data.Dataset | None = None,
    patience: int = 20,
    learning_rate: float = 1e-3,
    verbose: int = 0,
) -> pd.DataFrame:
    """Train an autoencoder on minibatches by the mean squared error, in place.

    Parameters
    ----------
    autoencoder
        From :func:`build_deep_autoencoder`.
    rows, steps, epochs
        Minibatches of (input, target), endless; how many make an epoch; epochs.
    held_out, patience
        Cells x features, or a data set of (input, target), that are not trained on: stop when their
        error has not fallen for so many epochs, and put the best weights back.
    learning_rate, verbose
        Adam's; 0 shows no progress bar.

    Returns
    -------
    pandas.DataFrame
        ``loss`` and, if cells are held out, ``val_loss``, by epoch.

    Raises
    ------
    ValueError
        `held_out` is not cells x features of the network, or holds NaN or infinite values.
    FloatingPointError
        Training diverged.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics import build_deep_autoencoder, minibatches, train_autoencoder
    >>> cells = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
    >>> network = build_deep_autoencoder(5, hidden=(4,))
    >>> history = train_autoencoder(network, minibatches(cells, batch_size=32), 2, epochs=2)
    >>> list(history)
    ['epoch', 'loss']
    """
    if isinstance(held_out, np.ndarray | pd.DataFrame):
        held_out = np.asarray(held_out)
        if held_out.shape[1:] != autoencoder.input_shape[1:]:
            raise ValueError(
                f"held_out has the shape {held_out.shape}; the network reads cells x "
                f"{autoencoder.input_shape[-1]} features."
            )
        check_finite(held_out, "held_out")
    autoencoder.compile(optimizer=adam(learning_rate, "autoencoder_adam"), loss="mse")
    if isinstance(held_out, np.ndarray):
        held_out = untuned(tf.data.Dataset.from_tensors((held_out, held_out)))
    some = np.zeros((2, *autoencoder.input_shape[1:]), "float32")
    return fit_network(
        autoencoder,
        rows,
        epochs,
        "the autoencoder",
        steps=steps,
        verbose=verbose,
        callbacks=[] if held_out is None else [BestEpoch(patience)],
        validation=held_out,
        some=(some, some),
    )


def fit_autoencoder(
    cells: np.ndarray,
    hidden: Sequence[int] = (30, 20, 10),
    latent_dim: int = 2,
    epochs: int = 200,
    batch_size: int = 128,
    patience: int = 20,
    learning_rate: float = 1e-3,
    seed: int = 0,
    verbose: int = 0,
) -> tuple[keras.Model, pd.DataFrame]:
    """Build and train an autoencoder on cells in memory; a fifth of them say when to stop.

    Parameters
    ----------
    cells
        Cells x features, dense or sparse.
    hidden, latent_dim, seed
        See :func:`build_deep_autoencoder`.
    epochs, batch_size, patience, learning_rate, verbose
        See :func:`train_autoencoder`.

    Returns
    -------
    autoencoder, history
        The trained network; its losses by epoch.

    Raises
    ------
    ValueError
        Fewer than 10 cells, another shape than cells x features, or values that are not finite.
    FloatingPointError
        Training diverged.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics import fit_autoencoder
    >>> cells = np.random.default_rng(0).normal(size=(20, 3))
    >>> autoencoder, history = fit_autoencoder(cells, hidden=(), latent_dim=2, epochs=1)
    >>> list(history)
    ['epoch', 'loss', 'val_loss']
    """
    cells = cells.toarray() if sparse.issparse(cells) else cells
    cells = np.asarray(cells, "float32")
    if cells.ndim != 2:
        raise ValueError(f"cells have the shape {cells.shape}; expected cells x features.")
    if len(cells) < 10:
        raise ValueError(f"There are {len(cells)} cells; at least 10 are needed to train on.")
    check_finite(cells, "cells")
    inside, held_out = hold_out(len(cells), 0.2, seed)
    autoencoder = build_deep_autoencoder(cells.shape[1], hidden, latent_dim, seed=seed)
    history = train_autoencoder(
        autoencoder,
        minibatches(cells[inside], batch_size=batch_size, seed=seed),
        steps_of(len(inside), batch_size),
        epochs,
        cells[held_out],
        patience,
        learning_rate,
        verbose,
    )
    return autoencoder, history


def reconstruction_error(autoencoder: keras.Model, cells: np.ndarray) -> float:
    """Mean squared error over all entries of the rebuilt cells.

    Examples
    --------
    >>> import keras
    >>> import numpy as np
    >>> from imap_keras.omics import reconstruction_error
    >>> x = keras.Input((2,))
    >>> reconstruction_error(keras.Model(x, keras.layers.ReLU()(x)), np.array([[-2.0, 1.0]]))
    2.0
    """
    cells = np.asarray(cells, "float32")
    return float(np.mean((run(autoencoder, cells) - cells) ** 2, dtype=float))


def pca_error(cells: np.ndarray, new: np.ndarray, n_components: int, seed: int = 0) -> float:
    """Mean squared error of new cells rebuilt from the principal components of others.

    Parameters
    ----------
    cells, new
        Cells x features to find the components in, and to rebuild.
    n_components, seed
        How many; seed of the solver.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.omics import pca_error
    >>> line = np.arange(10.0)[:, None] * [1.0, 2.0]
    >>> round(pca_error(line, line, 1), 6)
    0.0
    """
    pca = PCA(n_components, random_state=seed).fit(cells)
    return float(np.mean((pca.inverse_transform(pca.transform(new)) - new) ** 2))
