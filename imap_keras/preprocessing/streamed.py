"""Preprocessing of cells that stay on disk: passes over blocks, the result written block by block."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import sparse
from tqdm import tqdm

from ..inputs.cells import Cells
from ..inputs.expression import check_block_of_counts
from ..inputs.files import path_of
from ..inputs.moments import Moments
from ..inputs.writing import result_store
from .ranking import Clipped, dispersed, variances
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

    Parameters
    ----------
    cells
        The counts.
    codes, names
        Batch of each cell by number, and the names.
    verbose
        0 shows no progress bar.
    """

    cells: Cells
    codes: np.ndarray
    names: list[str]
    verbose: int = 1
    passes: int = field(default=0, init=False)

    def blocks(self, keep: np.ndarray | None = None) -> Iterator[tuple[sparse.csr_matrix, slice]]:
        """All blocks as CSR, of the cells that stay, and which cells they are of."""
        self.passes += 1
        title = f"preprocess, pass {self.passes}"
        with tqdm(total=len(self.cells), desc=title, unit="cell", disable=not self.verbose) as bar:
            for start, block in self.cells.blocks():
                rows = slice(start, start + block.shape[0])
                block = sparse.csr_matrix(block)
                if keep is None:
                    check_block_of_counts(block, f"X, cells from {start} on,")
                yield (block if keep is None else block[keep[rows]]), rows
                bar.update(block.shape[0])

    def look(self, min_genes: int) -> Seen:
        """First pass: check the counts, choose cells, add up the moments of those that stay."""
        n_cells, n_genes = self.cells.shape
        moments = Moments(int(self.codes.max()) + 1, n_genes)
        detected, in_cells = np.zeros(n_cells, int), np.zeros(n_genes, int)
        for block, rows in self.blocks():
            block.eliminate_zeros()
            detected[rows] = np.diff(block.indptr)
            stays = detected[rows] >= min_genes
            block = block[stays]
            in_cells += np.bincount(block.indices, minlength=n_genes)
            moments.add(block, self.codes[rows][stays])
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
        for block, rows in self.blocks(seen.keep):
            clipped.add(block[:, genes], self.codes[rows][seen.keep[rows]])
        return clipped.ranked(n_top_genes), span

    def _per_batch(self, seen, genes, n_top_genes, min_batches, there) -> np.ndarray:
        moments = Moments(len(self.names), len(genes))
        for block, rows in self.blocks(seen.keep):
            block = block[:, genes]
            logged = normalised(block, np.ravel(block.sum(axis=1)))
            logged.data = np.expm1(logged.data)
            moments.add(logged, self.codes[rows][seen.keep[rows]])
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
            for block, _ in self.blocks(seen.keep):
                block = block.astype("float32")
                counts = block[:, np.maximum(genes, 0)]
                if (genes < 0).any():
                    counts = sparse.csr_matrix(counts @ sparse.diags((genes >= 0).astype("float32")))
                    counts.eliminate_zeros()
                counts.sort_indices()
                store.put("X", start, normalised(counts, block @ size_of))
                store.put("layers/counts", start, counts)
                start += counts.shape[0]
        return path_of(out)


def _of_genes(moments: Moments, genes: np.ndarray) -> Moments:
    found = Moments(len(moments.n), len(genes))
    found.n, found.mean = moments.n, moments.mean[:, genes]
    found.squares = moments.squares[:, genes]
    return found
