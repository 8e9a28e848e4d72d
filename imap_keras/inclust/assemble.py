"""Rows out of tables: all features, cells numbered through, covariates and labels as codes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from .measured import Measured, features_of, stacked
from .rows import UNLABELLED, Rows
from .tables import Table, codes_of, column_of, columns_of_key

# What a block reads and what it is judged by: (data set, modality read, modality judged).
Plan = Sequence[tuple[str, str, str]]


def shared_modality(tables: Mapping[str, Table]) -> str:
    """The modality that two data sets have in common, with features in common."""
    (one, first), (two, second) = tables.items()
    both = [m for m in first.modalities if m in second.modalities]
    if len(both) != 1:
        raise ValueError(
            f"{one} holds the modalities {first.modalities}, {two} holds {second.modalities}: they "
            f"share {len(both)}, expected is one. Without a shared block nothing ties them together."
        )
    common = first.features.intersection(second.features)
    if not len(common):
        raise ValueError(
            f"{one} and {two} share the modality {both[0]!r}, but none of its features: there is no "
            "shared block. Are the features named alike in both?"
        )
    return both[0]


def rows_of_plan(tables: Mapping[str, Table], plan: Plan, batch_key, label_key) -> Rows:
    """Rows of blocks that read one modality and are judged by one."""
    features = all_features(tables)
    modality = features.get_level_values(0)
    blocks = {}
    for dataset, read, judged in plan:
        name = f"{read}->{judged}" if len(tables) == 1 else f"{dataset}: {read}->{judged}"
        blocks[name] = (dataset, modality == read, modality == judged)
    return assemble(tables, features, blocks, batch_key, label_key)


def all_features(tables: Mapping[str, Table]) -> pd.MultiIndex:
    """Features of all data sets; of a shared modality, those that all its data sets have."""
    features = []
    for table in tables.values():
        for modality in table.modalities:
            if modality not in {feature[0] for feature in features}:
                own = table.features[table.of_modality(modality)]
                for other in tables.values():
                    if modality in other.modalities:
                        own = own[own.isin(other.features)]
                features += own.tolist()
    return pd.MultiIndex.from_tuples(features)


def assemble(tables: Mapping[str, Table], features, blocks: dict, batch_key, label_key) -> Rows:
    """Rows out of blocks, by name: (data set, input mask, output mask)."""
    cells = cells_of_datasets(tables)
    covariates, covariate = covariates_of(tables, batch_key)
    labels, label = labels_of_datasets(tables, label_key)
    used = [cells[dataset] for dataset, _, _ in blocks.values()]
    return Rows(
        values=stacked_values(tables, features),
        input_masks=np.array([read for _, read, _ in blocks.values()]),
        output_masks=np.array([judged for _, _, judged in blocks.values()]),
        cell=np.concatenate(used),
        block=np.repeat(np.arange(len(blocks)), [len(cells) for cells in used]),
        blocks=list(blocks),
        features=features.get_level_values(1).tolist(),
        modalities=features.get_level_values(0).tolist(),
        cells=np.concatenate([table.obs.index.astype(str) for table in tables.values()]).tolist(),
        covariate=covariate.astype("int32"),
        covariates=covariates,
        label=label.astype("int32"),
        labels=labels,
    )


def cells_of_datasets(tables: Mapping[str, Table]) -> dict[str, np.ndarray]:
    """Numbers of the cells of each data set, counted through from the first to the last."""
    sizes = [len(table.obs) for table in tables.values()]
    return dict(zip(tables, np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])))


def stacked_values(tables: Mapping[str, Table], features: pd.MultiIndex) -> np.ndarray | Measured:
    """All cells x features, data set after data set; 0 where a data set lacks a feature."""
    return stacked(
        [features_of(table.values, table.features.get_indexer(features)) for table in tables.values()]
    )


def covariates_of(tables: Mapping[str, Table], batch_key: str | None) -> tuple[list[str], np.ndarray]:
    """Names of the covariates and the number of each cell's; without a key the data set is it.

    Raises
    ------
    KeyError
        A data set has no such column.
    ValueError
        A cell has no batch.
    """
    if batch_key is None:
        return list(tables), np.repeat(np.arange(len(tables)), [len(t.obs) for t in tables.values()])
    names, codes = codes_of(pd.concat(columns_of_key(tables, batch_key, "batch_key").values()))
    n_empty = int((codes == UNLABELLED).sum())
    if n_empty:
        raise ValueError(
            f"{batch_key!r} is empty for {n_empty} cells. Give every cell a batch or leave those cells "
            "out."
        )
    return names, codes


def labels_of_datasets(
    tables: Mapping[str, Table], label_key: str | None
) -> tuple[list[str], np.ndarray]:
    """Names of the labels, all of the first data set, and the number of each cell's, -1 for none.

    The first data set must have the column; another one without it is unlabelled.

    Raises
    ------
    KeyError
        The first data set has no such column.
    ValueError
        No cell of the first has a label, or another one has a label that the first has not.
    """
    if label_key is None:
        return [], np.full(sum(len(table.obs) for table in tables.values()), UNLABELLED)
    (first, one), *others = tables.items()
    column_of(one, label_key, first)  # raises where there is none
    have = {name: t for name, t in tables.items() if name == first or label_key in t.obs}
    columns = columns_of_key(have, label_key)
    names, codes = codes_of(columns[first])
    if not names:
        raise ValueError(
            f"{label_key!r} is empty for all cells of {first}. Give another column, or leave label_key "
            "out and say how many clusters: InClust(n_clusters=...)."
        )
    parts = [codes]
    for dataset, table in others:
        if dataset in columns:
            column = columns[dataset]
            unknown = sorted(set(column.dropna()) - set(names))
            if unknown:
                raise ValueError(
                    f"label {unknown[0]!r} of {dataset} is unknown; known are {names}. "
                    f"Rename it, or leave {label_key!r} empty (NaN) for those cells."
                )
            parts.append(codes_of(column, names)[1])
        else:
            parts.append(np.full(len(table.obs), UNLABELLED))
    return names, np.concatenate(parts)


def new_rows(
    table: Table, features: pd.MultiIndex, is_read: np.ndarray, covariate: int, names: dict[str, list]
) -> Rows:
    """Rows of new cells for a fitted model: one block, ``"new"``, unlabelled.

    Parameters
    ----------
    table
        The cells.
    features, is_read
        All features of the model, and which of them are read.
    covariate, names
        Number of the cells' covariate; names of all covariates and labels.

    Raises
    ------
    ValueError
        Features that are read are missing.
    """
    column, n = table.features.get_indexer(features), len(table.obs)
    missing = features[is_read & (column < 0)].get_level_values(1)
    if len(missing):
        raise ValueError(
            f"{len(missing)} of the {is_read.sum()} features that the model reads are missing, the "
            f"first is {missing[0]!r}."
        )
    return Rows(
        values=features_of(table.values, column),
        input_masks=is_read[None],
        output_masks=is_read[None],
        cell=np.arange(n),
        block=np.zeros(n, "int32"),
        blocks=["new"],
        features=features.get_level_values(1).tolist(),
        modalities=features.get_level_values(0).tolist(),
        cells=table.obs.index.astype(str).tolist(),
        covariate=np.full(n, covariate),
        label=np.full(n, UNLABELLED),
        **names,
    )
