"""iMAP (Wang et al., Genome Biology 22:63, 2021): both stages, the pairs between them, and the fit."""

from .hyperparameters import Hyperparameters
from .model import IMAP, integrate

__all__ = ["IMAP", "Hyperparameters", "integrate"]
