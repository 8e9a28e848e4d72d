"""inClust+: masks for imputation, integration and generation across modalities."""

from .hyperparameters import Hyperparameters
from .model import InClust
from .rows import Rows
from .tasks import generation, imputation, paired, paired_batches, three_modalities

__all__ = [
    "Hyperparameters",
    "InClust",
    "Rows",
    "generation",
    "imputation",
    "paired",
    "paired_batches",
    "three_modalities",
]
