"""How cells were prepared, as far as they tell; what differs between those of a fit and new ones."""

import warnings
from collections.abc import Mapping
from numbers import Number

import numpy as np
from anndata import AnnData
from scipy import sparse

RECIPE = "imap_keras_preprocess"  # in uns: what preprocess() did
# Values of cells that differ in one of these cannot be compared.
VALUES = {"target_sum": "counts a cell", "log": "logarithm"}
COUNTED, FEWER_GENES, OTHER_TOTAL = "genes_counted", 2.0, 3.0
SOME_CELLS = 2000


def recipe_of(adata: AnnData) -> dict:
    """What is recorded in ``uns`` of how the cells were prepared: by `preprocess`, or scanpy's log1p.

    Empty where nothing is recorded.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inputs.recipe import recipe_of
    >>> cells = imap_keras.datasets.simulate(n_cells=60, n_genes=40)
    >>> recipe = recipe_of(imap_keras.preprocess(cells, min_genes=5, verbose=0))
    >>> recipe["target_sum"], recipe["log"], recipe["genes_counted"], recipe_of(cells)
    (10000, 'log1p', 40, {})
    """
    if RECIPE in adata.uns:
        recorded = adata.uns[RECIPE].items()
        return {name: value.item() if hasattr(value, "item") else value for name, value in recorded}
    if isinstance(adata.uns.get("log1p"), Mapping):
        base = adata.uns["log1p"].get("base")
        named = f"{float(base):g}" if isinstance(base, Number) else str(base)
        return {"log": "log1p" if base is None else f"log1p to base {named}"}
    return {}


def compare_recipes(fitted: dict, new: dict) -> None:
    """Say what differs between the preparation of the fitted cells and of new ones.

    Another choice of cells or genes makes no difference to a value, so it is none here.

    Parameters
    ----------
    fitted, new
        From :func:`recipe_of`; what one of them does not record is not compared.

    Raises
    ------
    ValueError
        Normalised to another number of counts, or another logarithm: the model would take the
        difference for biology.

    Warns
    -----
    UserWarning
        Normalised by the counts of less than half or more than twice as many genes.

    Examples
    --------
    >>> from imap_keras.inputs.recipe import compare_recipes
    >>> compare_recipes({"log": "log1p", "flavor": "seurat_v3"}, {"log": "log1p"})
    """
    both = fitted.keys() & new.keys()
    differ = [name for name in VALUES if name in both and fitted[name] != new[name]]
    if differ:
        said = ", ".join(f"{VALUES[name]}: {new[name]}, fitted {fitted[name]}" for name in differ)
        mend = "Prepare them from counts: preprocess(new, genes=model)."
        if "target_sum" not in fitted:  # another program made those
            mend = "Normalise and log them as those were, or fit again on cells that preprocess() made."
        raise ValueError(
            f"These cells were prepared otherwise than those the model was fitted on ({said}). {mend}"
        )
    if COUNTED in both:
        more, fewer = (pick(fitted[COUNTED], new[COUNTED]) for pick in (max, min))
        if more > FEWER_GENES * fewer:
            mend = "Prepare them from counts of all genes: preprocess(new, genes=model)."
            if more == new[COUNTED]:
                mend = (
                    "Cut their counts to the genes that those were counted in, and then call "
                    "preprocess(new, genes=model); or fit again on counts of all genes."
                )
            warnings.warn(
                f"These cells were normalised by their counts in {new[COUNTED]:,} genes, those the "
                f"model was fitted on in {fitted[COUNTED]:,}: the same cell gets other values. {mend}",
                stacklevel=3,
            )


def compare_totals(fitted: np.ndarray | sparse.spmatrix, new: np.ndarray) -> None:
    """Warn where log values seem normalised to another total, whatever is recorded.

    Parameters
    ----------
    fitted, new
        Log-normalised cells x the same genes.

    Warns
    -----
    UserWarning
        The median cell of one sums to more than three times that of the other, logarithm undone.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.inputs.recipe import compare_totals
    >>> compare_totals(np.log1p([[3.0, 5.0]]), np.log1p([[6.0, 5.0]]))
    """
    known, other = (_total(values) for values in (fitted, new))
    if max(known, other) > OTHER_TOTAL * min(known, other):
        warnings.warn(
            f"In the model's genes a new cell sums to {other:,.0f} (median, logarithm undone), one of "
            f"the reference to {known:,.0f}. Were both normalised to the same total and logged alike? "
            "preprocess(new, genes=model) does as preprocess() did.",
            stacklevel=3,
        )


def _total(values: np.ndarray | sparse.spmatrix) -> float:
    some = values[:: max(1, values.shape[0] // SOME_CELLS)]
    return float(
        np.median(
            np.ravel(some.expm1().sum(axis=1) if sparse.issparse(some) else np.expm1(some).sum(axis=1))
        )
    )
