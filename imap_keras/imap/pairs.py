"""Pairs of cells across batches: mutual nearest neighbours, grown by random walks.

Every function takes arrays and returns index pairs, an integer array of shape (n_pairs, 2). No
n x m distance matrix is made and no expression row is copied.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors

try:
    from annoy import AnnoyIndex
except ImportError:  # it has to be compiled: where that failed, an exact search still works
    AnnoyIndex = None

METRICS = ("angular", "euclidean", "manhattan")
MOST_CELLS = np.int64(2**31)  # above any number of cells: row * MOST_CELLS + column is one pair's alone


class NoPairsError(ValueError):
    """No mutual nearest neighbours were found between two batches."""


@cache
def check_annoy() -> None:
    """Raise if annoy is missing, or this build of it is broken (spotify/annoy issues 679 and 682).

    Raises
    ------
    ImportError
        annoy is not installed.
    RuntimeError
        Asked for ten neighbours, annoy returns fewer: some compiled builds return one only.

    Examples
    --------
    >>> from imap_keras.imap.pairs import check_annoy
    >>> check_annoy()
    """
    if AnnoyIndex is None:
        raise ImportError(
            "annoy is not installed. It comes as source: install a C++ compiler and then "
            "`pip install annoy`, or take conda's `python-annoy`. Without it search exactly: "
            "IMAP(search='exact'), slower on many cells."
        )
    points = np.random.default_rng(0).normal(size=(64, 4))
    index = AnnoyIndex(4, "euclidean")
    index.set_seed(1)
    for i, point in enumerate(points):
        index.add_item(i, point)
    index.build(10, n_jobs=1)
    found = len(index.get_nns_by_item(0, 10))
    if found < 10:
        raise RuntimeError(
            f"This build of annoy finds {found} of 10 neighbours (spotify/annoy issues 679, 682). "
            "Rebuild it with `pip install --force-reinstall --no-binary annoy annoy`, "
            "or use search='exact'."
        )


def check_metric(metric: str) -> None:
    """Raise if neighbours cannot be searched by this distance.

    Raises
    ------
    ValueError
        Names the metric and those that exist.

    Examples
    --------
    >>> from imap_keras.imap.pairs import check_metric
    >>> check_metric("angular")
    """
    if metric not in METRICS:
        raise ValueError(f"metric={metric!r} is unknown; choose one of {METRICS}.")


def annoy_neighbors(
    points: np.ndarray,
    queries: np.ndarray,
    k: int,
    metric: str = "angular",
    n_trees: int = 10,
    seed: int = 0,
) -> np.ndarray:
    """Find about the k nearest `points` of each query with annoy's random-projection trees.

    Parameters
    ----------
    points, queries
        Cells x dimensions.
    k
        Neighbours of each query (all points where there are fewer).
    metric
        ``"angular"``, ``"euclidean"`` or ``"manhattan"``.
    n_trees
        More trees, better recall, slower (10 in the reference).
    seed
        Seed of the trees.

    Returns
    -------
    numpy.ndarray
        Pairs x 2: (query, point), queries in order, nearest first.

    Raises
    ------
    ValueError
        Unknown metric.
    ImportError, RuntimeError
        annoy is missing; this build of it is broken.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.pairs import annoy_neighbors
    >>> line = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 9.0]])
    >>> annoy_neighbors(line, line[:1], k=2).tolist()
    [[0, 0], [0, 1]]
    """
    check_metric(metric)
    check_annoy()
    index = AnnoyIndex(points.shape[1], metric)
    index.set_seed(seed + 1)  # annoy reads 0 as "use the default seed"
    for i, point in enumerate(points):
        index.add_item(i, point)
    index.build(n_trees, n_jobs=1)  # one job: several would make the trees depend on timing
    found = [index.get_nns_by_vector(query, k) for query in queries]
    query = np.repeat(np.arange(len(queries)), [len(row) for row in found])
    return np.column_stack([query, np.concatenate(found)]).astype(np.int64)


def exact_neighbors(
    points: np.ndarray,
    queries: np.ndarray,
    k: int,
    metric: str = "angular",
    n_trees: int = 10,
    seed: int = 0,
) -> np.ndarray:
    """Find the k nearest `points` of each query exactly; takes what :func:`annoy_neighbors` takes.

    `n_trees` and `seed` are accepted so that one function can stand for the other; an exact search
    needs neither. Distances are computed in chunks.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.pairs import exact_neighbors
    >>> line = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 9.0]])
    >>> exact_neighbors(line, line[:1], k=2).tolist()
    [[0, 0], [0, 1]]
    """
    check_metric(metric)
    if metric == "angular":  # the angle orders points as the distance on the unit sphere does
        points, queries = (
            rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
            for rows in (points, queries)
        )
    search = NearestNeighbors(
        metric="manhattan" if metric == "manhattan" else "euclidean", algorithm="brute"
    )
    k = min(k, len(points))
    found = search.fit(points).kneighbors(queries, n_neighbors=k, return_distance=False)
    return np.column_stack([np.repeat(np.arange(len(queries)), k), found.ravel()]).astype(np.int64)


SEARCHES = {"annoy": annoy_neighbors, "exact": exact_neighbors}


def pair_codes(pairs: np.ndarray) -> np.ndarray:
    """One integer per pair, so that lists of pairs can be compared as sets.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.pairs import pair_codes
    >>> pair_codes(np.array([[0, 7], [1, 7]])).tolist()
    [7, 2147483655]
    """
    return pairs[:, 0] * MOST_CELLS + pairs[:, 1]


def recall(approximate: np.ndarray, exact: np.ndarray) -> float:
    """Share of the exact pairs that the approximate search found.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.pairs import recall
    >>> recall(np.array([[0, 1], [0, 2]]), np.array([[0, 1], [0, 3]]))
    0.5
    """
    return float(np.isin(pair_codes(exact), pair_codes(approximate)).mean())


def mutual_neighbors(
    left: np.ndarray,
    right: np.ndarray,
    k: int,
    metric: str = "angular",
    search: Callable[..., np.ndarray] = annoy_neighbors,
    **search_options,
) -> np.ndarray:
    """Pairs in which each cell is among the other's k nearest neighbours in the other batch (MNN).

    Parameters
    ----------
    left, right
        Cells x dimensions of two batches.
    k
        Neighbours looked at on each side (k1 in the paper).
    metric
        As for `search`.
    search
        :func:`annoy_neighbors` or :func:`exact_neighbors`.
    search_options
        ``n_trees`` and ``seed``, handed on.

    Returns
    -------
    numpy.ndarray
        Pairs x 2: (index in `left`, index in `right`), sorted.

    References
    ----------
    Haghverdi et al., Nature Biotechnology 2018; Wang et al., Genome Biology 22:63 (2021), Methods.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.pairs import exact_neighbors, mutual_neighbors
    >>> left, right = np.array([[0.0], [5.0]]), np.array([[0.2], [5.2], [9.0]])
    >>> mutual_neighbors(left, right, 1, metric="euclidean", search=exact_neighbors).tolist()
    [[0, 0], [1, 1]]
    """
    options = {"metric": metric, **search_options}
    forward = search(right, left, k, **options)
    backward = search(left, right, k, **options)[:, ::-1]
    both = np.intersect1d(pair_codes(forward), pair_codes(backward))
    return np.column_stack(np.divmod(both, MOST_CELLS))


def neighbor_graph(
    points: np.ndarray,
    k: int,
    metric: str = "angular",
    search: Callable[..., np.ndarray] = annoy_neighbors,
    lazy: bool = False,
    **search_options,
) -> np.ndarray:
    """Pairs of cells of one batch that are mutual k-nearest neighbours: the paths of the walks.

    Parameters
    ----------
    points
        Cells x dimensions of one batch.
    k
        Neighbours of each cell (k2 in the paper).
    metric, search, search_options
        As for :func:`mutual_neighbors`.
    lazy
        A cell counts among its k nearest, and is its own neighbour: a walker may stay where it is, as
        in the published code. False: k others.

    Returns
    -------
    numpy.ndarray
        Pairs x 2, both directions listed, sorted; a cell without mutual neighbour is in none.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.pairs import exact_neighbors, neighbor_graph
    >>> cells = np.array([[0.0], [0.1], [5.0]])
    >>> neighbor_graph(cells, 1, metric="euclidean", search=exact_neighbors).tolist()
    [[0, 1], [1, 0]]
    """
    pairs = mutual_neighbors(points, points, k + (not lazy), metric, search, **search_options)
    return pairs if lazy else pairs[pairs[:, 0] != pairs[:, 1]]


def random_walks(graph: np.ndarray, starts: np.ndarray, walk_length: int, seed: int) -> np.ndarray:
    """Walk from each start along the graph, to a random neighbour at every step.

    A walker without neighbours stays where it is.

    Parameters
    ----------
    graph
        Pairs x 2, from :func:`neighbor_graph`.
    starts
        Cell each walker starts at.
    walk_length
        Cells a walk visits, its start included.
    seed
        Seed of the steps.

    Returns
    -------
    numpy.ndarray
        Walkers x `walk_length`, cells in the order visited.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.pairs import random_walks
    >>> random_walks(np.array([[0, 1], [1, 0]]), np.array([0, 7]), 3, seed=0).tolist()
    [[0, 1, 0], [7, 7, 7]]
    """
    n_cells = int(max(graph.max(initial=0), starts.max(initial=0))) + 1
    links = csr_matrix((np.ones(len(graph)), (graph[:, 0], graph[:, 1])), shape=(n_cells, n_cells))
    degree, rng = np.diff(links.indptr), np.random.default_rng(seed)
    walks = np.tile(starts[:, None], walk_length)
    for step in range(1, walk_length):
        here = walks[:, step - 1]
        can_move = degree[here] > 0  # a walker without neighbours stays
        choice = links.indptr[here] + (rng.random(len(here)) * degree[here]).astype(np.int64)
        walks[can_move, step] = links.indices[choice[can_move]]
        walks[~can_move, step] = here[~can_move]
    return walks


def random_walk_pairs(
    pairs: np.ndarray,
    left_graph: np.ndarray,
    right_graph: np.ndarray,
    walk_length: int = 50,
    seed: int = 0,
) -> np.ndarray:
    """Grow each MNN pair into `walk_length` pairs: both cells walk, each inside its own batch (rwMNN).

    Parameters
    ----------
    pairs
        MNN pairs, from :func:`mutual_neighbors`.
    left_graph, right_graph
        Neighbour graphs of the two batches, from :func:`neighbor_graph`.
    walk_length
        Pairs each seed gives, the seed included (m = 50 in the paper).
    seed
        Seed of the steps; the two sides walk independently.

    Returns
    -------
    numpy.ndarray
        (``len(pairs) * walk_length``) x 2. A pair may come more than once: it is drawn more often.

    References
    ----------
    Wang et al., Genome Biology 22:63 (2021), Methods, "rwMNN pairs".

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.pairs import random_walk_pairs
    >>> graph = np.array([[0, 1], [1, 0]])
    >>> random_walk_pairs(np.array([[0, 1]]), graph, graph, walk_length=2).tolist()
    [[0, 1], [1, 0]]
    """
    left = random_walks(left_graph, pairs[:, 0], walk_length, seed=2 * seed)
    right = random_walks(right_graph, pairs[:, 1], walk_length, seed=2 * seed + 1)
    return np.column_stack([left.ravel(), right.ravel()])
