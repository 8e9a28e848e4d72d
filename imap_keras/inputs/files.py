"""Files that the user names."""

import os
from contextlib import suppress
from pathlib import Path

import h5py


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


def opened(path: Path):
    """The root of a file or store.

    Raises
    ------
    ValueError
        It is neither an .h5ad file nor a zarr store, or a MuData with several modalities.
    """
    try:
        if path.is_dir():
            import zarr

            root = zarr.open_group(path, mode="r")
        else:
            root = h5py.File(path, "r")
    except Exception as error:  # zarr and h5py each raise their own
        raise ValueError(f"{path} is neither an .h5ad file nor a .zarr store: {error}.") from error
    if "mod" in root:
        raise ValueError(
            f"{path} is a MuData with the modalities {sorted(root['mod'])}: read it with mudata, and "
            "hand in one of them, such as mdata['rna'], or all where several are taken."
        )
    return root


def stamp_of(path: str | Path | None) -> tuple | None:
    """What changes when a file, or a folder of a zarr store, is written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from imap_keras.inputs.files import stamp_of
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "cells.h5ad"
    ...     _ = path.write_text("few")
    ...     before = stamp_of(path)
    ...     _ = path.write_text("more")
    ...     stamp_of(path) == before
    False
    """
    if path is None:
        return None
    found = []
    for folder in [path, *(at for at, _, _ in os.walk(path))]:
        with suppress(FileNotFoundError):  # a folder that has gone
            status = os.stat(folder)
            found.append((status.st_mtime_ns, status.st_size))
    return tuple(sorted(found))  # another machine may list them in another order
