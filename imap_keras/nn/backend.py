"""What is asked of TensorFlow and Keras before anything is trained.

The course runs on today's TensorFlow with Keras 3 and on the last stack that tensorflow-addons
imports in (TensorFlow 2.15 with Keras 2.15). What differs between the two is settled here, in
`optimizer.py`, `callbacks.py` and `fitting.py`; everything else keeps to what both share.
"""

import json
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .quiet import quiet_start


def _wrong_backend(name: str) -> ImportError:
    return ImportError(
        f"Keras runs on the backend {name!r}, imap_keras needs 'tensorflow'. "
        "Set the environment variable KERAS_BACKEND=tensorflow before Python starts "
        "(or mend 'backend' in ~/.keras/keras.json)."
    )


def _configured_backend() -> str:
    """The backend that Keras 3 is told to use, read where it reads it."""
    file = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    try:
        in_file = json.loads(file.read_text()).get("backend")
    except (OSError, ValueError, AttributeError):
        in_file = None
    return os.environ.get("KERAS_BACKEND") or in_file or "tensorflow"


# Several processes share a GPU, such as notebooks or workers; left alone, TensorFlow takes all of its
# memory for the first.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

with quiet_start():
    try:
        import keras
        import tensorflow as tf
        from tensorflow.python.framework import config  # enabling alone is public
    except (ImportError, ValueError) as error:  # a backend that is not installed, or that there is not
        if _configured_backend() == "tensorflow":
            raise
        raise _wrong_backend(_configured_backend()) from error
    try:  # tensorflow-addons ended in May 2024; it imports up to TensorFlow 2.15.
        with warnings.catch_warnings():  # and says so each time
            warnings.simplefilter("ignore", UserWarning)
            from tensorflow_addons.activations import mish
    except ImportError:
        mish = keras.activations.mish

__all__ = [
    "OWN_DRAWS",
    "backend_is_tensorflow",
    "check_process",
    "check_training",
    "describe_device",
    "mish",
    "same_every_time",
    "whole_graphs",
]

# Keras 2 mixes TensorFlow's global seed into a dropout layer's, unless the layer has its own generator.
OWN_DRAWS = {"force_generator": True} if keras.__version__.startswith("2.") else {}

_first_used_in: int | None = None  # the process in which TensorFlow was first used


def backend_is_tensorflow() -> None:
    """Raise if Keras runs on another backend than TensorFlow.

    Raises
    ------
    ImportError
        The active Keras backend is JAX, PyTorch or another: the training steps here use
        `tf.GradientTape`.

    Examples
    --------
    >>> from imap_keras.nn.backend import backend_is_tensorflow
    >>> backend_is_tensorflow()
    """
    name = keras.backend.backend()
    if name != "tensorflow":
        raise _wrong_backend(name)


def check_training() -> None:
    """Raise, before any long work, where training would fail or hang: every `fit` begins with this.

    Raises
    ------
    RuntimeError
        Keras is set to compute in another precision than float32, or to distribute, which it does not
        on TensorFlow; or as :func:`check_process`.

    Examples
    --------
    >>> from imap_keras.nn.backend import check_training
    >>> check_training()
    """
    layer = keras.layers.Activation("linear")
    for what, found in (
        ("floatx", keras.backend.floatx()),
        ("precision policy", layer.compute_dtype),
        ("precision policy", layer.variable_dtype),
    ):
        if found != "float32":
            raise RuntimeError(
                f"Keras is set to {found} (its {what}); imap_keras trains in float32. Call "
                "keras.backend.set_floatx('float32') and "
                "keras.mixed_precision.set_global_policy('float32') first."
            )
    wished = getattr(keras, "distribution", None)  # Keras 2 has none
    if wished is not None and wished.distribution() is not None:
        raise RuntimeError(
            f"keras.distribution is set to a {type(wished.distribution()).__name__}, which on "
            "TensorFlow distributes nothing and does not say so. Call "
            "keras.distribution.set_distribution(None), "
            "and hand a tf.distribute.MirroredStrategy to fit."
        )
    check_process()


def check_process() -> None:
    """Raise in a process that was forked from one that had used TensorFlow: it would hang for ever.

    Raises
    ------
    RuntimeError
        Names the start method that works.

    Examples
    --------
    >>> from imap_keras.nn.backend import check_process
    >>> check_process()
    """
    global _first_used_in
    _first_used_in = _first_used_in or os.getpid()
    if _first_used_in != os.getpid():
        raise RuntimeError(
            "This process was forked from one that had used TensorFlow already, and would hang. Start "
            "workers with multiprocessing.get_context('spawn')."
        )


@contextmanager
def whole_graphs() -> Iterator[None]:
    """Train in here: TensorFlow optimises the whole graph of a training step.

    One of its passes, the remapper, fails on the gradient of stage I; TensorFlow prints six lines and
    then leaves the graph as it is. The pass fuses convolutions, of which there are none here.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from imap_keras.nn.backend import whole_graphs
    >>> with whole_graphs():
    ...     tf.config.optimizer.get_experimental_options()["remapping"]
    False
    """
    before = tf.config.optimizer.get_experimental_options().get("remapping", True)
    tf.config.optimizer.set_experimental_options({"remapping": False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"remapping": before})


@contextmanager
def same_every_time() -> Iterator[None]:
    """Train in here: a GPU gives the same numbers each time, as a CPU does anyway.

    A GPU adds up in the order in which its threads are done, unless TensorFlow is told otherwise: of
    two fits with one seed on an H200 the components were up to 0.33 apart, and 0 with the order kept in
    all of the program, for a tenth more time. A user's own choice for the rest of the program stands.

    Examples
    --------
    >>> from imap_keras.nn.backend import same_every_time
    >>> with same_every_time():
    ...     pass
    """
    if not tf.config.list_physical_devices("GPU") or config.is_op_determinism_enabled():
        yield
        return
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        config.disable_op_determinism()


def describe_device() -> str:
    """Name the device TensorFlow computes on: the first GPU it sees, else the CPU.

    Returns
    -------
    str
        For example ``"GPU: NVIDIA A100"`` or ``"CPU"``.

    Examples
    --------
    >>> from imap_keras.nn.backend import describe_device
    >>> describe_device()[:3] in ("CPU", "GPU")
    True
    """
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    details = tf.config.experimental.get_device_details(gpus[0])
    return f"GPU: {details.get('device_name', gpus[0].name)}"


PACKAGES = (
    "imap_keras",
    "tensorflow",
    "keras",
    "tensorflow-addons",
    "annoy",
    "anndata",
    "scanpy",
    "numpy",
)


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages the course stands on, those that are installed.

    Examples
    --------
    >>> from imap_keras.nn.backend import installed_versions
    >>> "keras" in installed_versions()
    True
    """
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
