"""One spread for all batches: components of carried cells, scaled until pairs are spread alike.

The generator moves cells; the noise they bring along it leaves as it is. A batch of shallow cells has
more of it than the anchor, so that its types are wider clouds round the same middles, and no
neighbourhood holds the batches in their shares.
"""

from collections.abc import Mapping
from typing import NamedTuple

import keras
import numpy as np

from ..nn.fitting import run
from .balance import pair_weights
from .few_pairs import GENERATOR
from .hyperparameters import Hyperparameters
from .merging import Merged

TINY, MOST = 1e-12, 2.0


class Spread(NamedTuple):
    """What makes components of a query batch as spread as the anchor's: times `scale`, plus `shift`.

    Parameters
    ----------
    scale, shift
        One number a component.
    """

    scale: np.ndarray
    shift: np.ndarray


def spread_between(
    points: np.ndarray, pairs: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift of each component with which the query cells of pairs are spread as the anchor's.

    Pairs hold cells of the same types in the same shares, so what their two sides differ in is not that
    one batch has more of a type.

    Parameters
    ----------
    points
        Cells x components, of carried cells.
    pairs, weights
        Pairs x 2, indices of points (query, anchor), and how much each counts, their sum 1.

    Returns
    -------
    scale, shift
        One number a component each; the scale is 1/2 to 2.

    References
    ----------
    Not in the iMAP paper. Location and scale are what ComBat adjusts, gene by gene and over all cells
    of a batch (Johnson, Li and Rabinovic, Biostatistics 8:118, 2007).

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.spread import spread_between
    >>> points, pairs = np.array([[0.0], [3.0], [5.0], [7.0]]), np.array([[0, 2], [1, 3]])
    >>> [part.round(2).tolist() for part in spread_between(points, pairs, np.array([0.5, 0.5]))]
    [[0.67], [5.0]]
    """
    query, anchor = points[pairs[:, 0]], points[pairs[:, 1]]
    of_query, of_anchor = weights @ query, weights @ anchor
    of_both = [weights @ (query - of_query) ** 2, weights @ (anchor - of_anchor) ** 2]
    scale = np.sqrt(of_both[1] / np.maximum(of_both[0], TINY)).clip(1 / MOST, MOST)
    return scale, of_anchor - scale * of_query


def match_spreads(
    components: keras.Model,
    merged: Merged,
    scale: float,
    hp: Hyperparameters,
    known: Mapping[str, Spread] | None = None,
) -> dict[str, Spread]:
    """The spread of each query batch that a generator carries, those before it matched already.

    Of a batch that only the mean move of its few pairs carries, the spread is not trusted either.

    Parameters
    ----------
    components
        From :func:`imap_keras.imap.components.principal_components`, of cells as long as measured ones.
    merged
        Pairs, and cells as carried.
    scale
        Number the carried cells are multiplied by.
    hp
        Without `hp.match_spread` there is none.
    known
        Of batches merged before.
    """
    spreads = dict(known or {})
    for name, pairs in merged.pairs.items():
        if not hp.match_spread or merged.carriers[name] != GENERATOR:
            continue
        rows, local = np.unique(pairs, return_inverse=True)
        cells = merged.carried[rows] / np.float32(scale)
        points = matched(run(components, cells), merged.carried.labels[rows], spreads).astype(float)
        local = local.reshape(pairs.shape)
        spreads[name] = Spread(*spread_between(points, local, pair_weights(local, hp)))
    return spreads


def matched(points: np.ndarray, labels: np.ndarray, spreads: Mapping[str, Spread]) -> np.ndarray:
    """Components of cells with the spreads of their batches, in place.

    Parameters
    ----------
    points, labels
        Cells x components, and the batch of each cell.
    spreads
        By batch; one without stays as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.spread import Spread, matched
    >>> points, spreads = np.ones((2, 1)), {"b": Spread(np.array([2.0]), np.array([0.5]))}
    >>> matched(points, np.array(["a", "b"]), spreads).tolist()
    [[1.0], [2.5]]
    """
    for name, (scale, shift) in spreads.items():
        rows = labels == name
        points[rows] = points[rows] * scale + shift
    return points
