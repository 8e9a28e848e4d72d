"""The whole analysis with several seeds: interrupted, it goes on where it stopped."""

import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from tqdm import tqdm

from ..inputs.labels import labels_of
from ..inputs.values import in_memory
from ..nn.persistence import DESCRIPTION, write_whole
from .fingerprint import claim, described
from .homology import chance_rank, check_pairs, correlation_map, pair_ranks, shuffled_labels
from .hyperparameters import Hyperparameters
from .model import RegionClassifier


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
    shuffle: bool = False,
    preset: str = "default",
    **hyperparameters,
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
    shuffle
        Train on shuffled region labels, the null.
    preset, hyperparameters
        As for :class:`imap_keras.regions.RegionClassifier`.

    Returns
    -------
    dict of pandas.DataFrame
        ``correlation_map`` (human x mouse, mean of the repeats), ``ranking`` (a row per pair: rank in
        raw expression, mean rank and its spread) and ``repeats`` (a row per repeat: seed, number of
        regions, epochs, best epoch, validation loss and accuracy, mean rank).

    Raises
    ------
    ValueError, TypeError
        `n_repeats` below 1; a pair names an unknown region; genes differ; the folder holds repeats of
        other data or settings; a hyperparameter is out of range or unknown.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from imap_keras import regions
    >>> cells, mouse = regions.simulate_species("subcortex", n_cells=220, n_genes=30, n_donors=5)
    >>> sides = regions.region_averages(cells), regions.region_averages(mouse)
    >>> pairs = regions.homologous_pairs("subcortex")
    >>> with TemporaryDirectory() as folder:
    ...     tables = regions.run_repeats(
    ...         cells, *sides, pairs, folder, 1, verbose=0, hidden=(8,), epochs=1
    ...     )
    >>> tables["ranking"].shape, tables["repeats"]["seed"].tolist()
    ((9, 6), [0])
    """
    check_pairs(pairs, human.index, mouse.index)
    check_same_genes(cells, human=human, mouse=mouse)
    models = train_repeats(
        cells,
        folder,
        n_repeats,
        region_key,
        donor_key,
        seed,
        verbose,
        shuffle,
        {"human": human, "mouse": mouse},
        preset,
        **hyperparameters,
    )
    return rank_repeats(models, human, mouse, pairs, folder)


def rank_repeats(
    models: Iterable[tuple[Path, RegionClassifier]],
    human: pd.DataFrame,
    mouse: pd.DataFrame,
    pairs: pd.DataFrame,
    folder: str | Path,
) -> dict[str, pd.DataFrame]:
    """Embed both species with each classifier and rank the homologous pairs.

    Parameters
    ----------
    models
        Each repeat's folder and classifier, from :func:`train_repeats`.
    human, mouse, pairs, folder
        As for :func:`run_repeats`.

    Returns
    -------
    dict of pandas.DataFrame
        As :func:`run_repeats`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from imap_keras import regions
    >>> from imap_keras.regions.repeats import rank_repeats
    >>> cells, mouse = regions.simulate_species("subcortex", n_cells=220, n_genes=30, n_donors=5)
    >>> model = regions.RegionClassifier(hidden=(8,), epochs=1).fit(cells, verbose=0)
    >>> sides = regions.region_averages(cells), regions.region_averages(mouse)
    >>> with TemporaryDirectory() as folder:
    ...     place, pairs = Path(folder) / "repeat_000", regions.homologous_pairs("subcortex")
    ...     tables = rank_repeats([(place, model)], *sides, pairs, folder)
    >>> sorted(tables)
    ['correlation_map', 'ranking', 'repeats']
    """
    rows, maps, ranks = [], [], []
    for place, model in models:
        maps.append(embed_species(place, model, human, mouse))
        ranks.append(pair_ranks(maps[-1], pairs)["rank"])
        rows.append(repeat_row(model, len(rows)) | {"mean_rank": ranks[-1].mean()})
    raw = pair_ranks(correlation_map(human, mouse), pairs)["rank"]
    tables = {
        "correlation_map": sum(maps) / len(maps),
        "ranking": ranking(pairs, raw, ranks, len(human)),
        "repeats": pd.DataFrame(rows),
    }
    for name, table in tables.items():
        index = name == "correlation_map"
        write_whole(Path(folder).expanduser() / f"{name}.csv", partial(table.to_csv, index=index))
    return tables


def train_repeats(
    cells: AnnData,
    folder: str | Path,
    n_repeats: int = 10,
    region_key: str = "region",
    donor_key: str = "donor",
    seed: int = 0,
    verbose: int = 1,
    shuffle: bool = False,
    averages: dict[str, pd.DataFrame] | None = None,
    preset: str = "default",
    **hyperparameters,
) -> Iterator[tuple[Path, RegionClassifier]]:
    """Each repeat's folder and classifier, trained, or read where it is complete already.

    Parameters
    ----------
    averages
        What the classifiers will embed, by species: a folder holds repeats of the same.

    Raises
    ------
    ValueError, TypeError
        As :func:`run_repeats`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from imap_keras.regions import simulate_species
    >>> from imap_keras.regions.repeats import train_repeats
    >>> cells, _ = simulate_species("subcortex", n_cells=220, n_genes=30, n_donors=5)
    >>> with TemporaryDirectory() as folder:
    ...     models = train_repeats(cells, folder, 1, verbose=0, hidden=(8,), epochs=1)
    ...     [place.name for place, model in models]
    ['repeat_000']
    """
    if n_repeats < 1:
        raise ValueError(f"n_repeats={n_repeats} must be a whole number of at least 1.")
    cells, folder = in_memory(cells), Path(folder).expanduser()
    settings = Hyperparameters.of(preset, **hyperparameters, seed=seed)
    now = described(cells, region_key, donor_key, settings.as_dict(), shuffle, **(averages or {}))
    claim(folder, now)
    with tqdm(range(n_repeats), unit="repeat", file=sys.stdout, disable=not verbose) as bar:
        for i in bar:
            place = folder / f"repeat_{i:03d}"
            if not (place / DESCRIPTION).is_file():  # it is written last
                own = settings.changed(seed=seed + i)
                data = shuffled_regions(cells, region_key, own.seed) if shuffle else cells
                model = RegionClassifier(**own.as_dict())
                model.fit(data, region_key, donor_key, verbose=0).save(place)
            model = RegionClassifier.load(place)
            bar.set_postfix(accuracy=f"{model.validation_accuracy:.3f}")
            yield place, model


def shuffled_regions(cells: AnnData, region_key: str, seed: int) -> AnnData:
    """The same cells, their regions in a random order; the matrix is not copied.

    Examples
    --------
    >>> from imap_keras.regions import simulate_species
    >>> from imap_keras.regions.repeats import shuffled_regions
    >>> cells, _ = simulate_species("subcortex", n_cells=220, n_genes=30, n_donors=5)
    >>> shuffled = shuffled_regions(cells, "region", seed=0)
    >>> shuffled.X is cells.X, bool((shuffled.obs["region"] == cells.obs["region"]).all())
    (True, False)
    """
    labels = shuffled_labels(labels_of(cells, region_key, "region_key"), seed)
    return AnnData(cells.X, obs=cells.obs.assign(**{region_key: labels}), var=cells.var)


def embed_species(
    place: Path, model: RegionClassifier, human: pd.DataFrame, mouse: pd.DataFrame
) -> pd.DataFrame:
    """Embed both species and write the two embeddings and ``correlation.csv`` into `place`.

    Returns
    -------
    pandas.DataFrame
        The correlation of every human with every mouse region.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from imap_keras import regions
    >>> from imap_keras.regions.repeats import embed_species
    >>> cells, mouse = regions.simulate_species("subcortex", n_cells=220, n_genes=30, n_donors=5)
    >>> model = regions.RegionClassifier(hidden=(8,), epochs=1).fit(cells, verbose=0)
    >>> sides = regions.region_averages(cells), regions.region_averages(mouse)
    >>> with TemporaryDirectory() as folder:
    ...     embed_species(Path(folder), model, *sides).shape
    (22, 29)
    """
    embedded = {"human": model.embed(human), "mouse": model.embed(mouse)}
    correlation = correlation_map(**embedded)
    for name, table in embedded.items():
        write_whole(place / f"{name}_embedding.csv", table.to_csv)
    write_whole(place / "correlation.csv", correlation.to_csv)
    return correlation


def repeat_row(model: RegionClassifier, number: int) -> dict:
    """What the table of repeats says of one classifier.

    Examples
    --------
    >>> from imap_keras.regions import RegionClassifier, simulate_species
    >>> from imap_keras.regions.repeats import repeat_row
    >>> cells, _ = simulate_species("subcortex", n_cells=220, n_genes=30, n_donors=5)
    >>> model = RegionClassifier(hidden=(8,), epochs=1, seed=4).fit(cells, verbose=0)
    >>> list(repeat_row(model, 0).items())[:4]
    [('repeat', 0), ('seed', 4), ('regions', 22), ('epochs', 1)]
    """
    return {
        "repeat": number,
        "seed": model.hyperparameters.seed,
        "regions": len(model.regions),
        "epochs": len(model.history),
        "best_epoch": model.best_epoch,
        "validation_loss": model.validation_loss,
        "validation_accuracy": model.validation_accuracy,
    }


def ranking(pairs: pd.DataFrame, raw: pd.Series, ranks: list[pd.Series], n_human: int) -> pd.DataFrame:
    """A row per homologous pair: chance, rank in raw expression, mean and spread over the repeats.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.regions.repeats import ranking
    >>> pair = pd.DataFrame({"mouse_region": ["a"], "human_region": ["A"]})
    >>> table = ranking(pair, pd.Series([4.0]), [pd.Series([1.0]), pd.Series([2.0])], n_human=5)
    >>> table[["chance_rank", "raw_rank", "mean_rank"]].to_numpy().tolist()
    [[3.0, 4.0, 1.5]]
    """
    table, ranks = pairs[["mouse_region", "human_region"]].reset_index(drop=True), np.array(ranks)
    spread = ranks.std(axis=0, ddof=1) if len(ranks) > 1 else np.nan
    return table.assign(
        chance_rank=chance_rank(n_human),
        raw_rank=raw.to_numpy(),
        mean_rank=ranks.mean(axis=0),
        sd_rank=spread,
    )


def check_same_genes(cells: AnnData, **averages: pd.DataFrame) -> None:
    """Raise if the averages of a species do not have the cells' genes in the cells' order.

    Raises
    ------
    ValueError
        Names the species and the numbers of genes.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.regions import region_averages, simulate_species
    >>> from imap_keras.regions.repeats import check_same_genes
    >>> cells, mouse = simulate_species("subcortex", n_cells=220, n_genes=30, n_donors=5)
    >>> check_same_genes(cells, mouse=region_averages(mouse))
    """
    genes = [str(name) for name in cells.var_names]
    for name, table in averages.items():
        if list(map(str, table.columns)) != genes:
            raise ValueError(
                f"The {name} averages have other genes than the cells ({table.shape[1]} and "
                f"{len(genes)}); take the same ones in the same order."
            )
