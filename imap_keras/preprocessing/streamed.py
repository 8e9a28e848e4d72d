"""Preprocessing of cells that stay on disk: passes over blocks, the result written block by block."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import sparse
from tqdm import tqdm

from ..inputs.cells import BLOCK, Cells
from ..inputs.cluster import Place, in_order, place_of
from ..inputs.expression import check_block_of_counts
from ..inputs.files import path_of
from ..inputs.moments import Moments
from ..inputs.writing import result_store
from .ranking import Clipped, clipped_sums, dispersed, variances
from .variable import (
    SPANS,
    check_batches_vary,
    elected,
    first_that_fits,
    no_dispersion,
    normalised,
)

BYTES_AN_ENTRY = 16  # value and column of a non-zero, in X and in layers["counts"]


@dataclass
class Seen:
    """What the first pass finds.

    Parameters
    ----------
    detected
        Genes seen in each cell.
    keep
        True for the cells that stay.
    in_cells
        Of the cells that stay, how many each gene is seen in.
    moments
        Of their counts, by batch.
    """

    detected: np.ndarray
    keep: np.ndarray
    in_cells: np.ndarray
    moments: Moments


@dataclass
class Counts:
    """Cells with counts, and what is told of them while they are read again and again.

    What is found of a block is a function of this module, called here or by the workers of a cluster;
    what they find is joined in the order of the file, so that sums are the same to the bit.

    Parameters
    ----------
    cells
        The counts.
    codes, names
        Batch of each cell by number, and the names.
    verbose
        0 shows no progress bar.
    client
        Of a Dask cluster; None: blocks are read here.

    Raises
    ------
    TypeError
        `client`, and cells that are not on disk.
    """

    cells: Cells
    codes: np.ndarray
    names: list[str]
    verbose: int = 1
    client: object | None = None
    passes: int = field(default=0, init=False)

    def __post_init__(self):
        if self.client is not None:
            place_of(self.cells)

    def found(self, find: Callable, keep: np.ndarray | None = None, *told) -> Iterator:
        """What ``find(counts, batch of each cell, *told)`` gives of all blocks, in their order.

        Parameters
        ----------
        find
            A function of this module.
        keep
            True for the cells that it gets; None: all, and counts are checked.
        """
        self.passes += 1
        title = f"preprocess, pass {self.passes}"
        with tqdm(total=len(self.cells), desc=title, unit="cell", disable=not self.verbose) as bar:
            blocks = self._here if self.client is None else self._by_workers
            with closing(blocks(find, keep, told)) as blocks:
                for n, of_block in blocks:
                    yield of_block
                    bar.update(n)

    def _here(self, find: Callable, keep: np.ndarray | None, told: tuple) -> Iterator:
        for start, block in self.cells.blocks():
            rows = slice(start, start + block.shape[0])
            kept = None if keep is None else keep[rows]
            codes = self.codes[rows]
            yield block.shape[0], of_block(find, block, self.cells.where, start, codes, kept, told)

    def _by_workers(self, find: Callable, keep: np.ndarray | None, told: tuple) -> Iterator:
        place, n_cells = place_of(self.cells), len(self.cells)
        parts = [slice(start, min(start + BLOCK, n_cells)) for start in range(0, n_cells, BLOCK)]
        calls = (
            (
                find,
                place,
                self.cells.where,
                rows.start,
                self.codes[rows],
                None if keep is None else keep[rows],
                told,
            )
            for rows in parts
        )
        with closing(in_order(self.client, read_by_worker, calls)) as results:
            for rows, result in zip(parts, results, strict=True):
                yield rows.stop - rows.start, result
        self.cells.check_unchanged()

    def look(self, min_genes: int) -> Seen:
        """First pass: check the counts, choose cells, add up the moments of those that stay."""
        n_batches, n_genes = int(self.codes.max()) + 1, self.cells.shape[1]
        moments, in_cells, detected = Moments(n_batches, n_genes), np.zeros(n_genes, int), []
        for of_cells, of_genes, part in self.found(seen_in, None, min_genes, n_batches):
            detected.append(of_cells)
            in_cells += of_genes
            moments.join(part)
        detected = np.concatenate(detected)
        return Seen(detected, detected >= min_genes, in_cells, moments)

    def variable(
        self, seen: Seen, genes: np.ndarray, n_top_genes: int, flavor: str, min_batches: int
    ) -> tuple[np.ndarray, float]:
        """Second pass: mark the variable ones of some genes, and say by which span they were found."""
        if len(genes) <= n_top_genes:
            return np.ones(len(genes), bool), SPANS[0]
        moments = _of_genes(seen.moments, genes)
        there = np.ravel(moments.n) > 0  # a batch may have lost all its cells
        n_varying = np.sum(variances(moments) > 0, axis=1)[there]
        check_batches_vary(
            np.asarray(self.names)[there], np.ravel(moments.n)[there].astype(int), n_varying
        )
        if flavor == "per_batch":
            return self._per_batch(seen, genes, n_top_genes, min_batches, there), SPANS[0]
        clipped, span = first_that_fits(lambda span: Clipped(moments, span))
        for sums in self.found(clipped_in, seen.keep, genes, clipped.largest):
            clipped.join(*sums)
        return clipped.ranked(n_top_genes), span

    def _per_batch(self, seen, genes, n_top_genes, min_batches, there) -> np.ndarray:
        moments = Moments(len(self.names), len(genes))
        for part in self.found(moments_in, seen.keep, genes, len(self.names)):
            moments.join(part)
        votes = np.zeros(len(genes), int)
        spread = variances(moments)
        for i in np.flatnonzero(there):
            try:
                votes += dispersed(moments.mean[i], spread[i], n_top_genes)
            except IndexError as error:
                raise ValueError(no_dispersion(self.names[i], int(moments.n[i, 0]))) from error
        return elected(votes, n_top_genes, min_batches)

    def write(self, out, described: tuple, seen: Seen, genes: np.ndarray, of_size: np.ndarray) -> Path:
        """Last pass: counts of these genes (-1: zeros), and their logarithm, of the cells that stay.

        Parameters
        ----------
        out
            Path of the result.
        described
            Its obs, var and uns.
        seen
            From :meth:`look`.
        genes, of_size
            Genes that are kept, and genes whose counts make up the size of a cell.
        """
        entries = seen.in_cells[genes[genes >= 0]].sum()
        start, size_of = 0, np.zeros(self.cells.shape[1])
        size_of[of_size] = 1
        with result_store(out, int(seen.keep.sum()), BYTES_AN_ENTRY * int(entries)) as store:
            store.describe(*described)
            for logged, counts in self.found(written_of, seen.keep, genes, size_of):
                store.put("X", start, logged)
                store.put("layers/counts", start, counts)
                start += counts.shape[0]
        return path_of(out)


def _of_genes(moments: Moments, genes: np.ndarray) -> Moments:
    found = Moments(len(moments.n), len(genes))
    found.n, found.mean = moments.n, moments.mean[:, genes]
    found.squares = moments.squares[:, genes]
    return found


# -------------------------------------------------- what is found of one block, here or by a worker


def of_block(find, block, where: str, start: int, codes, keep: np.ndarray | None, told: tuple):
    """What a function finds of a block whose first cell is `start`: of the cells that stay."""
    block = sparse.csr_matrix(block)
    if keep is None:
        check_block_of_counts(block, where, start)
    else:
        block, codes = block[keep], codes[keep]
    return find(block, codes, *told)


def read_by_worker(find, place: Place, where: str, start: int, codes, keep, told: tuple):
    """:func:`of_block` of cells that a worker reads itself."""
    block = place.block(start, start + len(codes))
    return of_block(find, block, where, start, codes, keep, told)


def seen_in(block: sparse.csr_matrix, codes: np.ndarray, min_genes: int, n_batches: int) -> tuple:
    """Genes seen in each cell; in how many of the cells that stay each is seen; their moments."""
    block.eliminate_zeros()
    detected = np.diff(block.indptr)
    stays = detected >= min_genes
    block, moments = block[stays], Moments(n_batches, block.shape[1])
    moments.add(block, codes[stays])
    return detected, np.bincount(block.indices, minlength=block.shape[1]), moments


def clipped_in(block: sparse.csr_matrix, codes: np.ndarray, genes: np.ndarray, largest) -> tuple:
    """:func:`clipped_sums` of some genes."""
    return clipped_sums(block[:, genes], codes, largest)


def moments_in(block: sparse.csr_matrix, codes, genes: np.ndarray, n_batches: int) -> Moments:
    """Moments of normalised expression, by batch."""
    block, moments = block[:, genes], Moments(n_batches, len(genes))
    logged = normalised(block, np.ravel(block.sum(axis=1)))
    logged.data = np.expm1(logged.data)
    moments.add(logged, codes)
    return moments


def written_of(block: sparse.csr_matrix, codes, genes: np.ndarray, size_of: np.ndarray) -> tuple:
    """Logarithms and counts of some genes (-1: zeros), normalised by those that `size_of` marks."""
    block = block.astype("float32")
    counts = block[:, np.maximum(genes, 0)]
    if (genes < 0).any():
        counts = sparse.csr_matrix(counts @ sparse.diags((genes >= 0).astype("float32")))
        counts.eliminate_zeros()
    counts.sort_indices()
    return normalised(counts, block @ size_of), counts
