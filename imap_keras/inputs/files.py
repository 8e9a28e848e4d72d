"""Files that the user names."""

from pathlib import Path


def path_of(path: str | Path) -> Path:
    """Return a path as the user means it: ``~`` is the home folder.

    Examples
    --------
    >>> from pathlib import Path
    >>> from imap_keras.inputs.files import path_of
    >>> path_of("~/cells.h5ad") == Path.home() / "cells.h5ad"
    True
    """
    return Path(path).expanduser()


def check_file(path: str | Path) -> Path:
    """Return the path of a file of cells, ``~`` expanded; raise if there is no such file.

    Raises
    ------
    FileNotFoundError
        Names the path.

    Examples
    --------
    >>> from imap_keras.inputs.files import check_file
    >>> check_file("cells.h5ad")
    Traceback (most recent call last):
    FileNotFoundError: There is no file cells.h5ad; give an .h5ad file with counts in X.
    """
    path = path_of(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; give an .h5ad file with counts in X.")
    return path
