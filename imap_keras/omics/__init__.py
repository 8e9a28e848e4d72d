"""Autoencoders for one and for several modalities, and the data that do not fit into memory."""

from ..nn.rows import minibatches
from .autoencoder import (
    build_deep_autoencoder,
    fit_autoencoder,
    pca_error,
    reconstruction_error,
    train_autoencoder,
)
from .backed import BackedCells
from .hyperparameters import Hyperparameters, Modality
from .images import build_image_classifier, train_image_classifier
from .memory import measure_memory
from .modalities import fill_missing
from .model import MultiOmics
from .network import build_joint_network, encoder_of

__all__ = [
    "BackedCells",
    "Hyperparameters",
    "Modality",
    "MultiOmics",
    "build_deep_autoencoder",
    "build_image_classifier",
    "build_joint_network",
    "encoder_of",
    "fill_missing",
    "fit_autoencoder",
    "measure_memory",
    "minibatches",
    "pca_error",
    "reconstruction_error",
    "train_autoencoder",
    "train_image_classifier",
]
