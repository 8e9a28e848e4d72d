"""Batch after batch into the anchor: pairs, stage II, and the carried cells join the anchor."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd

from ..nn.memory import give_back
from .components import content_components
from .few_pairs import MEAN_MOVE, NOTHING
from .hyperparameters import Hyperparameters
from .pool import Carried, Pool
from .query_batch import Query, merge_by_workers, merge_query
from .stage2 import WGANGP


@dataclass
class Merged:
    """What merging gives, by query batch.

    Parameters
    ----------
    generators
        The trained generators; a batch left as it is has none.
    pairs
        Pairs x 2 of cell indices (query cell, anchor cell).
    pair_counts
        Table of MNN pairs, of those that agree, of the pairs grown from these, and of what carries the
        batch: ``"generator"``, ``"mean move"``, ``"nothing"``.
    history
        Table of the losses of stage II.
    carried
        All cells as carried.
    """

    generators: dict[str, keras.Model]
    pairs: dict[str, np.ndarray]
    pair_counts: pd.DataFrame
    history: pd.DataFrame
    carried: Carried

    @property
    def carriers(self) -> dict[str, str]:
        """What carries each query batch."""
        return dict(zip(self.pair_counts["batch"], self.pair_counts["carrier"], strict=True))


def merge_batches(
    cells: np.ndarray | Pool,
    labels: np.ndarray,
    content: np.ndarray | None,
    order: Sequence[str],
    hp: Hyperparameters,
    n_merged: int = 1,
    verbose: int = 0,
    known: "Merged | None" = None,
    gans: dict[int, WGANGP] | None = None,
    client=None,
    keep_order: bool = False,
) -> Merged:
    """Carry the batches ``order[n_merged:]`` into the anchor, in this order.

    Where expression takes part in the search for pairs, it is that of the cells carried so far: the
    merged batches then lie together, and a query batch meets them as one. Without `hp.incremental` a
    batch meets the first one alone, and the rest as measured.

    A batch waits until the others have joined if fewer than `hp.least_paired` of its cells have a pair:
    the anchor may lack most of its types as yet. Those that wait are then taken as they come, the one
    with the largest share first.

    A batch whose pairs do not agree (:func:`imap_keras.imap.agreement.pair_agreement`) shares no
    cell type with what is merged already. It is left as it is, with a warning, and joins the anchor all
    the same: a later batch may have its types.

    Parameters
    ----------
    cells
        All cells x genes: those of batches merged already as carried over, the others as measured. Each
        batch that is merged is carried over in place. Of a pool of many cells only those that a query
        batch looks at are made dense.
    labels, content
        Batch of each cell, and E(x), cells x latent_dim, or the embedding that `hp.pair_space` names;
        not used with `known`.
    order, n_merged
        All batches, the anchor first; how many of them are merged already.
    hp, verbose
        Hyperparameters; 0 shows no progress bar.
    known
        What was found already in other genes of the same cells: pairs are then not searched, a batch
        of few is carried as it is there, and one without pairs stays as it is without a word.
    gans
        By number of genes, one of :func:`imap_keras.imap.training.build_gan` to train in; new ones
        join.
    client
        Of a Dask cluster that trains the batches apart, where not `hp.incremental`; None: here.
    keep_order
        No batch waits.

    Raises
    ------
    NoPairsError
        A batch and the anchor have no mutual nearest neighbours.

    References
    ----------
    Wang et al., Genome Biology 22:63 (2021), Methods, "Integration of multiple batches". Waiting is not
    in the paper.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.hyperparameters import Hyperparameters
    >>> from imap_keras.imap.merging import merge_batches
    >>> cells = np.eye(20, 5, dtype="float32").repeat(2, axis=0)
    >>> labels = np.array(["first", "second"] * 20)
    >>> small = dict(hidden=(4,), critic_hidden=(4,), latent_dim=2, stage2_epochs=1, pair_agreement=0)
    >>> hp = Hyperparameters(**small, search="exact")
    >>> merge_batches(cells, labels, cells, ["first", "second"], hp).pair_counts["batch"].tolist()
    ['second']
    """
    carried = Carried(cells, labels)
    searched_content = content_components(content, hp) if known is None else None
    generators, all_pairs, counts, history = {}, {}, [], [pd.DataFrame()]
    gans, rows_of = {} if gans is None else gans, {}
    waiting = {}  # batches, and which share of their cells had a pair
    waits = hp.incremental and known is None and not keep_order and hp.least_paired > 0

    def merged_so_far() -> list[str]:
        return [*order[:n_merged], *all_pairs] if hp.incremental else list(order[:1])

    def queries() -> Iterator[Query]:
        """Each batch with the cells as carried when its turn comes."""
        left, number = list(order[n_merged:]), n_merged - 1
        anchor = np.flatnonzero(np.isin(labels, merged_so_far()))
        while left or waiting:
            may_wait = waits and bool(left) and len(left) + len(waiting) > 1
            name = left.pop(0) if left else max(waiting, key=waiting.get)
            waiting.pop(name, None)
            query = np.flatnonzero(labels == name)
            rows, own, others = carried.rows(query, anchor, hp, number)
            rows_of[name] = rows
            asked = Query(name, number, carried[rows], own, others, merged_so_far(), may_wait)
            if known is None:
                of_rows = None if searched_content is None else searched_content[rows]
                yield asked._replace(content=content[rows], searched_content=of_rows)
            else:
                pairs = np.searchsorted(rows, known.pairs[name])
                yield asked._replace(pairs=pairs, carrier=known.carriers[name])
            if name in waiting:  # sent back below
                continue
            number += 1
            if hp.incremental:
                anchor = np.concatenate([anchor, query])

    if client is None:
        results = ((query.name, merge_query(query, hp, gans, verbose)) for query in queries())
    else:
        results = zip(order[n_merged:], merge_by_workers(client, queries(), hp, verbose), strict=True)
    for name, found in results:
        if isinstance(found, float):
            waiting[name] = found
            continue
        merged, (pairs, n_mnn, trained) = merged_so_far(), found
        give_back(circles=carried.table is None)  # of many cells: a training's graph is a circle
        rows = rows_of[name]
        all_pairs[name] = rows[pairs]
        agreeing = len(pairs) // hp.walk_length
        count = {"batch": name, "mnn": n_mnn, "agreeing": agreeing, "rwmnn": len(pairs)}
        counts.append(count | {"carrier": NOTHING})
        if trained is not None:
            generators[name], counts[-1]["carrier"] = trained.network, trained.carrier
            history.append(trained.history.assign(batch=name))
            if hp.incremental:
                carried.carry(name, trained.network)
            if trained.carrier == MEAN_MOVE and known is None:
                why = "none can be held out to judge a generator"
                if trained.explained is not None:
                    why = (
                        "a generator trained without a quarter of them explains "
                        f"{max(trained.explained, 0):.0%} of their moves beyond the mean move "
                        f"(least_explained={hp.least_explained})"
                    )
                warnings.warn(
                    f"Batch {name!r} has pairs for {len(np.unique(pairs[:, 0]))} of its "
                    f"{np.sum(labels == name)} cells: {why}. The batch is moved by the mean of its "
                    "pairs alone; few_cells=0 trains a generator all the same.",
                    stacklevel=3,
                )
        elif known is None:
            warnings.warn(
                f"Batch {name!r} is left as it is: it seems to share no cell type with {merged} (too "
                f"few of {n_mnn} MNN pairs agree). If it does share one, lower pair_agreement="
                f"{hp.pair_agreement}; 0 takes every pair.",
                stacklevel=3,
            )
    if not hp.incremental:
        # No batch looks at another: each met the others as measured, whatever their order.
        for name, network in generators.items():
            carried.carry(name, network)
    losses = pd.concat(history, ignore_index=True)
    return Merged(generators, all_pairs, pd.DataFrame(counts), losses, carried)
