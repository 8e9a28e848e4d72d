"""The one place that knows which Keras is installed.

The course runs on today's TensorFlow with Keras 3 and on the last stack that tensorflow-addons
imports in (TensorFlow 2.15 with Keras 2.15). Everything else keeps to what both share.
"""

import keras
import tensorflow as tf

try:  # tensorflow-addons ended in May 2024; it imports up to TensorFlow 2.15.
    from tensorflow_addons.activations import mish
except ImportError:
    mish = keras.activations.mish

__all__ = ["OWN_DRAWS", "backend_is_tensorflow", "describe_device", "mish"]

# Keras 2 mixes TensorFlow's global seed into a dropout layer's, unless the layer has its own generator.
OWN_DRAWS = {"force_generator": True} if keras.__version__.startswith("2.") else {}


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
        raise ImportError(
            f"Keras runs on the backend {name!r}, imap_keras needs 'tensorflow'. "
            "Set the environment variable KERAS_BACKEND=tensorflow before Python starts "
            "(or mend 'backend' in ~/.keras/keras.json)."
        )


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
