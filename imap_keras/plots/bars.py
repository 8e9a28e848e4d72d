"""The index as bars."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from .figure import finished


def index_bars(indices: Mapping[str, Mapping], title: str = "") -> Figure:
    """Draw the paper's index as stacked bars: true positive, positive only, negative.

    Parameters
    ----------
    indices
        Name of each bar: what :func:`imap_keras.metrics.imap_index` returned. Its ``ceiling``, what
        perfect mixing would score as true positive, is drawn as a line across the bar.
    title
        Above the figure. Rules, threshold and k are added below it, or to each bar where they differ.

    Raises
    ------
    ValueError
        There is no index.

    Examples
    --------
    >>> from imap_keras.plots import index_bars
    >>> index = dict(negative=0.1, positive=0.9, true_positive=0.5, threshold=1.0, k=20, k2=100)
    >>> len(index_bars({"before": index}).axes)
    1
    """
    if not indices:
        raise ValueError("There are no indices; hand in at least one, by the name of its bar.")
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
    ceilings = [indices[n].get("ceiling") for n in names]
    for row, ceiling in enumerate(ceilings):
        if ceiling is not None:
            label = "true positive if mixed perfectly" if row == 0 else None
            axis.plot([ceiling] * 2, [row - 0.48, row + 0.48], color="black", lw=2, label=label)
    ways = {name: _way(indices[name]) for name in names}
    alike = len(set(ways.values())) == 1
    details = f" ({ways[names[0]]})" if alike else ""
    if not alike:
        axis.set_yticks(range(len(names)), [f"{name}\n{ways[name]}" for name in names], fontsize=8)
    axis.set(xlim=(0, 1), xlabel=f"share of cells{details}", title=title)
    axis.legend(ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.35), frameon=False, fontsize=8)
    told = "; ".join(
        f"{name}{'' if alike else f' ({ways[name]})'}: "
        f"true positive {indices[name]['true_positive']:.2f}"
        + (f" (at most about {indices[name]['ceiling']:.2f})" if "ceiling" in indices[name] else "")
        + f", positive {indices[name]['positive']:.2f}, negative {indices[name]['negative']:.2f}"
        for name in indices
    )
    return finished(figure, f"Shares of cells as stacked bars{details}. {told}.")


def _way(index: Mapping) -> str:
    """How an index was computed."""
    rules = {"imap": "iMAP's rules", "respan": "ResPAN's rules"}[index.get("rules", "imap")]
    return f"{rules}, threshold {index['threshold']:g}, k {index['k']}, k2 {index['k2']}"
