"""From counts to the log-normalised, variable genes that both stages read."""

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from ..inputs.cells import open_cells
from ..inputs.cluster import check_written
from ..inputs.expression import counts_of
from ..inputs.genes import check_unique_names, looks_transposed
from ..inputs.labels import coded, labels_of
from ..inputs.recipe import COUNTED, RECIPE
from ..inputs.values import in_memory, named_layers
from ..inputs.writing import check_described, check_out
from ..nn.parameters import check_choice, check_count
from .described import described
from .streamed import Counts
from .variable import FLAVORS, SPANS, TARGET_SUM, normalised, variable_genes

MIN_GENES = 200  # of a cell, by default, here and in the command
DROPPED_SHARE = 0.5  # of the cells: above it a warning
MISSING_SHARE = 0.1  # of the genes asked for: above it an error


def preprocess(
    adata: AnnData | str | Path,
    batch_key: str = "batch",
    n_top_genes: int = 2000,
    min_genes: int = MIN_GENES,
    min_cells: int = 3,
    flavor: str = "seurat_v3",
    min_batches: int = 1,
    verbose: int = 1,
    genes: Sequence[str] | AnnData | object | None = None,
    out: str | Path | None = None,
    keep_all_genes: bool = False,
    client=None,
) -> AnnData | Path:
    """Filter cells and genes, normalise to 10,000 counts a cell, take log1p, keep variable genes.

    Parameters
    ----------
    adata
        Cells x genes; counts in ``layers["counts"]`` or, without that layer, in ``X``: an AnnData, or
        the path of an .h5ad or .zarr. Not changed.
    batch_key
        Column of ``adata.obs`` that names the batch.
    n_top_genes
        Variable genes to keep (all, where there are no more).
    min_genes, min_cells
        Cells with fewer genes and genes seen in fewer cells leave.
    flavor
        ``"seurat_v3"`` ranks genes in each batch and takes their median rank (scanpy); ``"per_batch"``
        merges the top genes of every batch. The paper chose genes within each batch as well, but by
        cut-offs of mean and dispersion, after filters within each batch: this is simpler, and not the
        same genes.
    min_batches
        With ``"per_batch"``: in how many batches a gene must be among the top genes.
    verbose
        0 says nothing.
    genes
        For a new batch later: a fitted model, preprocessed cells or a list of names. Exactly these
        genes are kept, in this order, and neither `min_cells` nor `n_top_genes` nor `flavor` plays a
        part; cells are normalised by all their counts. Up to a tenth may be missing: they are 0.
    out
        Path that ends in .h5ad or .zarr: cells are read from where they are three times, block by
        block, and the result is written there, whole or not at all. The same genes are chosen, from
        moments; ``obsm`` and other layers stay behind.
    keep_all_genes
        True: every gene that enough cells have stays, and ``var["highly_variable"]`` marks the
        variable ones, as ``IMAP.fit(genes="all")`` reads them.
    client
        A ``distributed.Client`` or the address of a Dask scheduler: its workers open `adata` by its
        path and read a block each, with `out`. Sums are added in the order of the file, so the result
        is the same to the bit.

    Returns
    -------
    anndata.AnnData or pathlib.Path
        With `out` its path. Else a new object: log-normalised ``X`` (CSR stays CSR),
        ``layers["counts"]``; ``var["highly_variable"]``; in ``uns["preprocess"]`` how many cells and
        genes left, and why, and in ``uns["imap_keras_preprocess"]`` by which settings. ``obs``,
        ``var``, ``uns``, ``obsm`` and layers come along; ``raw``, ``obsp`` and ``varm`` do not.

    Raises
    ------
    KeyError
        `batch_key` is not a column.
    TypeError
        `batch_key` names several columns; `genes` is nothing that has genes; `client` is none, or
        is to read cells in memory.
    ValueError
        Counts are fractional, negative or not finite; names are not unique; the filters leave
        nothing, or too little of a batch to choose genes by; unknown `flavor`; a number is out of
        range; more than a tenth of `genes` is missing; `client` without `out`.
    ConnectionError
        There is no cluster at `client`.

    Warns
    -----
    UserWarning
        More than half of the cells have too few genes; the matrix seems to be genes x cells.

    References
    ----------
    Wang et al., Genome Biology 22:63 (2021), Methods, "Data preprocessing".

    Examples
    --------
    >>> import imap_keras
    >>> adata = imap_keras.datasets.demo()
    >>> ready = imap_keras.preprocess(adata, min_genes=50, n_top_genes=300, verbose=0)
    >>> ready.shape
    (700, 300)
    >>> new = imap_keras.preprocess(adata[:50], min_genes=50, genes=ready, verbose=0)
    >>> new.shape, new.var_names.equals(ready.var_names)
    ((50, 300), True)
    """
    check_choice("flavor", flavor, FLAVORS)
    n_top_genes = check_count("n_top_genes", n_top_genes)
    min_genes = check_count("min_genes", min_genes, least=0)
    min_cells = check_count("min_cells", min_cells, least=0)
    min_batches = check_count("min_batches", min_batches)
    wanted = None if genes is None else _gene_names(genes)
    check_written(client, out)
    if out is not None:
        check_out(out)
        adata = open_cells(adata, layer="counts")
        check_described(adata.obs, adata.var)
    else:
        adata = in_memory(adata)
    if looks_transposed(adata):
        warnings.warn(
            f"adata ({adata.n_obs} cells x {adata.n_vars} genes) has cells named like genes or genes "
            "named like cells; if it lies on its side, call adata = adata.T first.",
            stacklevel=2,
        )
    labels = labels_of(adata, batch_key)
    check_unique_names(adata)
    if out is None:
        counts, where = counts_of(adata)
        # CSR also from CSC and from scipy's sparse arrays.
        counts = sparse.csr_matrix(counts) if sparse.issparse(counts) else counts
        detected = _detected(counts, axis=1)
    else:
        names, codes = coded(labels)
        file = Counts(adata, codes, names, verbose, client)
        passed, where = file.look(min_genes), adata.where
        detected = passed.detected
    keep_cells = detected >= min_genes
    _check_cells_left(detected, keep_cells, where, min_genes)
    report = {"cells_in": adata.n_obs, "cells_with_too_few_genes": int(np.sum(~keep_cells))}
    recipe = {"version": version("imap_keras"), "batch_key": batch_key, "min_genes": min_genes}
    recipe |= {"target_sum": int(TARGET_SUM), "log": "log1p", COUNTED: adata.n_vars}
    if out is None:
        counts = counts[keep_cells]
    # Genes are chosen before the result is made, so that what leaves is never copied into it.
    if wanted is None:
        in_cells = _detected(counts, axis=0) if out is None else passed.in_cells
        seen = np.flatnonzero(in_cells >= min_cells)
        if not len(seen):
            raise ValueError(f"No genes are left: lower min_cells={min_cells}.")
        how = (n_top_genes, flavor, min_batches)
        if out is None:
            counts = counts[:, seen].astype("float32")
            variable, span = variable_genes(counts, labels[keep_cells], *how)
        else:
            variable, span = file.variable(passed, seen, *how)
        column = np.arange(len(seen)) if keep_all_genes else np.flatnonzero(variable)
        place, marks = seen[column], variable[column]
        report |= {
            "genes_in": adata.n_vars,
            "genes_in_too_few_cells": int(adata.n_vars - len(seen)),
            "genes_not_variable": int(len(seen) - variable.sum()),
        }
        recipe |= {"min_cells": min_cells, "n_top_genes": n_top_genes, "flavor": flavor}
        recipe |= {"min_batches": min_batches, "span": span}
    else:
        seen, column = np.arange(adata.n_vars), _places(adata, wanted)
        place, marks = column, _marks(genes, wanted)
        report |= {
            "genes_in": adata.n_vars,
            "genes_missing": int(np.sum(place < 0)),
            "genes_not_asked_for": int(adata.n_vars - np.sum(place >= 0)),
        }
    report["batches"] = len(set(labels[keep_cells]))
    recipe["genes"] = "given" if wanted else "all" if keep_all_genes else "variable"
    told = {"preprocess": report, RECIPE: recipe}
    obs, var = adata.obs[keep_cells].copy(), described(adata.var, place, wanted)
    var["highly_variable"] = marks
    if out is None:
        size = np.asarray(counts.sum(axis=1)).ravel()
        counts = _columns(counts, column).astype("float32", copy=False)
        new = AnnData(
            normalised(counts, size),
            obs=obs,
            var=var,
            # Without the mark of an earlier log1p: X starts from counts again.
            uns={key: value for key, value in adata.uns.items() if key != "log1p"} | told,
            obsm={key: value[keep_cells] for key, value in adata.obsm.items()},
        )
        for name, layer in named_layers(adata).items():
            if name != "counts":
                new.layers[name] = _columns(layer[keep_cells], place)
        new.layers["counts"] = counts
    else:
        new = file.write(out, (obs, var, told), passed, place, of_size=seen)
    if verbose:
        print(_sentence(told, int(keep_cells.sum()), len(place)))
    return new


def _detected(counts, axis: int) -> np.ndarray:
    """Number of non-zero entries along an axis, for dense and sparse matrices."""
    return np.asarray((counts > 0).sum(axis=axis)).ravel()


def _columns(matrix, places: np.ndarray):
    """Columns of a matrix, zeros for a place of -1."""
    found = matrix[:, np.maximum(places, 0)]
    if (places >= 0).all():
        return found
    there = (places >= 0).astype(found.dtype)
    return found @ sparse.diags(there) if sparse.issparse(found) else found * there


def _check_cells_left(detected: np.ndarray, keep: np.ndarray, where: str, min_genes: int) -> None:
    """Raise if no cell is left, warn if most have left."""
    share = 1 - np.mean(keep)
    if share <= DROPPED_SHARE:
        return
    median = f"{int(np.median(detected))} detected genes (median)"
    if not keep.any():
        raise ValueError(
            f"No cells are left: the cells of adata.{where} have {median}. Lower min_genes={min_genes}."
        )
    warnings.warn(
        f"{share:.0%} of the cells leave: they have fewer than min_genes={min_genes} genes, and the "
        f"cells of adata.{where} have {median}. If the data hold chosen genes only, lower min_genes.",
        stacklevel=3,
    )


def _gene_names(genes) -> list[str]:
    """Names of the genes of a fitted model, of cells, or of a list."""
    if hasattr(genes, "check_fitted"):
        genes.check_fitted()
    names = getattr(genes, "genes", getattr(genes, "var_names", genes))
    if isinstance(names, str) or not np.iterable(names):
        raise TypeError(
            f"genes={genes!r} has no genes; give a fitted model, cells (AnnData), or a list of names."
        )
    names = [str(name) for name in names]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"genes names {len(names)} genes, {len(set(names))} of them different.")
    return names


def _marks(genes, names: list[str]) -> np.ndarray:
    """Which of given genes are variable: as the model or the cells they come from say, else all."""
    if hasattr(genes, "variable_genes"):
        return np.isin(names, genes.variable_genes)
    marked = getattr(genes, "var", {}).get("highly_variable", True)
    return np.array(np.broadcast_to(np.asarray(marked, bool), len(names)))


def _places(adata: AnnData, names: list[str]) -> np.ndarray:
    """Where each gene is in the data, -1 for those that are missing."""
    places = pd.Index(adata.var_names.astype(str)).get_indexer(names)
    missing = np.flatnonzero(places < 0)
    if len(missing) > MISSING_SHARE * len(names):
        raise ValueError(
            f"{len(missing)} of the {len(names)} genes asked for are missing "
            f"({len(missing) / len(names):.0%}, at most {MISSING_SHARE:.0%} may be), the first is "
            f"{names[missing[0]]!r}; the data have {list(adata.var_names[:3])} .... Are both named by "
            "the same kind of gene name? If so, fit again on the genes that both have."
        )
    return places


def _sentence(told: dict, n_cells: int, n_genes: int) -> str:
    report, recipe = told["preprocess"], told[RECIPE]
    sentence = (
        f"{n_cells} of {report['cells_in']} cells kept ({report['cells_with_too_few_genes']} had "
        f"fewer than {recipe['min_genes']} genes); "
    )
    if "genes_missing" in report:
        return sentence + (
            f"the {n_genes} genes asked for kept ({report['genes_missing']} missing, filled with 0)."
        )
    sentence += (
        f"{n_genes} of {report['genes_in']} genes kept ({report['genes_in_too_few_cells']} seen in "
        f"fewer than {recipe['min_cells']} cells, {report['genes_not_variable']} "
        f"{'of those kept ' if recipe['genes'] == 'all' else ''}not variable enough)."
    )
    if recipe["span"] != SPANS[0]:
        sentence += (
            f" Their variance was fitted with a span of {recipe['span']}: {SPANS[0]} found no fit."
        )
    return sentence
