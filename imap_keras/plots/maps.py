"""Cells as points: embeddings before and after, and pairs between batches."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy import sparse
from sklearn.decomposition import PCA

from ..inputs.values import as_pairs, check_finite
from .figure import COLORS, SHAPES, TYPE_COLORS, colors_of, finished, legend_beside, listed


def umap_of(adata: AnnData, space: str, seed: int = 0) -> np.ndarray:
    """UMAP of an embedding by scanpy, cells x 2; `adata` is not changed.

    Parameters
    ----------
    adata, space
        Cells, and a key of ``adata.obsm``.
    seed
        Of neighbours and layout.

    Raises
    ------
    KeyError
        There is no such key.
    ValueError
        The embedding holds NaN or infinite values.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.plots import umap_of
    >>> adata = imap_keras.datasets.simulate_manifold(40)
    >>> umap_of(adata, "position").shape
    (40, 2)
    """
    embedding = _embedding(adata, space)
    light = AnnData(obs=pd.DataFrame(index=adata.obs_names), obsm={space: embedding})
    sc.pp.neighbors(light, n_neighbors=15, use_rep=space, random_state=seed)
    sc.tl.umap(light, random_state=seed)
    return light.obsm["X_umap"]


def pca_of(adata: AnnData, space: str, seed: int = 0) -> np.ndarray:
    """First two principal components of an embedding, cells x 2: rougher than a UMAP, and at once.

    Parameters
    ----------
    adata, space, seed
        As for :func:`umap_of`.

    Raises
    ------
    KeyError
        There is no such key.
    ValueError
        The embedding holds NaN or infinite values.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.plots import pca_of
    >>> pca_of(imap_keras.datasets.simulate_manifold(40), "position").shape
    (40, 2)
    """
    return PCA(2, random_state=seed).fit_transform(_embedding(adata, space))


def _embedding(adata: AnnData, space: str) -> np.ndarray:
    if space not in adata.obsm:
        raise KeyError(f"{space!r} is not in adata.obsm; there are {list(adata.obsm)}.")
    embedding = adata.obsm[space]
    values = embedding if sparse.issparse(embedding) else np.asarray(embedding, float)
    check_finite(values, f"adata.obsm[{space!r}]", "leave those cells out.")
    return embedding


def before_after(
    adata: AnnData,
    spaces: Mapping[str, str],
    keys: Sequence[str] = ("batch", "cell_type"),
    seed: int = 0,
    project: Callable = umap_of,
) -> Figure:
    """Draw UMAPs of several embeddings (columns), coloured by batch and by cell type (rows).

    Types, the last of `keys`, have colours and a shape of their own: no colour is both a batch and a
    type.

    Parameters
    ----------
    adata
        Cells with embeddings in ``obsm``.
    spaces
        Title of each column: key of ``adata.obsm``.
    keys
        Columns of ``adata.obs``, one row each.
    seed
        Of the UMAPs.
    project
        What is drawn of an embedding: :func:`umap_of`, or :func:`pca_of` where time is short.

    Raises
    ------
    KeyError
        A key is missing.
    ValueError
        No space or no key is named, or an embedding holds NaN or infinite values.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.plots import before_after, pca_of
    >>> adata = imap_keras.datasets.simulate(n_cells=30, n_genes=20)
    >>> adata.obsm["counts"] = adata.X.toarray()
    >>> len(before_after(adata, {"counts": "counts"}, project=pca_of).axes)
    2
    """
    keys = [keys] if isinstance(keys, str) else list(keys)
    for name, place, known in (
        *((space, "obsm", adata.obsm) for space in spaces.values()),
        *((key, "obs", adata.obs) for key in keys),
    ):
        if name not in known:
            raise KeyError(f"{name!r} is not in adata.{place}; there are {list(known)}.")
    if not len(spaces) or not len(keys):
        raise ValueError(
            f"spaces={dict(spaces)} and keys={list(keys)} must each name something to draw."
        )
    # All that can fail comes before the figure, which would stay open.
    places = {title: project(adata, space, seed) for title, space in spaces.items()}
    figure, axes = plt.subplots(
        len(keys),
        len(spaces),
        figsize=(4 * len(spaces) + 1.5, 3.4 * len(keys)),
        squeeze=False,
        layout="constrained",
    )
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(adata.n_obs)  # or the last batch would hide the others
    axis_name = {umap_of: "UMAP", pca_of: "component"}.get(project, "dimension")
    for column, (title, place) in enumerate(places.items()):
        positions = place[shuffled]
        for row, key in enumerate(keys):
            axis, labels = axes[row, column], adata.obs[key].astype(str).to_numpy()[shuffled]
            is_type = row == len(keys) - 1 and (row > 0 or "type" in key)
            colors = colors_of(adata.obs[key].astype(str), TYPE_COLORS if is_type else COLORS)
            shape = SHAPES["type" if is_type else "batch"]
            axis.scatter(*positions.T, s=8, c=[colors[n] for n in labels], marker=shape, linewidths=0)
            axis.set(xticks=[], yticks=[], title=f"{title}, by {key.replace('_', ' ')}")
            axis.set_xlabel(f"{axis_name} 1", fontsize=8)
            axis.set_ylabel(f"{axis_name} 2", fontsize=8)
            if column == len(spaces) - 1:
                legend_beside(axis, colors, shape)
    method = {"UMAP": "UMAP", "component": "Two principal components"}.get(axis_name, "A map")
    kinds = (
        f"{key.replace('_', ' ')} ({listed(colors_of(adata.obs[key].astype(str)))})" for key in keys
    )
    return finished(
        figure,
        f"{method} of {adata.n_obs} cells, a point each: columns {listed(spaces)}; rows coloured by "
        f"{'; by '.join(kinds)}.",
    )


def pairs_over_embedding(
    positions: np.ndarray,
    labels: Sequence[str],
    pairs: np.ndarray,
    types: Sequence[str] | None = None,
    n_shown: int = 200,
    title: str = "",
    seed: int = 0,
) -> Figure:
    """Draw cells of an embedding and lines between paired cells.

    Parameters
    ----------
    positions
        Cells x 2.
    labels
        Colour of the cells, for example their batch.
    pairs
        Pairs x 2, indices of cells.
    types
        Cell types: pairs of two types are drawn in red, and their share stands in the title. Pairs of
        a cell without a type (None, NaN) are neither: they stay grey and out of the share.
    n_shown
        Lines drawn, chosen at random.
    title, seed
        Above the figure; seed of the choice.

    Raises
    ------
    ValueError
        Positions are not cells x 2, pairs not pairs x 2, or labels not one a cell.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.plots import pairs_over_embedding
    >>> cells = np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> figure = pairs_over_embedding(cells, ["a", "b"], np.array([[0, 1]]))
    >>> len(figure.axes)
    1
    """
    labels = pd.Series(list(labels)).astype(str)
    positions, pairs = np.asarray(positions), as_pairs(np.asarray(pairs, int))
    if positions.ndim != 2 or positions.shape[1] != 2 or len(positions) != len(labels):
        raise ValueError(
            f"positions have the shape {positions.shape} and there are {len(labels)} labels; expected "
            "are cells x 2 and a label each."
        )
    colors = colors_of(labels)
    shown = pairs
    if len(pairs) > n_shown:
        shown = pairs[np.random.default_rng(seed).choice(len(pairs), n_shown, replace=False)]
    line_colors = "0.35"
    if types is not None:
        types = pd.Series(types).astype(object).to_numpy(copy=True)
        types[pd.isna(types)] = None  # pandas' own NA is neither equal nor unequal
        typed, two_types = ~pd.isna(types), types[pairs[:, 0]] != types[pairs[:, 1]]
        both = typed[pairs].all(axis=1)
        if both.any():
            title = f"{title} ({two_types[both].mean():.0%} join two types)".strip()
        red = (types[shown[:, 0]] != types[shown[:, 1]]) & typed[shown].all(axis=1)
        line_colors = np.where(red, "red", "0.35")
    figure, axis = plt.subplots(figsize=(5.6, 4), layout="constrained")
    axis.add_collection(LineCollection(positions[shown], colors=line_colors, lw=0.6, alpha=0.6))
    axis.scatter(*positions.T, s=7, c=labels.map(colors), linewidths=0)
    axis.set(xticks=[], yticks=[], title=title)
    if types is not None:
        for color, name in (("0.35", "pair of one type"), ("red", "pair of two types")):
            axis.plot([], [], color=color, lw=1, label=name)
    legend_beside(axis, colors)
    return finished(
        figure,
        f"{len(positions)} cells, a point each, coloured by {listed(colors)}, and {len(shown)} of "
        f"{len(pairs)} pairs as lines between them. {title}".strip(),
    )
