"""What occurs in several of the files that are joined: batches, and cells."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from ..inputs.values import named_layers
from .batches import named


def shared_batches(batches: dict[str, set[str]], batch_key: str) -> str | None:
    """A sentence on batches of several files, which are taken as one each; None without any.

    Parameters
    ----------
    batches
        The names in each file.
    batch_key
        The column that holds them.

    Examples
    --------
    >>> from imap_keras.command.overlap import shared_batches
    >>> shared_batches({"labA": {"1", "2"}, "labB": {"3"}}, "donor") is None
    True
    """
    files = {}
    for file, names in batches.items():
        for name in names:
            files.setdefault(name, []).append(file)
    shared = [f"{name!r} ({', '.join(files[name])})" for name in sorted(files) if len(files[name]) > 1]
    if not shared:
        return None
    column = f"adata.obs[{batch_key!r}]"
    return (
        f"Taken as one batch each, though of several files: {named(shared)}. If they are not the same, "
        "name them apart in each file and write it again, for example "
        f"{column} = {next(iter(batches))!r} + ' ' + {column}.astype(str)."
    )


def repeated_cells(together: AnnData, names: Sequence[pd.Index]) -> str | None:
    """A sentence on cells that two files share, by name and by all values; None without any.

    Parameters
    ----------
    together
        The joined cells, file after file.
    names
        The names of each file's cells.

    Examples
    --------
    >>> import pandas as pd
    >>> from anndata import concat
    >>> from imap_keras.command.overlap import repeated_cells
    >>> from imap_keras.datasets import simulate
    >>> cells = simulate(n_cells=30, n_genes=20)
    >>> repeated_cells(concat([cells, cells], index_unique="-"), [cells.obs_names] * 2)
    '30 cells have the same name and values in two files: are they one? Give each once.'
    """
    every = pd.Index(np.concatenate([index.to_numpy() for index in names]))
    is_again = every.duplicated()
    again, of_name = np.flatnonzero(is_again), every.factorize()[0]  # numbered as they first come
    first = np.flatnonzero(~is_again)[of_name[again]]
    values = next(iter(named_layers(together).values())) if together.X is None else together.X
    differ = sparse.csr_matrix(values[first]) != sparse.csr_matrix(values[again])
    n = len(again) - np.count_nonzero(differ.getnnz(axis=1))
    if not n:
        return None
    have = "cell has" if n == 1 else "cells have"
    return f"{n:,} {have} the same name and values in two files: are they one? Give each once."
