"""From counts to the log-normalised, variable genes that both stages read."""

from .preprocess import preprocess
from .variable import normalised, per_batch_genes, variable_genes

__all__ = ["normalised", "per_batch_genes", "preprocess", "variable_genes"]
