"""Rows of a results table: added, or replaced where measured again, always whole; its bold cells."""

from pathlib import Path

import pandas as pd

from imap_keras.nn.persistence import write_whole

RESULTS = Path(__file__).parent / "results"


def bold(cells: list[str], highest) -> list[str]:
    """Cells of a Markdown table, those of the highest values in bold."""
    return [f"**{cell}**" if best else cell for cell, best in zip(cells, highest, strict=True)]


def keep(file: str, rows: list[dict], keys: list[str]) -> None:
    """Add rows to ``results/`` `file`; one of the same `keys` takes the place of the older one."""
    path, table = RESULTS / file, pd.DataFrame(rows)
    if path.exists():
        table = pd.concat([pd.read_csv(path), table]).drop_duplicates(keys, keep="last")
    text = table.sort_values(keys).to_csv(index=False, float_format="%.4g")
    write_whole(path, lambda temporary: temporary.write_text(text))
