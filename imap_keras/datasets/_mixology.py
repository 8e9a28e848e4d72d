"""sc_mixology: five human cell lines measured on CEL-seq2 and Drop-seq, with known truth."""

import anndata
import pandas as pd
from anndata import AnnData
from scipy import sparse

from ._download import fetch

FILES = {
    "celseq2": "sc_celseq2",
    "dropseq": "sc_dropseq",
    "celseq2_5cl_p1": "sc_celseq2_5cl_p1",
    "celseq2_5cl_p2": "sc_celseq2_5cl_p2",
    "celseq2_5cl_p3": "sc_celseq2_5cl_p3",
}


def sc_mixology() -> AnnData:
    """Load five real batches of cell lines: 1,408 cells x 11,533 genes common to all.

    ``celseq2`` and ``dropseq`` hold the cell lines H1975, H2228 and HCC827; the three ``5cl`` plates
    hold A549 and H838 as well. Which line a cell is was read from its genotype, not its expression.

    Returns
    -------
    anndata.AnnData
        ``X`` and ``layers["counts"]`` (CSR, whole numbers), ``obs["batch"]``, ``obs["cell_type"]``
        (cell line by genotype), ``obs["doublet"]`` (True for two cells under one barcode).

    Raises
    ------
    ConnectionError
        Not in the cache and no network (8 MB in all).

    References
    ----------
    Tian et al., Nature Methods 16:479 (2019).

    Examples
    --------
    >>> adata = sc_mixology()  # doctest: +SKIP
    """
    batches = []
    # All files first: without network the error comes before any parsing.
    paths = {
        batch: [fetch(f"sc_mixology/{file}.{part}.csv.gz") for part in ("count", "metadata")]
        for batch, file in FILES.items()
    }
    for batch, (counts_file, cells_file) in paths.items():
        counts = pd.read_csv(counts_file, index_col=0)
        cells = pd.read_csv(cells_file, index_col=0).loc[counts.columns]
        obs = pd.DataFrame(
            {
                "batch": batch,
                "cell_type": cells["cell_line_demuxlet"].to_numpy(),
                "doublet": (cells["demuxlet_cls"] == "DBL").to_numpy(),
            },
            index=batch + ":" + counts.columns,
        )
        values = sparse.csr_matrix(counts.to_numpy("float32").T)
        batches.append(AnnData(values, obs=obs, var=pd.DataFrame(index=counts.index)))
    adata = anndata.concat(batches, join="inner")
    adata.obs["batch"] = pd.Categorical(adata.obs["batch"], list(FILES))
    adata.obs["cell_type"] = pd.Categorical(adata.obs["cell_type"])
    adata.layers["counts"] = adata.X.copy()
    return adata
