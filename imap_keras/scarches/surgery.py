"""Architecture surgery: new columns for new batches, everything else frozen by degree."""

import keras
import numpy as np
import pandas as pd

from .classifier import CLASSIFIER, build_classifier
from .hyperparameters import ReferenceHyperparameters
from .network import (
    FIRST_LAYERS,
    BatchTable,
    build_conditional_decoder,
    build_conditional_encoder,
    start_as_published,
)

DEGREES = ("batch", "first_layer", "all")


def build_networks(
    n_genes: int,
    n_batches: int,
    hp: ReferenceHyperparameters,
    n_frozen: int = 0,
    dropout: float = 0.0,
    seed: int = 0,
    n_labels: int = 0,
) -> dict[str, keras.Model]:
    """Encoder and decoder for so many batches, the first `n_frozen` of them frozen, and a classifier.

    The classifier is there where `n_labels` are.

    Examples
    --------
    >>> from imap_keras.scarches import ReferenceHyperparameters
    >>> from imap_keras.scarches.surgery import build_networks
    >>> sorted(build_networks(20, 3, ReferenceHyperparameters(hidden=(8,))))
    ['decoder', 'encoder']
    """
    sizes = {"n_genes": n_genes, "n_batches": n_batches, "latent_dim": hp.latent_dim}
    shared = sizes | {"dropout": dropout, "n_frozen": n_frozen, "norm_epsilon": hp.norm_epsilon}
    encoder = build_conditional_encoder(
        hidden=hp.hidden, counts=hp.likelihood != "mse", seed=2 * seed, **shared
    )
    decoder = build_conditional_decoder(
        hidden=hp.hidden[::-1],
        likelihood=hp.likelihood,
        bias=hp.decoder_bias,
        seed=2 * seed + 1,
        **shared,
    )
    networks = {"encoder": encoder, "decoder": decoder}
    if n_labels:
        networks[CLASSIFIER] = build_classifier(hp.latent_dim, n_labels, 2 * seed + 2)
    if hp.initialization == "published":
        for number, network in enumerate(networks.values()):
            start_as_published(network, 2 * seed + number)
    return networks


def copy_weights(old: keras.Model, new: keras.Model) -> None:
    """Give `new`, built for more batches, all that `old` has learnt; its further rows stay as drawn.

    Parameters
    ----------
    old, new
        Two encoders, or two decoders, that differ in their number of batches (and in dropout).

    Examples
    --------
    >>> from imap_keras.scarches import build_conditional_encoder, copy_weights
    >>> old, new = (build_conditional_encoder(20, n, 2, (8,), seed=n) for n in (3, 4))
    >>> copy_weights(old, new)
    >>> old_rows, new_rows = (net.get_layer("encoder_batch").rows() for net in (old, new))
    >>> bool((new_rows[:3] == old_rows).all())
    True
    """
    for layer in new.layers:
        if isinstance(layer, BatchTable):
            rows, known = layer.rows(), old.get_layer(layer.name).rows()
            rows[: len(known)] = known
            layer.set_rows(rows)
        elif layer.weights:
            layer.set_weights(old.get_layer(layer.name).get_weights())


def freeze(network: keras.Model, degree: str) -> None:
    """Leave trainable the batch tables (``"batch"``), the first layers too, or everything (``"all"``).

    Examples
    --------
    >>> from imap_keras.scarches import build_conditional_encoder, freeze
    >>> encoder = build_conditional_encoder(20, 4, latent_dim=2, hidden=(8,), n_frozen=3)
    >>> freeze(encoder, "batch")
    >>> [tuple(weight.shape) for weight in encoder.trainable_weights]
    [(1, 8)]
    """
    for layer in network.layers:
        first = degree == "first_layer" and layer.name in FIRST_LAYERS
        layer.trainable = degree == "all" or first or isinstance(layer, BatchTable)


def grow(
    networks: dict[str, keras.Model],
    n_new: int,
    degree: str,
    hp: ReferenceHyperparameters,
    seed: int = 0,
) -> dict[str, keras.Model]:
    """Surgery: copies of the networks with columns for new batches, frozen by degree, no dropout.

    Parameters
    ----------
    networks
        ``encoder``, ``decoder`` and, where there is one, ``classifier``; not changed.
    n_new
        New batches.
    degree
        ``"batch"``, ``"first_layer"`` or ``"all"``; a classifier is frozen in each.
    hp, seed
        Hyperparameters of the reference; seed of the new weights.

    Raises
    ------
    ValueError
        Unknown `degree`.

    References
    ----------
    Lotfollahi et al., Nature Biotechnology 40:121 (2022), Methods, "Architecture surgery".

    Examples
    --------
    >>> from imap_keras.scarches import ReferenceHyperparameters, grow
    >>> from imap_keras.scarches.surgery import build_networks
    >>> hp = ReferenceHyperparameters(hidden=(8,))
    >>> grow(build_networks(20, 3, hp), 1, "batch", hp)["encoder"].input_shape
    [(None, 20), (None, 4)]
    """
    if degree not in DEGREES:
        raise ValueError(f"degree={degree!r} is unknown; choose one of {DEGREES}.")
    n_genes, n_known = (shape[-1] for shape in networks["encoder"].input_shape)
    n_frozen = 0 if degree == "all" else n_known
    n_labels = networks[CLASSIFIER].output_shape[-1] if CLASSIFIER in networks else 0
    grown = build_networks(n_genes, n_known + n_new, hp, n_frozen, seed=seed, n_labels=n_labels)
    for name, network in grown.items():
        copy_weights(networks[name], network)
        freeze(network, "batch" if name == CLASSIFIER else degree)  # a query has no labels
    return grown


def parameter_table(networks: dict[str, keras.Model]) -> pd.DataFrame:
    """Trained against all parameters, part by part, the total last.

    Examples
    --------
    >>> from imap_keras.scarches import build_conditional_encoder, freeze, parameter_table
    >>> encoder = build_conditional_encoder(20, 4, latent_dim=2, hidden=(8,), n_frozen=3)
    >>> freeze(encoder, "batch")
    >>> parameter_table({"encoder": encoder}).loc["total"].tolist()
    [8, 236]
    """
    rows = {}
    for network in networks.values():
        for layer in network.layers:
            if layer.weights:
                trained = sum(int(np.prod(w.shape)) for w in layer.trainable_weights)
                every = sum(int(np.prod(w.shape)) for w in layer.weights)
                rows[layer.name] = {"trained": trained, "all": every}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.loc["total"] = table.sum()
    return table


def batch_tables(networks: dict[str, keras.Model]) -> dict[str, BatchTable]:
    """The tables of batch weights by name: all that a batch has of its own."""
    layers = [layer for network in networks.values() for layer in network.layers]
    return {layer.name: layer for layer in layers if isinstance(layer, BatchTable)}
