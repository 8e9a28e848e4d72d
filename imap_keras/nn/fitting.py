"""Train a network and run it."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from .backend import check_process, check_training, same_every_time, whole_graphs
from .callbacks import ProgressBar
from .replicas import fit_replicas


def fit_network(
    network: keras.Model,
    rows,
    epochs: int,
    title: str,
    knob: str = "learning_rate",
    steps: int | None = None,
    verbose: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    validation=None,
    validation_batch_size: int | None = None,
    some: tuple | None = None,
) -> pd.DataFrame:
    """Train a compiled network and return its losses, one row an epoch.

    Parameters
    ----------
    network
        Compiled.
    rows
        What `fit` reads, in the order to be read; in the scope of a strategy, from
        :func:`imap_keras.nn.replicas.shared_rows`.
    epochs, steps
        Epochs, and steps an epoch where `rows` has no end.
    title, knob
        What is trained, for the progress bar and errors; the hyperparameter to lower if it diverges.
    verbose
        0 shows no progress bar.
    callbacks
        What else steers the training.
    validation, validation_batch_size
        Rows held out, and how many at a time where they are arrays.
    some
        Inputs and targets of some rows, for a network with Keras' own training step, see
        :func:`make_variables`.

    Returns
    -------
    pandas.DataFrame
        See :func:`history_table`.

    Raises
    ------
    FloatingPointError
        Training diverged.
    RuntimeError
        As :func:`imap_keras.nn.backend.check_training`.

    Examples
    --------
    >>> import keras, numpy as np, tensorflow as tf
    >>> from imap_keras.nn.fitting import fit_network
    >>> network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> network.compile("sgd", "mse")
    >>> rows = tf.data.Dataset.from_tensors((np.ones((4, 3)), np.ones(4)))
    >>> list(fit_network(network, rows, epochs=2, title="a line"))
    ['epoch', 'loss']
    """
    check_training()
    # Keras 3 compiles with XLA where it sees a GPU: every new shape anew, such as the moving rows of
    # each step of stage I, and it fails on a weight that TensorFlow keeps on the CPU: whole numbers.
    network.jit_compile = False
    with whole_graphs(), same_every_time():
        if some is not None:
            make_variables(network, *some)
        callbacks = [*callbacks, ProgressBar(title, verbose)]
        if tf.distribute.has_strategy():
            history = fit_replicas(network, rows, epochs, steps, callbacks, validation)
            return history_table(history, title, knob)
        fitted = network.fit(
            rows,
            validation_data=validation,
            validation_batch_size=validation_batch_size,
            shuffle=False,
            steps_per_epoch=steps,
            epochs=epochs,
            verbose=0,
            callbacks=callbacks,
        )
    return history_table(fitted.history, title, knob)


def history_table(history: Mapping[str, Sequence[float]], title: str, knob: str) -> pd.DataFrame:
    """What a Keras `fit` recorded as a table, one row an epoch, under the same names in either Keras.

    Keras 2 names a loss after its layer, and the learning rate of a schedule ``lr``.

    Raises
    ------
    FloatingPointError
        A loss is not finite: training diverged.

    Examples
    --------
    >>> from imap_keras.nn.fitting import history_table
    >>> history_table({"rna_output_loss": [2.0, 1.0]}, "stage I", "learning_rate")
       epoch  rna_loss
    0      1       2.0
    1      2       1.0
    """
    table = pd.DataFrame({name: np.asarray(v, float) for name, v in history.items()})
    if not np.isfinite(table.to_numpy()).all():
        bad = int((~np.isfinite(table)).any(axis=1).to_numpy().argmax()) + 1
        raise FloatingPointError(
            f"Training of {title} diverged in epoch {bad} (a loss is not finite); lower {knob}."
        )
    table.columns = [
        "learning_rate" if name == "lr" else name.replace("_output_loss", "_loss") for name in table
    ]
    table.insert(0, "epoch", np.arange(1, len(table) + 1))
    return table


def make_variables(model: keras.Model, inputs, targets) -> None:
    """Make the variables of a compiled model's optimiser, losses and metrics before `fit` does.

    `fit` would make them while it traces the training step, and TensorFlow traces a step that makes
    variables a second time: seconds a model. What is trained is the same, to the bit; only in Keras 2
    dropout drew its first mask twice, once a trace.

    Parameters
    ----------
    model
        A compiled model with Keras' own training step.
    inputs, targets
        Some rows as `fit` will get them.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.nn.fitting import make_variables
    >>> from imap_keras.nn.optimizer import adam
    >>> from imap_keras.imap.stage1 import build_encoder
    >>> model = build_encoder(5, 2)
    >>> model.compile(adam(1e-3, "adam"), "mse")
    >>> make_variables(model, np.zeros((3, 5), "float32"), np.zeros((3, 2), "float32"))
    >>> len(model.optimizer.variables) > 2 * len(model.trainable_variables)
    True
    """
    inputs, targets = tf.nest.map_structure(tf.convert_to_tensor, (inputs, targets))
    model.optimizer.build(model.trainable_variables)
    if tf.distribute.has_strategy() and keras.__version__.startswith("2."):
        return  # its metrics may be added to on replicas alone: the first step makes the rest
    outputs = model(inputs, training=False)
    model.compute_loss(x=inputs, y=targets, y_pred=outputs)
    model.compute_metrics(inputs, targets, outputs, sample_weight=None)
    model.reset_metrics()


def run(network: keras.Model, inputs, batch_size: int = 1024):
    """Outputs of a network in inference mode, a slice of rows at a time.

    As `predict`, without building a graph for every small network.

    Parameters
    ----------
    network
        Any Keras model.
    inputs
        Rows of its input; a list or a dictionary where it has several.
    batch_size
        Rows at a time.

    Returns
    -------
    numpy.ndarray
        Rows of its output; a list or a dictionary where it has several.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.nn.fitting import run
    >>> from imap_keras.imap.stage1 import build_encoder
    >>> run(build_encoder(5, 2), np.zeros((3, 5), "float32")).shape
    (3, 2)
    """
    check_process()
    n, found = len(tf.nest.flatten(inputs)[0]), None
    for start in range(0, max(n, 1), batch_size):
        rows = slice(start, start + batch_size)
        some = tf.nest.map_structure(lambda x, rows=rows: x[rows], inputs)
        outputs = tf.nest.map_structure(np.asarray, network(some, training=False))
        if found is None:  # now their shapes are known: one array each, filled part by part
            found = tf.nest.map_structure(lambda x: np.empty((n, *x.shape[1:]), x.dtype), outputs)
        for whole, part in zip(tf.nest.flatten(found), tf.nest.flatten(outputs), strict=True):
            whole[rows] = part
    return found
