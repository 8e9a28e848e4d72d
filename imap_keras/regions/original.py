"""Files out under the names that the published code gives them."""

from functools import partial
from pathlib import Path

import pandas as pd

from ..nn.persistence import write_whole
from .atlas import region_table

PARTS_BY_NAME = {"cortex": "Cortical", "subcortex": "Subcortical"}


def results_folder(save: Path, data: Path | None, repeat: int) -> Path:
    """``Data_{label}/Repeat_{i}/Results``, the label being the last part of the data file's name.

    Examples
    --------
    >>> from pathlib import Path
    >>> from imap_keras.regions.original import results_folder
    >>> results_folder(Path("out"), Path("Integrated_dataset_0.h5ad"), 3).as_posix()
    'out/Data_0/Repeat_3/Results'
    """
    label = data.stem.split("_")[-1] if data else "0"
    return save / f"Data_{label}" / f"Repeat_{repeat}" / "Results"


def part_name(human_regions) -> str:
    """``"Cortical"`` or ``"Subcortical"`` if all regions are of that part, else ``"All"``.

    Examples
    --------
    >>> from imap_keras.regions.original import part_name
    >>> part_name(["CA1", "Putamen"]), part_name(["CA1", "A8m"])
    ('Subcortical', 'All')
    """
    for part, name in PARTS_BY_NAME.items():
        if set(human_regions) <= set(region_table(part, "human")["region"]):
            return name
    return "All"


def write_embeddings(folder: Path, human: pd.DataFrame, mouse: pd.DataFrame) -> None:
    """Write ``Human_{part}_Embedding.csv`` and ``Mouse_{part}_Embedding.csv``.

    Units are numbered from 1, the index is called ``region_id``.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import pandas as pd
    >>> from imap_keras.regions.original import write_embeddings
    >>> with TemporaryDirectory() as folder:
    ...     write_embeddings(Path(folder), pd.DataFrame([[0.5]], ["CA1"]), pd.DataFrame([[1]], ["DG"]))
    ...     print((Path(folder) / "Human_Subcortical_Embedding.csv").read_text())
    region_id,1
    CA1,0.5
    """
    part = part_name(human.index)
    for species, table in (("Human", human), ("Mouse", mouse)):
        named = table.set_axis(range(1, table.shape[1] + 1), axis=1).rename_axis("region_id")
        write_whole(folder / f"{species}_{part}_Embedding.csv", named.to_csv)


def write_test(folder: Path, predictions: pd.DataFrame, confusion: pd.DataFrame) -> None:
    """Write ``predictions.csv`` (columns ``gt``, ``pred``) and ``confusion_matrix.csv``.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import pandas as pd
    >>> from imap_keras.regions.original import write_test
    >>> with TemporaryDirectory() as folder:
    ...     write_test(Path(folder), pd.DataFrame({"gt": ["DG"], "pred": ["CP"]}), pd.DataFrame())
    ...     print((Path(folder) / "predictions.csv").read_text())
    gt,pred
    DG,CP
    """
    write_whole(folder / "predictions.csv", partial(predictions.to_csv, index=False))
    write_whole(folder / "confusion_matrix.csv", confusion.to_csv)
