"""The names: regions of the two atlases, and the pairs that are known to be homologous."""

from functools import cache
from pathlib import Path

import pandas as pd

PARTS = ("cortex", "subcortex", "brain")
SPECIES = ("human", "mouse")
# The published files' spelling, and this kit's.
MENDED = {"posterovemtral putamen": "posteroventral putamen"}
HERE = Path(__file__).parent


def region_table(part: str, species: str) -> pd.DataFrame:
    """Regions of one part of the brain, in anatomical order.

    Parameters
    ----------
    part
        ``"cortex"``, ``"subcortex"`` or ``"brain"`` (both).
    species
        ``"human"`` (Brainnetome atlas for the cortex: 105 regions; 22 subcortical ones) or ``"mouse"``
        (Allen reference atlas: 39 and 29).

    Returns
    -------
    pandas.DataFrame
        Columns part, lobe, group (gyrus or nucleus group) and region.

    Raises
    ------
    ValueError
        Unknown part or species.

    References
    ----------
    Fan et al., Cerebral Cortex 26:3508 (2016); Wang et al., Cell 181:936 (2020); the selection is
    TransBrain's, https://doi.org/10.1038/s41592-025-02961-3.

    Examples
    --------
    >>> from imap_keras.regions import region_table
    >>> len(region_table("cortex", "human")), len(region_table("subcortex", "human"))
    (105, 22)
    """
    if species not in SPECIES:
        raise ValueError(f"species={species!r} is unknown; choose one of {SPECIES}.")
    table = _of_part(_read("regions.csv"), part)
    return table[table["species"] == species].drop(columns="species").reset_index(drop=True)


def homologous_pairs(part: str) -> pd.DataFrame:
    """Pairs of homologous regions, 41 cortical and 9 subcortical.

    A mouse region may have several human homologues: the human cortex is divided further.

    Parameters
    ----------
    part
        ``"cortex"``, ``"subcortex"`` or ``"brain"`` (both).

    Returns
    -------
    pandas.DataFrame
        Columns part, mouse_region and human_region.

    Raises
    ------
    ValueError
        Unknown part.

    Examples
    --------
    >>> from imap_keras.regions import homologous_pairs
    >>> len(homologous_pairs("cortex")), len(homologous_pairs("subcortex"))
    (41, 9)
    """
    return _of_part(_read("homologous_pairs.csv"), part).reset_index(drop=True)


def published_map() -> pd.DataFrame:
    """Mean correlation of the published embeddings, 22 human x 9 mouse regions of the subcortex.

    Returns
    -------
    pandas.DataFrame
        Human regions x the nine mouse regions that have a homologue, to four decimals.

    References
    ----------
    github.com/tyzhang97/transbrain (MIT), commit 688b570,
    Pipeline_temp/run_pipeline/files/net_emd_mean_dataframe_subcortex.csv. By name and shape it is the
    mean over the classifiers' embeddings, before the graph walk; the authors do not say so.

    Examples
    --------
    >>> from imap_keras.regions import homologous_pairs, pair_ranks, published_map
    >>> ranks = pair_ranks(published_map(), homologous_pairs("subcortex"))["rank"]
    >>> round(float(ranks.mean()), 2)
    2.33
    """
    table = _read("published_subcortex.csv").set_index("mouse_region").astype(float).T
    return table.rename_axis("human_region").rename(index=MENDED)


@cache
def _read(file: str) -> pd.DataFrame:
    return pd.read_csv(HERE / file, dtype=str, keep_default_na=False)


def _of_part(table: pd.DataFrame, part: str) -> pd.DataFrame:
    if part not in PARTS:
        raise ValueError(f"part={part!r} is unknown; choose one of {PARTS}.")
    return table if part == "brain" else table[table["part"] == part]
