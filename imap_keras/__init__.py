"""imap_keras: deep single-cell integration step by step, in TensorFlow and Keras."""

from importlib.metadata import version

from . import backend

backend.backend_is_tensorflow()

from . import (  # noqa: E402
    bayes,
    datasets,
    inclust,
    metrics,
    omics,
    pairs,
    plots,
    regions,
    scarches,
    stage1,
    stage2,
)
from .hyperparameters import Hyperparameters  # noqa: E402
from .integration import integrate  # noqa: E402
from .model import IMAP  # noqa: E402
from .preprocessing import preprocess  # noqa: E402

__version__ = version("imap_keras")
__all__ = [
    "IMAP",
    "Hyperparameters",
    "bayes",
    "datasets",
    "inclust",
    "integrate",
    "metrics",
    "omics",
    "pairs",
    "plots",
    "preprocess",
    "regions",
    "scarches",
    "stage1",
    "stage2",
]
