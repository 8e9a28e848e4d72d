"""Whether what the command will make can be written, looked at before any work."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from anndata import AnnData

from ..imap.model import IMAP
from ..inputs.files import path_of
from ..inputs.writing import check_described, write_on_trial
from ..nn.persistence import check_folder

REPORT = (".html", ".htm")
FEW = 3  # rows of an embedding: whether it can be written does not depend on their number


class WrongCall(Exception):
    """The command was called with something that cannot work; exit code 2."""


def check_outputs(
    cells: Path,
    report: Path | None = None,
    folder: Path | None = None,
    inputs: Iterable[str | Path | None] = (),
    suffixes: Sequence[str] = (".h5ad",),
) -> None:
    """Raise before any work if a result could not be written, or would replace what is read.

    Parameters
    ----------
    cells, report, folder
        The file of cells, the report and the folder of a model; None where none is asked for.
    inputs
        Files and folders that are read.
    suffixes
        What the file of cells may end in.

    Raises
    ------
    WrongCall
        Its folder does not exist or is not writable; a file is a folder, or a folder a file or holds a
        model of another kind; two results, or a result and an input, are the same file; a file's name
        ends otherwise than what is written into it.

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
    for path, ends in ((cells, suffixes), (report, REPORT), (folder, ())):
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
        if ends and path.suffix.lower() not in ends:
            raise WrongCall(f"{path} must end in {' or '.join(ends)}: that is what is written.")


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
