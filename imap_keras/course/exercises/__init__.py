"""What an exercise of the course asks, one module a notebook (``nb02.py``), and who checks it."""

from .check import Check, find
from .trial import Exercise, Trial, agrees, unlike

__all__ = ["Check", "Exercise", "Trial", "agrees", "find", "unlike"]
