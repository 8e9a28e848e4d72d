"""What a saved network may hold: its archive is looked through before Keras opens it.

Keras builds a network from a description that names classes and modules, and versions before 3.15 let
such a description run code, write files or read foreign ones. So only what this project writes is let
through.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras

from .blocks import PACKAGE

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBERS = {"metadata.json", CONFIG, WEIGHTS}
LARGEST_CONFIG = 4_000_000  # bytes; the largest that this project writes are some 100,000

# Classes of Keras by the module that Keras writes beside them.
LAYERS = (
    "Add Concatenate Dense Dropout InputLayer LayerNormalization ReLU Rescaling Softmax Subtract "
    "UnitNormalization"
)
ALLOWED = {
    "keras.layers": set(LAYERS.split()),
    "keras.initializers": {
        "Constant",
        "GlorotUniform",
        "Ones",
        "RandomNormal",
        "RandomUniform",
        "Zeros",
    },
    "keras.constraints": {"MaxNorm"},
    "keras": {"DTypePolicy"},
    "keras.src.models.functional": {"Functional"},  # Keras 3
    "keras.src.engine.functional": {"Functional"},  # Keras 2.15
    None: {"__keras_tensor__"},
}


def check_archive(path: Path) -> None:
    """Raise unless a ``.keras`` file holds nothing but a network as this project writes them.

    Parameters
    ----------
    path
        The file. Nothing in it is run, no file outside is read, and no more memory is taken than the
        file has bytes.

    Raises
    ------
    ValueError
        It is no such archive, or holds other members than the usual three, a description that is too
        large or names a class that this project does not write, or weights that lie in another file.

    Examples
    --------
    >>> import keras
    >>> from imap_keras.nn.archive import check_archive
    >>> network = keras.Model(*2 * [keras.Input((2,))])
    >>> network.save("build/network.keras")
    >>> check_archive("build/network.keras")
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = sorted(member.filename for member in members)
        if names != sorted(MEMBERS):
            raise ValueError(f"its members are {names[:9]}, not {sorted(MEMBERS)}")
        for member in members:  # Keras does not compress, so no member is larger than the file
            if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                raise ValueError(f"{member.filename} is compressed")
        if archive.getinfo(CONFIG).file_size > LARGEST_CONFIG:
            raise ValueError(
                f"{CONFIG} has {archive.getinfo(CONFIG).file_size} bytes, more than {LARGEST_CONFIG}"
            )
        config = json.loads(archive.read(CONFIG))
        config.pop("compile_config", None)  # not read: networks are loaded without it
        for entry in _objects(config):
            _check_class(entry)
        weights = archive.read(WEIGHTS)
    with h5py.File(io.BytesIO(weights), "r") as file:
        _check_weights(file, len(weights))


def _objects(config: object) -> Iterator[dict]:
    """Every entry of a description that names a class or a module, however deep."""
    left = [config]
    while left:
        entry = left.pop()
        if isinstance(entry, dict):
            if "class_name" in entry or "module" in entry:
                yield entry
            left += entry.values()
        elif isinstance(entry, list):
            left += entry


def _check_class(entry: dict) -> None:
    module, name, registered = (entry.get(key) for key in ("module", "class_name", "registered_name"))
    if (
        registered == f"{PACKAGE}>{name}"
    ):  # Keras takes it from its register and leaves the module alone
        allowed = keras.saving.get_registered_object(registered) is not None
    else:
        allowed = registered in (None, name) and name in ALLOWED.get(module, ())
    if not allowed:
        raise ValueError(
            f"{CONFIG} names {module}.{name} ({registered}), which is no part of its networks"
        )


def _check_weights(file: h5py.File, size: int) -> None:
    """Raise if weights are links, lie in another file, are no numbers or larger than their file."""
    total, left = 0, [file]
    seen = set()
    while left:
        group = left.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{WEIGHTS} holds a link to another place ({name!r})")
            entry = group[name]
            address = h5py.h5o.get_info(entry.id).addr
            if address in seen:
                raise ValueError(f"{WEIGHTS} holds one part twice ({name!r})")
            seen.add(address)
            if isinstance(entry, h5py.Group):
                left.append(entry)
                continue
            if not isinstance(entry, h5py.Dataset) or entry.dtype.kind not in "fiub":
                raise ValueError(f"{WEIGHTS} holds something that is no numbers ({name!r})")
            if entry.is_virtual or entry.external:
                raise ValueError(f"{WEIGHTS} has numbers in another file ({name!r})")
            total += entry.nbytes
            if total > size:
                raise ValueError(f"{WEIGHTS} is smaller than the numbers it claims to hold")
