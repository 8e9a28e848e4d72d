"""Two measurements of each cell: scGEM, SNARE-seq, and the proteins of a CITE-seq."""

import numpy as np
import pandas as pd
from anndata import AnnData

from ._download import fetch, fetch_all

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
    >>> from imap_keras.datasets import registry
    >>> registry().query("dataset == 'scgem'")["what"].tolist()[:2]
    ['177 cells x 34 genes, log expression', '177 cells x 27 loci, 0/1 methylation']
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
    >>> from imap_keras.datasets import registry
    >>> registry().query("dataset == 'snareseq'")["what"].tolist()[:2]
    ['1047 cells x 10 RNA features', '1047 cells x 19 ATAC topics']
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


def cbmc_protein() -> AnnData:
    """Load the proteins of a CITE-seq: antibody counts of 8,617 cord blood cells; the RNA is not here.

    Returns
    -------
    anndata.AnnData
        8,617 cells x 10 proteins (``CD3`` ... ``CD34``), counts, with ``obs["cell_type"]``
        (``cluster_1`` ... ``cluster_13``, the source's; 1 are CD4 T cells, 6 CD8 T cells).

    Raises
    ------
    ConnectionError
        Not in the cache and no network (0.5 MB).

    References
    ----------
    Stoeckius et al., Nature Methods 14:865 (2017).

    Examples
    --------
    >>> from imap_keras.datasets import registry
    >>> registry().query("dataset == 'cbmc_protein'")["what"].item()
    'CITE-seq antibody counts, 8617 cells x 10 proteins, last column = cluster'
    """
    table = pd.read_csv(fetch("cbmc_protein/scProteomics.txt"), sep="\t", index_col=0)
    cluster = table.pop("cluster")
    names = [f"cluster_{i}" for i in range(1, cluster.max() + 1)]
    kinds = pd.Categorical.from_codes(cluster - 1, names)
    return AnnData(
        table.to_numpy("float32"),
        obs=pd.DataFrame({"cell_type": kinds}, index=table.index.astype(str)),
        var=pd.DataFrame(index=table.columns.str.removeprefix("CITE_")),
    )


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
