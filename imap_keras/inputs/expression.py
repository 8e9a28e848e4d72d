"""Counts or log values of an AnnData; where they are the other kind, the advice that suits who asks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from anndata import AnnData
from scipy import sparse

from .values import (
    LARGEST_LOG,
    WrongKindError,
    check_counts,
    check_logged,
    check_values,
    dense,
    named_layers,
)

COUNTS, LOGGED = "counts", "log-normalised values"
MAKE_LOGGED = (
    "Call imap_keras.preprocess(adata, batch_key=...) first, or scanpy.pp.normalize_total and "
    "scanpy.pp.log1p."
)


@dataclass(frozen=True)
class Caller:
    """Who reads expression: the kind that it wants, and what to do with values of the other kind."""

    wants: str
    other_kind: str


# The one place that decides which advice an input error gives to whom.
CALLERS = {
    "preprocess": Caller(COUNTS, "leave preprocess out and hand them to imap_keras.integrate"),
    "integrate": Caller(LOGGED, MAKE_LOGGED),
    "scarches_counts": Caller(COUNTS, 'use likelihood="mse", which reads log-normalised values'),
    "scarches_logged": Caller(LOGGED, MAKE_LOGGED + ' Or use likelihood="nb", which reads counts.'),
}


def counts_of(adata: AnnData, caller: str = "preprocess") -> tuple[np.ndarray | sparse.spmatrix, str]:
    """Return the counts, checked, and where they were: ``layers["counts"]``, else ``X``.

    Parameters
    ----------
    adata
        Cells x genes.
    caller
        Who asks, of `CALLERS`: decides the advice of the error.

    Raises
    ------
    ValueError
        Values are missing, not finite, negative or fractional; says where counts are, or what to do.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.expression import counts_of
    >>> counts_of(imap_keras.datasets.simulate(n_cells=30))[1]
    "layers['counts']"
    """
    where = "layers['counts']" if "counts" in adata.layers else "X"
    counts = adata.layers.get("counts", adata.X)
    try:
        check_counts(counts, f"adata.{where}")
    except WrongKindError as error:
        raise ValueError(f"{error} {advice(adata, counts, where, caller)}") from None
    return counts, where


def check_block_of_counts(values: np.ndarray | sparse.spmatrix, where: str, start: int = 0) -> None:
    """Raise unless a block of a file holds counts; there is nowhere else to look for some.

    Parameters
    ----------
    values, where, start
        The block, ``"X"`` or ``"layers['counts']"``, and the number of its first cell.

    Raises
    ------
    ValueError
        Says what was found, and what to do.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.expression import check_block_of_counts
    >>> check_block_of_counts(np.array([[0, 3]]), "X")
    """
    try:
        check_counts(values, f"adata.{where}, cells from {start} on,")
    except WrongKindError as error:
        mend = "Put the counts into layers['counts'], or into X."
        if where != "X":
            mend = f"Put the counts there, or remove it: del adata.{where}; X is read then."
        raise ValueError(f"{error} {mend}") from None


def dense_expression(adata: AnnData, caller: str = "integrate") -> np.ndarray:
    """Return ``adata.X``, checked, as dense float32 cells x genes.

    Parameters
    ----------
    adata
        Log-normalised cells x genes.
    caller
        Who asks, of `CALLERS`: decides the advice of the error.

    Raises
    ------
    ValueError
        Values are missing, not finite, negative, or not logged; says where log values are, or what
        to do.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.expression import dense_expression
    >>> adata = imap_keras.preprocess(imap_keras.datasets.demo(), min_genes=50, verbose=0)
    >>> dense_expression(adata).dtype
    dtype('float32')
    """
    check_expression(adata.X, adata, caller=caller)
    return dense(adata.X)


def check_expression(
    values, adata: AnnData | None, where: str = "X", caller: str = "integrate"
) -> None:
    """Raise unless values, or a block of them, are log-normalised expression.

    Parameters
    ----------
    values
        Cells x genes.
    adata
        Where values of the right kind are looked for; None: nowhere.
    where, caller
        What the values are called; who asks, of `CALLERS`.

    Raises
    ------
    ValueError
        As :func:`dense_expression`.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.expression import check_expression
    >>> check_expression(np.array([[0.0, 1.4]]), None)
    """
    try:
        check_values(values, f"adata.{where}")
        check_logged(values, f"adata.{where}")
    except WrongKindError as error:
        told = CALLERS[caller].other_kind if adata is None else advice(adata, values, "X", caller)
        raise ValueError(f"{error} {told}") from None


def kind_of(values: np.ndarray | sparse.spmatrix | None) -> str:
    """What a matrix holds: counts, log values, or neither.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.expression import kind_of
    >>> kind_of(np.array([[0, 3]])), kind_of(np.array([[0.5]])), kind_of(np.array([[-1.0]]))
    ('counts', 'log-normalised values', 'other values')
    """
    try:
        check_values(values)
    except ValueError:
        return "other values"
    for kind, check in ((COUNTS, check_counts), (LOGGED, check_logged)):
        try:
            check(values)
        except ValueError:
            continue
        return kind
    return "other values"


def advice(adata: AnnData, found: np.ndarray | sparse.spmatrix, where: str, caller: str) -> str:
    """What to do about values of the wrong kind, for the one who asked.

    Parameters
    ----------
    adata
        Looked through for values of the right kind.
    found, where
        The values that are wrong, and their place in `adata`.
    caller
        Of `CALLERS`.

    Examples
    --------
    >>> import numpy as np
    >>> from anndata import AnnData
    >>> from imap_keras.inputs.expression import advice
    >>> adata = AnnData(np.array([[0.5, 30.5]]))
    >>> advice(adata, adata.X, "X", "preprocess").endswith("adata.X = adata.X.round()")
    True
    """
    wants, other_kind = CALLERS[caller].wants, CALLERS[caller].other_kind
    places = list(_elsewhere(adata, where, wants))
    for place, values, line in places:
        if kind_of(values) == wants:
            return f"adata.{place} holds {wants}: {line}"
    if wants == LOGGED:
        return other_kind
    negative = found.min() < 0
    for place, values, line in places:
        if negative and kind_of(values) == LOGGED:
            return f"adata.{place} holds {LOGGED}; {other_kind}: {line}"
    if negative:
        return f"Put the counts into adata.layers['counts'], or, with {LOGGED} in X, {other_kind}."
    rounded = "rint" if sparse.issparse(found) else "round"
    mend = (
        "If they are counts that were corrected for ambient RNA (SoupX, CellBender), round them: "
        f"adata.{where} = adata.{where}.{rounded}()"
    )
    if found.max() <= LARGEST_LOG:
        mend = f"If they are {LOGGED}, {other_kind}. {mend}"
    return f"Put the counts into adata.layers['counts']. {mend}" if where == "X" else mend


def _elsewhere(adata: AnnData, where: str, wants: str) -> Iterator[tuple]:
    """Other matrices of the data: the place, the values, and the line that takes them."""
    target = "layers['counts']" if wants == COUNTS else "X"
    for name, values in named_layers(adata).items():
        if f"layers[{name!r}]" != where:
            yield f"layers[{name!r}]", values, f"adata.{target} = adata.layers[{name!r}]"
    if adata.raw is not None:
        same_genes = adata.raw.var_names.equals(adata.var_names)
        cut = "" if same_genes else "[:, adata.var_names].copy()"
        if wants == COUNTS or not adata.var_names.isin(adata.raw.var_names).all():
            cut = ""  # preprocess chooses the genes itself
        yield "raw", adata.raw.X, f"adata = adata.raw.to_adata(){cut}"
