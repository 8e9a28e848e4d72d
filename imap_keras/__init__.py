"""imap_keras: deep single-cell integration step by step, in TensorFlow and Keras."""

import sys
from importlib.metadata import version

from .nn.backend import backend_is_tensorflow
from .nn.quiet import quiet_bars

backend_is_tensorflow()
quiet_bars()

from . import bayes, datasets, inclust, metrics, omics, plots, regions, scarches  # noqa: E402
from .imap import IMAP, Hyperparameters, integrate, pairs, stage1, stage2  # noqa: E402
from .preprocessing import preprocess  # noqa: E402

# The lessons' modules under their short names too: one module object, two names.
for _lesson in (pairs, stage1, stage2):
    sys.modules[f"{__name__}.{_lesson.__name__.rpartition('.')[2]}"] = _lesson

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
