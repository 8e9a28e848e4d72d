"""Simulated counts: cell types, batches and library sizes are known, and so is the truth."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse


def simulate(
    n_cells: int = 900,
    n_genes: int = 1000,
    n_types: int = 5,
    n_batches: int = 3,
    batch_strength: float = 0.5,
    type_strength: float = 1.5,
    library_size: float = 3000.0,
    missing: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
) -> AnnData:
    """Simulate counts with cell types and batch effects that are known.

    Each gene has a level; each type shifts a tenth of the genes (its markers) up or down, each batch
    shifts every gene a little, and a little differently in each type. Counts are negative binomial
    around the expectation times the library size of the cell.

    Parameters
    ----------
    n_cells, n_genes, n_types, n_batches
        Sizes. Types are named ``type_0`` ..., batches ``batch_0`` ...; cells are spread evenly over
        batches, unevenly over types.
    batch_strength
        Standard deviation of a batch's shift of a gene, in natural-log units; 0 is no batch effect.
    type_strength
        Standard deviation of a type's shift of its marker genes.
    library_size
        Median number of counts a cell; batches differ by up to a factor of two.
    missing
        Types a batch lacks, for example ``{"batch_1": ["type_0"]}``.
    seed
        The same seed gives the same data.

    Returns
    -------
    anndata.AnnData
        ``X`` and ``layers["counts"]`` (CSR, whole numbers), ``layers["truth"]`` (the counts expected
        had there been no batch effect), ``obs["batch"]``, ``obs["cell_type"]``.

    Raises
    ------
    ValueError
        `missing` names an unknown batch or type, or leaves a batch without any; too few cells.

    Examples
    --------
    >>> from imap_keras.datasets import simulate
    >>> adata = simulate(n_cells=60, n_genes=50, missing={"batch_1": ["type_0"]})
    >>> adata.shape, "counts" in adata.layers, "truth" in adata.layers
    ((60, 50), True, True)
    """
    batches = [f"batch_{i}" for i in range(n_batches)]
    types = [f"type_{i}" for i in range(n_types)]
    if n_cells < n_batches * n_types:
        raise ValueError(f"n_cells={n_cells} is too few for {n_batches} batches of {n_types} types.")
    present = _present_types(batches, types, missing or {})
    rng = np.random.default_rng(seed)

    level = rng.gamma(0.6, 1.0, n_genes) + 0.02
    type_shift = np.zeros((n_types, n_genes))
    for shift in type_shift:
        markers = rng.choice(n_genes, max(n_genes // 10, 1), replace=False)
        shift[markers] = rng.normal(0, type_strength, len(markers))
    batch_shift = rng.normal(0, batch_strength, (n_batches, n_genes))
    own_shift = rng.normal(0, 0.25 * batch_strength, (n_batches, n_types, n_genes))
    depth = rng.uniform(0.7, 1.4, n_batches)
    abundance = rng.dirichlet(np.full(n_types, 5.0))

    batch = np.sort(np.arange(n_cells) % n_batches)
    kind = np.empty(n_cells, int)
    for b in range(n_batches):
        weight = abundance * present[b]
        kind[batch == b] = rng.choice(n_types, np.sum(batch == b), p=weight / weight.sum())
    size = library_size * rng.lognormal(0, 0.3, n_cells)

    free = level * np.exp(type_shift[kind])
    with_batch = free * np.exp(batch_shift[batch] + own_shift[batch, kind])
    expected = {}
    for name, rate, of_batch in (("truth", free, 1.0), ("measured", with_batch, depth[batch])):
        shares = rate / rate.sum(axis=1, keepdims=True)
        expected[name] = (size * of_batch)[:, None] * shares
    dispersion = 5.0  # variance = mean + mean^2 / dispersion
    counts = rng.poisson(rng.gamma(dispersion, expected["measured"] / dispersion))

    counts = sparse.csr_matrix(counts.astype("float32"))
    return AnnData(
        counts,
        obs=pd.DataFrame(
            {
                "batch": pd.Categorical.from_codes(batch, batches),
                "cell_type": pd.Categorical.from_codes(kind, types),
            },
            index=[f"cell_{i}" for i in range(n_cells)],
        ),
        var=pd.DataFrame(index=[f"gene_{i}" for i in range(n_genes)]),
        layers={"counts": counts.copy(), "truth": expected["truth"].astype("float32")},
    )


def _present_types(batches, types, missing) -> np.ndarray:
    """Batches x types, 1 where the batch has the type."""
    present = np.ones((len(batches), len(types)))
    for batch, lacking in missing.items():
        unknown = [batch] * (batch not in batches) + [t for t in lacking if t not in types]
        if unknown:
            raise ValueError(
                f"missing names {', '.join(map(repr, unknown))}; batches are {batches}, "
                f"types are {types}."
            )
        present[batches.index(batch), [types.index(t) for t in lacking]] = 0
    if not present.any(axis=1).all():
        raise ValueError("missing leaves a batch without any cell type.")
    return present
