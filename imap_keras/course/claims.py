"""What a notebook's text claims, held against the results it was built with."""

import re
from collections.abc import Iterable

# `code`, ```blocks``` and $formulas$ quote settings and symbols, not results.
NO_PROSE = r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]*\$"
# A decimal number, or any number before a percent sign; no version (2.15.1) and no word (v0.3).
NUMBER = r"(?<![\w.,])([-\u2212]?\d+(?:\.\d+)?)(?![\w]|[.,]\d)(\s?(?:%|per\scent))?"


def quoted_numbers(text: str) -> list[tuple[str, bool]]:
    """Decimal numbers and percentages of a text, as written, and whether each is a percentage.

    Examples
    --------
    >>> from imap_keras.course.claims import quoted_numbers
    >>> quoted_numbers("From 0.81 to 86 % in 20 epochs; `pair_agreement=0.5`, Keras 2.15.1.")
    [('0.81', False), ('86', True)]
    """
    prose = re.sub(NO_PROSE, " ", text, flags=re.DOTALL)
    found = [(number.replace("\u2212", "-"), bool(sign)) for number, sign in re.findall(NUMBER, prose)]
    return [(number, percent) for number, percent in found if percent or "." in number]


def agrees(number: str, percent: bool, value: float) -> bool:
    """Say whether a quoted number is a result, to the digits shown.

    "Falls by 0.03" may rest on -0.03, so only a number written with its minus sign is compared with it.

    Examples
    --------
    >>> from imap_keras.course.claims import agrees
    >>> agrees("0.86", False, 0.8586), agrees("86", True, 0.8586), agrees("0.87", False, 0.8586)
    (True, True, False)
    """
    value = 100 * value if percent else value
    digits = len(number.partition(".")[2])
    value = value if number.startswith("-") else abs(value)
    return abs(float(number) - value) <= 0.5 * 10**-digits * (1 + 1e-6)


def broken_claims(cells: Iterable, rows: list[dict]) -> list[str]:
    """What is wrong with the claims of a notebook's text cells; nothing, if each holds.

    A text cell that says what to see, or quotes a number, names the results it rests on in its
    metadata: ``# %% [markdown] claims=["true_positive_gain"]``. Each of them is a row of the results
    that holds its bound, and each decimal number or percentage of the cell is one of these, to the
    digits shown. They are named in the order in which the text quotes them, and again where it comes
    back to one: a wrong number that happens to be another result of the cell is found by its place.

    Parameters
    ----------
    cells
        Cells of the notebook, as jupytext or nbformat read them.
    rows
        ``"results"`` of its results file.

    Returns
    -------
    list of str
        One sentence for each fault, which begins with the number of the cell.

    Examples
    --------
    >>> import nbformat
    >>> from imap_keras.course.claims import broken_claims
    >>> text = "**What to see:** green grows by 0.66."
    >>> cell = nbformat.v4.new_markdown_cell(text, metadata={"claims": ["gain"]})
    >>> broken_claims([cell], [{"name": "gain", "value": 0.6643, "bound": ">= 0.15", "holds": True}])
    []
    >>> broken_claims([cell], [{"name": "gain", "value": 0.7, "bound": ">= 0.15", "holds": True}])
    ['cell 0: 0.66 is none of the claimed results gain = 0.7']
    """
    known, faults = {row["name"]: row for row in rows}, []
    for place, cell in enumerate(cells):
        claims = cell.metadata.get("claims")
        if cell.cell_type != "markdown" or (claims is None and "What to see" not in cell.source):
            continue
        if not claims:
            faults.append(f"cell {place}: says what to see and claims no result")
            continue
        missing = [name for name in claims if name not in known]
        faults += [f"cell {place}: no result is named {name!r}" for name in missing]
        claimed = [known[name] for name in claims if name in known]
        faults += [
            f"cell {place}: {row['name']} = {row['value']:.4g}, not {row['bound']}"
            for row in claimed
            if not row["holds"]
        ]
        told = ", ".join(f"{row['name']} = {row['value']:.4g}" for row in claimed)
        left = claimed
        for number, percent in quoted_numbers(cell.source):
            said = f"cell {place}: {number}{' %' if percent else ''}"
            agreeing = [i for i, row in enumerate(left) if agrees(number, percent, row["value"])]
            if agreeing:
                left = left[agreeing[0] :]
            elif any(agrees(number, percent, row["value"]) for row in claimed):
                last = f"{left[0]['name']} = {left[0]['value']:.4g}"
                faults.append(f"{said} is quoted after {last}, but the claims name it before")
            else:
                faults.append(f"{said} is none of the claimed results {told}")
    return faults
