"""Labels for query cells from their neighbours in the reference, and how far to trust them."""

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

from ..inputs.labels import coded
from ..metrics.labels import finite_rows
from ..nn.parameters import check_count

UNKNOWN = "Unknown"


def neighbor_weights(distances: np.ndarray) -> np.ndarray:
    """Weights of each query cell's neighbours: ``exp(-d / (2 / s)^2)``, s the standard deviation of d.

    Parameters
    ----------
    distances
        Query cells x neighbours.

    Returns
    -------
    numpy.ndarray
        The same shape; each row sums to 1.

    References
    ----------
    Lotfollahi et al., Nature Biotechnology 40:121 (2022), Methods, "Cell-type annotation".

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches import neighbor_weights
    >>> neighbor_weights(np.array([[1.0, 1.0, 1.0, 1.0]])).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    spread = distances.std(axis=1, keepdims=True)
    nearness = -distances * (spread / 2) ** 2
    weights = np.exp(nearness - nearness.max(axis=1, keepdims=True))  # the nearest one never vanishes
    return weights / weights.sum(axis=1, keepdims=True)


def transfer_labels(
    reference: np.ndarray,
    labels: np.ndarray,
    query: np.ndarray,
    k: int = 50,
    threshold: float = 0.5,
    novelty: np.ndarray | None = None,
) -> pd.DataFrame:
    """Label query cells by a weighted vote of their nearest reference cells.

    Parameters
    ----------
    reference, query
        Latent means, cells x dimensions, dense.
    labels
        Label of each reference cell.
    k
        Neighbours that vote (all, where there are fewer).
    threshold
        Cells with a larger uncertainty are called ``"Unknown"``.
    novelty
        From :meth:`Reference.novelty`: cells above 1 are called Unknown too, however much their
        neighbours agree.

    Returns
    -------
    pandas.DataFrame
        One row per query cell: ``label`` (with Unknown), ``best`` (without), ``uncertainty`` (1 minus
        the share of the vote that the best label got), and ``novelty`` where it was given.

    Raises
    ------
    ValueError
        Labels, novelty and cells differ in number, there are no cells, a label or a novelty is missing,
        k or threshold is out of range, or the latents are sparse or not finite.

    References
    ----------
    Lotfollahi et al., Nature Biotechnology 40:121 (2022), Methods, "Cell-type annotation".

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches import transfer_labels
    >>> reference = np.array([[0.0], [0.1], [5.0], [5.1]])
    >>> transfer_labels(reference, np.array(["B", "B", "T", "T"]), np.array([[0.2]]), k=2)
      label best  uncertainty
    0     B    B          0.0
    """
    reference, query = finite_rows(reference, "reference"), finite_rows(query, "query")
    if len(labels) != len(reference):
        raise ValueError(f"There are {len(labels)} labels for {len(reference)} reference cells.")
    said = pd.Series(np.asarray(labels, dtype=object))
    if (said.isna() | (said.astype(str) == "")).any():
        raise ValueError("A reference cell has no label; leave cells without label out of the vote.")
    for what, cells in (("reference", reference), ("query", query)):
        if not len(cells):
            raise ValueError(f"There are no {what} cells (the shape of {what} is {np.shape(cells)}).")
    check_count("k", k)
    check_limits(len(query), threshold, novelty)
    search = NearestNeighbors(n_neighbors=min(k, len(reference))).fit(reference)
    return vote(*search.kneighbors(query), labels, threshold, novelty)


def vote(
    distances: np.ndarray,
    neighbors: np.ndarray,
    labels: np.ndarray,
    threshold: float = 0.5,
    novelty: np.ndarray | None = None,
) -> pd.DataFrame:
    """The vote itself, where neighbours are known already.

    Parameters
    ----------
    distances, neighbors
        Query cells x neighbours: how far, and which reference cells.
    labels, threshold, novelty
        As for :func:`transfer_labels`.

    Returns
    -------
    pandas.DataFrame
        As :func:`transfer_labels`.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches.transfer import vote
    >>> vote(np.ones((1, 4)), np.arange(4)[None], np.array(["B", "T", "B", "B"]))
      label best  uncertainty
    0     B    B         0.25
    """
    (names, codes), weights = coded(labels), neighbor_weights(distances)
    votes = np.stack(
        [np.sum(weights * (codes[neighbors] == code), axis=1) for code in range(len(names))], axis=1
    )
    return called(votes, names, threshold, novelty)


def check_limits(n_cells: int, threshold: float, novelty: np.ndarray | None) -> None:
    """Raise if no cell could be called by these limits.

    Raises
    ------
    ValueError
        The threshold is no share; novelty is not one number a cell, or NaN.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold={threshold!r} must be between 0 and 1.")
    if novelty is not None and np.shape(novelty) != (n_cells,):
        raise ValueError(f"novelty has the shape {np.shape(novelty)} for {n_cells} query cells.")
    n_missing = 0 if novelty is None else int(np.isnan(np.asarray(novelty, float)).sum())
    if n_missing:
        raise ValueError(
            f"novelty is NaN for {n_missing} query cells; hand in what Reference.novelty gave for "
            "these cells, in their order."
        )


def called(
    shares: np.ndarray,
    names: list[str],
    threshold: float = 0.5,
    novelty: np.ndarray | None = None,
) -> pd.DataFrame:
    """Labels by the largest share, Unknown where it is too small or the cell lies too far out.

    Parameters
    ----------
    shares, names
        Cells x labels, rows sum to 1: of a vote, or the probabilities of a classifier; the labels.
    threshold, novelty
        As for :func:`transfer_labels`.

    Returns
    -------
    pandas.DataFrame
        As :func:`transfer_labels`.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches.transfer import called
    >>> shares = np.array([[0.75, 0.25], [0.25, 0.75]])
    >>> called(shares, ["B", "T"], novelty=np.array([0.5, 2.0]))
         label best  uncertainty  novelty
    0        B    B         0.25      0.5
    1  Unknown    T         0.25      2.0
    """
    best, uncertainty = np.array(names)[shares.argmax(axis=1)], np.clip(1 - shares.max(axis=1), 0, 1)
    far = np.zeros(len(shares), bool) if novelty is None else np.asarray(novelty) > 1
    label = np.where((uncertainty > threshold) | far, UNKNOWN, best)
    table = {"label": label.astype(object), "best": best.astype(object), "uncertainty": uncertainty}
    return pd.DataFrame(table if novelty is None else table | {"novelty": novelty})
