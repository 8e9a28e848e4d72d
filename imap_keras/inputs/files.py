"""Files that the user names."""

from pathlib import Path


def check_file(path: str | Path) -> None:
    """Raise if there is no such file of cells.

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
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}; give an .h5ad file with counts in X.")
