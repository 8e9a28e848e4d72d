"""What drawings are made of: boxes, arrows, cells and words on a sheet measured in inches."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ...plots import COLORS, finished

BLUE, ORANGE, GREEN, PINK, _, SKY, RED = COLORS[:7]
GREY, INK = "#666666", "#222222"
SIZE = 9  # points; nothing on a drawing is smaller than 8


class Canvas:
    """One sheet; a place on it is (x, y) in inches from the lower left corner.

    Parameters
    ----------
    width, height
        In inches.
    alt
        What is drawn, in words, for those who cannot see it.

    Examples
    --------
    >>> from imap_keras.course.drawings.canvas import Canvas
    >>> sheet = Canvas(3, 1, "A cell is encoded.")
    >>> sheet.arrow(sheet.box(0.5, 0.5, "cell"), sheet.box(2.5, 0.5, "code"), "E")
    >>> [text.get_text() for text in sheet.figure.axes[0].texts]
    ['cell', 'code', 'E']
    """

    def __init__(self, width: float, height: float, alt: str):
        self.figure = plt.figure(figsize=(width, height))
        self.axis = self.figure.add_axes((0, 0, 1, 1))
        self.axis.set(xlim=(0, width), ylim=(0, height))
        self.axis.axis("off")
        finished(self.figure, alt)

    def text(self, x: float, y: float, words: str, color: str = INK, size: float = SIZE, **options):
        """Write words, their middle at (x, y)."""
        options = {"ha": "center", "va": "center", "linespacing": 1.25, **options}
        self.axis.text(x, y, words, color=color, size=size, zorder=5, **options)

    def box(
        self,
        x: float,
        y: float,
        words: str,
        color: str = BLUE,
        width: float = 1.0,
        height: float = 0.5,
        filled: bool = True,
    ) -> tuple[float, float, float, float]:
        """Draw a box with words, its middle at (x, y); returns its place, for :meth:`arrow`."""
        corner, style = (x - width / 2, y - height / 2), "round,pad=0,rounding_size=0.08"
        face = (color, 0.16) if filled else "white"
        patch = FancyBboxPatch(corner, width, height, boxstyle=style, fc=face, ec=color, lw=1.4)
        patch.set_zorder(3)
        self.axis.add_patch(patch)
        self.text(x, y, words)
        return x, y, width, height

    def arrow(
        self,
        start: Sequence[float],
        end: Sequence[float],
        words: str = "",
        color: str = INK,
        both: bool = False,
        dashed: bool = False,
        bend: float = 0.0,
        shift: tuple[float, float] = (0.0, 0.13),
    ) -> None:
        """Draw an arrow from one place or box to another, with words `shift` away from its middle."""
        first, last = (np.array(place[:2], float) for place in (start, end))
        first, last = edge(start, last - first), edge(end, first - last)
        head = "<|-|>" if both else "-|>"
        patch = FancyArrowPatch(
            first,
            last,
            arrowstyle=head,
            mutation_scale=10,
            connectionstyle=f"arc3,rad={bend}",
            shrinkA=1,
            shrinkB=1,
            color=color,
            lw=1.3,
            ls="--" if dashed else "-",
            zorder=2,
        )
        self.axis.add_patch(patch)
        if words:
            self.text(*((first + last) / 2 + shift), words, color)

    def cells(self, places, color: str, marker: str = "o", size: float = 60) -> None:
        """Draw cells at some places (n x 2)."""
        x, y = np.asarray(places, float).T
        self.axis.scatter(x, y, s=size, c=color, marker=marker, edgecolors="white", lw=0.8, zorder=4)

    def cloud(
        self,
        x: float,
        y: float,
        color: str,
        marker: str = "o",
        radius: float = 0.4,
        turned: float = 0.0,
    ) -> tuple[float, float, float, float]:
        """Draw a round cloud of twelve cells; returns its place, for :meth:`arrow`."""
        n = 12
        turn = turned + np.arange(n) * 2.4  # the golden angle: even without a grid
        away = radius * np.sqrt((np.arange(n) + 0.5) / n)
        places = np.c_[x + away * np.cos(turn), y + away * np.sin(turn)]
        self.cells(places, color, marker, 34)
        return x, y, 2 * radius + 0.16, 2 * radius + 0.16


def edge(place: Sequence[float], towards: np.ndarray) -> np.ndarray:
    """Where a line from the middle of a box leaves it; a bare point is its own edge."""
    middle = np.array(place[:2], float)
    if len(place) == 2 or not np.any(towards):
        return middle
    half = np.array(place[2:], float) / 2
    with np.errstate(divide="ignore"):
        return middle + towards * np.min(half / np.abs(towards))
