"""The course: what its notebooks share. ``python -m imap_keras.course`` runs them."""

from . import handover
from .exercises import Check
from .handover import Settings
from .results import Results, SkipNotebook, versions_table

__all__ = ["Check", "Results", "Settings", "SkipNotebook", "handover", "versions_table"]
