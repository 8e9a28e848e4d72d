"""How much each pair counts: mutual neighbours are few and alike, cells are many and different."""

import numpy as np

from .hyperparameters import Hyperparameters

ROUNDS = 5


def balanced_weights(pairs: np.ndarray) -> np.ndarray:
    """Weights of pairs with which query cells count alike, and anchor cells as nearly as pairs allow.

    The cells of mutual pairs are a selection: those that look like the other batch, and those in the
    middle of the cloud, where walks lead. The mean difference of such pairs is smaller than that of
    the batches. Each round divides every pair's weight by the sum over the pairs of its anchor cell,
    then by that of its query cell (iterative proportional fitting); after a few rounds both sides are
    nearly even, without giving all weight to the one pair of a cell that has no other.

    Parameters
    ----------
    pairs
        Pairs x 2, indices of cells (query, anchor); a pair may be listed several times.

    Returns
    -------
    numpy.ndarray
        One weight a pair, their sum 1. Every listed query cell has the same sum of weights.

    References
    ----------
    Deming and Stephan, Annals of Mathematical Statistics 11:427 (1940).

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.balance import balanced_weights
    >>> balanced_weights(np.array([[0, 5], [0, 5], [1, 6]])).tolist()
    [0.25, 0.25, 0.5]
    """
    query, anchor = (np.unique(side, return_inverse=True)[1].ravel() for side in np.asarray(pairs).T)
    weights = np.ones(len(query))
    for _ in range(ROUNDS):
        for side in (anchor, query):
            weights /= np.bincount(side, weights)[side]
    return weights / weights.sum()


def pair_weights(pairs: np.ndarray, hp: Hyperparameters) -> np.ndarray:
    """Weights of pairs, their sum 1: balanced, or, without `hp.balance_pairs`, all alike.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.balance import pair_weights
    >>> from imap_keras.imap.hyperparameters import Hyperparameters
    >>> pairs = np.array([[0, 5], [0, 5], [1, 6], [1, 7]])
    >>> pair_weights(pairs, Hyperparameters(balance_pairs=False)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    return balanced_weights(pairs) if hp.balance_pairs else np.full(len(pairs), 1 / len(pairs))
