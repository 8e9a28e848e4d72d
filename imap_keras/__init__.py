"""imap_keras: deep single-cell integration step by step, in TensorFlow and Keras."""

from importlib.metadata import version

from . import backend

backend.backend_is_tensorflow()

from . import datasets, metrics, pairs, plots, regions, stage1, stage2  # noqa: E402
from .hyperparameters import Hyperparameters  # noqa: E402
from .model import IMAP, integrate  # noqa: E402
from .preprocessing import preprocess  # noqa: E402

__version__ = version("imap_keras")
__all__ = [
    "IMAP",
    "Hyperparameters",
    "datasets",
    "integrate",
    "metrics",
    "pairs",
    "plots",
    "preprocess",
    "regions",
    "stage1",
    "stage2",
]
