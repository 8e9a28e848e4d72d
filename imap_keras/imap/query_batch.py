"""One query batch of stage II: its pairs and what carries it, trained here or by a worker."""

from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import sparse
from tqdm import tqdm

from ..inputs.cluster import connected, in_order
from ..inputs.values import dense
from .few_pairs import Trained, train_carrier
from .hyperparameters import Hyperparameters
from .pairs import NoPairsError
from .stage2 import WGANGP
from .training import build_gan, find_pairs, stage2_networks


class Query(NamedTuple):
    """What is looked at for a query batch.

    Parameters
    ----------
    name, number
        Of the batch; its random numbers follow from the number.
    table
        Cells x genes: of the query batch as measured, of merged ones as carried over.
    own, others
        Which of them are the query batch's and the anchor's.
    merged, may_wait
        Batches of the anchor; whether the batch may wait until others have joined them.
    content, searched_content
        As for :func:`imap_keras.imap.training.find_pairs`, of the same cells.
    pairs, carrier
        Where they are known already, from other genes of the same cells.
    """

    name: str
    number: int
    table: np.ndarray | sparse.csr_matrix
    own: np.ndarray
    others: np.ndarray
    merged: list[str]
    may_wait: bool = False
    content: np.ndarray | None = None
    searched_content: np.ndarray | None = None
    pairs: np.ndarray | None = None
    carrier: str | None = None


class Found(NamedTuple):
    """What is found for a query batch.

    Parameters
    ----------
    pairs
        Pairs x 2, rows of the table.
    n_mnn
        Mutual nearest neighbours before any was judged; None where pairs were known.
    trained
        What carries it; None without pairs.
    """

    pairs: np.ndarray
    n_mnn: int | None
    trained: Trained | None


def merge_query(
    query: Query, hp: Hyperparameters, gans: dict[int, WGANGP], verbose: int = 0
) -> Found | float:
    """Find the pairs of a query batch, and train what carries it.

    Parameters
    ----------
    query
        The batch.
    hp, verbose
        Hyperparameters; 0 shows no progress bar.
    gans
        By number of genes, one to train in; a new one joins.

    Returns
    -------
    Found or float
        The share of its cells that have a pair, where the batch had better wait.

    Raises
    ------
    NoPairsError
        There is no MNN pair.
    """
    pairs, n_mnn = query.pairs, None
    if pairs is None:
        sides = query.content, query.table, query.own, query.others
        try:
            pairs, n_mnn = find_pairs(*sides, hp, query.number, query.searched_content)
        except NoPairsError as error:
            if query.may_wait:
                return 0.0
            raise NoPairsError(
                f"No pairs between batch {query.name!r} and the anchor {query.merged}: {error}. Try a "
                "larger k1, search='exact', another order, or more stage1_epochs. Batches that share "
                "no cell type cannot be paired: leave one out."
            ) from None
        if query.may_wait:
            share = paired_share(pairs, len(query.own), hp)
            if share < hp.least_paired:
                return share
    if not len(pairs):
        return Found(pairs, n_mnn, None)
    n_genes = query.table.shape[1]
    if n_genes not in gans:
        gans[n_genes] = build_gan(n_genes, hp, query.number)
    told = hp, query.number, f"stage II, {query.name}", verbose, gans[n_genes]
    return Found(
        pairs, n_mnn, train_carrier(query.table, pairs, query.own, *told, carrier=query.carrier)
    )


def paired_share(pairs: np.ndarray, n_cells: int, hp: Hyperparameters) -> float:
    """Which share of a query batch's cells has a pair: of those that pairs were searched among.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.hyperparameters import Hyperparameters
    >>> from imap_keras.imap.query_batch import paired_share
    >>> paired_share(np.array([[0, 7], [0, 8], [3, 7]]), 5, Hyperparameters())
    0.4
    """
    return len(np.unique(pairs[:, 0])) / min(n_cells, hp.n_samples)


# ------------------------------------------------------------------ on a cluster


def check_apart(client, hp: Hyperparameters) -> None:
    """Raise, before stage I, where workers cannot train the query batches.

    Raises
    ------
    ValueError
        With `hp.incremental` each batch needs those before it.
    ImportError, TypeError, ConnectionError
        As :func:`imap_keras.inputs.cluster.connected`.

    Examples
    --------
    >>> from imap_keras.imap.hyperparameters import Hyperparameters
    >>> from imap_keras.imap.query_batch import check_apart
    >>> check_apart("tcp://10.0.0.1:8786", Hyperparameters(incremental=True))
    Traceback (most recent call last):
    ValueError: client= trains each query batch in a task of its own, and with incremental=True each
    needs those merged before it. Make the model with IMAP(incremental=False), or leave client out.
    """
    if hp.incremental:
        raise ValueError(
            "client= trains each query batch in a task of its own, and with incremental=True each "
            "needs those merged before it. Make the model with IMAP(incremental=False), or leave "
            "client out."
        )
    with connected(client):
        pass


def merge_by_workers(
    client, queries: Iterable[Query], hp: Hyperparameters, verbose: int = 0
) -> Iterator[Found]:
    """:func:`merge_query` of each batch in a task of its own, in their order.

    Parameters
    ----------
    client
        As for :func:`imap_keras.inputs.cluster.connected`.
    queries
        The batches; none may need another to be carried over.
    hp, verbose
        Hyperparameters; 0 shows no progress bar.
    """
    calls = ((query._replace(table=sparse.csr_matrix(query.table)), hp) for query in queries)
    with (
        closing(in_order(client, merged_by_worker, calls)) as results,
        tqdm(desc="stage II by workers", unit="batch", disable=not verbose) as bar,
    ):
        for number, n_genes, found in results:
            bar.update()
            if found.trained is not None:
                network = stage2_networks(n_genes, hp, number)[0]
                network.set_weights(found.trained.network)
                found = found._replace(trained=found.trained._replace(network=network))
            yield found


def merged_by_worker(query: Query, hp: Hyperparameters) -> tuple[int, int, Found]:
    """Number of the batch, genes, and what was found; of the network its weights alone travel."""
    one_thread()
    found = merge_query(query._replace(table=dense(query.table)), hp, _gans(hp))
    if found.trained is not None:
        weights = found.trained.network.get_weights()
        found = found._replace(trained=found.trained._replace(network=weights))
    return query.number, query.table.shape[1], found


@lru_cache(maxsize=1)
def _gans(hp: Hyperparameters) -> dict[int, WGANGP]:
    """GANs of this worker: TensorFlow keeps a graph as long as the process lives, so it builds one."""
    return {}


def one_thread() -> None:
    """Let TensorFlow compute on one thread, as a worker does, unless it computes here already."""
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
