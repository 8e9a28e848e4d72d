"""The results of a run of the course compared with those of an earlier one."""

import json
from pathlib import Path

import pandas as pd

TOLERANCE = 0.1  # of the earlier value, where a row states no tolerance of its own
SMALLEST = 0.1  # a smaller value may differ by the share of this one: shares near 0 are noise


def rows_of(path: Path) -> list[dict]:
    """The results in a results file.

    Raises
    ------
    ValueError
        The file is no results file.

    Examples
    --------
    >>> from pathlib import Path
    >>> from imap_keras.course.baseline import rows_of
    >>> rows_of(Path("notebooks/results/00_tour.json"))[0]["name"]
    'true_positive_gain'
    """
    try:
        rows = json.loads(path.read_text())["results"]
        for row in rows:
            float(row["value"]), row["name"], row["bound"], row["holds"]
    except FileNotFoundError:
        raise ValueError(f"There is no results file {path}.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no results file ({type(error).__name__}: {error}).") from None
    return rows


def drift(now: Path, earlier: Path) -> pd.DataFrame:
    """Compare every number of two results files.

    Parameters
    ----------
    now, earlier
        Results files of one notebook.

    Returns
    -------
    pandas.DataFrame
        One row a result, by name: `earlier`, `now`, the `tolerance` (how far they may be apart) and
        whether it `drifted`. A result that only one of the files has has drifted.

    Raises
    ------
    ValueError
        A file is no results file.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> from imap_keras.course.baseline import drift
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name, value in (("now", 0.9), ("earlier", 0.7)):
    ...     row = {"name": "share", "value": value, "bound": ">= 0.5", "holds": True}
    ...     _ = (folder / name).write_text(json.dumps({"results": [row]}))
    >>> drift(folder / "now", folder / "earlier")
           earlier  now  tolerance  drifted
    share      0.7  0.9       0.07     True
    """
    new, old = ({row["name"]: row for row in rows_of(path)} for path in (now, earlier))
    table = pd.DataFrame(index=list(old | new))
    for column, rows in (("earlier", old), ("now", new)):
        table[column] = [float(rows[name]["value"]) if name in rows else None for name in table.index]
    shares = [(old | new)[name].get("tolerance", TOLERANCE) for name in table.index]
    table["tolerance"] = table["earlier"].abs().clip(lower=SMALLEST) * shares
    table["drifted"] = ~((table["now"] - table["earlier"]).abs() <= table["tolerance"])
    return table


def drift_report(names: list[str], now: Path, earlier: Path) -> tuple[str, bool]:
    """Table of the results that drifted, over several notebooks, and whether any did.

    Parameters
    ----------
    names
        Notebooks, without ending.
    now, earlier
        Folders of results files; a notebook that has none in `now` was not run and is left out.

    Raises
    ------
    ValueError
        A file is no results file.

    Examples
    --------
    >>> from pathlib import Path
    >>> from imap_keras.course.baseline import drift_report
    >>> drift_report([], Path("now"), Path("earlier"))
    ('No result to compare.', False)
    """
    tables = {
        name: drift(now / f"{name}.json", earlier / f"{name}.json")
        for name in names
        if (now / f"{name}.json").is_file()
    }
    if not tables:
        return "No result to compare.", False
    table = pd.concat(tables, names=["notebook", "result"])
    drifted = table[table["drifted"]].drop(columns="drifted").reset_index()
    told = f"{len(drifted)} of {len(table)} results drifted from {earlier}."
    if len(drifted):
        told += "\n" + drifted.to_string(index=False, float_format="{:.4g}".format)
    return told, bool(len(drifted))
