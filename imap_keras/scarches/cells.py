"""What a reference reads of an AnnData: its genes by name, as counts or as log values."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from ..inputs.cells import Cells
from ..inputs.expression import counts_of, dense_expression
from ..inputs.genes import features
from ..inputs.labels import known_name
from ..inputs.parts import blocks_of
from ..inputs.values import dense

# Of the reference's genes; above it most of what the encoder reads would be made up.
MISSING_SHARE = 0.5


def layer_of(likelihood: str) -> str | None:
    """The layer that is looked for first; None, for ``X``.

    Examples
    --------
    >>> from imap_keras.scarches.cells import layer_of
    >>> layer_of("nb"), layer_of("mse")
    ('counts', None)
    """
    return None if likelihood == "mse" else "counts"


def expression(adata: AnnData, likelihood: str, genes: list[str] | None = None) -> np.ndarray:
    """Dense float32 cells x genes: counts for ``"nb"`` and ``"zinb"``, log values for ``"mse"``.

    Counts are read from ``layers["counts"]`` or, without that layer, from ``X``. `genes` are those of
    the reference, where the cells are a query's, for errors.

    Raises
    ------
    ValueError
        Counts are negative, fractional or too large; log values are not finite, negative or not logged;
        cells have no counts. The message names these cells and leaves exactly them out.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.scarches.cells import expression
    >>> expression(imap_keras.datasets.simulate(n_cells=30, n_genes=50), "nb").shape
    (30, 50)
    """
    if likelihood == "mse":
        return dense_expression(adata, "scarches_logged")
    counts, where = counts_of(adata, "scarches_counts")
    counts = dense(counts)
    total = counts.sum(axis=1)
    if not np.isfinite(total).all():
        worst = adata.obs_names[~np.isfinite(total)][0]
        raise ValueError(
            f"adata.{where} holds larger counts than 32 bits can sum, the first in cell {worst!r}; no "
            "cell has so many. Correct them, or leave those cells out."
        )
    empty = adata.obs_names[total == 0]
    if len(empty):
        some = ", ".join(map(repr, empty[:5])) + (", ..." if len(empty) > 5 else "")
        of, these = "", "adata"
        if genes is not None:
            of = " in the genes of the reference"
            these = "adata[:, adata.var_names.astype(str).isin(reference.genes)]"
        raise ValueError(
            f"adata.{where} has no counts{of} in {len(empty)} cells: {some}. "
            f"Leave exactly these out: adata[numpy.ravel({these}.{where}.sum(axis=1)) > 0].copy()"
        )
    return counts


def align_genes(
    adata: AnnData, genes: list[str], likelihood: str, verbose: int = 1
) -> tuple[np.ndarray, str]:
    """Cells in the genes of the reference: found by name, missing ones 0, further ones left out.

    Parameters
    ----------
    adata
        Cells x any genes.
    genes
        Genes of the reference, in its order.
    likelihood
        Decides between counts and log values, see :func:`expression`.
    verbose
        0 does not print the sentence.

    Returns
    -------
    cells, sentence
        Dense float32 cells x `genes`; how many genes were missing.

    Raises
    ------
    ValueError
        More than half of the reference's genes are missing; names are not unique; values as for
        :func:`expression`.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.scarches import align_genes
    >>> adata = imap_keras.datasets.simulate(n_cells=30, n_genes=50)
    >>> _, sentence = align_genes(adata, ["gene_1", "gene_2", "other"], "nb")
    2 of the reference's 3 genes found, 1 missing filled with 0; 48 other genes left out.
    """
    shared, is_shared = features(adata, genes, missing="skip", what="genes of the reference")
    n_missing = int(np.sum(~is_shared))
    sentence = (
        f"{shared.n_vars} of the reference's {len(genes)} genes found, {n_missing} missing filled "
        f"with 0; {adata.n_vars - shared.n_vars} other genes left out."
    )
    if n_missing > MISSING_SHARE * len(genes):
        first, share = genes[is_shared.argmin()], n_missing / len(genes)
        raise ValueError(
            f"{n_missing} of the reference's {len(genes)} genes are missing ({share:.0%}, at most "
            f"{MISSING_SHARE:.0%} may be), the first is {first!r}. Hand in counts of all genes, or "
            "prepare them with preprocess(new, genes=reference). If they were not measured, fit the "
            "reference again on the genes that both have."
        )
    if verbose:
        print(sentence)
    found = expression(shared, likelihood, genes)
    if not n_missing:
        return found, sentence
    cells = np.zeros((adata.n_obs, len(genes)), "float32")
    cells[:, is_shared] = found
    return cells, sentence


def check_every_cell(cells: AnnData | Cells, likelihood: str, genes: list[str] | None = None) -> None:
    """Raise if of many cells some cannot be mapped later, those too that are not drawn to train on.

    Few cells are all read, and looked at, for training.

    Raises
    ------
    ValueError
        As for :func:`expression`; with `genes`, those of a reference, as for :func:`align_genes`.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.scarches.cells import check_every_cell
    >>> check_every_cell(imap_keras.datasets.simulate(n_cells=30, n_genes=50), "nb")
    """
    for part in () if isinstance(cells, AnnData) else blocks_of(cells):
        if genes is None:
            expression(part, likelihood)
        else:
            align_genes(part, genes, likelihood, verbose=0)


def codes_of(labels: np.ndarray, batches: Sequence[str]) -> np.ndarray:
    """Number of each cell's batch among those of a reference.

    Raises
    ------
    ValueError
        The reference does not know a batch.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches.cells import codes_of
    >>> codes_of(np.array(["new", "a"]), ["a", "new"]).tolist()
    [1, 0]
    """
    unknown = sorted(set(labels) - set(batches))
    if unknown:
        raise ValueError(
            f"Batch {str(unknown[0])!r} is not in the reference, which knows {list(batches)}. "
            "Map it with map_query, and ask the reference that comes back."
        )
    return pd.Index(batches).get_indexer(labels)


def column_of(batch: str, batches: Sequence[str]) -> int:
    """Number of a batch by its name, a number as the reference names it.

    Raises
    ------
    ValueError
        There is no such batch.

    Examples
    --------
    >>> from imap_keras.scarches.cells import column_of
    >>> column_of(2, ["1", "2"]), column_of(2, ["1.0", "2.0"])
    (1, 1)
    """
    name = known_name(batch, batches)
    if name not in batches:
        raise ValueError(f"Batch {batch!r} is not in the reference, which knows {list(batches)}.")
    return list(batches).index(name)
