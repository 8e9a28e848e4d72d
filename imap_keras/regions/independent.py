"""A test on cells of another data set: which regions are taken for which."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from ..inputs.labels import labels_of
from .model import RegionClassifier


def confusion_matrix(true: Sequence[str], named: Sequence[str], regions: Sequence[str]) -> pd.DataFrame:
    """Share of each region's rows that was named as each region.

    Parameters
    ----------
    true, named
        Region of each row, and what the classifier says.
    regions
        Order of the columns, and of the rows that occur.

    Returns
    -------
    pandas.DataFrame
        True regions that occur x regions; each row sums to 1.

    Examples
    --------
    >>> from imap_keras.regions import confusion_matrix
    >>> confusion_matrix(["A", "A", "B"], ["A", "B", "B"], ["A", "B", "C"])
         A    B    C
    A  0.5  0.5  0.0
    B  0.0  1.0  0.0
    """
    table = pd.crosstab(np.asarray(true), np.asarray(named), normalize="index")
    rows = [name for name in regions if name in table.index]
    table = table.reindex(index=rows, columns=list(regions), fill_value=0.0)
    return table.rename_axis(index=None, columns=None)


def independent_test(
    model: RegionClassifier, cells: AnnData, region_key: str = "region"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Name the rows of cells that the classifier has not seen.

    Parameters
    ----------
    model
        Fitted.
    cells, region_key
        Rows x genes of the same species, and the column with their regions.

    Returns
    -------
    predictions, confusion
        Columns ``gt`` (the region) and ``pred`` (its name by the classifier); :func:`confusion_matrix`.

    Raises
    ------
    KeyError, ValueError
        The column is missing; a row is of a region that the classifier does not know; as
        :meth:`imap_keras.regions.RegionClassifier.predict`.

    Examples
    --------
    >>> from imap_keras.regions import RegionClassifier, independent_test, simulate_species
    >>> human, _ = simulate_species("subcortex", n_cells=220, n_genes=30, n_donors=5)
    >>> model = RegionClassifier(hidden=(8,), epochs=1).fit(human, verbose=0)
    >>> predictions, confusion = independent_test(model, human[::2])
    >>> len(predictions), confusion.shape
    (110, (22, 22))
    """
    model.check_fitted()
    true = labels_of(cells, region_key, "region_key")
    check_known(true, model.regions)
    named = model.predict(cells)
    return pd.DataFrame({"gt": true, "pred": named}), confusion_matrix(true, named, model.regions)


def check_known(found: Sequence[str], known: Sequence[str]) -> None:
    """Raise if a region of the test is not one that the classifier learns.

    Raises
    ------
    ValueError
        Says how many and which.

    Examples
    --------
    >>> from imap_keras.regions.independent import check_known
    >>> check_known(["DG"], ["CA1", "DG"])
    """
    known = set(map(str, known))
    unknown = sorted(set(map(str, found)) - known)
    if unknown:
        raise ValueError(
            f"{len(unknown)} regions of the test are not among the {len(known)} that the classifier "
            f"knows: {', '.join(map(repr, unknown[:5]))}. Leave their rows out."
        )


def load_repeats(folder: str | Path, n_repeats: int) -> list[tuple[Path, RegionClassifier]]:
    """The classifiers that a run left in a folder.

    Raises
    ------
    FileNotFoundError, ValueError
        One of them is missing or damaged.

    Examples
    --------
    >>> from imap_keras.regions.independent import load_repeats
    >>> load_repeats("nowhere", 0)
    []
    """
    places = [Path(folder).expanduser() / f"repeat_{i:03d}" for i in range(n_repeats)]
    return [(place, RegionClassifier.load(place)) for place in places]
