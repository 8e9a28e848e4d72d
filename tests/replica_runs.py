"""What tests/test_replicas.py runs in processes of its own: ``replica_runs.py OUT mirrored|worker``.

Logical devices and workers can be set only before TensorFlow starts. Numbers go to OUT as JSON.
"""

import json
import sys
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

CELLS, GENES, BATCHES = 60, 12, 3
DROPOUT = 0.3 if keras.__version__.startswith("3.") else 0.0  # see imap_keras.nn.replicas


def data():
    rng = np.random.default_rng(0)
    codes = np.arange(CELLS) % BATCHES
    counts = rng.poisson(1.0 + codes[:, None], (CELLS, GENES)).astype("float32")
    return counts, codes


def furthest(one, other) -> float:
    """Largest difference between the weights of two sets of networks."""
    pairs = [
        (a, b)
        for name in one
        for a, b in zip(one[name].get_weights(), other[name].get_weights(), strict=True)
    ]
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def plain_steps(rate, *_, **__):
    """Stands in for Adam: a step is the gradient itself, and nothing blows up its rounding."""
    return keras.optimizers.SGD(rate)


def stage1(strategy, **changes):
    """Train stage I: networks as they start, trained networks, history."""
    from imap_keras.imap.hyperparameters import Hyperparameters
    from imap_keras.imap.seeds import seed_of
    from imap_keras.imap.stage1 import stage1_networks
    from imap_keras.imap.training import train_stage1
    from imap_keras.nn.blocks import Initializers

    tf.config.run_functions_eagerly(strategy is None)  # without graphs: seconds less
    counts, codes = data()
    small = {"hidden": (8, 6), "latent_dim": 3, "stage1_rows": 8, "recalibrate": False}
    hp = Hyperparameters(**small | changes)
    init = Initializers(hp.initialization, seed_of("stage1_weights", hp))
    start = stage1_networks(GENES, BATCHES, 3, (8, 6), init)
    return start, *train_stage1(np.log1p(counts), codes, hp, 0, strategy)


def cvae(strategy, **changes):
    """Train a conditional VAE with every term of its loss: the same three."""
    from imap_keras.scarches import ReferenceHyperparameters
    from imap_keras.scarches.surgery import build_networks
    from imap_keras.scarches.training import train

    tf.config.run_functions_eagerly(strategy is None)
    counts, codes = data()
    labels = np.where(np.arange(CELLS) % 7 < 5, np.arange(CELLS) % 2, -1).astype("int32")
    small = {
        "hidden": (8,),
        "latent_dim": 3,
        "batch_size": 24,
        "weight_decay": 0.04,
        "dropout": DROPOUT,
    }
    hp = ReferenceHyperparameters(**small | {"label_weight": 50.0, "kl_epochs": 1} | changes)
    start, networks = (
        build_networks(GENES, BATCHES, hp, dropout=hp.dropout, n_labels=2) for _ in range(2)
    )
    told = {"cells": counts, "codes": codes, "hp": hp, "title": "reference", "labels": labels}
    return start, networks, train(**networks, **told, strategy=strategy)


def losses(history) -> dict:
    return {name: history[name].tolist() for name in history if name != "seconds"}


def message(function, *args, **options) -> str:
    try:
        function(*args, **options)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was raised"


def mirrored() -> dict:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    import imap_keras
    from imap_keras import scarches
    from imap_keras.imap.training import train_stage1

    tf.config.run_functions_eagerly(True)
    cells = imap_keras.datasets.simulate(n_cells=90, n_genes=GENES, n_batches=3, n_types=2, seed=1)
    is_query = (cells.obs["batch"] == "batch_2").to_numpy()
    small = {"hidden": (8,), "latent_dim": 3, "epochs": 2, "batch_size": 24}
    older = scarches.Reference(**small).fit(cells[~is_query], verbose=0)
    alone = older.map_query(cells[is_query], verbose=0)

    # 1. A strategy made after a model.
    strategy, found = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), {}
    mapped = older.map_query(cells[is_query], verbose=0, strategy=strategy)
    found["mapped"] = furthest(alone.networks, mapped.networks)
    weights = [v for network in mapped.networks.values() for v in network.weights]
    found["kinds after"] = sorted({type(getattr(v, "_value", v)).__name__ for v in weights})

    # 2. One step along the gradient.
    one = {"stage1_epochs": 1, "stage1_steps": 1, "stage1_learning_rate": 1.0}
    with mock.patch("imap_keras.imap.stage1.adam", plain_steps):
        (start, plain, _), (_, both, _) = (stage1(s, **one) for s in (None, strategy))
    found["stage1 step"] = furthest(plain, both), furthest(plain, start)
    one = {"epochs": 1, "batch_size": CELLS, "learning_rate": 1e-3, "kl_weight": 2.0}
    with mock.patch("imap_keras.scarches.training.adam", plain_steps):
        (start, plain, _), (_, both, _) = (cvae(s, **one) for s in (None, strategy))
    found["cvae step"] = furthest(plain, both), furthest(plain, start)

    # 3. Some steps of Adam, and the weights on the replicas after them.
    some = {"stage1_epochs": 3, "stage1_steps": 4, "recalibrate": True}, {"epochs": 3}
    plain_stage1, plain_cvae = stage1(None, **some[0]), cvae(None, **some[1])
    copies, clone = [], keras.models.clone_model

    def noted(*args, **options):
        copies.append(clone(*args, **options))
        return copies[-1]

    with mock.patch("keras.models.clone_model", noted):
        both_stage1, both_cvae = stage1(strategy, **some[0]), cvae(strategy, **some[1])
    found["losses"] = [
        [losses(history) for _, _, history in pair]
        for pair in ((plain_stage1, both_stage1), (plain_cvae, both_cvae))
    ]
    content = [
        models["encoder"](np.log1p(data()[0])).numpy() for _, models, _ in (plain_stage1, both_stage1)
    ]
    found["content"] = float(np.abs(content[0] - content[1]).max()), float(np.ptp(content[0]))
    found["cvae"] = furthest(plain_cvae[1], both_cvae[1]), furthest(*plain_cvae[:2])
    on_each = [
        [np.asarray(part) for part in strategy.experimental_local_results(getattr(v, "_value", v))]
        for copy in copies
        for v in copy.weights
    ]
    found["replicas"] = sorted({len(parts) for parts in on_each})
    found["replicas apart"] = max(float(np.abs(parts[0] - parts[-1]).max()) for parts in on_each)

    # 4. Errors.
    logged = imap_keras.preprocess(cells, min_genes=1, verbose=0)
    fit, odd = imap_keras.IMAP(stage1_rows=7).fit, scarches.Reference(**small | {"batch_size": 27}).fit
    found["7 rows"] = message(fit, logged, verbose=0, strategy=strategy)
    found["27 rows"] = message(odd, cells, verbose=0, strategy=strategy)
    found["a name"] = message(fit, logged, verbose=0, strategy="mirrored")
    with strategy.scope():
        found["in scope"] = [
            message(fit, logged, verbose=0),
            message(older.map_query, cells[is_query], verbose=0),
            message(train_stage1, *data(), imap_keras.IMAP().hyperparameters),
        ]
    if hasattr(keras, "distribution"):
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=["cpu:0", "cpu:1"]))
        found["keras.distribution"] = message(fit, logged, verbose=0)
    return found


def worker() -> dict:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    _, models, history = stage1(strategy, stage1_epochs=3, stage1_steps=4)
    _, networks, again = cvae(strategy, epochs=3)
    found = {
        "workers": strategy.num_replicas_in_sync,
        "losses": [losses(history), losses(again)],
        "weights": [
            w.astype(float).ravel().tolist()
            for network in (*models.values(), *networks.values())
            for w in network.get_weights()
        ],
    }
    # The first worker leads: were it gone before the other is done, that one would be stopped.
    together = strategy.run(lambda: tf.constant(1))
    found["waited"] = int(strategy.reduce(tf.distribute.ReduceOp.SUM, together, axis=None))
    return found


if __name__ == "__main__":
    out, what = sys.argv[1:]
    Path(out).write_text(json.dumps({"mirrored": mirrored, "worker": worker}[what]()))
