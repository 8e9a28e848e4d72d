"""Masks as pictures."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from ..plots import COLORS, finished
from .rows import Rows

MASKED, READ, JUDGED = "#EEEEEE", COLORS[0], COLORS[1]


def draw_masks(tasks: Mapping[str, Rows]) -> Figure:
    """Draw what each block reads (left) and what it is judged by (right), one line of panels per task.

    Features are the columns, modality after modality, those that are masked alike side by side.

    Parameters
    ----------
    tasks
        Rows by the title to give them.

    Examples
    --------
    >>> from imap_keras.datasets import simulate_modalities
    >>> from imap_keras.inclust import paired
    >>> from imap_keras.inclust.plots import draw_masks
    >>> rows = paired(simulate_modalities(30, {"rna": 6, "protein": 4}))
    >>> figure = draw_masks({"paired": rows})
    >>> len(figure.axes), figure.alt[-25:]
    (2, 'protein->rna 40% and 60%.')
    """
    heights = [len(rows.blocks) + 1.2 for rows in tasks.values()]
    figure, axes = plt.subplots(
        len(tasks),
        2,
        figsize=(9, 0.34 * sum(heights)),
        squeeze=False,
        height_ratios=heights,
        layout="constrained",
    )
    for line, (title, rows) in zip(axes, tasks.items()):
        order, modalities = _order(rows), np.array(rows.modalities)
        names, first = np.unique(modalities[order], return_index=True)
        last = np.append(np.sort(first)[1:], len(order))
        for axis, masks, color in zip(line, (rows.input_masks, rows.output_masks), (READ, JUDGED)):
            colors = ListedColormap([MASKED, color])
            axis.imshow(
                masks[:, order], aspect="auto", cmap=colors, vmin=0, vmax=1, interpolation="none"
            )
            for edge in np.arange(1, len(rows.blocks)):
                axis.axhline(edge - 0.5, color="white", lw=3)
            for edge in last[:-1]:
                axis.axvline(edge - 0.5, color="0.2", lw=1)
            middle = (np.sort(first) + last - 1) / 2
            axis.set_xticks(middle, names[np.argsort(first)], fontsize=8)
            axis.set_yticks(range(len(rows.blocks)), rows.blocks, fontsize=8)
            axis.tick_params(length=0)
        line[0].set_title(f"{title}: what is read", fontsize=9)
        line[1].set(title="what is judged", yticks=[])
        line[1].title.set_fontsize(9)
    told = "; ".join(f"{title}: {_shares(rows)}" for title, rows in tasks.items())
    alt = f"Which share of all features each block reads, and by which it is judged. {told}."
    return finished(figure, alt)


def _shares(rows: Rows) -> str:
    """What each block reads and is judged by, in words."""
    shares = zip(rows.blocks, rows.input_masks, rows.output_masks, strict=True)
    return ", ".join(
        f"{name} {read.mean():.0%} and {judged.mean():.0%}" for name, read, judged in shares
    )


def _order(rows: Rows) -> np.ndarray:
    """Columns by modality, then by how they are masked."""
    modality = np.array([list(dict.fromkeys(rows.modalities)).index(m) for m in rows.modalities])
    return np.lexsort([*rows.output_masks[::-1], *-rows.input_masks[::-1], modality])
