"""How well batches mix and types stay: the paper's index, pair purity, and scIB's table."""

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from .inputs.labels import labels_of


def imap_index(
    space: np.ndarray,
    batch: np.ndarray,
    cell_type: np.ndarray,
    k: int = 20,
    k2: int = 100,
    threshold: float = 1.0,
    space_name: str = "unnamed",
) -> dict:
    """Share of negative, positive and true positive cells: the paper's index.

    A cell is negative if at least half of its ``min(k, size of its type)`` nearest neighbours, itself
    left out, are of another type; else positive. A positive cell is true positive if, among the
    ``min(k2, size of its type)`` nearest neighbours, itself included, the batches come in the
    proportions p of its type: the largest ``|observed - n p| / sqrt(n p (1 - p))`` over batches is at
    most `threshold`. Batches with p of 0 or 1 are skipped. Two batches mixed perfectly score about
    0.7, not 1, at threshold 1.

    Parameters
    ----------
    space
        Cells x dimensions, compared by euclidean distance.
    batch, cell_type
        Labels of each cell.
    k, k2, threshold
        As above; the paper's values are the defaults. A later paper used threshold 3: not comparable.
    space_name
        Repeated in what is returned, so that a figure says what it was computed in.

    Returns
    -------
    dict
        ``negative``, ``positive`` and ``true_positive`` shares of all cells (true positives are part
        of the positives), ``label`` (one string per cell), and ``k``, ``k2``, ``threshold``,
        ``space``, ``n_cells``.

    Raises
    ------
    ValueError
        Lengths differ, or a value is not finite.

    References
    ----------
    Wang et al., Genome Biology 22:63 (2021), Methods, evaluation of integration.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics import imap_index
    >>> x = np.repeat([[0.0], [9.0]], 30, axis=0) + np.linspace(0, 1, 60)[:, None]
    >>> index = imap_index(x, np.tile(["a", "b"], 30), np.repeat(["t", "u"], 30))
    >>> index["positive"], index["true_positive"]
    (1.0, 1.0)
    """
    space, batch, cell_type = np.asarray(space), np.asarray(batch), np.asarray(cell_type)
    if not len(space) == len(batch) == len(cell_type):
        raise ValueError(
            f"space has {len(space)} cells, batch {len(batch)}, cell_type {len(cell_type)}; "
            "all three must describe the same cells."
        )
    if not np.isfinite(space).all():
        raise ValueError("space holds NaN or infinite values; leave those cells out.")
    batches, batch_code = np.unique(batch, return_inverse=True)
    types, type_code = np.unique(cell_type, return_inverse=True)
    size = np.bincount(type_code)
    share = np.zeros((len(types), len(batches)))
    np.add.at(share, (type_code, batch_code), 1)
    share /= size[:, None]

    # Nearest first. The cell itself is put first even where others lie at distance 0.
    n_near = min(max(k, k2), len(space) - 1)
    near = NearestNeighbors(n_neighbors=n_near).fit(space).kneighbors(return_distance=False)
    near = np.column_stack([np.arange(len(space)), near])

    label = np.empty(len(space), dtype="<U13")
    for cell, own in enumerate(type_code):
        n_same = min(k, size[own])
        others = near[cell, 1 : n_same + 1]
        if np.sum(type_code[others] != own) >= len(others) / 2:
            label[cell] = "negative"
            continue
        n = min(k2, size[own])
        observed = np.bincount(batch_code[near[cell, :n]], minlength=len(batches))
        p = share[own]
        varied = (p > 0) & (p < 1)
        p, observed = p[varied], observed[varied]
        deviation = np.abs(observed - n * p) / np.sqrt(n * p * (1 - p))
        mixed = deviation.max(initial=0) <= threshold
        label[cell] = "true positive" if mixed else "positive"
    return {
        "negative": float(np.mean(label == "negative")),
        "positive": float(np.mean(label != "negative")),
        "true_positive": float(np.mean(label == "true positive")),
        "label": label,
        "k": k,
        "k2": k2,
        "threshold": threshold,
        "space": space_name,
        "n_cells": len(space),
    }


def pair_purity(pairs: np.ndarray, left_types: np.ndarray, right_types: np.ndarray) -> float:
    """Share of pairs whose two cells have one type.

    Parameters
    ----------
    pairs
        Pairs x 2, indices into the two label arrays.
    left_types, right_types
        Cell types of the two batches (the same array twice if the indices are of one data set).

    Raises
    ------
    ValueError
        There are no pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics import pair_purity
    >>> pair_purity(np.array([[0, 0], [1, 0]]), np.array(["T", "B"]), np.array(["T"]))
    0.5
    """
    if not len(pairs):
        raise ValueError("There are no pairs, so no purity; look for pairs with a larger k1.")
    left, right = np.asarray(left_types), np.asarray(right_types)
    return float(np.mean(left[pairs[:, 0]] == right[pairs[:, 1]]))


def scib_table(
    adata: AnnData, spaces: list[str], batch_key: str = "batch", label_key: str = "cell_type"
) -> pd.DataFrame:
    """scIB's measures (scib-metrics) for several embeddings: one row each, totals last.

    Parameters
    ----------
    adata
        Cells with the embeddings in ``obsm``.
    spaces
        Keys of ``adata.obsm``.
    batch_key, label_key
        Columns of ``adata.obs``.

    Returns
    -------
    pandas.DataFrame
        One row a space; the columns are scib-metrics' own, unscaled: 0 worst, 1 best. "Total" is
        0.6 x bio conservation + 0.4 x batch correction.

    Raises
    ------
    KeyError
        A space is not in ``adata.obsm``, or a column not in ``adata.obs``.
    ValueError
        A cell has no batch or no type.
    ImportError
        scib-metrics is not installed (it is part of the `course` extra).

    References
    ----------
    Luecken et al., Nature Methods 19:41 (2022).

    Examples
    --------
    >>> scib_table(adata, ["X_pca", "X_imap"])  # doctest: +SKIP
    """
    for space in spaces:
        if space not in adata.obsm:
            raise KeyError(f"{space!r} is not in adata.obsm; there are {list(adata.obsm)}.")
    labels = {
        batch_key: labels_of(adata, batch_key),
        label_key: labels_of(adata, label_key, "label_key"),
    }
    obs = pd.DataFrame(labels, index=adata.obs_names, dtype="category")
    from scib_metrics.benchmark import Benchmarker  # imports JAX: seconds that others need not wait

    light = AnnData(
        obs=obs,
        obsm={space: np.asarray(adata.obsm[space], dtype="float32") for space in spaces},
    )
    benchmark = Benchmarker(
        light,
        batch_key,
        label_key,
        embedding_obsm_keys=spaces,
        pre_integrated_embedding_obsm_key=spaces[0],
        n_jobs=1,
        progress_bar=False,
    )
    benchmark.prepare(scib_neighbors)
    benchmark.benchmark()
    table = benchmark.get_results(min_max_scale=False)
    return table.loc[spaces].astype(float)


def scib_neighbors(space: np.ndarray, k: int):
    """Nearest neighbours as scib-metrics takes them; exact, and without a minute's compiling.

    Parameters
    ----------
    space
        Cells x dimensions.
    k
        Neighbours of a cell, itself the first of them; at most all cells.

    Returns
    -------
    scib_metrics.nearest_neighbors.NeighborsResults
        Indices and euclidean distances, cells x k.

    Raises
    ------
    ImportError
        scib-metrics is not installed (it is part of the `course` extra).

    Examples
    --------
    >>> from imap_keras.metrics import scib_neighbors
    >>> scib_neighbors(adata.obsm["X_imap"], 90)  # doctest: +SKIP
    """
    from scib_metrics.nearest_neighbors import NeighborsResults

    found = NearestNeighbors(n_neighbors=min(k, len(space))).fit(space)
    distances, indices = found.kneighbors(space)
    return NeighborsResults(indices=indices, distances=distances)


def predictability(
    space: np.ndarray, labels, neighbors: int = 15, max_cells: int = 3000, seed: int = 0
) -> float:
    """How well nearest neighbours tell the label of a cell: balanced accuracy in five folds.

    One over the number of labels is chance. Distances as they are, nothing is scaled: a direction in
    which cells differ by next to nothing counts next to nothing.

    Parameters
    ----------
    space, labels
        Cells x dimensions, and what is to be told.
    neighbors, max_cells, seed
        Neighbours asked; most cells used, chosen by the seed.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics import predictability
    >>> predictability(np.repeat([[0.0], [9.0]], 50, axis=0), np.repeat(["a", "b"], 50))
    1.0
    """
    some = np.random.default_rng(seed).permutation(len(space))[:max_cells]
    vote = KNeighborsClassifier(neighbors)
    scores = cross_val_score(
        vote, np.asarray(space)[some], np.asarray(labels)[some], scoring="balanced_accuracy"
    )
    return float(scores.mean())


def partner_rank(first: np.ndarray, second: np.ndarray, max_cells: int = 1000, seed: int = 0) -> float:
    """Share of the cells that are nearer than a cell's own partner in the other modality.

    0: each cell lies nearest to itself as seen by the other modality; 0.5: chance. Known as FOSCTTM,
    the fraction of samples closer than the true match, the mean of both directions.

    Parameters
    ----------
    first, second
        Cells x dimensions, row i of both being the same cell.
    max_cells, seed
        Most cells used, chosen by the seed.

    References
    ----------
    Liu et al., WABI 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics import partner_rank
    >>> partner_rank(np.arange(5.0)[:, None], np.arange(5.0)[:, None] + 0.1)
    0.0
    """
    some = np.random.default_rng(seed).permutation(len(first))[:max_cells]
    a, b = first[some], second[some]
    distance = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    own = np.diag(distance)
    return float(((distance < own[:, None]).mean() + (distance < own).mean()) / 2)
