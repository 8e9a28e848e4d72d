"""Simulated counts of two platforms, and pairs of ligand and receptor planted between their types."""

from itertools import permutations

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

TYPES = [f"type_{number}" for number in range(6)]
# Shares of the types: each platform lacks some, so that some types never meet on either of them.
SHARES = {"deep": (0.25, 0.25, 0.25, 0.25, 0.0, 0.0), "shallow": (0.2, 0.2, 0.2, 0.0, 0.2, 0.2)}


def simulate_interactions(
    n_cells: tuple[int, int] = (150, 1200),
    depth: tuple[float, float] = (20_000.0, 1500.0),
    efficiency: float = 0.5,
    n_genes: int = 600,
    n_quiet: int = 30,
    on: float = 3e-5,
    off: float = 0.001,
    seed: int = 0,
) -> AnnData:
    """Simulate a deep platform with few cells and a shallow one with many, and who talks to whom.

    Six types: the shallow platform lacks one, the deep one lacks two others. Each of the 30 ordered
    pairs of two types has a planted pair of genes: the ligand is on in the sender alone, the
    receptor in the receiver alone. Quiet pairs are on in all types alike, so none of them is an
    interaction. Each platform measures each gene with an efficiency of its own, the same in all types.

    Parameters
    ----------
    n_cells
        Cells of the deep and of the shallow platform.
    depth
        Their median numbers of counts a cell.
    efficiency
        Standard deviation of a platform's efficiency for a gene, in natural-log units; 0: none.
    n_genes
        Genes beside the ligands and receptors, markers of the types among them.
    n_quiet
        Quiet pairs.
    on, off
        Median share of a cell's counts that a gene has where it is on, and the part of that it has
        where it is off.
    seed
        The same seed gives the same data.

    Returns
    -------
    anndata.AnnData
        ``X`` and ``layers["counts"]`` (CSR, whole numbers), ``obs["batch"]`` (``"deep"``,
        ``"shallow"``), ``obs["cell_type"]``; in ``uns["pairs"]`` a row for each pair: ``ligand``,
        ``receptor``, and of the planted ones ``sender`` and ``receiver`` (else empty text).

    Examples
    --------
    >>> from imap_keras.datasets import simulate_interactions
    >>> adata = simulate_interactions(n_cells=(20, 50), n_genes=40, n_quiet=10)
    >>> adata.shape, len(adata.uns["pairs"])
    ((70, 120), 40)
    >>> adata.uns["pairs"].iloc[0].tolist()
    ['L0', 'R0', 'type_0', 'type_1']
    """
    rng = np.random.default_rng(seed)
    planted = list(permutations(range(len(TYPES)), 2))
    n_pairs = len(planted) + n_quiet

    level = rng.gamma(0.6, 1.0, n_genes) + 0.02
    shift = np.zeros((len(TYPES), n_genes))
    for of_type in shift:
        markers = rng.choice(n_genes, max(n_genes // 10, 1), replace=False)
        of_type[markers] = rng.normal(0, 1.5, len(markers))
    paired = np.tile(on * rng.lognormal(0, 0.4, (n_pairs, 2)), (len(TYPES), 1, 1))
    for pair, talking in enumerate(planted):
        for side, kind in enumerate(talking):
            paired[np.arange(len(TYPES)) != kind, pair, side] *= off
    paired = paired.reshape(len(TYPES), -1)
    other = level * np.exp(shift)
    other *= (1 - paired.sum(axis=1, keepdims=True)) / other.sum(axis=1, keepdims=True)
    share = np.concatenate([other, paired], axis=1)  # types x genes; each row has sum 1

    batch = np.repeat(np.arange(2), n_cells)
    kind = np.concatenate(
        [rng.choice(len(TYPES), n, p=p) for n, p in zip(n_cells, SHARES.values(), strict=True)]
    )
    seen = share[kind] * np.exp(rng.normal(0, efficiency, (2, share.shape[1])))[batch]
    size = np.array(depth)[batch] * rng.lognormal(0, 0.3, len(batch))
    expected = size[:, None] * seen / seen.sum(axis=1, keepdims=True)
    dispersion = 3.0  # variance = mean + mean^2 / dispersion
    counts = rng.poisson(rng.gamma(dispersion, expected / dispersion))

    counts = sparse.csr_matrix(counts.astype("float32"))
    pairs = pd.DataFrame([(f"L{i}", f"R{i}") for i in range(n_pairs)], columns=["ligand", "receptor"])
    talking = [(TYPES[a], TYPES[b]) for a, b in planted] + [("", "")] * n_quiet
    pairs["sender"], pairs["receiver"] = zip(*talking, strict=True)
    genes = [f"gene_{i}" for i in range(n_genes)] + pairs[
        ["ligand", "receptor"]
    ].to_numpy().ravel().tolist()
    return AnnData(
        counts,
        obs=pd.DataFrame(
            {
                "batch": pd.Categorical.from_codes(batch, list(SHARES)),
                "cell_type": pd.Categorical.from_codes(kind, TYPES),
            },
            index=[f"cell_{i}" for i in range(len(batch))],
        ),
        var=pd.DataFrame(index=genes),
        uns={"pairs": pairs},
        layers={"counts": counts.copy()},
    )
