"""From region averages to ranks of homologous regions."""

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.stats import rankdata

from ..inputs.genes import check_unique_names
from ..inputs.labels import labels_of
from ..inputs.values import check_finite, dense, in_memory


def moments(expression: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every gene, float64; a constant gene has the deviation 1.

    Summed in float64: a million float32 numbers added one by one lose the third digit.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.regions.homology import moments
    >>> mean, deviation = moments(np.array([[1.0, 5.0], [3.0, 5.0]], "float32"))
    >>> mean.tolist(), deviation.tolist()
    ([2.0, 5.0], [1.0, 1.0])
    """
    constant = expression.max(axis=0) == expression.min(axis=0)
    deviation = expression.std(axis=0, dtype=float)
    return expression.mean(axis=0, dtype=float), np.where(constant, 1, deviation)


def standardize(expression: np.ndarray) -> np.ndarray:
    """Give every gene mean 0 and standard deviation 1 over the rows; a constant gene becomes 0.

    Each species' matrix is standardised over its own rows: a gene's level differs between species for
    reasons that are not regions.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.regions import standardize
    >>> standardize(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    kind = np.result_type(expression, np.float32)
    mean, deviation = (moment.astype(kind) for moment in moments(expression))
    return (expression - mean) / deviation


def region_averages(adata: AnnData, region_key: str = "region") -> pd.DataFrame:
    """Average of each region's rows, after :func:`standardize`.

    Parameters
    ----------
    adata
        Rows x genes of one species: cells, samples, or regions that are averages already.
    region_key
        Column of ``adata.obs`` that names the region.

    Returns
    -------
    pandas.DataFrame
        Regions (in order of appearance) x genes.

    Raises
    ------
    KeyError, ValueError
        The column is missing or has gaps; a value is NaN or infinite.

    Examples
    --------
    >>> from imap_keras.regions import region_averages, simulate_species
    >>> human, mouse = simulate_species("subcortex", n_cells=220, n_genes=30, n_donors=5)
    >>> region_averages(human).shape, region_averages(mouse).shape
    ((22, 30), (29, 30))
    """
    regions = labels_of(adata, region_key, "region_key")
    table = pd.DataFrame(standardize(finite_expression(adata)), columns=list(adata.var_names))
    return table.groupby(regions, sort=False).mean()


def finite_expression(adata: AnnData) -> np.ndarray:
    """Return ``adata.X`` as dense float32; negative values are fine, NaN and infinite ones are not.

    Raises
    ------
    ValueError
        A value is not finite, also as float32, or a cell or gene has its name twice.

    Examples
    --------
    >>> from imap_keras.regions import simulate_species
    >>> from imap_keras.regions.homology import finite_expression
    >>> human, _ = simulate_species("subcortex", n_cells=220, n_genes=30, n_donors=5)
    >>> finite_expression(human).dtype
    dtype('float32')
    """
    check_unique_names(adata)
    values = in_memory(adata).X
    check_finite(values)
    with np.errstate(over="ignore"):
        found = dense(values)
    check_finite(found, "adata.X as float32")
    return found


def shuffled_labels(labels: Sequence[str], seed: int = 0) -> np.ndarray:
    """The same labels in a random order: the null, data in which nothing says where a row comes from.

    Examples
    --------
    >>> from imap_keras.regions import shuffled_labels
    >>> sorted(shuffled_labels(["A", "B", "B"]).tolist())
    ['A', 'B', 'B']
    """
    return np.random.default_rng(seed).permutation(np.asarray(labels))


def correlation_map(human: pd.DataFrame, mouse: pd.DataFrame) -> pd.DataFrame:
    """Pearson correlation of every human with every mouse region.

    Parameters
    ----------
    human, mouse
        Regions x features: embeddings, or region averages for the raw-expression baseline. The
        columns must be the same.

    Returns
    -------
    pandas.DataFrame
        Human regions x mouse regions; 0 where a region's features are all equal.

    Raises
    ------
    ValueError
        The features differ, or a value is NaN or infinite.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.regions import correlation_map
    >>> human = pd.DataFrame([[1.0, 2.0, 3.0]], ["A"])
    >>> round(float(correlation_map(human, pd.DataFrame([[3.0, 2.0, 1.0]], ["a"])).loc["A", "a"]), 6)
    -1.0
    """
    check_features(human, mouse)
    left, right = unit_rows(human), unit_rows(mouse)
    return pd.DataFrame(left @ right.T, human.index, mouse.index)


def unit_rows(table: pd.DataFrame) -> np.ndarray:
    """Centre every row and give it length 1: the product of two such rows is their correlation.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.regions import unit_rows
    >>> unit_rows(pd.DataFrame([[1.0, 3.0, 1.0, 3.0]])).tolist()
    [[-0.5, 0.5, -0.5, 0.5]]
    """
    values = table.to_numpy("float64")
    values = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(length > 0, length, 1)


def check_features(human: pd.DataFrame, mouse: pd.DataFrame) -> None:
    """Raise if the two tables do not have the same columns in the same order, or a value is not finite.

    Raises
    ------
    ValueError
        Says how many features each has, or how many values are not finite.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.regions.homology import check_features
    >>> check_features(pd.DataFrame([[1.0, 2.0]]), pd.DataFrame([[3.0, 4.0]]))
    """
    # As text: a table read from a file has the columns "0", "1" ..., one just made 0, 1 ...
    if list(map(str, human.columns)) != list(map(str, mouse.columns)):
        raise ValueError(
            f"human has {human.shape[1]} features and mouse {mouse.shape[1]}, and they must be the "
            "same in the same order: embed both with the same network, or give both the same genes."
        )
    for table, what in ((human, "human"), (mouse, "mouse")):
        check_finite(table.to_numpy("float64"), what, "leave those regions or features out.")


def check_pairs(pairs: pd.DataFrame, human: Sequence[str], mouse: Sequence[str]) -> None:
    """Raise if a homologous pair names a region that the data do not have.

    Raises
    ------
    KeyError
        The table lacks a column.
    ValueError
        Names the regions, how many they are and what comes nearest.

    Examples
    --------
    >>> from imap_keras.regions import check_pairs, homologous_pairs, region_table
    >>> names = [region_table("cortex", species)["region"] for species in ("human", "mouse")]
    >>> check_pairs(homologous_pairs("cortex"), *names)
    """
    for column, regions in (("human_region", human), ("mouse_region", mouse)):
        if column not in pairs:
            raise KeyError(
                f"The table of homologous pairs has no column {column!r}; it has {list(pairs.columns)}."
            )
        known = [str(name) for name in regions]
        unknown = [name for name in dict.fromkeys(pairs[column].astype(str)) if name not in known]
        if unknown:
            near = get_close_matches(unknown[0], known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{len(unknown)} regions in {column} of the homologous pairs are not in the "
                f"{column.split('_')[0]} data: {', '.join(map(repr, unknown[:5]))}.{hint} "
                f"The data have {len(known)} regions; mend the names or leave those pairs out."
            )
    if pairs.empty:
        raise ValueError("The table of homologous pairs is empty; at least one pair is needed.")


def pair_ranks(correlation: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Rank of the human region among all human regions, for each homologous pair.

    Parameters
    ----------
    correlation
        Human x mouse regions, from :func:`correlation_map`.
    pairs
        Columns ``mouse_region`` and ``human_region``.

    Returns
    -------
    pandas.DataFrame
        The pairs with ``correlation`` and ``rank``: 1 is the human region most like the mouse region;
        equal correlations share the mean of their ranks.

    Raises
    ------
    KeyError, ValueError
        As :func:`check_pairs`.

    References
    ----------
    TransBrain, https://doi.org/10.1038/s41592-025-02961-3, Methods.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.regions import pair_ranks
    >>> correlation = pd.DataFrame({"a": [0.9, 0.2, 0.5]}, ["A", "B", "C"])
    >>> pairs = pd.DataFrame({"mouse_region": ["a", "a"], "human_region": ["A", "B"]})
    >>> pair_ranks(correlation, pairs)["rank"].tolist()
    [1.0, 3.0]
    """
    check_pairs(pairs, correlation.index, correlation.columns)
    values = correlation.to_numpy()
    ranks = rankdata(-values, axis=0)
    rows = correlation.index.astype(str).get_indexer(pairs["human_region"].astype(str))
    columns = correlation.columns.astype(str).get_indexer(pairs["mouse_region"].astype(str))
    table = pairs[["mouse_region", "human_region"]].reset_index(drop=True)
    return table.assign(correlation=values[rows, columns], rank=ranks[rows, columns])


def mean_rank(human: pd.DataFrame, mouse: pd.DataFrame, pairs: pd.DataFrame) -> float:
    """Mean rank of the homologous pairs, the score of an embedding: 1 is the best.

    Parameters
    ----------
    human, mouse
        Regions x features, as for :func:`correlation_map`.
    pairs
        As for :func:`pair_ranks`.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.regions import mean_rank
    >>> regions = pd.DataFrame([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], ["A", "B"])
    >>> pairs = pd.DataFrame({"mouse_region": ["A", "A"], "human_region": ["A", "B"]})
    >>> mean_rank(regions, regions, pairs)
    1.5
    """
    return float(pair_ranks(correlation_map(human, mouse), pairs)["rank"].mean())


def chance_rank(n_human: int) -> float:
    """Mean rank of a map that knows nothing: the middle of 1 ... n.

    Examples
    --------
    >>> from imap_keras.regions import chance_rank
    >>> chance_rank(105), chance_rank(22)
    (53.0, 11.5)
    """
    return (n_human + 1) / 2
