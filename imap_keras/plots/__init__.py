"""Figures of the course: thin over scanpy and matplotlib, each returns the figure."""

from .bars import index_bars
from .curves import critic_curves, loss_curves
from .figure import COLORS, TYPE_COLORS, alt_text, finished
from .maps import before_after, pairs_over_embedding, pca_of, umap_of

__all__ = [
    "COLORS",
    "TYPE_COLORS",
    "alt_text",
    "before_after",
    "critic_curves",
    "finished",
    "index_bars",
    "loss_curves",
    "pairs_over_embedding",
    "pca_of",
    "umap_of",
]
