"""One graph of the regions of two species: wiring within each, likeness of embeddings between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .atlas import SPECIES, region_table
from .homology import correlation_map


@dataclass(frozen=True)
class BrainGraph:
    """Regions by species, and the weight of the edge between any two (human first, then mouse)."""

    regions: dict[str, list[str]]
    weights: np.ndarray

    def split(self, table: np.ndarray) -> dict[str, pd.DataFrame]:
        """Rows of a table of all regions, by species and name."""
        n = len(self.regions["human"])
        parts = {"human": table[:n], "mouse": table[n:]}
        return {name: pd.DataFrame(rows, self.regions[name]) for name, rows in parts.items()}


def similarity(embeddings: Sequence[tuple[pd.DataFrame, pd.DataFrame]]) -> pd.DataFrame:
    """Mean correlation of human and mouse regions over several embeddings.

    Parameters
    ----------
    embeddings
        Pairs of tables (human, mouse), regions x units: of repeats, of the networks of several parts.

    Returns
    -------
    pandas.DataFrame
        Human x mouse regions; 0 for two that no embedding holds together.

    Raises
    ------
    ValueError
        There is none, or the two tables of a pair have other units.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.regions import similarity
    >>> one = pd.DataFrame([[0.0, 1.0]], ["CA1"]), pd.DataFrame([[0.0, 2.0]], ["DG"])
    >>> other = pd.DataFrame([[0.0, 1.0]], ["A8m"]), pd.DataFrame([[1.0, 0.0]], ["PL"])
    >>> similarity([one, other]).round(3).to_numpy().tolist()
    [[1.0, 0.0], [0.0, -1.0]]
    """
    if not len(embeddings):
        raise ValueError("There are no embeddings; give at least one pair of tables (human, mouse).")
    maps = [correlation_map(human, mouse) for human, mouse in embeddings]
    rows = list(dict.fromkeys(name for table in maps for name in table.index))
    columns = list(dict.fromkeys(name for table in maps for name in table.columns))
    maps = [table.reindex(index=rows, columns=columns) for table in maps]
    held = sum(table.notna().astype(int) for table in maps)
    return sum(table.fillna(0) for table in maps) / held.clip(lower=1)


def brain_graph(
    embeddings: Sequence[tuple[pd.DataFrame, pd.DataFrame]],
    connectomes: Mapping[str, pd.DataFrame],
    groups: Mapping[str, Mapping[str, str]] | None = None,
) -> BrainGraph:
    """Join the connectomes of human and mouse by the likeness of their regions.

    Parameters
    ----------
    embeddings
        As for :func:`similarity`. Negative correlations become 0.
    connectomes
        ``"human"`` and ``"mouse"``: regions x regions, 0 or more.
    groups
        For ``"human"`` and ``"mouse"`` the coarse group of each region; regions of different groups are
        not joined across species. Default: the lobes and nuclei of :func:`region_table`.

    Returns
    -------
    BrainGraph
        ``[[human connectome, likeness], [its transpose, mouse connectome]]``.

    Raises
    ------
    KeyError
        A species is missing.
    ValueError
        A connectome lacks a region of the embeddings or has one twice, or a region's group is not
        known.

    References
    ----------
    TransBrain, https://doi.org/10.1038/s41592-025-02961-3, Methods.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.regions import brain_graph
    >>> human, mouse = pd.DataFrame([[0.0, 1.0]], ["CA1"]), pd.DataFrame([[0.0, 2.0]], ["DG"])
    >>> wires = {"human": pd.DataFrame(0.0, ["CA1"], ["CA1"]), "mouse": pd.DataFrame(0, ["DG"], ["DG"])}
    >>> brain_graph([(human, mouse)], wires).weights.round(3).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    likeness = similarity(embeddings)
    regions = {"human": list(likeness.index), "mouse": list(likeness.columns)}
    known = groups or {name: atlas_groups(name) for name in SPECIES}
    own, wires = {}, {}
    for name in SPECIES:
        own[name] = np.array([group_of(region, name, known) for region in regions[name]])
        wires[name] = wiring(connectomes, name, regions[name])
    same = own["human"][:, None] == own["mouse"][None, :]
    joined = np.where(same, likeness.to_numpy().clip(min=0), 0)
    weights = np.block([[wires["human"], joined], [joined.T, wires["mouse"]]])
    return BrainGraph(regions, weights)


def atlas_groups(species: str) -> dict[str, str]:
    """Lobe, or group of nuclei, of every region of the atlas.

    Examples
    --------
    >>> from imap_keras.regions.graph import atlas_groups
    >>> atlas_groups("mouse")["CA1"]
    'hippocampus'
    """
    table = region_table("brain", species)
    return dict(zip(table["region"], table["lobe"], strict=True))


def group_of(region: str, species: str, groups: Mapping[str, Mapping[str, str]]) -> str:
    """Coarse group of a region.

    Raises
    ------
    ValueError
        It is not known.

    Examples
    --------
    >>> from imap_keras.regions.graph import group_of
    >>> group_of("CA1", "human", {"human": {"CA1": "hippocampus"}})
    'hippocampus'
    """
    if region not in groups[species]:
        raise ValueError(
            f"The group of the {species} region {region!r} is not known; give those of all regions "
            'by groups={"human": {region: group, ...}, "mouse": {...}}.'
        )
    return groups[species][region]


def wiring(connectomes: Mapping[str, pd.DataFrame], species: str, regions: Sequence[str]) -> np.ndarray:
    """The connectome of a species in the order of the regions, a region's edge to itself left out.

    Raises
    ------
    KeyError, ValueError
        As :func:`brain_graph`.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.regions.graph import wiring
    >>> table = pd.DataFrame([[9, 1], [2, 9]], ["a", "b"], ["a", "b"])
    >>> wiring({"mouse": table}, "mouse", ["b", "a"]).tolist()
    [[0.0, 2.0], [1.0, 0.0]]
    """
    if species not in connectomes:
        raise KeyError(f"connectomes has no {species!r}; it has {list(connectomes)}.")
    table = connectomes[species]
    missing = [name for name in regions if name not in table.index or name not in table.columns]
    if missing:
        raise ValueError(
            f"The {species} connectome lacks {len(missing)} of the {len(regions)} regions that are "
            f"embedded, the first is {missing[0]!r}; it must have a row and a column for each."
        )
    if not (table.index.is_unique and table.columns.is_unique):
        axis = table.index if not table.index.is_unique else table.columns
        raise ValueError(
            f"The {species} connectome names {axis[axis.duplicated()][0]!r} twice; name every region "
            "once."
        )
    weights = table.loc[regions, regions].to_numpy(float, copy=True)
    np.fill_diagonal(weights, 0)
    return weights
