"""Genes beyond the variable ones: carried chunk by chunk, along the pairs found already."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np

from ..inputs.cells import Cells, read_rows
from ..inputs.values import dense
from ..nn.blocks import rescaled
from .components import scale_factor
from .hyperparameters import Hyperparameters
from .mapping import Side
from .merging import Merged, merge_batches
from .pool import Pool, carry
from .seeds import seed_of


class Chunk(NamedTuple):
    """Some genes and what carries them.

    Parameters
    ----------
    genes
        Their names.
    generators
        By query batch: cells x genes -> cells x genes.
    scale
        Number the cells were multiplied by for training, see `Hyperparameters.spread`.
    """

    genes: list[str]
    generators: dict[str, keras.Model]
    scale: float


def chunks_of(genes: Sequence[str], hp: Hyperparameters) -> list[list[str]]:
    """Genes in random chunks of nearly one size, at most `hp.chunk_genes`; each in the order given.

    Chunks of one size share one graph of stage II; chance keeps families of genes, which are often
    named one after another, from filling a chunk.

    Examples
    --------
    >>> from imap_keras.imap.gene_chunks import chunks_of
    >>> from imap_keras.imap.hyperparameters import Hyperparameters
    >>> [len(chunk) for chunk in chunks_of(list("abcdefg"), Hyperparameters(chunk_genes=3))]
    [3, 2, 2]
    """
    rng = np.random.default_rng(seed_of("gene_chunks", hp))
    n_chunks = -(-len(genes) // hp.chunk_genes)
    parts = np.array_split(rng.permutation(len(genes)), n_chunks) if n_chunks else []
    return [[genes[i] for i in np.sort(part)] for part in parts]


def carry_chunks(
    cells: Cells,
    index: np.ndarray,
    labels: np.ndarray,
    merged: Merged,
    genes: Sequence[str],
    order: Sequence[str],
    hp: Hyperparameters,
    verbose: int = 0,
    client=None,
) -> list[Chunk]:
    """Train stage II on genes beyond the variable ones, chunk by chunk, with the pairs found already.

    A chunk at a time is in memory.

    Parameters
    ----------
    cells
        All cells, in all genes.
    index, labels
        Rows of the cells that were merged, in order, and the batch of each.
    merged
        What :func:`imap_keras.imap.merging.merge_batches` found in the variable genes.
    genes
        Genes to carry.
    order, hp, verbose
        Batches, the anchor first; hyperparameters; 0 shows no progress bar.
    client
        As for :func:`imap_keras.imap.merging.merge_batches`.

    References
    ----------
    Wang et al., Genome Biology 22:63 (2021): the colorectal data, all genes in chunks.
    """
    chunks, gans = [], {}
    for names in chunks_of(genes, hp):
        pool = Pool(read_rows(cells.with_genes(names), index), index)
        pool.scale = scale_factor(pool, hp)
        told = dict(verbose=verbose, known=merged, gans=gans, client=client)
        found = merge_batches(pool, labels, None, order, hp, **told)
        chunks.append(Chunk(names, unscaled(found.generators, pool.scale), pool.scale))
    return chunks


def map_chunks(
    chunks: Sequence[Chunk],
    known: Side,
    new: Side,
    merged: Merged,
    order: Sequence[str],
    hp: Hyperparameters,
    verbose: int = 0,
) -> list[Chunk]:
    """The chunks with generators for new batches too, trained along the pairs found already.

    Parameters
    ----------
    chunks
        Of the fitted model.
    known, new
        Cells of fitted batches, and of new ones.
    merged
        What :func:`imap_keras.imap.mapping.map_batches` found in the variable genes.
    order, hp, verbose
        Batches merged before, the anchor first; hyperparameters; 0 shows no progress bar.
    """
    labels, found, gans = np.concatenate([known.labels, new.labels]), [], {}
    for chunk in chunks:
        old, own = (dense(side.cells.with_genes(chunk.genes).everything) for side in (known, new))
        both = np.concatenate([carry(old.copy(), known.labels, chunk.generators), own])
        both *= np.float32(chunk.scale)
        batches = [*order, *merged.pairs]
        mapped = merge_batches(both, labels, None, batches, hp, len(order), verbose, merged, gans)
        generators = chunk.generators | unscaled(mapped.generators, chunk.scale)
        found.append(chunk._replace(generators=generators))
    return found


def unscaled(generators: dict[str, keras.Model], scale: float) -> dict[str, keras.Model]:
    """Generators of scaled cells, for cells as they are."""
    return {name: rescaled(network, scale, 1 / scale) for name, network in generators.items()}
