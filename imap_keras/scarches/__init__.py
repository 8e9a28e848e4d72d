"""scArches in Keras: train a conditional VAE once, map queries onto it by architecture surgery.

Lotfollahi et al., Nature Biotechnology 40:121 (2022). For a query only the weights that read the new
batch are added and trained; no reference cell is needed.
"""

from .cells import align_genes
from .classifier import build_classifier
from .cvae import CVAE
from .hyperparameters import ReferenceHyperparameters
from .losses import kl_divergence, mmd, negative_binomial, zero_inflated
from .model import Reference
from .network import BatchTable, build_conditional_decoder, build_conditional_encoder
from .surgery import copy_weights, freeze, grow, parameter_table
from .training import training_rows
from .transfer import neighbor_weights, transfer_labels

__all__ = [
    "CVAE",
    "BatchTable",
    "Reference",
    "ReferenceHyperparameters",
    "align_genes",
    "build_classifier",
    "build_conditional_decoder",
    "build_conditional_encoder",
    "copy_weights",
    "freeze",
    "grow",
    "kl_divergence",
    "mmd",
    "negative_binomial",
    "neighbor_weights",
    "parameter_table",
    "training_rows",
    "transfer_labels",
    "zero_inflated",
]
