"""A phenotype of the regions of one species, carried to the regions of the other."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

from ..nn.parameters import check_count
from .atlas import SPECIES
from .graph import BrainGraph, brain_graph
from .walks import WalkParameters, node_vectors


def map_phenotype(
    values: pd.Series | pd.DataFrame,
    from_species: str,
    embeddings: Sequence[tuple[pd.DataFrame, pd.DataFrame]],
    connectomes: Mapping[str, pd.DataFrame],
    groups: Mapping[str, Mapping[str, str]] | None = None,
    repeats: int = 10,
    **walks,
) -> pd.DataFrame:
    """Predict what a phenotype of one species' regions is in the other's (TransBrain's purpose).

    Regions of both species become the nodes of one graph (:func:`brain_graph`); walks over it give each
    a vector (:func:`node_vectors`), in which regions lie near that are wired alike or alike across
    species; the phenotype is regressed on the vectors of one species and predicted from those of the
    other. The walks are random, so this is repeated and averaged.

    Parameters
    ----------
    values
        Phenotypes by region of `from_species`; a table has a column per phenotype. Regions of the graph
        without a value are not regressed on.
    from_species
        ``"human"`` or ``"mouse"``.
    embeddings, connectomes, groups
        As for :func:`brain_graph`.
    repeats
        Averaged. TransBrain has 500, with the 800 walks per region that are the default here too; one
        takes about 10 seconds. On simulated brains fewer walks in more repeats did as well.
    walks
        Any of :class:`WalkParameters` by name; `seed` is of the first repeat.

    Returns
    -------
    pandas.DataFrame
        Regions of the other species x phenotypes, in the units of `values`. (TransBrain scales a
        phenotype to 0 ... 1 first, which a regression does not mind.)

    Raises
    ------
    ValueError, TypeError
        A value's region is unknown or has a gap, a parameter is out of range or unknown; as
        :func:`brain_graph`.
    ImportError
        gensim is not installed.

    References
    ----------
    TransBrain, https://doi.org/10.1038/s41592-025-02961-3, Methods.

    Examples
    --------
    >>> from imap_keras import regions
    >>> latent = regions.region_latents("subcortex", seed=0)
    >>> carried = regions.map_phenotype(
    ...     latent["human"][0],
    ...     "human",
    ...     [(latent["human"], latent["mouse"])],
    ...     regions.simulate_connectomes("subcortex", seed=0),
    ...     repeats=1,
    ...     per_region=5,
    ... )
    >>> carried.shape
    (29, 1)
    """
    graph = brain_graph(embeddings, connectomes, groups)
    check_phenotype(values, from_species, graph.regions)
    return carry(values, from_species, walk_vectors(graph, repeats, **walks))


def walk_vectors(graph: BrainGraph, repeats: int = 10, **walks) -> list[dict[str, pd.DataFrame]]:
    """Vectors of the regions of both species, one set per repeat.

    Parameters
    ----------
    graph
        From :func:`brain_graph`.
    repeats, walks
        As for :func:`map_phenotype`.

    Raises
    ------
    ValueError, TypeError, ImportError
        As :func:`map_phenotype`.

    Examples
    --------
    >>> from imap_keras import regions
    >>> latent = regions.region_latents("subcortex", seed=0)
    >>> wires = regions.simulate_connectomes("subcortex", seed=0)
    >>> graph = regions.brain_graph([(latent["human"], latent["mouse"])], wires)
    >>> (vectors,) = regions.walk_vectors(graph, repeats=1, per_region=5, dimensions=8)
    >>> vectors["human"].shape, vectors["mouse"].shape
    ((22, 8), (29, 8))
    """
    repeats = check_count("repeats", repeats)
    first = WalkParameters.of(**walks)
    each = (first.changed(seed=first.seed + i) for i in range(repeats))
    return [graph.split(node_vectors(graph.weights, one)) for one in each]


def carry(
    values: pd.Series | pd.DataFrame, from_species: str, vectors: Sequence[Mapping[str, pd.DataFrame]]
) -> pd.DataFrame:
    """Regress phenotypes on the vectors of one species' regions; predict the other's; average.

    Parameters
    ----------
    values, from_species
        As for :func:`map_phenotype`.
    vectors
        Sets of vectors of ``"human"`` and ``"mouse"`` regions: of walks, or any others. Regions are
        found by their names, in whatever order a set has them.

    Raises
    ------
    ValueError
        As :func:`map_phenotype`; there are no vectors, or a set has other regions than the first.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.regions import carry
    >>> human, mouse = pd.DataFrame({0: [0.0, 1, 2]}, list("ABC")), pd.DataFrame({0: [3.0]}, ["a"])
    >>> values = pd.Series([1.0, 3, 5], list("ABC"), name="thickness")
    >>> carry(values, "human", [{"human": human, "mouse": mouse}])["thickness"].round(6).tolist()
    [7.0]
    """
    if not len(vectors):
        raise ValueError("There are no vectors; give at least one set of human and mouse regions.")
    for number, each in enumerate(vectors):
        for name in SPECIES:
            if sorted(map(str, each[name].index)) != sorted(map(str, vectors[0][name].index)):
                raise ValueError(
                    f"Set {number} of the vectors has other {name} regions than the first."
                )
    check_phenotype(values, from_species, {name: vectors[0][name].index for name in SPECIES})
    table = values.to_frame() if isinstance(values, pd.Series) else values
    to_species = next(name for name in SPECIES if name != from_species)
    predicted = []
    for each in vectors:
        line = LinearRegression().fit(each[from_species].loc[table.index].to_numpy(), table.to_numpy())
        others = each[to_species].loc[vectors[0][to_species].index]
        predicted.append(line.predict(others.to_numpy()))
    return pd.DataFrame(np.mean(predicted, axis=0), vectors[0][to_species].index, table.columns)


def check_phenotype(
    values: pd.Series | pd.DataFrame, from_species: str, regions: Mapping[str, Sequence[str]]
) -> None:
    """Raise unless values are finite and of known regions of the species, each named once.

    Raises
    ------
    ValueError
        Says what is wrong with which region.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.regions.phenotypes import check_phenotype
    >>> check_phenotype(pd.Series([1.0, 2.0], ["CA1", "DG"]), "mouse", {"mouse": ["CA1", "DG", "CP"]})
    """
    if from_species not in SPECIES:
        raise ValueError(f"from_species={from_species!r} is unknown; choose one of {SPECIES}.")
    known = set(regions[from_species])
    unknown = [name for name in values.index if name not in known]
    if unknown:
        raise ValueError(
            f"{len(unknown)} regions of the values are not {from_species} regions of the graph, the "
            f"first is {unknown[0]!r}. It has {len(known)}; mend the names or leave them out."
        )
    if not values.index.is_unique:
        twice = values.index[values.index.duplicated()]
        raise ValueError(f"{len(twice)} regions have two values, the first is {twice[0]!r}.")
    bad = int(np.count_nonzero(~np.isfinite(values.to_numpy(float))))
    if bad:
        raise ValueError(f"{bad} values are NaN or infinite; leave those regions out.")
    if len(values) < 2:
        raise ValueError(f"There are values of {len(values)} regions; at least two are needed.")
