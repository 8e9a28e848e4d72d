"""Adaptors: what one batch has of its own, to be shared and attached without cells."""

import hashlib
from pathlib import Path

import keras
import numpy as np

from ..nn.persistence import check_folder, load_models, save_models
from .hyperparameters import ReferenceHyperparameters
from .network import BatchTable
from .surgery import batch_tables, grow

KIND = "scarches adaptor"


def fingerprint(networks: dict[str, keras.Model], genes: list[str]) -> str:
    """Hash of the genes and of all weights but the batches' own: an adaptor fits where it agrees."""
    digest = hashlib.sha256("\n".join(genes).encode())
    for network in networks.values():
        for layer in network.layers:
            if not isinstance(layer, BatchTable):
                for weight in layer.get_weights():
                    digest.update(layer.name.encode() + np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def build_adaptor(rows: dict[str, np.ndarray]) -> keras.Model:
    """One batch's rows as a Keras model of one-row tables, so that Keras saves them."""
    one = keras.Input((1,), name="one")
    tables = [BatchTable(len(row), 1, name=name) for name, row in rows.items()]
    model = keras.Model(one, [table(one) for table in tables], name="adaptor")
    for table in tables:
        table.set_rows(rows[table.name][None])
    return model


def write_adaptor(
    folder: str | Path, networks: dict[str, keras.Model], genes: list[str], batch: str, row: int
) -> None:
    """Save the rows of one batch, and the fingerprint of the networks they belong to.

    Parameters
    ----------
    folder
        Made if it does not exist.
    networks, genes
        Of a reference.
    batch, row
        Name of the batch, and its place in the tables.

    Raises
    ------
    FileExistsError
        As :meth:`Reference.save_adaptor`.
    """
    other = check_folder(folder, KIND).get("batch", batch)
    if other != batch:
        raise FileExistsError(
            f"{folder} holds the adaptor of batch {other!r}, which would be lost; give each adaptor a "
            "folder of its own."
        )
    rows = {name: table.rows()[row] for name, table in batch_tables(networks).items()}
    info = {"batch": batch, "fits": fingerprint(networks, genes)}
    save_models(folder, KIND, {"adaptor": build_adaptor(rows)}, info)


def read_adaptor(
    folder: str | Path,
    networks: dict[str, keras.Model],
    genes: list[str],
    batches: list[str],
    hp: ReferenceHyperparameters,
) -> tuple[str, dict[str, keras.Model]]:
    """Name of the batch of an adaptor, and copies of the networks with its rows last.

    Parameters
    ----------
    folder
        From :func:`write_adaptor`.
    networks, genes, batches, hp
        Of the reference it is attached to; the names of its batches.

    Raises
    ------
    FileNotFoundError, ValueError
        As :meth:`Reference.attach`.
    """
    models, info = load_models(folder, KIND)
    if info["batch"] in batches:
        raise ValueError(f"The reference has a batch {info['batch']!r} already.")
    if info["fits"] != fingerprint(networks, genes):
        raise ValueError(
            f"The adaptor of batch {info['batch']!r} was trained on another reference (or with a "
            "degree that changed it); attach it to the one it came from."
        )
    grown = grow(networks, 1, "batch", hp)
    for name, table in batch_tables(grown).items():
        row = models["adaptor"].get_layer(name).rows()
        table.set_rows(np.concatenate([table.rows()[:-1], row]))
    return info["batch"], grown
