"""Checks of single hyperparameters, and what every set of them shares."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from numbers import Integral, Real

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
    """Base of the hyperparameters of a method: a frozen dataclass that checks its own values.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from imap_keras.nn.parameters import Parameters, check_count
    >>> @dataclass(frozen=True)
    ... class Walk(Parameters):
    ...     steps: int = 3
    ...
    ...     def __post_init__(self):
    ...         self.check(check_count, "steps")
    >>> Walk(steps=5).as_dict()
    {'steps': 5}
    """

    def check(self, rule, *names: str, **limits) -> None:
        """Replace the named values by what a check makes of them, or raise as it does."""
        for name in names:
            # The dataclass is frozen, also for itself.
            object.__setattr__(self, name, rule(name, getattr(self, name), **limits))

    def as_dict(self) -> dict:
        """All names and values, ready for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


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


def check_seed(name: str, value, bits: int = 32) -> int:
    """Return a seed, a whole number from 0 to below 2**bits.

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
    seed = check_count(name, value, least=0)
    if seed >= 2**bits:
        raise ValueError(f"{name}={value} must be below 2**{bits}.")
    return seed
