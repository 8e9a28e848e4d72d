"""Files on disk, whole or not at all; models as Keras files and one JSON that names them."""

import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import keras

from .archive import check_archive

DESCRIPTION = "model.json"
FILE_NAME = r"\d\d+-[0-9a-f]{8}\.keras"
A_DAY = 86_400  # seconds; what an interrupted save left may go then: it belongs to no save at work

Widths = tuple[list[int] | None, list[int] | None]  # of a network's inputs and outputs; None: any


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
    >>> write_whole("build/note.txt", lambda path: path.write_text("whole"))
    """
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"writing-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        write(temporary)
        _onto_disk(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _remove_left_overs(path.parent, rf"writing-\w+-{re.escape(path.name)}")


def save_models(folder: str | Path, kind: str, models: dict[str, keras.Model], info: dict) -> None:
    """Write models and a description so that an interruption leaves an older model whole.

    The Keras files get names that were not there before; the description, which points to them, is
    written under a temporary name and renamed last. Only then are the files removed that the replaced
    description named, so two saves at once leave one of the two models whole.

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
    FileExistsError
        `folder` holds a model of another kind.
    OSError
        The disk is full or may not be written; what this save wrote is removed.

    Examples
    --------
    >>> import keras
    >>> from imap_keras.nn.persistence import save_models
    >>> network = keras.Model(*2 * [keras.Input((2,))])
    >>> save_models("build/my_model", "toy", {"network": network}, {"seed": 0})
    """
    folder = Path(folder).expanduser()
    check_folder(folder, kind)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex[:8]
    files = {}
    try:
        for number, (name, model) in enumerate(models.items()):
            file = f"{number:02d}-{token}.keras"
            model.save(folder / file)
            _onto_disk(folder / file)
            files[name] = {"file": file, "sha256": _sha256(folder / file)}
        description = {"kind": kind, "keras": keras.__version__, "models": files, "info": info}
        description = json.loads(json.dumps(description))  # as it will be read
        text = json.dumps({**description, "sha256": _sha256_of(description)}, indent=1)
        replaced = _files_named_in(folder)
        write_whole(folder / DESCRIPTION, lambda path: path.write_text(text))
    except BaseException:
        for file in folder.glob(f"*-{token}.keras"):
            file.unlink(missing_ok=True)
        if is_new and not any(folder.iterdir()):
            folder.rmdir()
        raise
    for file in replaced:
        (folder / file).unlink(missing_ok=True)
    _remove_left_overs(folder, FILE_NAME, set(_files_named_in(folder)))


def check_folder(folder: str | Path, kind: str) -> dict:
    """Return what a folder holds of this kind, ``{}`` for nothing, if a model can be saved into it.

    Raises
    ------
    NotADirectoryError
        It is a file.
    FileExistsError
        It holds a model of another kind, which would be lost.

    Examples
    --------
    >>> from imap_keras.nn.persistence import check_folder
    >>> check_folder("build/no_folder_yet", "imap")
    {}
    """
    folder = Path(folder).expanduser()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; a model is saved into a folder.")
    try:
        there = json.loads((folder / DESCRIPTION).read_text())
        held, info = there["kind"], dict(there["info"])
    except Exception:  # nothing, or nothing whole: what is damaged may be replaced
        return {}
    if held != kind:
        raise FileExistsError(
            f"{folder} holds a model of kind {held!r}, which a model of kind {kind!r} would replace; "
            "save it into a folder of its own."
        )
    return info


def load_models(
    folder: str | Path, kind: str, expected: Callable[[dict], dict[str, Widths]] | None = None
) -> tuple[dict[str, keras.Model], dict]:
    """Read what :func:`save_models` wrote, and nothing else.

    Files have hashes, and what Keras opens is looked through first (:mod:`imap_keras.nn.archive`);
    still, a model from a stranger may give any numbers.

    Parameters
    ----------
    folder, kind
        As given to :func:`save_models`.
    expected
        Says from the `info` which networks there must be, and the widths of their inputs and outputs.

    Returns
    -------
    models, info
        As given to :func:`save_models`.

    Raises
    ------
    FileNotFoundError
        There is no such folder or no model in it, or a file of the model is missing.
    ValueError
        The folder holds another kind of model, or a file was changed, cut short or made by something
        else; names the file.

    Examples
    --------
    >>> import keras
    >>> from imap_keras.nn.persistence import load_models, save_models
    >>> network = keras.Model(*2 * [keras.Input((2,))])
    >>> save_models("build/my_model", "toy", {"network": network}, {"seed": 0})
    >>> load_models("build/my_model", "toy")[1]
    {'seed': 0}
    """
    folder = Path(folder).expanduser()
    while True:
        text = _description_of(folder)
        try:
            return _read(folder, text, kind, expected)
        except (FileNotFoundError, ValueError):
            if _description_of(folder) == text:
                raise  # else another process has saved meanwhile: its model is read


def _read(folder: Path, text: bytes, kind: str, expected: Callable | None) -> tuple[dict, dict]:
    place = folder / DESCRIPTION
    try:
        description = json.loads(text)
        stated = description.pop("sha256", None)  # version 0.1.0 had none
        if set(description) != {"kind", "keras", "models", "info"}:
            raise ValueError(f"its entries are {sorted(description)}")
        if stated is not None and stated != _sha256_of(description):
            raise ValueError("it was changed since it was saved")
        found, files, info = (description[key] for key in ("kind", "models", "info"))
        named = [(str(name), entry["file"], entry["sha256"]) for name, entry in files.items()]
    except Exception as error:
        raise ValueError(f"{place} is damaged ({_told(error)}); save the model again.") from error
    if found != kind:
        raise ValueError(f"{folder} holds a model of kind {found!r}, expected {kind!r}.")
    for name, file, _ in named:
        if not isinstance(file, str) or not re.fullmatch(FILE_NAME, file):
            raise ValueError(
                f"{place} names the file {file!r} ({name}); a model has none of this name."
            )
    widths = _expected_widths(place, info, expected)
    if widths is not None and set(widths) != set(files):
        raise ValueError(f"{place} names the networks {sorted(files)}; expected {sorted(widths)}.")
    for name, file, sha256 in named:
        path = folder / file
        if not path.is_file():
            raise FileNotFoundError(f"{folder} is incomplete: {path.name} ({name}) is missing.")
        if _sha256(path) != sha256:
            raise ValueError(f"{path} ({name}) is damaged or was cut short; save or copy it again.")
    models = {name: _network(folder / file, name) for name, file, _ in named}
    for name, file, _ in named if widths is not None else []:
        _check_widths(folder / file, name, models[name], *widths[name])
    return models, info


def _network(path: Path, name: str) -> keras.Model:
    """One network, its archive looked through first."""
    try:
        check_archive(path)
        return keras.models.load_model(path, compile=False)
    except Exception as error:
        raise ValueError(f"{path} ({name}) cannot be read as a network: {_told(error)}.") from error


def _expected_widths(place: Path, info: dict, expected: Callable | None) -> dict[str, Widths] | None:
    try:
        return expected(info) if expected else None
    except Exception as error:
        raise ValueError(f"{place} is damaged ({_told(error)}); save the model again.") from error


def _check_widths(
    path: Path, name: str, network: keras.Model, inputs: list | None, outputs: list | None
) -> None:
    for what, tensors, widths in (
        ("inputs", network.inputs, inputs),
        ("outputs", network.outputs, outputs),
    ):
        found = sorted(tensor.shape[-1] for tensor in tensors)
        if widths is not None and found != sorted(widths):
            raise ValueError(
                f"{path} ({name}) has {what} of {found} numbers, expected {sorted(widths)}."
            )


def _description_of(folder: Path) -> bytes:
    try:
        return (folder / DESCRIPTION).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"{folder} is not a saved model: it has no {DESCRIPTION}. "
            "Give the folder that was handed to save()."
        ) from None
    except OSError as error:
        raise ValueError(f"{folder / DESCRIPTION} cannot be read ({error.strerror}).") from error


def _files_named_in(folder: Path) -> list[str]:
    """The files of the model that is there; none of a damaged one."""
    try:
        files = json.loads((folder / DESCRIPTION).read_text())["models"].values()
        return [entry["file"] for entry in files if re.fullmatch(FILE_NAME, entry["file"])]
    except Exception:
        return []


def _remove_left_overs(folder: Path, pattern: str, kept: set[str] = frozenset()) -> None:
    """What killed writes left behind, a day ago or longer; the user's own files have other names."""
    for path in folder.iterdir():
        left_over = re.fullmatch(pattern, path.name) and path.name not in kept and path.is_file()
        with suppress(OSError):  # somebody else's, perhaps; what was to be saved is whole by now
            if left_over and time.time() - path.stat().st_mtime > A_DAY:
                path.unlink()


def _onto_disk(path: Path) -> None:
    """Wait until a file would survive a power cut."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _told(error: Exception) -> str:
    """An error in one line, without the page of configuration that Keras may add."""
    return f"{type(error).__name__}: {str(error)[:200]}".replace("\n", " ")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_of(description: dict) -> str:
    """Of the description in one canonical form: keys sorted, no blanks."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
