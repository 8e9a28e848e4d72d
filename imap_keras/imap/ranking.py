"""Genes by importance in the layout of scanpy, and what expression alone says beside them."""

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData

from ..inputs.genes import features
from ..inputs.labels import coded, labels_of
from ..inputs.moments import group_sums
from ..nn.parameters import check_choice

METHOD = "expected gradients"
SCORES = ("mean", "t-test", "wilcoxon")


def rank_genes(adata: AnnData, importance: AnnData, key_added: str = "rank_genes_groups") -> None:
    """Write the genes of each group, most important first, where scanpy keeps ranked genes.

    ``sc.pl.rank_genes_groups``, its dot plot and ``sc.get.rank_genes_groups_df`` read it. There is no
    test behind it: p-values and fold changes are NaN.

    Parameters
    ----------
    adata
        Cells with the genes and the labels that were explained; its ``uns`` is added to.
    importance
        From :func:`imap_keras.imap.gene_importance` or :func:`imap_keras.imap.contrast_importance`.
    key_added
        Key of ``adata.uns``.

    Raises
    ------
    KeyError
        `adata` has no column of the explained labels.
    ValueError
        `importance` is something else, or `adata` lacks genes.

    Examples
    --------
    >>> import imap_keras
    >>> import scanpy as sc
    >>> from imap_keras.imap import contrast_importance, rank_genes
    >>> cells = imap_keras.datasets.simulate(n_cells=80, n_genes=40, n_batches=2, batch_strength=2.0)
    >>> cells = imap_keras.preprocess(cells, min_genes=5, verbose=0)
    >>> found = contrast_importance(cells, verbose=0, epochs=20, learning_rate=0.01, n_cells=5)
    >>> rank_genes(cells, found)
    >>> sc.get.rank_genes_groups_df(cells, "batch_1").shape
    (40, 5)
    """
    if "importance" not in importance.uns or "importance" not in importance.varm:
        raise ValueError(
            "importance holds no uns['importance'] and varm['importance']; give what gene_importance() "
            "or contrast_importance() returned."
        )
    label_key, means = importance.uns["importance"]["label_key"], importance.varm["importance"]
    labels_of(adata, label_key, "the explained label_key")
    mend = "Rank in the cells that were explained, or in some with the same genes."
    features(adata, importance.var_names, what="explained genes", mend=mend)
    order = {group: np.argsort(-means[group].to_numpy(), kind="stable") for group in means}
    names = {group: means.index.to_numpy()[rows] for group, rows in order.items()}
    scores = {group: means[group].to_numpy()[rows] for group, rows in order.items()}
    untested = pd.DataFrame(np.nan, index=range(len(means)), columns=list(means))
    adata.uns[key_added] = {
        "params": {
            "groupby": label_key,
            "reference": "rest",
            "method": METHOD,
            "use_raw": False,
            "layer": None,
            "corr_method": "none",
        },
        "names": pd.DataFrame(names).to_records(index=False, column_dtypes="O"),
        "scores": pd.DataFrame(scores).to_records(index=False, column_dtypes="float32"),
    } | {
        name: untested.to_records(index=False, column_dtypes=kind)
        for name, kind in (("logfoldchanges", "float32"), ("pvals", "f8"), ("pvals_adj", "f8"))
    }


def expression_scores(adata: AnnData, label_key: str, method: str = "mean") -> pd.DataFrame:
    """What expression alone says of each gene in each group: the rivals of importance.

    Parameters
    ----------
    adata
        Log-normalised cells x genes. Not changed.
    label_key
        Column of ``adata.obs``.
    method
        ``"mean"`` (mean expression in the group), or scanpy's ``"t-test"`` or ``"wilcoxon"`` of the
        group against the rest.

    Returns
    -------
    pandas.DataFrame
        Genes x groups, large for what the group has more of.

    Raises
    ------
    KeyError, ValueError
        The column does not exist; a cell has no label; `method` is none of the three; a group of one
        cell, which scanpy cannot test.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.imap import expression_scores
    >>> cells = imap_keras.datasets.simulate(n_cells=60, n_genes=40, n_types=2)
    >>> cells = imap_keras.preprocess(cells, min_genes=5, verbose=0)
    >>> expression_scores(cells, "cell_type", "t-test").shape
    (40, 2)
    """
    check_choice("method", method, SCORES)
    labels = labels_of(adata, label_key, "label_key")
    groups, codes = coded(labels)
    if method == "mean":
        sums = group_sums(adata.X, codes, len(groups)) / np.bincount(codes)[:, None]
        return pd.DataFrame(sums.T, index=adata.var_names, columns=groups)
    obs = pd.DataFrame({"group": pd.Categorical(labels)}, index=adata.obs_names)
    tested = AnnData(adata.X, obs=obs, var=pd.DataFrame(index=adata.var_names))
    tested.uns["log1p"] = {"base": None}
    sc.tl.rank_genes_groups(tested, "group", method=method, use_raw=False)
    ranked = tested.uns["rank_genes_groups"]
    scores = {g: pd.Series(ranked["scores"][g], ranked["names"][g]) for g in groups}
    return pd.DataFrame(scores).loc[adata.var_names]
