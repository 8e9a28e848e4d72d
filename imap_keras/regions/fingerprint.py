"""What the repeats in a folder were made of: a run goes on only with its own."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from ..nn.persistence import DESCRIPTION, write_whole

RUN = "run.json"
# Repeats may first be trained, and embed the two species later.
LATER = ("human", "mouse")


def described(
    cells: AnnData,
    region_key: str,
    donor_key: str,
    hyperparameters: dict,
    shuffle: bool = False,
    **averages: pd.DataFrame,
) -> dict:
    """Short digests of everything that two runs must share for their repeats to stand in one folder.

    Parameters
    ----------
    cells, region_key, donor_key
        What the classifiers train on.
    hyperparameters
        Theirs.
    shuffle
        Whether they train on shuffled labels.
    averages
        Regions x genes by species.

    Examples
    --------
    >>> from imap_keras.regions import simulate_species
    >>> from imap_keras.regions.fingerprint import described
    >>> human, _ = simulate_species("subcortex", n_cells=220, n_genes=30, n_donors=5)
    >>> sorted(described(human, "region", "donor", {"seed": 0}))
    ['cells', 'genes', 'settings']
    """
    labels = [cells.obs[key].astype(str) for key in (region_key, donor_key) if key in cells.obs]
    parts = {"cells": [cells.X, *labels], "genes": [cells.var_names]}
    parts |= {name: [table.to_numpy(), table.index] for name, table in averages.items()}
    settings = hyperparameters | ({"shuffle": True} if shuffle else {})
    return {name: digest(values) for name, values in parts.items()} | {
        "settings": json.loads(json.dumps(settings))
    }


def digest(values: Sequence) -> str:
    """Hash of matrices, dense or sparse, and lists of names.

    Of a sparse matrix the places count as much as the values.

    Examples
    --------
    >>> from scipy import sparse
    >>> from imap_keras.regions.fingerprint import digest
    >>> digest([sparse.csr_matrix([[0, 2]])]) == digest([sparse.csr_matrix([[2, 0]])])
    False
    """
    result = hashlib.sha256()
    for value in values:
        for array in _arrays(value):
            result.update(f"{array.dtype.str}{array.shape}".encode())
            result.update(np.ascontiguousarray(array).tobytes())
    return result.hexdigest()[:16]


def _arrays(value) -> list[np.ndarray]:
    if sparse.issparse(value):
        matrix = sparse.csr_matrix(value, copy=True)
        matrix.sum_duplicates()  # sorts, too
        places = [matrix.indices.astype("int64"), matrix.indptr.astype("int64")]
        return [matrix.data, *places, np.array(matrix.shape)]
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return [value]
    names = json.dumps([str(name) for name in value])
    return [np.frombuffer(names.encode(), "uint8")]


def claim(folder: Path, now: dict) -> None:
    """Write what the folder's repeats are of, or raise if it holds those of something else.

    Raises
    ------
    NotADirectoryError
        `folder` is a file.
    ValueError
        The folder holds repeats of other data or settings, or its description cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from imap_keras.regions.fingerprint import claim
    >>> with TemporaryDirectory() as folder:
    ...     claim(Path(folder), {"cells": "a0"})
    ...     print((Path(folder) / "run.json").read_text())
    {
     "cells": "a0"
    }
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; repeats are saved into a folder.")
    path, earlier = folder / RUN, {}
    if path.is_file() and any(folder.glob(f"repeat_*/{DESCRIPTION}")):
        earlier = _read(path)
        known = [name for name in now if name in earlier or name not in LATER]
        other = [name for name in known if earlier.get(name) != now[name]]
        if other:
            raise ValueError(
                f"{folder} holds repeats of another run ({', '.join(other)} differ). Give another "
                "folder, or remove that one to begin anew."
            )
    if earlier | now != earlier or not path.is_file():
        text = json.dumps(earlier | now, indent=1)
        write_whole(path, lambda temporary: temporary.write_text(text))


def _read(path: Path) -> dict:
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        content = error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} does not say what the repeats beside it are of: it was damaged. Give another "
            "folder, or remove that one to begin anew."
        )
    return content
