"""What the figures share: colours, the place of legends, and words for those who cannot see them."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import pandas as pd
import scanpy as sc
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Colour-blind safe (Okabe and Ito); the first five, of which most figures take two to five, are those
# that are farthest apart.
COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#D55E00", "#F0E442"]
# Types beside batches: other colours (Tol, "muted") and another shape, so that blue is not both.
TYPE_COLORS = ["#882255", "#DDCC77", "#332288", "#44AA99", "#CC6677", "#999933", "#88CCEE", "#117733"]
SHAPES = {"batch": "o", "type": "^"}
BESIDE = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "frameon": False, "fontsize": 8}


def colors_of(values: pd.Series, palette: Sequence[str] = COLORS) -> dict[str, str]:
    """A colour for each label that occurs, in the order of the labels.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.plots.figure import colors_of
    >>> colors_of(pd.Series(["b", "a"]))
    {'a': '#0072B2', 'b': '#E69F00'}
    """
    names = list(pd.Categorical(values).categories)
    palette = palette if len(names) <= len(palette) else sc.pl.palettes.default_102
    return dict(zip(names, cycle(palette), strict=False))


def listed(names: Iterable) -> str:
    """Names with commas between them.

    Examples
    --------
    >>> from imap_keras.plots.figure import listed
    >>> listed(["a", "b"])
    'a, b'
    """
    return ", ".join(map(str, names))


def legend_beside(axis: Axes, colors: Mapping[str, str], shape: str = "o") -> None:
    """Name the colours to the right of a panel.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from imap_keras.plots.figure import finished, legend_beside
    >>> figure, axis = plt.subplots()
    >>> legend_beside(axis, {"a": "black"})
    >>> figure = finished(figure)
    """
    for name, color in colors.items():
        axis.scatter([], [], s=25, color=color, marker=shape, label=name)
    axis.legend(**BESIDE)


def finished(figure: Figure, alt: str = "") -> Figure:
    """Close the figure in pyplot's list and return it: it is shown once, as the value of its cell.

    Parameters
    ----------
    figure
        Any figure.
    alt
        What it shows, in words, for those who cannot see it; given back by :func:`alt_text`.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from imap_keras.plots import finished
    >>> figure = finished(plt.figure())
    >>> figure.number in plt.get_fignums()
    False
    """
    if alt:
        figure.alt = alt
    plt.close(figure)
    return figure


def alt_text(figure: Figure) -> str:
    """What a figure shows, in words: as :func:`finished` was told, or else its titles and axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from imap_keras.plots import alt_text, finished
    >>> figure, axis = plt.subplots()
    >>> text = axis.set(title="Loss", xlabel="epoch", ylabel="squared error")
    >>> alt_text(finished(figure))
    'Figure of one panel. Loss: squared error against epoch.'
    """
    told = getattr(figure, "alt", "")
    if told:
        return told
    panels = []
    for number, axis in enumerate(figure.axes, 1):
        names = [axis.get_ylabel(), axis.get_xlabel()]
        axes = " against ".join(name for name in names if name) or "no named axes"
        legend = axis.get_legend()
        lines = f" ({listed(t.get_text() for t in legend.get_texts())})" if legend else ""
        panels.append(f"{axis.get_title() or f'Panel {number}'}: {axes}{lines}.")
    count = "one panel" if len(panels) == 1 else f"{len(panels)} panels"
    above = figure.get_suptitle()
    return " ".join([f"Figure of {count}.", *([f"{above}."] if above else []), *panels])
