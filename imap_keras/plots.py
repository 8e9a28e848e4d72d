"""Figures of the course: thin over scanpy and matplotlib, each returns the figure."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

# Colour-blind safe (Okabe and Ito), so that batches and types can be told apart by everyone.
COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000"]


def loss_curves(
    table: pd.DataFrame, names: Sequence[str], title: str = "", log: bool = False
) -> Figure:
    """Draw columns of a history table against the epoch.

    Parameters
    ----------
    table
        From ``IMAP.history["stage1"]``, or a Keras history as a table with a column ``epoch``. A
        column ``batch`` gives one line a batch.
    names
        Columns to draw, one panel each.
    title
        Above the figure.
    log
        Logarithmic axis.

    Raises
    ------
    KeyError
        A column is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.plots import loss_curves
    >>> figure = loss_curves(pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0]}), ["loss"])
    >>> len(figure.axes)
    1
    """
    missing = [name for name in names if name not in table]
    if missing:
        raise KeyError(f"{missing[0]!r} is not a column of the history; there are {list(table)}.")
    figure, axes = plt.subplots(
        1, len(names), figsize=(3.8 * len(names), 2.8), squeeze=False, layout="constrained"
    )
    groups = table.groupby("batch", sort=False) if "batch" in table else [(None, table)]
    for (batch, rows), color in zip(groups, COLORS * 9, strict=False):
        for axis, name in zip(axes[0], names, strict=True):
            axis.plot(rows["epoch"], rows[name], color=color, label=batch)
    for axis, name in zip(axes[0], names, strict=True):
        axis.set(xlabel="epoch", title=name.replace("_", " "), yscale="log" if log else "linear")
    if "batch" in table:
        axes[0, -1].legend(fontsize=8)
    figure.suptitle(title)
    return finished(figure)


def critic_curves(history: pd.DataFrame, title: str = "Stage II") -> Figure:
    """Draw what the critic and the generator report, one line a query batch.

    Parameters
    ----------
    history
        ``IMAP.history["stage2"]``.
    title
        Above the figure.

    Examples
    --------
    >>> critic_curves(model.history["stage2"])  # doctest: +SKIP
    """
    names = ["wasserstein", "gradient_penalty", "generator_loss", "pair_loss"]
    return loss_curves(history, names, title)


def _colors(values: pd.Series) -> dict:
    names = list(pd.Categorical(values).categories)
    palette = COLORS if len(names) <= len(COLORS) else sc.pl.palettes.default_102
    return {name: palette[i % len(palette)] for i, name in enumerate(names)}


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

    Examples
    --------
    >>> umap_of(adata, "X_imap").shape  # doctest: +SKIP
    (700, 2)
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

    Examples
    --------
    >>> pca_of(adata, "X_imap").shape  # doctest: +SKIP
    (700, 2)
    """
    return PCA(2, random_state=seed).fit_transform(_embedding(adata, space))


def _embedding(adata: AnnData, space: str) -> np.ndarray:
    if space not in adata.obsm:
        raise KeyError(f"{space!r} is not in adata.obsm; there are {list(adata.obsm)}.")
    return adata.obsm[space]


def before_after(
    adata: AnnData,
    spaces: Mapping[str, str],
    keys: Sequence[str] = ("batch", "cell_type"),
    seed: int = 0,
    project: Callable = umap_of,
) -> Figure:
    """Draw UMAPs of several embeddings (columns), coloured by batch and by cell type (rows).

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

    Examples
    --------
    >>> before_after(adata, {"before": "X_pca", "after": "X_imap"})  # doctest: +SKIP
    """
    for name, place, known in (
        *((space, "obsm", adata.obsm) for space in spaces.values()),
        *((key, "obs", adata.obs) for key in keys),
    ):
        if name not in known:
            raise KeyError(f"{name!r} is not in adata.{place}; there are {list(known)}.")
    figure, axes = plt.subplots(
        len(keys),
        len(spaces),
        figsize=(4 * len(spaces) + 1.5, 3.4 * len(keys)),
        squeeze=False,
        layout="constrained",
    )
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(adata.n_obs)  # or the last batch would hide the others
    for column, (title, space) in enumerate(spaces.items()):
        positions = project(adata, space, seed)[shuffled]
        for row, key in enumerate(keys):
            axis, labels = axes[row, column], adata.obs[key].astype(str).to_numpy()[shuffled]
            colors = _colors(adata.obs[key].astype(str))
            axis.scatter(*positions.T, s=8, c=[colors[name] for name in labels], linewidths=0)
            axis.set(xticks=[], yticks=[], title=f"{title}, by {key.replace('_', ' ')}")
            if column == len(spaces) - 1:
                _legend(axis, colors)
    return finished(figure)


def _legend(axis, colors: Mapping[str, str]) -> None:
    for name, color in colors.items():
        axis.scatter([], [], s=25, color=color, label=name)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)


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
        Cell types: pairs of two types are drawn in red, and their share stands in the title.
    n_shown
        Lines drawn, chosen at random.
    title, seed
        Above the figure; seed of the choice.

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
    colors = _colors(labels)
    shown = pairs
    if len(pairs) > n_shown:
        shown = pairs[np.random.default_rng(seed).choice(len(pairs), n_shown, replace=False)]
    line_colors = "0.35"
    if types is not None:
        types = np.asarray(types)
        wrong = types[pairs[:, 0]] != types[pairs[:, 1]]
        title = f"{title} ({wrong.mean():.0%} join two types)".strip()
        line_colors = np.where(types[shown[:, 0]] != types[shown[:, 1]], "red", "0.35")
    figure, axis = plt.subplots(figsize=(5.6, 4), layout="constrained")
    axis.add_collection(LineCollection(positions[shown], colors=line_colors, lw=0.6, alpha=0.6))
    axis.scatter(*positions.T, s=7, c=labels.map(colors), linewidths=0)
    axis.set(xticks=[], yticks=[], title=title)
    _legend(axis, colors)
    return finished(figure)


def index_bars(indices: Mapping[str, Mapping], title: str = "") -> Figure:
    """Draw the paper's index as stacked bars: true positive, positive only, negative.

    Parameters
    ----------
    indices
        Name of each bar: what :func:`imap_keras.metrics.imap_index` returned.
    title
        Above the figure; threshold and k are added.

    Examples
    --------
    >>> from imap_keras.plots import index_bars
    >>> index = dict(negative=0.1, positive=0.9, true_positive=0.5, threshold=1.0, k=20, k2=100)
    >>> len(index_bars({"before": index}).axes)
    1
    """
    figure, axis = plt.subplots(figsize=(5.6, 0.7 * len(indices) + 1.4), layout="constrained")
    names = list(indices)[::-1]
    parts = {
        "true positive": [indices[n]["true_positive"] for n in names],
        "positive only": [indices[n]["positive"] - indices[n]["true_positive"] for n in names],
        "negative": [indices[n]["negative"] for n in names],
    }
    left = np.zeros(len(names))
    for (part, widths), color in zip(parts.items(), ["#009E73", "#A8DDCB", "#D55E00"], strict=True):
        axis.barh(names, widths, left=left, color=color, label=part)
        left += widths
    first = indices[names[0]]
    details = f"threshold {first['threshold']:g}, k {first['k']}, k2 {first['k2']}"
    axis.set(xlim=(0, 1), xlabel=f"share of cells ({details})", title=title)
    axis.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.35), frameon=False, fontsize=8)
    return finished(figure)


def finished(figure: Figure) -> Figure:
    """Close the figure in pyplot's list and return it: it is shown once, as the value of its cell.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from imap_keras.plots import finished
    >>> figure = finished(plt.figure())
    >>> figure.number in plt.get_fignums()
    False
    """
    plt.close(figure)
    return figure
