"""iMAP (Wang et al., Genome Biology 22:63, 2021): both stages, the pairs between them, and the fit.

Which genes tell types or platforms apart: :mod:`imap_keras.imap.importance`.
"""

from .hyperparameters import Hyperparameters
from .importance import contrast_importance, gene_importance
from .model import IMAP, integrate
from .ranking import expression_scores, rank_genes

__all__ = [
    "IMAP",
    "Hyperparameters",
    "contrast_importance",
    "expression_scores",
    "gene_importance",
    "integrate",
    "rank_genes",
]
