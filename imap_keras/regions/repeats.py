"""The whole analysis with several seeds: interrupted, it goes on where it stopped."""

import hashlib
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from tqdm import tqdm

from ..nn.persistence import DESCRIPTION, write_whole
from .homology import chance_rank, check_pairs, correlation_map, pair_ranks
from .model import RegionClassifier

RUN = "run.json"


def run_repeats(
    cells: AnnData,
    human: pd.DataFrame,
    mouse: pd.DataFrame,
    pairs: pd.DataFrame,
    folder: str | Path,
    n_repeats: int = 10,
    region_key: str = "region",
    donor_key: str = "donor",
    seed: int = 0,
    verbose: int = 1,
    **settings,
) -> dict[str, pd.DataFrame]:
    """Train `n_repeats` classifiers, embed both species with each, and rank the homologous pairs.

    A repeat that is complete in the folder is not trained again, so an interrupted run goes on where
    it stopped, and more repeats can be added later.

    Parameters
    ----------
    cells
        Cells x genes of one species, to train on.
    human, mouse
        Regions x the same genes, from :func:`imap_keras.regions.region_averages`.
    pairs
        Columns ``mouse_region`` and ``human_region``.
    folder
        Gets a folder ``repeat_NNN`` for each repeat (model, ``human_embedding.csv``,
        ``mouse_embedding.csv``, ``correlation.csv``) and the three tables below as csv.
    n_repeats
        Number of classifiers; repeat i has the seed `seed` + i.
    region_key, donor_key, verbose
        As for :meth:`imap_keras.regions.RegionClassifier.fit`.
    seed
        Of the first repeat.
    settings
        As for :class:`imap_keras.regions.RegionClassifier`.

    Returns
    -------
    dict of pandas.DataFrame
        ``correlation_map`` (human x mouse, mean of the repeats), ``ranking`` (a row a pair: rank in raw
        expression, mean rank and its spread) and ``repeats`` (a row a repeat: seed, epochs, best epoch,
        validation loss and accuracy, mean rank).

    Raises
    ------
    ValueError
        `n_repeats` below 1; a pair names an unknown region; genes differ; the folder holds repeats of
        other data or settings.

    Examples
    --------
    >>> tables = run_repeats(cells, human, mouse, pairs, "results", 10)  # doctest: +SKIP
    >>> tables["repeats"]["mean_rank"].mean()  # doctest: +SKIP
    """
    if n_repeats < 1:
        raise ValueError(f"n_repeats={n_repeats} must be a whole number of at least 1.")
    check_pairs(pairs, human.index, mouse.index)
    genes = [str(name) for name in cells.var_names]
    for name, table in (("human", human), ("mouse", mouse)):
        if list(map(str, table.columns)) != genes:
            raise ValueError(
                f"The {name} averages have other genes than the cells ({table.shape[1]} and "
                f"{len(genes)}); take the same ones in the same order."
            )
    settings = RegionClassifier(**settings, seed=seed).settings
    folder = Path(folder)
    _claim(folder, _fingerprint(cells, human, mouse, region_key, donor_key, settings))

    rows, maps, ranks = [], [], []
    bar = tqdm(range(n_repeats), unit="repeat", file=sys.stdout, disable=not verbose)
    for i in bar:
        place = folder / f"repeat_{i:03d}"
        if not (place / DESCRIPTION).is_file():  # it is written last
            model = RegionClassifier(**{**settings, "seed": seed + i})
            model.fit(cells, region_key, donor_key, verbose=0)
            embedded = {"human": model.embed(human), "mouse": model.embed(mouse)}
            for name, table in embedded.items():
                write_whole(place / f"{name}_embedding.csv", table.to_csv)
            write_whole(place / "correlation.csv", correlation_map(**embedded).to_csv)
            model.save(place)
        model = RegionClassifier.load(place)
        maps.append(pd.read_csv(place / "correlation.csv", index_col=0, keep_default_na=False))
        ranks.append(pair_ranks(maps[-1], pairs)["rank"])
        rows.append(
            {
                "repeat": i,
                "seed": seed + i,
                "epochs": len(model.history),
                "best_epoch": model.best_epoch,
                "validation_loss": model.validation_loss,
                "validation_accuracy": model.validation_accuracy,
                "mean_rank": ranks[-1].mean(),
            }
        )
        bar.set_postfix(accuracy=f"{model.validation_accuracy:.3f}", rank=f"{ranks[-1].mean():.2f}")
    bar.close()

    ranks = pd.concat(ranks, axis=1)
    ranking = pairs[["mouse_region", "human_region"]].reset_index(drop=True)
    ranking["chance_rank"] = chance_rank(len(human))
    ranking["raw_rank"] = pair_ranks(correlation_map(human, mouse), pairs)["rank"]
    ranking["mean_rank"], ranking["sd_rank"] = ranks.mean(axis=1), ranks.std(axis=1)
    tables = {
        "correlation_map": sum(maps) / len(maps),
        "ranking": ranking,
        "repeats": pd.DataFrame(rows),
    }
    for name, table in tables.items():
        index = name == "correlation_map"
        write_whole(folder / f"{name}.csv", partial(table.to_csv, index=index))
    return tables


def _fingerprint(cells, human, mouse, region_key, donor_key, settings) -> dict:
    """What two runs must share for their repeats to stand in one folder."""
    labels = [cells.obs[key].astype(str) for key in (region_key, donor_key) if key in cells.obs]
    parts = {
        "cells": [cells.X.data if hasattr(cells.X, "tocsr") else cells.X, *labels],
        "human": [human.to_numpy(), human.index],
        "mouse": [mouse.to_numpy(), mouse.index],
        "genes": [cells.var_names],
    }
    described = {name: _digest(values) for name, values in parts.items()}
    return {**described, "settings": json.loads(json.dumps(settings))}


def _digest(values) -> str:
    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            digest.update(value.tobytes())
        else:
            digest.update("\x1f".join(map(str, value)).encode())
    return digest.hexdigest()[:16]


def _claim(folder: Path, described: dict) -> None:
    """Write what the folder's repeats are of, or raise if it holds those of something else."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; repeats are saved into a folder.")
    path = folder / RUN
    if path.is_file() and any(folder.glob(f"repeat_*/{DESCRIPTION}")):
        earlier = json.loads(path.read_text())
        other = [name for name in described if earlier.get(name) != described[name]]
        if other:
            raise ValueError(
                f"{folder} holds repeats of another run ({', '.join(other)} differ). Give another "
                "folder, or remove that one to begin anew."
            )
        return
    text = json.dumps(described, indent=1)
    write_whole(path, lambda temporary: temporary.write_text(text))
