"""What the batches' names and sizes say before any work."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from ..inputs.labels import MIN_CELLS

FEW_CELLS = 100
MOST_NAMED, FIRST = 20, 5  # of more batches than that, the first ones are named


def named(names: Collection[str]) -> str:
    """Names in a row; of very many the first ones, and how many there are beside them.

    Examples
    --------
    >>> from imap_keras.command.batches import named
    >>> named(["a", "b"]), named([f"b{i}" for i in range(30)])
    ('a, b', 'b0, b1, b2, b3, b4 and 25 more')
    """
    names = list(names)
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:FIRST])} and {len(names) - FIRST:,} more"


def counted(n: int, one: str, several: str) -> str:
    """A number with the word that goes with it.

    Examples
    --------
    >>> from imap_keras.command.batches import counted
    >>> counted(1, "cell", "cells"), counted(2000, "cell", "cells")
    ('1 cell', '2,000 cells')
    """
    return f"{n:,} {one if n == 1 else several}"


def said_of_batches(sizes: dict[str, int], batch_key: str) -> str:
    """How many batches there are, and how many cells each has.

    Examples
    --------
    >>> from imap_keras.command.batches import said_of_batches
    >>> said_of_batches({"a": 1500, "b": 20}, "donor")
    "2 batches in 'donor': a (1,500), b (20)."
    """
    row = named([f"{name} ({n:,})" for name, n in sizes.items()])
    return f"{counted(len(sizes), 'batch', 'batches')} in {batch_key!r}: {row}."


def almost_alike(names: Collection[str]) -> str | None:
    """A sentence on names that differ only in case or in spaces around them; None without any.

    Examples
    --------
    >>> from imap_keras.command.batches import almost_alike
    >>> almost_alike(["run", "Run ", "other"])
    "Batches 'run' and 'Run ' differ only in case or in spaces. If they are one, give them one name."
    """
    of_meaning = {}
    for name in names:
        of_meaning.setdefault(name.strip().casefold(), []).append(repr(name))
    alike = [" and ".join(same) for same in of_meaning.values() if len(same) > 1]
    if not alike:
        return None
    return (
        f"Batches {named(alike)} differ only in case or in spaces. If they are one, give them one name."
    )


def one_batch_each(types: np.ndarray, batch: np.ndarray) -> bool:
    """True where each of several types lies in one batch: no measure of mixing by type says anything.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.command.batches import one_batch_each
    >>> one_batch_each(np.array(["T", "B"]), np.array(["x", "y"]))
    True
    """
    return bool(pd.Series(batch).groupby(types).nunique().max() == 1)


def too_few(sizes: dict[str, int], kept: dict[str, int], min_genes: int) -> str | None:
    """A sentence on batches, or cells of them that stay, that are too few to integrate; None else."""
    small = [name for name in kept if sizes[name] < MIN_CELLS]
    if len(small) > max(1, len(kept) / 2):
        return (
            f"{len(small):,} of {counted(len(sizes), 'batch', 'batches')} have fewer than {MIN_CELLS} "
            "cells: is --batch-key the right column?"
        )
    few = [name for name, n in kept.items() if n < MIN_CELLS]
    if few and few[0] in small:
        return (
            f"Batch {few[0]!r} has {counted(sizes[few[0]], 'cell', 'cells')}; at least {MIN_CELLS} are "
            "needed. Leave it out or merge it with another batch."
        )
    if few:
        return (
            f"Batch {few[0]!r} keeps {kept[few[0]]} of {sizes[few[0]]:,} cells with at least "
            f"{min_genes} detected genes; {MIN_CELLS} are needed. Lower --min-genes."
        )
    if len(kept) < 2 <= len(sizes):
        return (
            f"{len(kept)} of {len(sizes)} batches keep cells with at least {min_genes} detected genes; "
            "two are needed. Lower --min-genes."
        )
    return None


def few_cells(sizes: dict[str, int], have: str = "have") -> str | None:
    """A sentence on batches that can be integrated, but hold few cells; None without any.

    Examples
    --------
    >>> from imap_keras.command.batches import few_cells
    >>> few_cells({"a": 500, "b": 33}, "keep")
    "1 of 2 batches keep fewer than 100 cells, 'b' for example 33: look at the verdict with care."
    """
    few = [name for name, n in sizes.items() if MIN_CELLS <= n < FEW_CELLS]
    if not few:
        return None
    return (
        f"{len(few)} of {len(sizes)} batches {have} fewer than {FEW_CELLS} cells, "
        f"{few[0]!r} for example {sizes[few[0]]}: look at the verdict with care."
    )
