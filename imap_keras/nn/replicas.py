"""Training on several devices or machines at once: `tf.distribute`, one replica of a network each.

The rows of a step are shared out, each replica computes the gradients of its part, and all take the
same step by their mean. Everything is drawn as on one device and then shared out: the rows, the noise
and (in Keras 3) the dropout masks. So several replicas do what one would, up to rounding, and a
strategy changes how long training takes and nothing else.

Keras' own `fit` is not used here: that of Keras 3 fails on several machines, in two places.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from .backend import OWN_DRAWS
from .blocks import PACKAGE

STRATEGIES = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)


def check_strategy(strategy: tf.distribute.Strategy | None, rows: int, knob: str) -> None:
    """Raise where a strategy cannot train: each replica takes its share of the rows of every batch.

    Parameters
    ----------
    strategy
        None passes.
    rows, knob
        Rows of one batch in each step, and the hyperparameter that says how many.

    Raises
    ------
    TypeError
        Not a strategy in which all replicas take the same step.
    ValueError
        The replicas do not divide the rows.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from imap_keras.nn.replicas import check_strategy
    >>> check_strategy(None, 64, "stage1_rows=64")
    """
    if strategy is None:
        return
    if not isinstance(strategy, STRATEGIES):
        raise TypeError(
            f"strategy is a {type(strategy).__name__}; hand in a tf.distribute.MirroredStrategy (the "
            "devices of this machine) or a tf.distribute.MultiWorkerMirroredStrategy (several "
            "machines), or None."
        )
    n = strategy.num_replicas_in_sync
    if rows % n:
        raise ValueError(
            f"{knob} gives {rows} rows of each batch a step, which {n} replicas cannot share evenly; "
            f"choose it so that each batch gives a multiple of {n}, such as {-(-rows // n) * n}."
        )


def check_scope() -> None:
    """Raise in the scope of a strategy: what is no part of a step, stage II say, cannot be done in it.

    Raises
    ------
    RuntimeError
        Says where the strategy goes.

    Examples
    --------
    >>> from imap_keras.nn.replicas import check_scope
    >>> check_scope()
    """
    if tf.distribute.has_strategy():
        raise RuntimeError(
            "This is the scope of a tf.distribute strategy. Leave it, and hand the strategy over: "
            "IMAP.fit, scarches.Reference.fit and map_query take strategy=...; nothing else here "
            "trains on replicas."
        )


@contextmanager
def on_replicas(
    networks: Mapping[str, keras.Model], strategy: tf.distribute.Strategy | None, n_groups: int
) -> Iterator[Mapping[str, keras.Model]]:
    """Train in here what this gives: the networks themselves, or, under a strategy, copies of them.

    The copies live on the replicas. They are made here, so it does not matter what was made before the
    strategy; at the end their weights come back, and no network outside knows of a strategy. Batch
    normalisation takes the moments of all replicas' rows together.

    Parameters
    ----------
    networks
        By name; trained in place.
    strategy
        None: nothing is copied.
    n_groups
        Batches in each step, see :func:`shared_rows`.

    Raises
    ------
    RuntimeError
        As :func:`check_scope`.

    Examples
    --------
    >>> from imap_keras.imap.stage1 import build_encoder
    >>> from imap_keras.nn.replicas import on_replicas
    >>> networks = {"encoder": build_encoder(5, 2)}
    >>> with on_replicas(networks, None, 1) as trained:
    ...     trained["encoder"] is networks["encoder"]
    True
    """
    check_scope()
    if strategy is None:
        yield networks
        return

    def copied(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.BatchNormalization):
            config["synchronized"] = True
        if isinstance(layer, keras.layers.Dropout):
            return SharedDropout(n_groups, **config, **OWN_DRAWS)
        return type(layer).from_config(config)

    with strategy.scope():
        copies = {}
        for name, network in networks.items():
            copies[name] = keras.models.clone_model(network, clone_function=copied)
            copies[name].set_weights(network.get_weights())
        yield copies
        for name, network in networks.items():
            network.set_weights(copies[name].get_weights())


def n_replicas() -> int:
    """Replicas that train together here; 1 without a strategy.

    Examples
    --------
    >>> from imap_keras.nn.replicas import n_replicas
    >>> n_replicas()
    1
    """
    return tf.distribute.get_strategy().num_replicas_in_sync


def shares(rows, n_groups: int, n: int):
    """Rows grouped by batch in `n` equal parts, each grouped by batch: parts x rows of a part x any.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.nn.replicas import shares
    >>> shares(np.array([10, 11, 20, 21]), n_groups=2, n=2).numpy().tolist()
    [[10, 20], [11, 21]]
    """
    rest = rows.shape[1:]
    parts = tf.reshape(rows, (n_groups, n, -1, *rest))
    order = (1, 0, *range(2, len(parts.shape)))
    return tf.reshape(tf.transpose(parts, order), (n, -1, *rest))


def shared_rows(rows: tf.data.Dataset, n_groups: int):
    """A data set of steps, each step's rows shared out among the replicas; as it is without a strategy.

    Every machine draws all rows and takes its part, so it needs all cells that are drawn from.

    Parameters
    ----------
    rows
        Tensors, or structures of them, with rows grouped by batch, the same number each.
    n_groups
        Batches.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from imap_keras.nn.replicas import shared_rows
    >>> rows = tf.data.Dataset.range(3)
    >>> shared_rows(rows, 1) is rows
    True
    """
    if not tf.distribute.has_strategy():
        return rows

    def of_machine(context):
        n, machines = context.num_replicas_in_sync, context.num_input_pipelines
        first = context.input_pipeline_id * (n // machines)
        mine = slice(first, first + n // machines)

        def split(*step):
            return tf.nest.map_structure(lambda x: shares(x, n_groups, n)[mine], step)

        return rows.map(split).unbatch().prefetch(2)

    return tf.distribute.get_strategy().distribute_datasets_from_function(of_machine)


def own_rows(rows, n_groups: int):
    """What is this replica's of something drawn for all rows of a step.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from imap_keras.nn.replicas import own_rows
    >>> own_rows(tf.constant([1, 2]), 2).numpy().tolist()
    [1, 2]
    """
    n = n_replicas()
    if n == 1:
        return rows
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    return tf.gather(shares(rows, n_groups, n), replica)


def all_rows(rows, n_groups: int):
    """The rows of all replicas, in the order that one would have them; gradients go back to each.

    For what is no mean over rows, such as a distance between all cells of a step.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from imap_keras.nn.replicas import all_rows
    >>> all_rows(tf.constant([1, 2]), 2).numpy().tolist()
    [1, 2]
    """
    n = n_replicas()
    if n == 1:
        return rows
    here = tf.identity(rows)  # on this replica's device; what comes right from the data has none
    every = tf.distribute.get_replica_context().all_gather(here, axis=0)
    every = tf.ensure_shape(every, (None, *rows.shape[1:]))
    return tf.reshape(shares(every, n, n_groups), (-1, *rows.shape[1:]))


def parts_of_the_mean(gradients: Sequence) -> Sequence:
    """Gradients of a mean over this replica's rows, as an optimiser wants them, which adds replicas up.

    Examples
    --------
    >>> from imap_keras.nn.replicas import parts_of_the_mean
    >>> parts_of_the_mean([2.0])
    [2.0]
    """
    n = n_replicas()
    return gradients if n == 1 else [gradient / n for gradient in gradients]


@keras.saving.register_keras_serializable(PACKAGE)
class SharedDropout(keras.layers.Dropout):
    """Dropout on replicas: each takes its rows of one mask for all; Keras 3 gives all the same mask.

    In Keras 2 replicas draw masks of their own, which differ from those of one device.

    Parameters
    ----------
    n_groups
        Batches in each step.
    """

    def __init__(self, n_groups: int, rate: float, **options):
        super().__init__(rate, **options)
        self.n_groups = n_groups

    def call(self, inputs, training=False):
        if not training:
            return inputs
        rows = tf.shape(inputs)[0] * n_replicas()
        mask = super().call(tf.ones((rows, *inputs.shape[1:])), training=True)
        return inputs * own_rows(mask, self.n_groups)

    def get_config(self):
        return super().get_config() | {"n_groups": self.n_groups}


def fit_replicas(
    network: keras.Model,
    rows,
    epochs: int,
    steps: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    validation=None,
) -> dict[str, list[float]]:
    """Train a compiled network under the strategy in whose scope this is called, as `fit` would.

    Parameters
    ----------
    network
        Made and compiled in this scope, its variables made.
    rows, validation
        From :func:`shared_rows`.
    epochs, steps, callbacks
        As in `fit`. Losses are those of all replicas, so that all machines decide alike.

    Returns
    -------
    dict
        Losses by name, epoch by epoch.
    """
    strategy = tf.distribute.get_strategy()

    def on_each(step):
        @tf.function(autograph=False)
        def step_of_all(some):
            strategy.run(step, args=(some,))

        return step_of_all

    train, test = on_each(network.train_step), on_each(network.test_step)

    def losses(step, several, prefix: str = "") -> dict[str, float]:
        network.reset_metrics()
        for some in several:
            step(some)
        found = network.get_metrics_result()
        return {prefix + name: float(np.asarray(value)) for name, value in found.items()}

    history, endless = keras.callbacks.History(), iter(rows)
    told = {"model": network, "verbose": 0, "epochs": epochs, "steps": steps}
    everybody = keras.callbacks.CallbackList([*callbacks, history], **told)
    network.stop_training = False
    everybody.on_train_begin()
    for epoch in range(epochs):
        everybody.on_epoch_begin(epoch)
        logs = losses(train, itertools.islice(endless, steps))
        if validation is not None:
            logs |= losses(test, validation, "val_")
        everybody.on_epoch_end(epoch, logs)
        if network.stop_training:
            break
    everybody.on_train_end()
    return history.history
