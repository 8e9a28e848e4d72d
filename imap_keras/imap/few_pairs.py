"""Few pairs: is a generator worth it, or does the mean move of the pairs carry cells as well?"""

from typing import NamedTuple

import keras
import numpy as np
import pandas as pd

from ..nn.fitting import run
from .balance import pair_weights
from .hyperparameters import Hyperparameters
from .seeds import seed_of
from .stage2 import WGANGP
from .training import mean_move, train_stage2

HELD_OUT = 0.25  # of the query cells that have a pair
GENERATOR, MEAN_MOVE, NOTHING = "generator", "mean move", "nothing"


class Trained(NamedTuple):
    """What carries a query batch.

    Parameters
    ----------
    network
        Cells x genes -> cells x genes.
    history
        Losses of stage II by epoch.
    carrier
        ``"generator"``, or ``"mean move"``: the network adds one move to every cell.
    explained
        Of the moves of pairs held out; None where none were: many pairs, or those of one cell.
    """

    network: keras.Model
    history: pd.DataFrame
    carrier: str = GENERATOR
    explained: float | None = None


def train_carrier(
    cells: np.ndarray,
    pairs: np.ndarray,
    query: np.ndarray,
    hp: Hyperparameters,
    number: int = 0,
    title: str = "stage II",
    verbose: int = 0,
    gan: WGANGP | None = None,
    carrier: str | None = None,
) -> Trained:
    """Train what carries a query batch: its generator, or, of few pairs, what held-out pairs choose.

    Where fewer than `hp.few_cells` query cells have a pair, stage II is first trained without the pairs
    of a quarter of them. Their mean move is one number a gene; what is left of their moves is what a
    generator is for. If it explains less than `hp.least_explained` of that, for cells it has not seen,
    it has learnt the pairs and not the batch, and the batch is moved by the mean of all its pairs.
    Otherwise stage II is trained as ever, on all pairs. Where one query cell has all the pairs nothing
    can be held out, and the batch is moved by their mean.

    Parameters
    ----------
    cells, pairs, query, hp, number, title, verbose, gan
        As for :func:`imap_keras.imap.training.train_stage2`.
    carrier
        Chosen before, in other genes of the same cells; None: it is chosen here.
    """
    told = hp, number, title, verbose, gan
    few = len(np.unique(pairs[:, 0])) < hp.few_cells
    if carrier == GENERATOR or (carrier is None and not few):
        return Trained(*train_stage2(cells, pairs, query, *told))
    kept, held = split_pairs(pairs, hp, number)
    alone = not len(kept)  # one query cell has all the pairs: none is left to train on without it
    network, history = train_stage2(cells, pairs if alone else kept, query, *told)
    explained = None
    if carrier is None and not alone:
        explained = explained_share(network, cells, pairs, kept, held, hp, number)
        if explained >= hp.least_explained:
            return Trained(*train_stage2(cells, pairs, query, *told), explained=explained)
    only_move(network, mean_of(cells, pairs, hp))
    return Trained(network, history, MEAN_MOVE, explained)


def split_pairs(
    pairs: np.ndarray, hp: Hyperparameters, number: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs to train on without those of some query cells, and which pairs are held out.

    Pairs of one walk follow each other, and stage II counts on it: in a walk the pairs that are left
    take the places of those held out. A walk of none but these goes.

    Returns
    -------
    kept, held
        Pairs x 2; True for the pairs held out.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.few_pairs import split_pairs
    >>> from imap_keras.imap.hyperparameters import Hyperparameters
    >>> pairs = np.array([[0, 9], [1, 9], [2, 8], [3, 8]])
    >>> kept, held = split_pairs(pairs, Hyperparameters(walk_length=2))
    >>> len(kept), int(held.sum()), bool(np.isin(pairs[held, 0], kept[:, 0]).any())
    (4, 1, False)
    """
    rng = np.random.default_rng(seed_of("stage2_held_out", hp, number))
    cells = np.unique(pairs[:, 0])
    out = rng.choice(cells, max(int(len(cells) * HELD_OUT), 1), replace=False)
    held = np.isin(pairs[:, 0], out)
    walks, left = pairs.reshape(-1, hp.walk_length, 2), ~held.reshape(-1, hp.walk_length)
    kept = [
        walk[stays][np.arange(hp.walk_length) % stays.sum()]
        for walk, stays in zip(walks, left, strict=True)
        if stays.any()
    ]
    return np.concatenate(kept) if kept else pairs[:0], held


def explained_share(
    network: keras.Model,
    cells: np.ndarray,
    pairs: np.ndarray,
    kept: np.ndarray,
    held: np.ndarray,
    hp: Hyperparameters,
    number: int = 0,
) -> float:
    """How much of the moves of held-out cells, beyond the mean move, a generator explains.

    A cell's move is the mean over its pairs, each asked of another pair of the same walk, as in
    training. 1: all of it; 0: no better than the mean move; below 0: worse.

    Parameters
    ----------
    network
        Trained on `kept`.
    cells, pairs, hp, number
        As for :func:`train_carrier`.
    kept, held
        From :func:`split_pairs`.
    """
    places, length = np.flatnonzero(held), hp.walk_length
    if length > 1:
        rng = np.random.default_rng(seed_of("stage2_held_out", hp, number))
        step = rng.integers(1, length, len(places))
        others = places // length * length + (places + step) % length
    else:
        others = places
    moves = cells[pairs[others, 1]] - cells[pairs[others, 0]]
    found, of_cell = np.unique(pairs[places, 0], return_inverse=True)
    total = np.zeros((len(found), cells.shape[1]))
    np.add.at(total, of_cell.ravel(), moves)
    move = total / np.bincount(of_cell.ravel())[:, None]
    mean = mean_of(cells, kept, hp)
    beyond, learnt = move - mean, run(network, cells[found]) - cells[found] - mean
    return float(1 - ((learnt - beyond) ** 2).sum() / max((beyond**2).sum(), 1e-12))


def mean_of(cells: np.ndarray, pairs: np.ndarray, hp: Hyperparameters) -> np.ndarray:
    """Mean move of pairs, weighted as stage II weights them."""
    return mean_move(cells, pairs, pair_weights(pairs, hp))


def only_move(generator: keras.Model, move: np.ndarray) -> None:
    """Make a generator add one move to every cell: its last layer gets no weights but the bias.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.few_pairs import only_move
    >>> from imap_keras.imap.stage2 import build_generator
    >>> generator = build_generator(2, 2, hidden=(4, 4))
    >>> only_move(generator, np.array([0.5, 1.0]))
    >>> generator(np.ones((1, 2), "float32")).numpy().tolist()
    [[1.5, 2.0]]
    """
    last = [layer for layer in generator.layers if isinstance(layer, keras.layers.Dense)][-1]
    kernel, _ = last.get_weights()
    last.set_weights([np.zeros_like(kernel), move])
