"""Rows out of tables: all features, cells numbered through, covariates and labels as codes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from .rows import UNLABELLED, Rows
from .tables import Table, codes_of

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


def assemble(
    tables: Mapping[str, Table], features, blocks: dict, batch_key, label_key, hidden=()
) -> Rows:
    """Rows out of blocks, by name: (data set, input mask, output mask)."""
    sizes = [len(table.obs) for table in tables.values()]
    cells = dict(zip(tables, np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])))
    values = np.zeros((sum(sizes), len(features)), "float32")
    for dataset, table in tables.items():
        column = table.features.get_indexer(features)
        there = column >= 0
        values[np.ix_(cells[dataset], there)] = table.values[:, column[there]]
    for dataset in hidden:
        values[np.ix_(cells[dataset], hidden[dataset])] = 0
    covariate, covariates = np.repeat(np.arange(len(tables)), sizes), list(tables)
    if batch_key is not None:
        covariate, covariates = codes_of(tables, batch_key, what="covariate")
        if (covariate < 0).any():
            raise ValueError(
                f"{batch_key!r} is empty for {int((covariate < 0).sum())} cells. Give every cell a "
                "batch or leave those cells out."
            )
    label, labels = np.full(sum(sizes), UNLABELLED), []
    if label_key is not None:
        first = next(iter(tables))
        label[cells[first]], labels = codes_of({first: tables[first]}, label_key)
        for dataset in list(tables)[1:]:
            if label_key in tables[dataset].obs:
                part = {dataset: tables[dataset]}
                label[cells[dataset]], _ = codes_of(part, label_key, labels)
    used = [cells[dataset] for dataset, _, _ in blocks.values()]
    return Rows(
        values=values,
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
        values=np.where(column >= 0, table.values[:, column], 0).astype("float32"),
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
