"""Hyperparameters: what every set of them shares, and the rules of single ones."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from functools import partial
from math import isfinite
from numbers import Integral, Real
from typing import ClassVar, Self

import numpy as np

RANGES = {
    "0 or more": lambda value: value >= 0,
    "above 0": lambda value: value > 0,
    "above 0 and at most 1": lambda value: 0 < value <= 1,
    "above 0 and below 1": lambda value: 0 < value < 1,
    "0 or more and below 1": lambda value: 0 <= value < 1,
    "above 0 and below 0.9": lambda value: 0 < value < 0.9,
    "0 or more and below 0.9": lambda value: 0 <= value < 0.9,
}


@dataclass(frozen=True)
class Parameters:
    """Base of the hyperparameters of a method: a frozen dataclass whose fields carry their own rule.

    A field says its default and its rule at once: :func:`count`, :func:`number`, :func:`widths`,
    :func:`choice`, :func:`flag`, :func:`seed`. A subclass may name `METHOD`, for messages, and
    `PRESETS`, changes of the defaults by name.

    Raises
    ------
    ValueError
        A value breaks its rule; the message names it.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from imap_keras.nn.parameters import Parameters, count
    >>> @dataclass(frozen=True)
    ... class Walk(Parameters):
    ...     steps: int = count(3)
    >>> Walk(steps=5).as_dict()
    {'steps': 5}
    >>> Walk(steps=0)
    Traceback (most recent call last):
    ValueError: steps=0 must be a whole number of at least 1.
    """

    METHOD: ClassVar[str] = "this method"
    PRESETS: ClassVar[dict[str, dict]] = {"default": {}}

    def __post_init__(self):
        for entry in fields(self):
            if "rule" in entry.metadata:
                value = entry.metadata["rule"](entry.name, getattr(self, entry.name))
                # The dataclass is frozen, also for itself.
                object.__setattr__(self, entry.name, value)

    @classmethod
    def of(cls, preset: str = "default", **changes) -> Self:
        """Take a preset and change some of its values.

        Raises
        ------
        ValueError
            Unknown preset, or a value out of range.
        TypeError
            Unknown hyperparameter; the message offers the nearest name.
        """
        check_choice("preset", preset, tuple(cls.PRESETS))
        return cls().changed(**cls.PRESETS[preset] | changes)

    def changed(self, **changes) -> Self:
        """The same with some values changed; raises as :meth:`of`."""
        names = [entry.name for entry in fields(self)]
        for name in changes:
            if name not in names:
                near = get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}."
                raise TypeError(f"{name!r} is not a hyperparameter of {self.METHOD}; {hint}")
        return replace(self, **changes)

    def as_dict(self) -> dict:
        """All names and values, ready for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def _ruled(default, check: Callable, **limits):
    return field(default=default, metadata={"rule": partial(check, **limits)})


def count(default: int | None, least: int = 1, optional: bool = False):
    """A field for a whole number, see :func:`check_count`."""
    return _ruled(default, check_count, least=least, optional=optional)


def number(default: float | None, within: str = "0 or more", optional: bool = False):
    """A field for a number, see :func:`check_number`."""
    return _ruled(default, check_number, within=within, optional=optional)


def widths(default: Sequence[int], least: int = 1):
    """A field for the widths of layers, see :func:`check_widths`."""
    return _ruled(tuple(default), check_widths, least=least)


def choice(default: str, allowed: Sequence[str]):
    """A field for one of some words, see :func:`check_choice`."""
    return _ruled(default, check_choice, allowed=tuple(allowed))


def text(default: str):
    """A field for a name, see :func:`check_text`."""
    return _ruled(default, check_text)


def flag(default: bool):
    """A field for True or False, see :func:`check_flag`."""
    return _ruled(default, check_flag)


def seed(default: int = 0):
    """A field for the seed of everything random, see :func:`check_seed`."""
    return _ruled(default, check_seed)


def check_count(name: str, value, least: int = 1, optional: bool = False) -> int | None:
    """Return a whole number of at least `least`, or None where that is `optional`.

    Raises
    ------
    ValueError
        It is something else, a fraction for example.

    Examples
    --------
    >>> from imap_keras.nn.parameters import check_count
    >>> check_count("epochs", 50)
    50
    """
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        or_none = ", or None" if optional else ""
        raise ValueError(f"{name}={value!r} must be a whole number of at least {least}{or_none}.")
    return int(value)


def check_number(name: str, value, within: str = "0 or more", optional: bool = False) -> float | None:
    """Return a finite number `within` one of `RANGES`, or None where that is `optional`.

    Raises
    ------
    ValueError
        It is no number, or outside.

    Examples
    --------
    >>> from imap_keras.nn.parameters import check_number
    >>> check_number("learning_rate", 1, "above 0")
    1.0
    """
    if value is None and optional:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, Real)
        or not (isfinite(value) and RANGES[within](value))
    ):
        or_none = ", or None" if optional else ""
        raise ValueError(f"{name}={value!r} must be a number, {within}{or_none}.")
    return float(value)  # numpy's numbers do not go into JSON


def check_widths(name: str, value, least: int = 1) -> tuple[int, ...]:
    """Return widths of at least so many layers as a tuple (a list comes from JSON).

    Raises
    ------
    ValueError
        There are fewer, or one is not a whole number of at least 1.

    Examples
    --------
    >>> from imap_keras.nn.parameters import check_widths
    >>> check_widths("hidden", [256, 128])
    (256, 128)
    """
    widths = tuple(value) if isinstance(value, Iterable) else (value,)
    if len(widths) < least or not all(isinstance(w, Integral) and w >= 1 for w in widths):
        number = "one" if least else "zero"
        raise ValueError(f"{name}={value!r} must be {number} or more whole numbers of at least 1.")
    return tuple(int(w) for w in widths)


def check_choice(name: str, value, allowed: Sequence[str]) -> str:
    """Return a value that is one of those `allowed`.

    Raises
    ------
    ValueError
        It is another one.

    Examples
    --------
    >>> from imap_keras.nn.parameters import check_choice
    >>> check_choice("search", "exact", ("annoy", "exact"))
    'exact'
    """
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is unknown; choose one of {tuple(allowed)}.")
    return value


def check_text(name: str, value) -> str:
    """Return a name that is not empty.

    Raises
    ------
    ValueError
        It is empty, or no text.

    Examples
    --------
    >>> from imap_keras.nn.parameters import check_text
    >>> check_text("pair_space", "X_scVI")
    'X_scVI'
    """
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name}={value!r} must be a name.")
    return str(value)


def check_flag(name: str, value) -> bool:
    """Return True or False.

    Raises
    ------
    ValueError
        It is neither.

    Examples
    --------
    >>> from imap_keras.nn.parameters import check_flag
    >>> check_flag("recalibrate", False)
    False
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}={value!r} must be True or False.")
    return bool(value)


def check_seed(name: str, value) -> int:
    """Return a seed, a whole number from 0 to 2**32 - 1.

    Raises
    ------
    ValueError
        It is something else.

    Examples
    --------
    >>> from imap_keras.nn.parameters import check_seed
    >>> check_seed("seed", 7)
    7
    """
    value = check_count(name, value, least=0)
    if value >= 2**32:
        raise ValueError(f"{name}={value} must be below 2**32.")
    return value
