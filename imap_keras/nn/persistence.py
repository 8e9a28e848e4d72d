"""Files on disk, whole or not at all; models as Keras files and one JSON that names them."""

import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path

import keras

DESCRIPTION = "model.json"
LEFT_OVER = rf"\d\d+-[0-9a-f]{{8}}\.keras|writing-\d+-{re.escape(DESCRIPTION)}"


def write_whole(path: str | Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name, then rename it: a file that is there is complete.

    Parameters
    ----------
    path
        The file; its folder is made if it does not exist.
    write
        Gets the temporary path and writes it. If it fails, what it wrote is removed, and an older
        file stays.

    Examples
    --------
    >>> from imap_keras.nn.persistence import write_whole
    >>> write_whole("table.csv", table.to_csv)  # doctest: +SKIP
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"writing-{os.getpid()}-{path.name}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_models(folder: str | Path, kind: str, models: dict[str, keras.Model], info: dict) -> None:
    """Write models and a description so that an interruption leaves an older model whole.

    The Keras files get names that were not there before; the description, which points to them, is
    written under a temporary name and renamed last. Only then are older files removed.

    Parameters
    ----------
    folder
        Made if it does not exist.
    kind
        What is saved, checked by :func:`load_models`, for example ``"imap"``.
    models
        Keras models by name.
    info
        Anything JSON can hold.

    Raises
    ------
    NotADirectoryError
        `folder` is a file.

    Examples
    --------
    >>> save_models("my_model", "imap", {"encoder": encoder}, {"seed": 0})  # doctest: +SKIP
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; a model is saved into a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex[:8]
    files = {}
    for number, (name, model) in enumerate(models.items()):
        file = f"{number:02d}-{token}.keras"
        model.save(folder / file)
        files[name] = {"file": file, "sha256": _sha256(folder / file)}
    description = {"kind": kind, "keras": keras.__version__, "models": files, "info": info}
    text = json.dumps(description, indent=1)
    write_whole(folder / DESCRIPTION, lambda path: path.write_text(text))
    # Models of earlier saves, and of interrupted ones; the user's own files have other names.
    for old in folder.iterdir():
        if re.fullmatch(LEFT_OVER, old.name) and token not in old.name:
            old.unlink()


def load_models(folder: str | Path, kind: str) -> tuple[dict[str, keras.Model], dict]:
    """Read what :func:`save_models` wrote.

    Parameters
    ----------
    folder, kind
        As given to :func:`save_models`.

    Returns
    -------
    models, info
        As given to :func:`save_models`.

    Raises
    ------
    FileNotFoundError
        There is no such folder or no model in it, or a file of the model is missing.
    ValueError
        The folder holds another kind of model, or a file was cut short.

    Examples
    --------
    >>> models, info = load_models("my_model", "imap")  # doctest: +SKIP
    """
    folder = Path(folder)
    if not (folder / DESCRIPTION).is_file():
        raise FileNotFoundError(
            f"{folder} is not a saved model: it has no {DESCRIPTION}. "
            "Give the folder that was handed to save()."
        )
    try:
        description = json.loads((folder / DESCRIPTION).read_text())
        found, files, info = (description[key] for key in ("kind", "models", "info"))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / DESCRIPTION} is damaged ({error}); save the model again."
        ) from error
    if found != kind:
        raise ValueError(f"{folder} holds a model of kind {found!r}, expected {kind!r}.")
    for name, entry in files.items():
        path = folder / entry["file"]
        if not path.is_file():
            raise FileNotFoundError(f"{folder} is incomplete: {path.name} ({name}) is missing.")
        if _sha256(path) != entry["sha256"]:
            raise ValueError(f"{path} ({name}) is damaged or was cut short; save or copy it again.")
    models = {
        name: keras.models.load_model(folder / entry["file"], compile=False)
        for name, entry in files.items()
    }
    return models, info


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
