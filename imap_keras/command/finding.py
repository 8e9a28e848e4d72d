"""Where expression lies in the cells that were read, and of which kind it is."""

import ast
from dataclasses import dataclass

import numpy as np
from anndata import AnnData
from scipy import sparse

from ..inputs.expression import COUNTS, LOGGED, kind_of
from ..inputs.recipe import RECIPE
from ..inputs.values import named_layers
from .batches import counted

FEW_BROKEN = 0.01  # of the values that are not 0: fractions among counts, not a normalised matrix


@dataclass(frozen=True)
class Found:
    """Where expression lies in an AnnData, and of which kind it is.

    Parameters
    ----------
    where
        ``"layers['counts']"``, ``"X"``, ``"raw"`` and so on.
    kind
        ``"counts"`` or ``"log-normalised values"``.
    """

    where: str
    kind: str


def places_of(adata: AnnData) -> dict[str, str]:
    """What each matrix holds, by its place, in the order in which counts are looked for.

    Examples
    --------
    >>> from imap_keras.command.finding import places_of
    >>> from imap_keras.datasets import simulate
    >>> list(places_of(simulate(n_cells=30, n_genes=20)).items())[0]
    ("layers['counts']", 'counts')
    """
    return {where: kind_of(values) for where, values in _matrices_of(adata).items()}


def _matrices_of(adata: AnnData) -> dict:
    places = {"layers['counts']": adata.layers.get("counts"), "X": adata.X}
    places["raw"] = None if adata.raw is None else adata.raw.X
    places |= {
        f"layers[{name!r}]": layer for name, layer in named_layers(adata).items() if name != "counts"
    }
    return {where: values for where, values in places.items() if values is not None}


def faults_of(values: np.ndarray | sparse.spmatrix) -> tuple[str, str]:
    """What keeps a matrix from holding counts or log values, and how to mend it.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.command.finding import faults_of
    >>> faults_of(np.array([[0.0, -1.0]]))[0], faults_of(np.array([[0.5, 1234.5]]))[0]
    ('1 value below 0, the lowest -1', 'fractions, up to 1234.5')
    """
    data = values.data if sparse.issparse(values) else np.asarray(values)
    missing = int(np.count_nonzero(~np.isfinite(data)))
    if missing:
        return (
            f"{counted(missing, 'value is', 'values are')} NaN or infinite",
            "Fill in what is missing, or leave those cells or genes out.",
        )
    negative = int(np.count_nonzero(data < 0))
    if negative:
        return (
            f"{counted(negative, 'value', 'values')} below 0, the lowest {data.min():.5g}",
            "Scaled or centred values do not fit: take them as they were before.",
        )
    broken = data[data % 1 > 0]
    if broken.size <= FEW_BROKEN * np.count_nonzero(data):
        return (
            f"whole numbers but for {counted(broken.size, 'fractional value', 'fractional values')}, "
            f"{broken[0]:.5g} for example",
            "If they are counts corrected for ambient RNA, round them.",
        )
    return (
        f"fractions, up to {data.max():.5g}",
        "If they are normalised, take the logarithm, scanpy.pp.log1p(adata); if they are counts "
        "corrected for ambient RNA, round them.",
    )


def faults_in(adata: AnnData) -> tuple[str, str]:
    """The same of each matrix of the cells, and how to mend the first.

    Examples
    --------
    >>> import numpy as np
    >>> from anndata import AnnData
    >>> from imap_keras.command.finding import faults_in
    >>> faults_in(AnnData(np.array([[0.0, -1.0]])))[0]
    'X: 1 value below 0, the lowest -1'
    """
    faults = {where: faults_of(values) for where, values in _matrices_of(adata).items()}
    seen = "; ".join(f"{where}: {fault}" for where, (fault, _) in faults.items())
    return seen or "nothing", next((mend for _, mend in faults.values()), "")


def first_of(places: dict[str, str], kind: str) -> Found | None:
    """The first place of a kind; log-normalised values count in ``X`` and ``raw`` alone.

    Examples
    --------
    >>> from imap_keras.command.finding import first_of
    >>> first_of({"X": "log-normalised values", "raw": "counts"}, "counts")
    Found(where='raw', kind='counts')
    """
    allowed = places if kind == COUNTS else ("X", "raw")
    return next((Found(where, kind) for where in allowed if places.get(where) == kind), None)


def find_expression(adata: AnnData) -> Found:
    """Look for counts in ``layers``, ``X`` and ``raw``; without any, for log-normalised values.

    Raises
    ------
    ValueError
        There are neither; says what was found where.

    Examples
    --------
    >>> from imap_keras.command.finding import find_expression
    >>> from imap_keras.datasets import simulate
    >>> find_expression(simulate(n_cells=30, n_genes=20))
    Found(where="layers['counts']", kind='counts')
    """
    places = places_of(adata)
    found = first_of(places, COUNTS) or first_of(places, LOGGED)
    if found is None:
        seen, mend = faults_in(adata)
        raise ValueError(
            f"Neither counts nor log-normalised values were found ({seen}). {mend} Else put counts "
            "into X or layers['counts']; then write the file again."
        )
    return found


def is_prepared(adata: AnnData) -> bool:
    """True for cells that `preprocess` made, or `integrate` wrote: their ``X`` is taken as it is.

    Their counts are those of chosen genes only, and would be normalised by a part of each cell.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.command.finding import is_prepared
    >>> cells = imap_keras.datasets.simulate(n_cells=60, n_genes=40)
    >>> is_prepared(cells), is_prepared(imap_keras.preprocess(cells, min_genes=5, verbose=0))
    (False, True)
    """
    return RECIPE in adata.uns and kind_of(adata.X) == LOGGED


def with_counts(adata: AnnData, found: Found) -> AnnData:
    """The same cells with what was found in ``X``, and nothing else of the expression.

    Examples
    --------
    >>> from imap_keras.command.finding import find_expression, with_counts
    >>> from imap_keras.datasets import simulate
    >>> adata = simulate(n_cells=30, n_genes=20)
    >>> with_counts(adata, find_expression(adata)).shape
    (30, 20)
    """
    if found.where == "raw":
        values, var = adata.raw.X, adata.raw.var
    elif found.where == "X":
        values, var = adata.X, adata.var
    else:  # a name may hold quotes itself
        name = ast.literal_eval(found.where.removeprefix("layers[").removesuffix("]"))
        values, var = adata.layers[name], adata.var
    if sparse.issparse(values):
        values = sparse.csr_matrix(values)
    return AnnData(
        values, obs=adata.obs.copy(), var=var.copy(), obsm=dict(adata.obsm), uns=dict(adata.uns)
    )
