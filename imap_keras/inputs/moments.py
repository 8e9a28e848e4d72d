"""Mean and variance of the cells of each batch, block after block."""

import numpy as np
from scipy import sparse


class Moments:
    """Number, mean and squared deviations of the rows of each group, block after block, in float64.

    Parameters
    ----------
    n_groups, n_columns
        Groups, batches for example, and columns.

    References
    ----------
    Chan, Golub and LeVeque, The American Statistician 37:242 (1983).

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.moments import Moments
    >>> moments = Moments(1, 2)
    >>> moments.add(np.array([[0.0, 5.0]]), np.array([0]))
    >>> moments.add(np.array([[2.0, 5.0]]), np.array([0]))
    >>> moments.deviations().tolist(), moments.whole().deviations().tolist()
    ([[1.0, 0.0]], [[1.0, 0.0]])
    """

    def __init__(self, n_groups: int, n_columns: int):
        self.n = np.zeros((n_groups, 1))
        self.mean, self.squares = np.zeros((2, n_groups, n_columns))

    def add(self, block: np.ndarray | sparse.csr_matrix, codes: np.ndarray) -> None:
        """Rows and the group of each."""
        n = np.bincount(codes, minlength=len(self.n))[:, None].astype(float)
        block = block.astype(float)
        total = group_sums(block, codes, len(self.n))
        mean = total / np.maximum(n, 1)
        if sparse.issparse(block):
            block.data **= 2
        else:
            block *= block
        self._merge(n, mean, np.maximum(group_sums(block, codes, len(self.n)) - total * mean, 0))

    def join(self, other: "Moments") -> None:
        """The rows of other moments, of the same groups: joined in order they are those of one pass."""
        self._merge(other.n, other.mean, other.squares)

    def _merge(self, n, mean, squares) -> None:
        off, share = mean - self.mean, n / np.maximum(self.n + n, 1)
        self.squares += squares + self.n * share * off**2
        self.mean += share * off
        self.n = self.n + n

    def whole(self) -> "Moments":
        """Of all groups together."""
        found = Moments(1, self.mean.shape[1])
        for n, mean, squares in zip(self.n, self.mean, self.squares, strict=True):
            found._merge(n[None], mean[None], squares[None])
        return found

    def deviations(self) -> np.ndarray:
        """Standard deviations, groups x columns."""
        return np.sqrt(self.squares / np.maximum(self.n, 1))


def group_sums(block: np.ndarray | sparse.csr_matrix, codes: np.ndarray, n_groups: int) -> np.ndarray:
    """Sums of the rows of each group, groups x columns.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.moments import group_sums
    >>> group_sums(np.array([[1.0], [2.0], [5.0]]), np.array([0, 1, 0]), 2).tolist()
    [[6.0], [2.0]]
    """
    places = (np.ones(len(codes)), (codes, np.arange(len(codes))))
    total = sparse.csr_matrix(places, shape=(n_groups, len(codes))) @ block
    return total.toarray() if sparse.issparse(total) else total
