"""Bayesian classifiers by variational inference: what one does not know, in numbers."""

from .hyperparameters import Hyperparameters
from .layers import AnnealDivergence, VariationalDense, kl_to_prior
from .model import BayesianClassifier
from .network import build_classifier, posterior_draws
from .uncertainty import (
    accuracy_of_certain,
    calibration_error,
    entropy,
    mutual_information,
    rejection_curve,
    reliability,
)

__all__ = [
    "AnnealDivergence",
    "BayesianClassifier",
    "Hyperparameters",
    "VariationalDense",
    "accuracy_of_certain",
    "build_classifier",
    "calibration_error",
    "entropy",
    "kl_to_prior",
    "mutual_information",
    "posterior_draws",
    "rejection_curve",
    "reliability",
]
