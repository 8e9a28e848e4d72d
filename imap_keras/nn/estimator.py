"""What the methods' public classes share: hyperparameters, "not fitted yet", save and load."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ClassVar, Self

import keras
import numpy as np

from .backend import check_process, check_training
from .persistence import DESCRIPTION, Widths, load_models, save_models
from .replicas import check_scope


class NotFittedError(RuntimeError):
    """Something was asked of a model that has not been fitted."""


def _checked(fit: Callable) -> Callable:
    """What trains, asking first whether it can: :func:`check_training`, :func:`check_scope`."""

    @wraps(fit)
    def checked_fit(*args, **kwargs):
        check_training()
        check_scope()
        return fit(*args, **kwargs)

    return checked_fit


class Estimator:
    """Base of the methods' classes.

    A subclass names its `kind`, as written into the saved model, and `how_to_fit`, for the message; it
    gives its networks and its state, and takes them back. Its `fit` and `map_query` begin with
    :func:`imap_keras.nn.backend.check_training` and :func:`imap_keras.nn.replicas.check_scope`, without
    a line of their own.

    Examples
    --------
    >>> from imap_keras.nn.estimator import Estimator
    >>> class Lamp(Estimator):
    ...     how_to_fit = "fit(adata)"
    ...     def _networks(self):
    ...         return {}
    >>> Lamp().check_fitted()
    Traceback (most recent call last):
    imap_keras.nn.estimator.NotFittedError: This Lamp is not fitted yet; call fit(adata) first.
    """

    kind: ClassVar[str]
    how_to_fit: ClassVar[str]

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        for name in {"fit", "map_query"} & set(vars(cls)):
            setattr(cls, name, _checked(getattr(cls, name)))

    def _networks(self) -> dict[str, keras.Model]:
        """The trained networks by name; none before `fit`."""
        raise NotImplementedError

    def _state(self) -> dict:
        """Everything else that makes the model, as JSON can hold it."""
        raise NotImplementedError

    @classmethod
    def _expected(cls, state: dict) -> dict[str, Widths]:
        """The networks that belong to this state, and the widths of their inputs and outputs."""
        raise NotImplementedError

    @classmethod
    def _restored(cls, networks: dict[str, keras.Model], state: dict) -> Self:
        """The model that gave these networks and this state."""
        raise NotImplementedError

    def check_fitted(self) -> None:
        """Raise if the model has not been fitted.

        Raises
        ------
        NotFittedError
            Says what to call first.
        """
        if not self._networks():
            raise NotFittedError(
                f"This {type(self).__name__} is not fitted yet; call {self.how_to_fit} first."
            )

    def save(self, folder: str | Path) -> None:
        """Write the fitted model as Keras files and one JSON; an interruption keeps an older one.

        Raises
        ------
        NotFittedError
            The model has not been fitted.
        NotADirectoryError, FileExistsError
            `folder` is a file, or holds a model of another kind.
        """
        self.check_fitted()
        save_models(folder, self.kind, self._networks(), self._state())

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model that :meth:`save` wrote.

        Raises
        ------
        FileNotFoundError, ValueError
            The folder is not a saved model of this kind, or a file of it is missing or damaged; names
            the file.
        """
        check_process()
        networks, state = load_models(folder, cls.kind, cls._expected)
        try:
            return cls._restored(networks, state)
        except Exception as error:
            place = Path(folder).expanduser() / DESCRIPTION
            raise ValueError(
                f"{place} is no {cls.__name__} ({type(error).__name__}: {error})."
            ) from error


def finite(state: dict, name: str, length: int) -> np.ndarray:
    """Numbers of a saved state, one for each of `length` features.

    Raises
    ------
    ValueError
        They are not `length` finite numbers.

    Examples
    --------
    >>> from imap_keras.nn.estimator import finite
    >>> finite({"scale": [1.0, 2.0]}, "scale", 2).tolist()
    [1.0, 2.0]
    """
    values = np.array(state[name], "float64")
    if values.shape != (length,) or not np.isfinite(values).all():
        raise ValueError(f"{name} must be {length} finite numbers")
    return values
