"""Files by address and hash: `registry.csv` lists them, pooch fetches and checks them."""

import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import pandas as pd
import pooch
import requests

REGISTRY = Path(__file__).with_name("registry.csv")


@cache
def registry() -> pd.DataFrame:
    """Table of all files: data set, file, bytes, sha256, url, licence, what.

    Examples
    --------
    >>> from imap_keras.datasets import registry
    >>> "sc_mixology" in set(registry()["dataset"])
    True
    """
    return pd.read_csv(REGISTRY)


def cache_folder() -> Path:
    """Folder the files are kept in: ``$IMAP_KERAS_DATA``, else the user's cache.

    Examples
    --------
    >>> from imap_keras.datasets import cache_folder
    >>> cache_folder().is_absolute()
    True
    """
    return Path(os.environ.get("IMAP_KERAS_DATA") or pooch.os_cache("imap_keras")).expanduser()


def fetch(file: str) -> Path:
    """Return the path of a registered file, downloading it if the cache lacks it.

    A file whose hash is wrong, in the cache or fresh from the network, is refused and fetched
    again; the file appears under its name only when it is complete and right.

    Parameters
    ----------
    file
        Name in the registry, such as ``"scgem/scGEM_expression.csv"``.

    Raises
    ------
    KeyError
        The registry has no such file.
    ConnectionError
        The file is not in the cache, or damaged there, and cannot be downloaded; names address, folder
        and size, and the status that the server answered.
    OSError
        What arrived has the wrong hash, three times over; or the cache cannot be written.

    Examples
    --------
    >>> fetch("scgem/scGEM_expression.csv")  # doctest: +SKIP
    """
    table = registry().set_index("file")
    if file not in table.index:
        raise KeyError(f"{file!r} is not in the registry; it lists {', '.join(table.index)}.")
    row, folder = table.loc[file], cache_folder()
    files = pooch.create(
        path=folder,
        base_url="",
        registry={file: f"sha256:{row['sha256']}"},
        urls={file: row["url"]},
        retry_if_failed=2,
    )
    _tidy((folder / file).parent)
    try:
        return Path(files.fetch(file, downloader=pooch.HTTPDownloader(progressbar=True)))
    except requests.exceptions.RequestException as error:
        raise ConnectionError(_unreachable(file, row, folder, error)) from error
    except ValueError as error:  # pooch: the hash is wrong
        raise OSError(
            f"{file} from {row['url']} arrived damaged three times (sha256 differs from the "
            "registry's). Nothing was kept; try again later or over another network."
        ) from error
    except OSError as error:  # disk full, read-only, a file where the folder should be
        raise OSError(
            error.errno,
            f"{file} ({row['bytes'] / 1e6:.1f} MB, data set {row['dataset']}) cannot be written into "
            f"the cache {folder}: {error.strerror or error}. Set IMAP_KERAS_DATA to a folder with room "
            "that you may write to.",
        ) from error


def _unreachable(file: str, row: pd.Series, folder: Path, error: Exception) -> str:
    """What stands in the way, and what to do about it."""
    state = "is damaged" if (folder / file).exists() else "is not"
    start = (
        f"{file} ({row['bytes'] / 1e6:.1f} MB) {state} in the cache {folder} and cannot be fetched "
        f"from {row['url']}"
    )
    copy = f"copy the file to {folder / file}; or set IMAP_KERAS_DATA to a folder that has it."
    response = getattr(error, "response", None)
    if response is not None:
        return (
            f"{start}: the server answers {response.status_code} ({response.reason}). The address may "
            f"have moved or be closed to you: try a newer imap_keras; or {copy}"
        )
    return (
        f"{start} ({type(error).__name__}). With a network, run `python -m imap_keras.datasets "
        f"{row['dataset']}` once; or {copy}"
    )


def _tidy(folder: Path) -> None:
    """Remove what downloads that were killed have left; those of the last hour may still run."""
    for left in folder.glob("tmp" + 8 * "[a-z0-9_]"):
        with suppress(OSError):
            if left.is_file() and time.time() - left.stat().st_mtime > 3600:
                left.unlink()


def fetch_all(folder: str, *files: str) -> list[Path]:
    """Paths of several files of one folder: without network the error comes before any is read.

    Raises
    ------
    KeyError, ConnectionError, OSError
        As :func:`fetch`.

    Examples
    --------
    >>> fetch_all("scgem", "scGEM_expression.csv", "scGEM_methylation.csv")  # doctest: +SKIP
    """
    return [fetch(f"{folder}/{file}") for file in files]
