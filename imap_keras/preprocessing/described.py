"""What is known of genes and cells, in tables that a file can keep."""

import numpy as np
import pandas as pd


def described(var: pd.DataFrame, places: np.ndarray, names: list[str] | None) -> pd.DataFrame:
    """What is known of these genes; empty for a place of -1, where a mark of True or False is False.

    Parameters
    ----------
    var
        One row a gene.
    places
        Rows to take.
    names
        What the genes will be called, where they were asked for by name.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from imap_keras.preprocessing.described import described
    >>> var = pd.DataFrame({"mark": [True, True], "length": [7, 9]}, index=["a", "b"])
    >>> described(var, np.array([1, -1]), ["b", "c"]).to_dict("list")
    {'mark': [True, False], 'length': [9.0, nan]}
    """
    if names is None:
        return var.iloc[places].copy()
    found = var.set_axis(var.index.astype(str)).reindex(names)
    for column, dtype in var.dtypes.items():
        # With an empty place a mark is neither True nor False, and no file can hold it. A nullable one
        # can be missing, in a file too.
        if dtype == np.dtype(bool):
            found[column] = found[column].eq(True).to_numpy(bool)
    free_index(found)
    return found


def free_index(table: pd.DataFrame) -> None:
    """Take the name off an index whose names have changed, where a column is called the same.

    A file keeps one column of a name, and the index is one.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.preprocessing.described import free_index
    >>> table = pd.DataFrame({"barcode": ["A", "A"]}, index=pd.Index(["A", "A-1"], name="barcode"))
    >>> free_index(table)
    >>> print(table.index.name)
    None
    """
    if table.index.name in table:
        table.index = table.index.rename(None)  # not in place: other tables may share the index
