"""Cells on a flat or a bent surface, in memory, and counts in a file as large as you like."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import sparse_dataset, write_elem
from scipy import sparse

from ..inputs.files import path_of
from ..nn.persistence import write_whole

CELLS_A_PIECE = 2000
PROGRAMMES = 2


def simulate_manifold(
    n_cells: int = 1000,
    n_features: int = 50,
    n_dims: int = 2,
    curvature: float = 1.0,
    noise: float = 0.1,
    seed: int = 0,
) -> AnnData:
    """Simulate cells that differ in a few directions only, along a flat or along a bent surface.

    A cell is a point of a square (or cube) of `n_dims` dimensions. Flat (`curvature` 0): each feature
    is a weighted sum of its coordinates. Bent: each is the sine of such a sum, the more bent the
    larger `curvature`. Then every feature gets variance 1, and noise.

    Parameters
    ----------
    n_cells, n_features, n_dims
        Sizes.
    curvature
        0 for flat. At 1 the sines go through about half a period.
    noise
        Standard deviation of the noise: no method can go below its square in mean squared error.
    seed
        The same seed gives the same data. The surface depends on the seed alone; of more cells the
        first ones are the same.

    Returns
    -------
    anndata.AnnData
        ``X`` (dense, float32), ``layers["truth"]`` (without noise), ``obsm["position"]``.

    Raises
    ------
    ValueError
        `curvature` or `noise` is negative.

    Examples
    --------
    >>> from imap_keras.datasets import simulate_manifold
    >>> adata = simulate_manifold(30, 12)
    >>> adata.shape, adata.obsm["position"].shape
    ((30, 12), (30, 2))
    """
    for name, value in (("curvature", curvature), ("noise", noise)):
        if value < 0:
            raise ValueError(f"{name}={value} must be 0 or more.")
    surface, cells, scatter = (np.random.default_rng((seed, stream)) for stream in range(3))
    weights, phase = surface.normal(0, 1, (n_dims, n_features)), surface.uniform(0, 6, n_features)
    some = surface.uniform(-1, 1, (2000, n_dims))  # for the scale, the same whatever n_cells

    def features(position):
        flat = position @ weights
        return flat if curvature == 0 else np.sin(2 * curvature * flat + phase)

    position = cells.uniform(-1, 1, (n_cells, n_dims))
    mean, scale = features(some).mean(axis=0), features(some).std(axis=0)
    truth = (features(position) - mean) / scale
    return AnnData(
        (truth + scatter.normal(0, noise, truth.shape)).astype("float32"),
        obs=pd.DataFrame(index=[f"cell_{i}" for i in range(n_cells)]),
        var=pd.DataFrame(index=[f"feature_{i}" for i in range(n_features)]),
        layers={"truth": truth.astype("float32")},
        obsm={"position": position},
    )


def simulate_file(
    path: str | Path, n_cells: int = 50_000, n_genes: int = 2000, n_types: int = 8, seed: int = 0
) -> Path:
    """Write counts of many cells into an ``.h5ad`` file, piece by piece: never all in memory.

    Each cell has about 200 counts. Each count falls on a gene by the profile of the cell's type or, in
    shares that differ from cell to cell, by the profile of one of two programmes (say, of the cycle).

    Parameters
    ----------
    path
        The file, replaced if it is there; complete or not there at all.
    n_cells, n_genes, n_types
        Sizes. As a dense float32 matrix the cells would take ``4 * n_cells * n_genes`` bytes.
    seed
        The same seed gives the same file.

    Returns
    -------
    pathlib.Path
        The file: ``X`` (CSR, whole numbers), ``obs["cell_type"]``.

    Examples
    --------
    >>> import tempfile
    >>> from imap_keras.datasets import simulate_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     simulate_file(f"{folder}/many_cells.h5ad", 100, 20).name
    'many_cells.h5ad'
    """
    path, rng = path_of(path), np.random.default_rng(seed)
    # Types first, the two programmes last.
    level = rng.gamma(0.6, 1.0, n_genes) + 0.02
    profiles = level * rng.lognormal(0, 1.2, (n_types + PROGRAMMES, n_genes))
    profiles /= profiles.sum(axis=1, keepdims=True)
    kind = rng.integers(n_types, size=n_cells)
    names = pd.Categorical.from_codes(kind, [f"type_{i}" for i in range(n_types)])
    obs = pd.DataFrame({"cell_type": names}, index=[f"cell_{i}" for i in range(n_cells)])

    def write(temporary: Path) -> None:
        with h5py.File(temporary, "w") as file:
            for start in range(0, n_cells, CELLS_A_PIECE):
                counts = _draw_counts(kind[start : start + CELLS_A_PIECE], profiles, rng)
                if start == 0:
                    write_elem(file, "X", counts)
                else:
                    sparse_dataset(file["X"]).append(counts)
            write_elem(file, "obs", obs)
            write_elem(file, "var", pd.DataFrame(index=[f"gene_{i}" for i in range(n_genes)]))
            file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})

    write_whole(path, write)
    return path


def _draw_counts(kind: np.ndarray, profiles: np.ndarray, rng: np.random.Generator) -> sparse.csr_matrix:
    """Counts of some cells, drawn one by one: as many numbers as counts, not as entries."""
    shares = rng.dirichlet([4] + [1] * PROGRAMMES, len(kind))
    of_source = rng.multinomial(rng.poisson(200, len(kind)), shares)
    cells, genes = [], []
    for number, profile in enumerate(profiles):
        programme = number - (len(profiles) - PROGRAMMES)
        some = np.arange(len(kind)) if programme >= 0 else np.flatnonzero(kind == number)
        n = of_source[some, max(programme + 1, 0)]
        cells.append(np.repeat(some, n))
        genes.append(rng.choice(len(profile), n.sum(), p=profile))
    cells, genes = np.concatenate(cells), np.concatenate(genes)
    ones = np.ones(len(cells), "float32")
    return sparse.csr_matrix((ones, (cells, genes)), (len(kind), profiles.shape[1]))
