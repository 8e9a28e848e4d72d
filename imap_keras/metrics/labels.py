"""What neighbours tell of a cell: its label, and itself as another modality sees it."""

import warnings

import numpy as np
import pandas as pd
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier


def typed_cells(labels: np.ndarray) -> np.ndarray:
    """True for the cells that have a label; warns how many have none (None, NaN).

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics.labels import typed_cells
    >>> typed_cells(np.array(["T", "B"])).tolist()
    [True, True]
    """
    typed = ~pd.isna(np.asarray(labels))
    if not typed.all():
        warnings.warn(
            f"{np.sum(~typed)} of {len(typed)} cells have no type and are left out.", stacklevel=3
        )
    return typed


def predictability(
    space: np.ndarray, labels, neighbors: int = 15, max_cells: int = 3000, seed: int = 0
) -> float:
    """How well nearest neighbours tell the label of a cell: balanced accuracy in five folds.

    One over the number of labels is chance. Distances as they are, nothing is scaled: a direction in
    which cells differ by next to nothing counts next to nothing.

    Parameters
    ----------
    space, labels
        Cells x dimensions, and what is to be told; cells without a label are left out.
    neighbors, max_cells, seed
        Neighbours asked; most cells used, chosen by the seed.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics import predictability
    >>> predictability(np.repeat([[0.0], [9.0]], 50, axis=0), np.repeat(["a", "b"], 50))
    1.0
    """
    typed = np.flatnonzero(typed_cells(labels))
    some = typed[np.random.default_rng(seed).permutation(len(typed))[:max_cells]]
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
