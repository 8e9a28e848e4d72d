"""Whether what the command will make can be written, looked at before any work."""

import os
from collections.abc import Iterable
from pathlib import Path

from anndata import AnnData

from ..imap.model import IMAP
from ..inputs.files import path_of
from ..inputs.writing import check_described, write_on_trial
from ..nn.persistence import check_folder

FEW = 3  # rows of an embedding: whether it can be written does not depend on their number


class WrongCall(Exception):
    """The command was called with something that cannot work; exit code 2."""


def check_outputs(
    *files: Path | None, folder: Path | None = None, inputs: Iterable[str | Path | None] = ()
) -> None:
    """Raise before any work if a result could not be written, or would replace what is read.

    Parameters
    ----------
    files
        To be written; None where none is asked for.
    folder
        To save a model into.
    inputs
        Files and folders that are read.

    Raises
    ------
    WrongCall
        Its folder does not exist or is not writable; a file is a folder, or a folder a file or holds a
        model of another kind; two results, or a result and an input, are the same file.

    Examples
    --------
    >>> from pathlib import Path
    >>> from imap_keras.command.outputs import check_outputs
    >>> check_outputs(Path("out.h5ad"), inputs=["mine.h5ad"])
    >>> check_outputs(Path("mine.h5ad"), inputs=["mine.h5ad"])
    Traceback (most recent call last):
    imap_keras.command.outputs.WrongCall: mine.h5ad would replace the input mine.h5ad; name another
    file.
    """
    read = {path_of(path).resolve(): path for path in inputs if path is not None}
    made = {}
    for path in (*files, folder):
        if path is None:
            continue
        parent = path.absolute().parent
        if not parent.is_dir():
            raise WrongCall(f"There is no folder {parent} to write {path.name} into; make it first.")
        if path.is_dir() and path is not folder:
            raise WrongCall(f"{path} is a folder; name a file.")
        if path is folder:
            try:
                check_folder(path, IMAP.kind)
            except OSError as error:
                raise WrongCall(str(error)) from error
        place = path if path.is_dir() else parent
        if not os.access(place, os.W_OK):
            raise WrongCall(f"{place} cannot be written to; choose another place for {path.name}.")
        real = path.resolve()
        if real in read:
            raise WrongCall(f"{path} would replace the input {read[real]}; name another file.")
        if real in made:
            raise WrongCall(f"{path} is named for two results; give each a name of its own.")
        made[real] = path


def check_writable(adata: AnnData) -> None:
    """Raise unless what comes along with the expression can be written into an .h5ad file.

    Raises
    ------
    ValueError
        Names the column or entry, and how to mend it.

    Examples
    --------
    >>> from imap_keras.command.outputs import check_writable
    >>> from imap_keras.datasets import simulate
    >>> adata = simulate(n_cells=30, n_genes=20)
    >>> check_writable(adata)
    >>> adata.uns["ages"] = {45, 46}
    >>> check_writable(adata)
    Traceback (most recent call last):
    ValueError: uns['ages'] cannot be written into a file (set). Leave it out: del adata.uns['ages'].
    """
    check_described(adata.obs, adata.var)
    for name, entry in adata.uns.items():
        _check_entry("uns", name, entry)
    for name, entry in adata.obsm.items():
        _check_entry("obsm", name, entry if hasattr(entry, "columns") else entry[:FEW])


def _check_entry(place: str, name: str, entry: object) -> None:
    try:
        write_on_trial(name, entry)
    except Exception as error:  # whatever the libraries below raise, the user needs its name
        raise ValueError(
            f"{place}[{name!r}] cannot be written into a file ({type(entry).__name__}). "
            f"Leave it out: del adata.{place}[{name!r}]."
        ) from error
