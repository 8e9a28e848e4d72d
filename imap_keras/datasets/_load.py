"""A data set by its name, or the user's own file."""

import anndata
from anndata import AnnData

from ..inputs.files import path_of
from ._demo import demo
from ._mixology import sc_mixology
from ._simulate import simulate

NAMED = {"demo": demo, "simulated": simulate, "sc_mixology": sc_mixology}


def load(dataset: str, **options) -> AnnData:
    """Load ``"demo"``, ``"simulated"``, ``"sc_mixology"`` or the ``.h5ad`` file at a path.

    This is what the notebooks' parameter `dataset` takes.

    Parameters
    ----------
    dataset
        A name or a path.
    options
        Handed to :func:`demo` or :func:`simulate`.

    Raises
    ------
    ValueError
        Neither a known name nor an ``.h5ad`` file.
    FileNotFoundError
        There is no file at the path.

    Examples
    --------
    >>> from imap_keras.datasets import load
    >>> load("demo").n_obs
    700
    """
    if dataset in NAMED:
        return NAMED[dataset](**options)
    path = path_of(dataset)
    if path.suffix != ".h5ad":
        raise ValueError(
            f"dataset={dataset!r} is neither one of {', '.join(NAMED)} nor the path of an .h5ad file."
        )
    if not path.exists():
        raise FileNotFoundError(f"dataset={dataset!r}: there is no file {path.absolute()}.")
    return anndata.read_h5ad(path)
