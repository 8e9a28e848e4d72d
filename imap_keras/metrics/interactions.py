"""Which types of cells may talk to which: ligand times receptor, against shuffled types."""

import math
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from scipy.stats import false_discovery_control

from ..inputs.genes import features
from ..inputs.labels import coded, labels_of
from ..inputs.values import WrongKindError, check_logged, check_values, dense, in_memory
from ..nn.parameters import check_count

ENTRIES = 2**22  # numbers that a block of shuffles may hold: 32 MiB
ROUNDING = 1e-9  # relative; the same cells in another order may have a sum that is a bit smaller


def interaction_table(
    adata: AnnData,
    pairs: Sequence[tuple[str, str]],
    label_key: str = "cell_type",
    layer: str | None = None,
    batch_key: str | None = None,
    n_permutations: int = 1000,
    rate: float = 0.1,
    seed: int = 0,
) -> pd.DataFrame:
    """Score ligand-receptor pairs between all ordered pairs of cell types, with permutation p-values.

    The score is the mean of the ligand in the sending type times the mean of the receptor in the
    receiving type. The types of the cells are shuffled `n_permutations` times; p is the share of
    shuffles with a score at least as high, the data themselves counted as one more:
    ``p = (b + 1) / (n_permutations + 1)``. All p are adjusted together (Benjamini, Hochberg).

    A small p says that sender and receiver express the two genes more than cells at large do, not that
    they talk; one of the two, much raised, is enough where the other is on in all types. What differs
    between batches counts as well, where batches differ in their types.

    Parameters
    ----------
    adata
        Log-normalised cells x genes, none negative, in ``X`` or `layer`.
    pairs
        ``(ligand, receptor)``, names of genes.
    label_key
        Column of ``adata.obs`` with the types.
    layer
        Layer to read; None: ``X``. Of :func:`imap_keras.integrate` that is ``"imap"``, clipped at 0;
        with ``relu_output=True`` fewer false interactions come of it (notebook 17).
    batch_key
        Column of ``adata.obs``; types are then shuffled within each batch only. By default among all
        cells.
    n_permutations
        Shuffles. No p is below ``1 / (n_permutations + 1)``.
    rate
        Rate of false discoveries that the table is wanted for; used to check `n_permutations`.
    seed
        Seed of the shuffles.

    Returns
    -------
    pandas.DataFrame
        A row for each pair and ordered pair of types (a type with itself too): ``ligand``,
        ``receptor``, ``sender``, ``receiver``, ``score``, ``p``, ``p_adjusted``.

    Raises
    ------
    KeyError
        `label_key`, `batch_key` or `layer` is not there.
    ValueError
        A ligand or receptor is not measured; values are negative, not finite, or counts; a cell has no
        type; there is one type only; a pair is not two names, or there twice; with so few shuffles
        nothing can reach `rate`.

    Warns
    -----
    UserWarning
        With so few shuffles a single interaction cannot reach `rate`, but several together can.

    References
    ----------
    Vento-Tormo et al., Nature 563:347 (2018), and Efremova et al., CellPhoneDB, Nature Protocols
    15:1484 (2020), who shuffle in the same way (their score is the mean of the two means); Phipson and
    Smyth, Stat. Appl. Genet. Mol. Biol. 9:39 (2010), for p.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from anndata import AnnData
    >>> from imap_keras.metrics import interaction_table
    >>> types = np.repeat(["A", "B"], 20)
    >>> values = np.column_stack([types == "A", types == "B"]) + 0.1
    >>> cells = AnnData(values, var=pd.DataFrame(index=["L", "R"]))
    >>> cells.obs["cell_type"] = types
    >>> table = interaction_table(cells, [("L", "R")], n_permutations=99)
    >>> table[["sender", "receiver", "score", "p"]].round(2).values.tolist()
    [['A', 'A', 0.11, 1.0], ['A', 'B', 1.21, 0.01], ['B', 'A', 0.01, 1.0], ['B', 'B', 0.11, 1.0]]
    """
    adata, pairs = in_memory(adata), _named_pairs(pairs)
    types, codes = coded(labels_of(adata, label_key, "label_key"))
    if len(types) < 2:
        raise ValueError(
            f"All cells are of one type, {types[0]!r}; shuffling types takes two or more. Is "
            f"label_key={label_key!r} the right column?"
        )
    stratum = np.zeros(len(codes), int) if batch_key is None else coded(labels_of(adata, batch_key))[1]
    n_permutations = check_count("n_permutations", n_permutations)
    _check_permutations(n_permutations, rate, len(pairs) * len(types) ** 2)
    values, ligand, receptor = _values(adata, pairs, layer)
    sizes = codes, stratum, ligand, receptor, len(types)
    score, p = permutation_p(values, *sizes, n_permutations, seed)
    names = [(types[s], types[r], *pairs[i]) for s, r, i in np.ndindex(score.shape)]
    table = pd.DataFrame(names, columns=["sender", "receiver", "ligand", "receptor"])
    table = table[["ligand", "receptor", "sender", "receiver"]]
    table["score"], table["p"] = score.ravel(), p.ravel()
    table["p_adjusted"] = false_discovery_control(table["p"])
    return table


def type_means(values: np.ndarray, codes: np.ndarray, n_types: int) -> np.ndarray:
    """Mean of each gene in each type, for several ways to deal types to the cells.

    Parameters
    ----------
    values
        Cells x genes.
    codes
        Ways x cells, the number of each cell's type; all ways have the same numbers of cells by type.
    n_types
        Number of types.

    Returns
    -------
    numpy.ndarray
        Ways x types x genes.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics.interactions import type_means
    >>> type_means(np.array([[1.0], [2.0], [6.0]]), np.array([[0, 1, 1], [1, 0, 1]]), 2).tolist()
    [[[1.0], [4.0]], [[2.0], [3.5]]]
    """
    ways, n_cells = codes.shape
    row = (codes + n_types * np.arange(ways)[:, None]).ravel()
    column = np.tile(np.arange(n_cells), ways)
    member = sparse.csr_matrix((np.ones(row.size), (row, column)), (ways * n_types, n_cells))
    sums = (member @ values).reshape(ways, n_types, -1)
    return sums / np.bincount(codes[0], minlength=n_types)[:, None]


def pair_scores(means: np.ndarray, ligand: np.ndarray, receptor: np.ndarray) -> np.ndarray:
    """Mean ligand of the sender times mean receptor of the receiver.

    Parameters
    ----------
    means
        Ways x types x genes.
    ligand, receptor
        For each pair, the number of its gene.

    Returns
    -------
    numpy.ndarray
        Ways x senders x receivers x pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics.interactions import pair_scores
    >>> pair_scores(np.array([[[1.0, 2.0], [3.0, 4.0]]]), np.array([0]), np.array([1])).tolist()
    [[[[2.0], [4.0]], [[6.0], [12.0]]]]
    """
    return means[:, :, None, ligand] * means[:, None, :, receptor]


def shuffled(codes: np.ndarray, stratum: np.ndarray, ways: int, rng: np.random.Generator) -> np.ndarray:
    """Types dealt anew to the cells, within each stratum, several times over.

    Parameters
    ----------
    codes, stratum
        Number of each cell's type, and of the group of cells within which types are dealt.
    ways
        How many times.
    rng
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Ways x cells.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics.interactions import shuffled
    >>> dealt = shuffled(np.array([0, 1, 2]), np.array([1, 0, 1]), 50, np.random.default_rng(0))
    >>> np.unique(dealt, axis=0).tolist()
    [[0, 1, 2], [2, 1, 0]]
    """
    place = np.argsort(stratum, kind="stable")
    drawn = np.argsort(rng.random((ways, len(codes))) + stratum, axis=1)
    dealt = np.empty_like(drawn)
    dealt[:, place] = codes[drawn]
    return dealt


def permutation_p(
    values: np.ndarray,
    codes: np.ndarray,
    stratum: np.ndarray,
    ligand: np.ndarray,
    receptor: np.ndarray,
    n_types: int,
    n_permutations: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and the share of shuffles that score as high, in blocks of bounded memory.

    Parameters
    ----------
    values
        Cells x genes.
    codes, stratum
        As for :func:`shuffled`.
    ligand, receptor, n_types
        As for :func:`pair_scores` and :func:`type_means`.
    n_permutations, seed
        Number of shuffles, and their seed.

    Returns
    -------
    score, p
        Senders x receivers x pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.metrics.interactions import permutation_p
    >>> genes, cells = (np.array([0]), np.array([1])), (np.repeat([0, 1], 20), np.zeros(40))
    >>> score, p = permutation_p(np.eye(2)[cells[0]], *cells, *genes, 2, 99, 0)
    >>> float(score[0, 1, 0]), float(p[0, 1, 0])
    (1.0, 0.01)
    """
    score = pair_scores(type_means(values, codes[None], n_types), ligand, receptor)[0]
    rng, as_high = np.random.default_rng(seed), np.zeros(score.shape)
    block = max(ENTRIES // max(len(codes), score.size), 1)
    for start in range(0, n_permutations, block):
        dealt = shuffled(codes, stratum, min(block, n_permutations - start), rng)
        by_chance = pair_scores(type_means(values, dealt, n_types), ligand, receptor)
        as_high += (by_chance >= score * (1 - ROUNDING)).sum(axis=0)
    return score, (as_high + 1) / (n_permutations + 1)


def _named_pairs(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs as tuples of two names, each once."""
    named = []
    for number, pair in enumerate(pairs):
        if isinstance(pair, str) or len(pair) != 2:
            raise ValueError(
                f"pairs[{number}]={pair!r} must be two names, (ligand, receptor); of a complex hand in "
                "a pair for each of its parts."
            )
        named.append((str(pair[0]), str(pair[1])))
    if not named:
        raise ValueError('There are no pairs; hand in names such as [("CCL5", "CCR5")].')
    twice = sorted({pair for pair in named if named.count(pair) > 1})
    if twice:
        raise ValueError(
            f"{len(twice)} pairs are named twice, the first is {twice[0]}; name each once."
        )
    return named


def _check_permutations(n_permutations: int, rate: float, n_tests: int) -> None:
    """With n shuffles no p is below 1 / (n + 1): of n_tests, so many must be there at once."""
    if not 0 < rate < 1:
        raise ValueError(f"rate={rate!r} must lie between 0 and 1, such as 0.1.")
    together = math.ceil(n_tests / (rate * (n_permutations + 1)) - ROUNDING)
    alone = math.ceil(n_tests / rate - ROUNDING) - 1
    if together > n_tests:
        raise ValueError(
            f"With n_permutations={n_permutations} no p is below {1 / (n_permutations + 1):.3g}, above "
            f"the rate={rate} that is wanted: nothing could be found. Take at least "
            f"{math.ceil(1 / rate - ROUNDING) - 1}; from {alone} on a single interaction among "
            f"{n_tests} can be found."
        )
    if together > 1:
        warnings.warn(
            f"With n_permutations={n_permutations} and {n_tests} tests, rate={rate} is reached by "
            f"{together} interactions together or by none; from {alone} on a single one can.",
            stacklevel=3,
        )


def _values(
    adata: AnnData, pairs: list[tuple[str, str]], layer: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of the genes of all pairs, and which of them are each pair's ligand and receptor."""
    if layer is not None and layer not in adata.layers:
        raise KeyError(
            f"layer={layer!r} is not in adata.layers. Layers there: "
            f"{', '.join(str(name) for name in adata.layers if name is not None) or 'none'}."
        )
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    measured, found = features(adata, names, missing="skip", what="ligands and receptors")
    if not found.all():
        lost = [name for name, there in zip(names, found, strict=True) if not there]
        left = sum(not set(pair) & set(lost) for pair in pairs)
        raise ValueError(
            f"{len(lost)} of {len(names)} ligands and receptors are not measured: "
            f"{', '.join(lost[:10])}{' ...' if len(lost) > 10 else ''}. Were they left out when "
            "variable genes were chosen? Keep them, or leave their pairs out "
            f"({left} of {len(pairs)} stay): "
            "pairs = [pair for pair in pairs if set(pair) <= set(adata.var_names)]"
        )
    where = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
    values = measured.X if layer is None else measured.layers[layer]
    try:
        check_values(values, where)
        check_logged(values, where)
    except WrongKindError as error:
        if values.min() < 0:
            raise ValueError(
                f"{error} Two negative means would multiply to a high score. Of corrected values take "
                "the output clipped at 0, layers['imap'] of imap_keras.integrate(), or clip: "
                "adata.layers['clipped'] = np.maximum(adata.layers['imap'], 0)"
            ) from None
        raise ValueError(f"{error} Call imap_keras.preprocess(adata, batch_key=...) first.") from None
    number = {name: i for i, name in enumerate(names)}
    of_pairs = np.array([[number[name] for name in pair] for pair in pairs])
    return dense(values).astype(float), *of_pairs.T
