"""Files by address and hash: `registry.csv` lists them, pooch fetches and checks them."""

import os
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
    >>> cache_folder()  # doctest: +SKIP
    PosixPath('/home/me/.cache/imap_keras')
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
        The file is not in the cache and cannot be downloaded; names address, folder and size.
    OSError
        What arrived has the wrong hash, three times over.

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
    try:
        return Path(files.fetch(file, downloader=pooch.HTTPDownloader(progressbar=True)))
    except (requests.exceptions.RequestException, PermissionError) as error:
        raise ConnectionError(
            f"{file} ({row['bytes'] / 1e6:.1f} MB) is not in the cache {folder} and cannot be "
            f"fetched from {row['url']} ({type(error).__name__}). With a network, run "
            f"`python -m imap_keras.datasets {row['dataset']}` once; or copy the file to "
            f"{folder / file}; or set IMAP_KERAS_DATA to a folder that has it."
        ) from error
    except ValueError as error:  # pooch: the hash is wrong
        raise OSError(
            f"{file} from {row['url']} arrived damaged three times (sha256 differs from the "
            "registry's). Nothing was kept; try again later or over another network."
        ) from error


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
