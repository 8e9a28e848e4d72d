"""Harder sets: few cells, close types, many batches, uneven ones, a path without borders, thin batches.

Nothing was tuned on them. `KEPT_OUT` are reported apart, and are not to be looked at while a default is
chosen.
"""

from collections.abc import Callable
from functools import partial
from itertools import combinations

import numpy as np
from anndata import AnnData
from scipy import sparse

from imap_keras import datasets, preprocess

BATCHES = ("celseq2", "dropseq", "celseq2_5cl_p1", "celseq2_5cl_p2", "celseq2_5cl_p3")
KEPT_OUT = ("pair_dropseq_celseq2_5cl_p2", "proteins_200", "batches_20", "path")


def some_of_each(adata: AnnData, n: int, seed: int) -> AnnData:
    """At most `n` cells of each batch."""
    rng, batch = np.random.default_rng(seed), adata.obs["batch"].to_numpy()
    drawn = [rng.permutation(np.flatnonzero(batch == b))[:n] for b in np.unique(batch)]
    return adata[np.sort(np.concatenate(drawn))].copy()


def prepared(counts: AnnData, min_genes: int = 50) -> AnnData:
    """Log-normalised, 2,000 variable genes at most."""
    return preprocess(counts, min_genes=min_genes, verbose=0)


def mixology(seed: int, batches: tuple = BATCHES, n: int | None = None, doublets=False) -> AnnData:
    """Real cell lines of some batches, `n` cells of each."""
    raw = datasets.sc_mixology()
    raw = raw[raw.obs["batch"].isin(batches) & (doublets | ~raw.obs["doublet"])].copy()
    return prepared(raw if n is None else some_of_each(raw, n, seed), min_genes=200)


def proteins(seed: int, n: int, without: tuple[str, str] | None = None) -> AnnData:
    """Real surface proteins, `n` cells of each batch, one type taken out of one batch."""
    cells = datasets.surface_protein()
    if without:
        batch, kind = without
        cells = cells[~((cells.obs["batch"] == batch) & (cells.obs["cell_type"] == kind))].copy()
    return some_of_each(cells, n, seed)


def halves(seed: int, n: int = 1500) -> AnnData:
    """Real scRNA-seq of 153 genes, one half of the cells with a platform effect by gene."""
    cells, rng = datasets.merfish_scrna(), np.random.default_rng(seed)
    cells = cells[np.sort(rng.choice(cells.n_obs, n, replace=False))].copy()
    is_second = rng.random(n) < 0.5
    values = cells.X.toarray() if sparse.issparse(cells.X) else np.array(cells.X)
    values[is_second] *= rng.lognormal(0, 0.4, cells.n_vars).astype("float32")
    cells.X, cells.obs["batch"] = values, np.where(is_second, "second", "first")
    return cells


def thinned(counts: AnnData, kept: np.ndarray, seed: int) -> AnnData:
    """Each molecule kept with its chance."""
    whole = counts.layers["counts"].toarray().astype(int)
    some = np.random.default_rng(seed).binomial(whole, kept).astype("float32")
    return AnnData(sparse.csr_matrix(some), obs=counts.obs.copy(), var=counts.var.copy())


def close_types(seed: int) -> AnnData:
    """Half of a type differs from the other in 20 genes, three times as strong."""
    deep = datasets.simulate(1200, 1500, 4, 3, library_size=9000, seed=200 + seed)
    rng = np.random.default_rng(seed)
    half = (deep.obs["cell_type"] == "type_0").to_numpy() & (rng.random(deep.n_obs) < 0.5)
    strong = np.argsort(deep.layers["truth"].mean(axis=0))[::-1][:400]
    kept = np.full(deep.shape, 1 / 3)
    kept[np.ix_(half, rng.choice(strong, 20, replace=False))] = 1
    kinds = deep.obs["cell_type"].astype(str)
    deep.obs["cell_type"] = np.where(half, "type_0, 20 genes up", kinds)
    return prepared(thinned(deep, kept, seed))


def many_batches(seed: int, n_batches: int) -> AnnData:
    """About a hundred cells of each of many batches."""
    return prepared(datasets.simulate(100 * n_batches, 1500, 5, n_batches, seed=300 + seed))


def uneven(seed: int) -> AnnData:
    """One batch of 3,000 cells, one of 30."""
    whole = datasets.simulate(6000, 1500, 5, 2, seed=400 + seed)
    batch = whole.obs["batch"].to_numpy()
    few = np.random.default_rng(seed).permutation(np.flatnonzero(batch == "batch_1"))[:30]
    return prepared(whole[np.sort(np.concatenate([np.flatnonzero(batch == "batch_0"), few]))].copy())


def path(seed: int) -> AnnData:
    """Cells anywhere between two ends, in three batches; fifths of the way stand for types."""
    deep = datasets.simulate(2400, 1500, 2, 3, type_strength=2.0, library_size=6000, seed=500 + seed)
    rng, made = np.random.default_rng(seed), []
    batch, end = (deep.obs[key].astype(str).to_numpy() for key in ("batch", "cell_type"))
    counts, rows = deep.layers["counts"].toarray().astype(int), []
    for name in np.unique(batch):
        first, second = (np.flatnonzero((batch == name) & (end == e)) for e in ("type_0", "type_1"))
        n = min(len(first), len(second))
        way = rng.random((n, 1))
        mixed = rng.binomial(counts[first[:n]], 1 - way) + rng.binomial(counts[second[:n]], way)
        made.append(mixed.astype("float32"))
        rows += [(name, f"fifth_{int(5 * w)}") for w in way[:, 0]]
    cells = AnnData(sparse.csr_matrix(np.concatenate(made)), var=deep.var.copy())
    cells.obs["batch"], cells.obs["cell_type"] = zip(*rows, strict=True)
    return prepared(cells)


def depths(seed: int) -> AnnData:
    """Three batches; the second keeps a third of its molecules, the third a tenth."""
    deep = datasets.simulate(1200, 1500, 5, 3, batch_strength=0.3, library_size=6000, seed=600 + seed)
    share = deep.obs["batch"].map({"batch_0": 1, "batch_1": 1 / 3, "batch_2": 0.1}).to_numpy(float)
    return prepared(thinned(deep, share[:, None], seed), min_genes=20)


HARDER: dict[str, Callable[[int], AnnData]] = {
    **{f"pair_{a}_{b}": partial(mixology, batches=(a, b)) for a, b in combinations(BATCHES, 2)},
    **{f"mixology_{n}": partial(mixology, n=n) for n in (100, 50, 25)},
    "doublets": partial(mixology, doublets=True),
    **{f"proteins_{n}": partial(proteins, n=n) for n in (100, 200)},
    "proteins_without": partial(proteins, n=400, without=("batch_1", "type_0")),
    "halves": halves,
    "close_types": close_types,
    **{f"batches_{n}": partial(many_batches, n_batches=n) for n in (8, 20)},
    "uneven": uneven,
    "path": path,
    "depths": depths,
}
REAL_HARDER = tuple(
    n for n in HARDER if n.startswith(("pair", "mixology", "doublets", "proteins", "halves"))
)
