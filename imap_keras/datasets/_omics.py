"""Two measurements of each cell: scGEM (expression, methylation) and SNARE-seq (RNA, chromatin)."""

import numpy as np
import pandas as pd
from anndata import AnnData

from ._download import fetch_all

STAGES = ["BJ", "d8", "d16T+", "d24T+", "iPS"]


def scgem() -> dict[str, AnnData]:
    """Load scGEM: expression and DNA methylation of the same 177 cells on their way to stem cells.

    Returns
    -------
    dict of anndata.AnnData
        ``"expression"``: 177 cells x 34 genes on a logarithmic scale, 0 where nothing was found, up
        to 25.4. ``"methylation"``: 177 cells x 27 loci, 0 or 1. Both with ``obs["cell_type"]``: the
        fibroblasts (``BJ``), days 8, 16 and 24 of reprogramming, and the stem cells (``iPS``).

    Raises
    ------
    ConnectionError
        Not in the cache and no network (0.05 MB in all).

    References
    ----------
    Cheow et al., Nature Methods 13:833 (2016); the files are those of SCOT, Demetci et al., Journal
    of Computational Biology 29:3 (2022).

    Examples
    --------
    >>> cells = scgem()  # doctest: +SKIP
    """
    expression, methylation, types = fetch_all(
        "scgem", "scGEM_expression.csv", "scGEM_methylation.csv", "scGEM_typeExpression.txt"
    )
    codes = np.loadtxt(types).astype(int) - 1
    values = {
        "expression": (np.loadtxt(expression, delimiter=","), "gene"),
        "methylation": (np.loadtxt(methylation, delimiter=","), "locus"),
    }
    return _paired(values, pd.Categorical.from_codes(codes, STAGES, ordered=True))


def snareseq() -> dict[str, AnnData]:
    """Load SNARE-seq features: RNA and chromatin accessibility of the same 1,047 cells of four lines.

    Features made from the counts, not counts: 10 components of the RNA (of either sign) and 19 topics
    of the accessible regions (from hundreds to hundred thousands). The source numbers the cell lines.

    Returns
    -------
    dict of anndata.AnnData
        ``"rna"`` (1,047 cells x 10) and ``"accessibility"`` (x 19), both with ``obs["cell_type"]``
        (``line_1`` ... ``line_4``).

    Raises
    ------
    ConnectionError
        Not in the cache and no network (0.25 MB in all).

    References
    ----------
    Chen et al., Nature Biotechnology 37:1452 (2019); the files are those of SCOT, Demetci et al.,
    Journal of Computational Biology 29:3 (2022).

    Examples
    --------
    >>> cells = snareseq()  # doctest: +SKIP
    """
    rna, accessibility, types = fetch_all(
        "snareseq", "SNAREseq_rna_feat.npy", "SNAREseq_atac_feat.npy", "SNAREseq_rna_types.txt"
    )
    codes = np.loadtxt(types).astype(int) - 1
    values = {
        "rna": (np.load(rna, allow_pickle=False), "component"),
        "accessibility": (np.load(accessibility, allow_pickle=False), "topic"),
    }
    return _paired(values, pd.Categorical.from_codes(codes, [f"line_{i}" for i in range(1, 5)]))


def _paired(values: dict, cell_type: pd.Categorical) -> dict[str, AnnData]:
    obs = pd.DataFrame({"cell_type": cell_type}, index=[f"cell_{i}" for i in range(len(cell_type))])
    return {
        name: AnnData(
            table.astype("float32"),
            obs=obs.copy(),
            var=pd.DataFrame(index=[f"{feature}_{i}" for i in range(table.shape[1])]),
        )
        for name, (table, feature) in values.items()
    }
