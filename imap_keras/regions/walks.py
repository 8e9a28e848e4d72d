"""Random walks over a graph of regions, and the vector of each region that word2vec makes of them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..nn.parameters import Parameters, count, number, seed


@dataclass(frozen=True)
class WalkParameters(Parameters):
    """How a graph is walked and how its walks are read, with the defaults of TransBrain.

    Parameters
    ----------
    return_parameter, inout_parameter
        node2vec's p and q. A step weighs 1 / p to go back, 1 to a neighbour of the region before, and
        1 / q to go further; each times the weight of the edge.
    length, per_region
        Regions in a walk, and walks that start from each region.
    dimensions, window
        Width of a region's vector; regions at most so far apart in a walk are read together.
    seed
        Of walks and vectors.

    Raises
    ------
    ValueError
        A value is out of range; the message names it.

    References
    ----------
    Grover and Leskovec, KDD 2016; TransBrain, https://doi.org/10.1038/s41592-025-02961-3.

    Examples
    --------
    >>> from imap_keras.regions import WalkParameters
    >>> WalkParameters(per_region=100).length
    40
    """

    METHOD: ClassVar = "the walks"

    return_parameter: float = number(0.01, "above 0")
    inout_parameter: float = number(0.1, "above 0")
    length: int = count(40, least=2)
    per_region: int = count(800)
    dimensions: int = count(40)
    window: int = count(5)
    seed: int = seed()


def node2vec_walks(graph: np.ndarray, walks: WalkParameters | None = None) -> np.ndarray:
    """Walk over a weighted graph, second order: a step depends on the step before.

    Parameters
    ----------
    graph
        Nodes x nodes, the weight of each edge, 0 for none; not necessarily symmetric.
    walks
        Default: TransBrain's.

    Returns
    -------
    numpy.ndarray
        (`per_region` x nodes) walks x `length` nodes.

    Raises
    ------
    ValueError
        The graph is not square, a weight is negative or not finite, or a node has no edge.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.regions import WalkParameters
    >>> from imap_keras.regions.walks import node2vec_walks
    >>> two = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> node2vec_walks(two, WalkParameters(length=4, per_region=1)).tolist()
    [[0, 1, 0, 1], [1, 0, 1, 0]]
    """
    walks, graph = walks or WalkParameters(), checked_graph(graph)
    n, rng = len(graph), np.random.default_rng(walks.seed)
    first, second = cumulative(graph), cumulative(second_order(graph, walks))
    path = np.empty((walks.per_region * n, walks.length), "int32")
    path[:, 0] = np.tile(np.arange(n), walks.per_region)
    path[:, 1] = drawn_columns(first, n, path[:, 0], rng)
    for i in range(2, walks.length):
        path[:, i] = drawn_columns(second, n, path[:, i - 2] * n + path[:, i - 1], rng)
    return path


def second_order(graph: np.ndarray, walks: WalkParameters) -> np.ndarray:
    """Weights of a step that came from t to v, for every (t, v): (nodes x nodes) x nodes.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.regions import WalkParameters
    >>> from imap_keras.regions.walks import second_order
    >>> path = np.array([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])  # 0 - 1 - 2
    >>> walks = WalkParameters(return_parameter=0.5, inout_parameter=0.25)
    >>> second_order(path, walks)[0 * 3 + 1].tolist()  # from 0 to 1: back to 0, on to 2
    [2.0, 0.0, 4.0]
    """
    n = len(graph)
    # How x stands to the node t before: itself, its neighbour, further away.
    factor = np.where(graph > 0, 1.0, 1 / walks.inout_parameter)
    np.fill_diagonal(factor, 1 / walks.return_parameter)
    return (factor[:, None, :] * graph[None, :, :]).reshape(n * n, n)


def cumulative(weights: np.ndarray) -> np.ndarray:
    """Cumulative shares of every row, those of row i lying between i and i + 1: one sorted array.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.regions.walks import cumulative
    >>> cumulative(np.array([[1.0, 3.0], [0.0, 2.0]])).tolist()
    [0.25, 1.0, 1.0, 2.0]
    """
    total = weights.sum(axis=1, keepdims=True)
    shares = np.cumsum(weights / np.where(total > 0, total, 1), axis=1)
    shares[:, -1] = 1
    return (shares + np.arange(len(weights))[:, None]).ravel()


def drawn_columns(
    cumulated: np.ndarray, n_columns: int, rows: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A column for each of the given rows, drawn by its share: one search for all walkers at once.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.regions.walks import cumulative, drawn_columns
    >>> shares = cumulative(np.array([[1.0, 0.0], [0.0, 2.0]]))
    >>> drawn_columns(shares, 2, np.array([1, 0, 1]), np.random.default_rng(0)).tolist()
    [1, 0, 1]
    """
    drawn = rows + rng.random(len(rows)) * (1 - 1e-9)  # below row + 1, rounded or not
    return np.searchsorted(cumulated, drawn, side="right") - rows * n_columns


def checked_graph(graph: np.ndarray) -> np.ndarray:
    """Return a graph as float64, if one can walk on it.

    Raises
    ------
    ValueError
        As :func:`node2vec_walks`.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.regions.walks import checked_graph
    >>> checked_graph(np.zeros((2, 2)))
    Traceback (most recent call last):
    ValueError: 2 of the 2 regions have no edge, the first is number 0; leave them out of the graph.
    """
    graph = np.asarray(graph, float)
    if graph.ndim != 2 or graph.shape[0] != graph.shape[1]:
        raise ValueError(f"The graph has the shape {graph.shape}; it must be nodes x nodes.")
    bad = int(np.count_nonzero(~(np.isfinite(graph) & (graph >= 0))))
    if bad:
        raise ValueError(f"{bad} weights of the graph are negative or not finite; set them to 0.")
    alone = np.flatnonzero(graph.sum(axis=1) == 0)
    if len(alone):
        raise ValueError(
            f"{len(alone)} of the {len(graph)} regions have no edge, the first is number {alone[0]}; "
            "leave them out of the graph."
        )
    return graph


def node_vectors(graph: np.ndarray, walks: WalkParameters | None = None) -> np.ndarray:
    """Vectors of length 1 in which nodes are near that walks visit in the same surroundings.

    Parameters
    ----------
    graph, walks
        As for :func:`node2vec_walks`.

    Returns
    -------
    numpy.ndarray
        Nodes x `dimensions`: word2vec (continuous bag of words, one epoch), walks for sentences.

    Raises
    ------
    ImportError
        gensim is not installed.
    ValueError
        As :func:`node2vec_walks`.

    References
    ----------
    Mikolov et al., arXiv:1301.3781 (2013); Grover and Leskovec, KDD 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.regions import WalkParameters
    >>> from imap_keras.regions.walks import node_vectors
    >>> node_vectors(np.ones((5, 5)), WalkParameters(per_region=2, dimensions=3)).shape
    (5, 3)
    """
    word2vec = word2vec_class()
    walks = walks or WalkParameters()
    sentences = node2vec_walks(graph, walks)
    model = word2vec(
        sentences.astype(str).tolist(),
        vector_size=walks.dimensions,
        window=walks.window,
        sg=0,
        min_count=0,
        epochs=1,
        workers=1,  # with more of them the same seed would not give the same vectors
        seed=walks.seed,
    )
    vectors = model.wv[[str(node) for node in range(len(graph))]].astype(float)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def word2vec_class():
    """gensim's Word2Vec.

    Raises
    ------
    ImportError
        Says what to install.
    """
    try:
        from gensim.models import Word2Vec
    except ImportError as error:
        raise ImportError(
            "The graph walk reads its walks with gensim, which is not installed. "
            "Install it: pip install 'imap_keras[course]', or pip install gensim."
        ) from error
    return Word2Vec
