"""The tasks of inClust+: each builds the rows, masks, covariates and labels out of data sets.

Wang et al., BMC Bioinformatics 25:41 (2024), Figs. 2 to 5. Data sets are AnnData whose ``var`` names
the modality of each feature, MuData, or dictionaries of AnnData by modality. An AnnData may be backed
or have Dask in ``X``; the path of an .h5ad file or a .zarr store stands for one. More than 20,000 cells
stay where they are: they are looked through once here, and read again where they are trained on or
encoded.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .assemble import assemble, rows_of_plan, shared_modality
from .rows import Rows
from .tables import Table, read_table


def imputation(
    reference,
    query,
    target_genes: Sequence[str] | None = None,
    batch_key: str | None = None,
    label_key: str | None = None,
) -> Rows:
    """Rows to impute genes that the query lacks from a reference that has them.

    No row reads a target gene, so both data sets are encoded from the same genes. Reference rows are
    judged by every gene, query rows by the shared ones.

    Parameters
    ----------
    reference, query
        AnnData or path, log-normalised. Target genes that the query has are hidden.
    target_genes
        Genes to impute; by default those of the reference that the query lacks.
    batch_key
        Column of both ``obs`` with the covariate; by default the data set is the covariate.
    label_key
        Column of ``obs`` with the labels; empty ones are unlabelled, a query without the column is.

    Returns
    -------
    Rows
        Blocks ``reference`` and ``query``.

    Raises
    ------
    ValueError
        The reference lacks a target gene; there is none, or no shared gene besides; a query label is
        unknown to the reference, or that has none; there are no cells.
    TypeError
        `target_genes` is one gene and no list.

    References
    ----------
    Wang et al., BMC Bioinformatics 25:41 (2024), Fig. 2.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.inclust import imputation
    >>> adata = imap_keras.preprocess(imap_keras.datasets.demo(), min_genes=50, verbose=0)
    >>> first, second = (adata[adata.obs["batch"] == f"platform_{x}"] for x in "AB")
    >>> imputation(first, second, adata.var_names[:9]).input_masks.sum(axis=1) + 9 == adata.n_vars
    array([ True,  True])
    """
    if isinstance(target_genes, str):
        raise TypeError(f"target_genes={target_genes!r} must be a list of genes: [{target_genes!r}].")
    tables = {name: read_table(data, name, None) for name, data in _two(reference, query)}
    known, there = (tables[name].features.get_level_values(1) for name in ("reference", "query"))
    targets = known.difference(there)
    if target_genes is not None:
        targets = pd.Index([str(gene) for gene in target_genes])  # names are text in an AnnData
    lacking = targets.difference(known)
    if len(lacking):
        raise ValueError(
            f"The reference lacks {len(lacking)} of the {len(targets)} target genes, the first is "
            f"{lacking[0]!r}. Only genes that the reference measured can be imputed."
        )
    shared = known.isin(there) & ~known.isin(targets)
    if not len(targets) or not shared.any():
        missing = "no gene to impute" if not len(targets) else "no shared gene besides the target genes"
        raise ValueError(
            f"There is {missing}: the reference has {len(known)} genes, the query {len(there)}, and "
            f"{len(targets)} are targets. Are the genes named alike in both?"
        )
    used = tables["reference"].features[shared | known.isin(targets)]
    is_target = used.get_level_values(1).isin(targets)
    blocks = {
        "reference": ("reference", ~is_target, np.ones(len(used))),
        "query": ("query", ~is_target, ~is_target),
    }
    tables["query"] = tables["query"].keep(~there.isin(targets))  # its target genes are hidden
    return assemble(tables, used, blocks, batch_key, label_key)


def paired(data, label_key: str | None = None, modality_key: str = "modality") -> Rows:
    """Rows to integrate two modalities of the same cells: each to itself, and each to the other.

    Parameters
    ----------
    data
        AnnData with two modalities, MuData, or a dictionary of two AnnData or paths.
    label_key
        Column of ``obs`` with the labels; empty ones are unlabelled.
    modality_key
        Column of ``adata.var`` with the modality.

    Returns
    -------
    Rows
        For modalities a and b the blocks ``a->a``, ``b->b``, ``a->b`` and ``b->a``.

    Raises
    ------
    ValueError
        Not two modalities.

    References
    ----------
    Wang et al., BMC Bioinformatics 25:41 (2024), Fig. 3.

    Examples
    --------
    >>> import numpy as np
    >>> from anndata import AnnData
    >>> from imap_keras.inclust import paired
    >>> paired({"rna": AnnData(np.ones((4, 3))), "protein": AnnData(np.ones((4, 2)))}).blocks
    ['rna->rna', 'protein->protein', 'rna->protein', 'protein->rna']
    """
    return paired_batches(data, None, label_key, modality_key)


def paired_batches(
    data, batch_key: str | None = "batch", label_key: str | None = None, modality_key: str = "modality"
) -> Rows:
    """As :func:`paired`, for cells of several batches; the batch is the covariate.

    Parameters
    ----------
    data, label_key, modality_key
        As for :func:`paired`.
    batch_key
        Column of ``obs`` with the batch.

    Returns
    -------
    Rows
        Blocks as of :func:`paired`.

    Raises
    ------
    KeyError
        There is no such column.
    ValueError
        Not two modalities; a cell without batch.

    References
    ----------
    Wang et al., BMC Bioinformatics 25:41 (2024), Fig. 3.

    Examples
    --------
    >>> from imap_keras.datasets import simulate_modalities
    >>> from imap_keras.inclust import paired_batches
    >>> cells = simulate_modalities(30, {"rna": 6, "protein": 4}, n_batches=2)
    >>> paired_batches(cells, "batch", "cell_type").covariates
    ['batch_0', 'batch_1']
    """
    table = read_table(data, "data", modality_key)
    if len(table.modalities) != 2:
        raise ValueError(f"Two modalities are expected, the data hold {table.modalities}.")
    a, b = table.modalities
    plan = [("data", *pair) for pair in ((a, a), (b, b), (a, b), (b, a))]
    return rows_of_plan({"data": table}, plan, batch_key, label_key)


def three_modalities(
    first,
    second,
    batch_key: str | None = None,
    label_key: str | None = None,
    modality_key: str = "modality",
) -> Rows:
    """Rows to integrate three modalities: the data sets share one and have one of their own each.

    Parameters
    ----------
    first, second
        Data sets with two modalities each, one of them in both.
    batch_key
        Column of both ``obs`` with the covariate; by default the data set is the covariate.
    label_key, modality_key
        As for :func:`paired`; a label must occur in the first data set.

    Returns
    -------
    Rows
        For modalities 1 and 2, 2 and 3 six blocks: ``first: 1->1``, ``first: 2->2``, ``second: 2->2``,
        ``second: 3->3``, and across, ``first: 2->1``, ``second: 2->3``.

    Raises
    ------
    ValueError
        Not exactly one shared modality, or none of its features are in both: nothing would tie the
        others together.

    References
    ----------
    Wang et al., BMC Bioinformatics 25:41 (2024), Fig. 4.

    Examples
    --------
    >>> from imap_keras.datasets import simulate_modalities
    >>> from imap_keras.inclust import three_modalities
    >>> cells = simulate_modalities(30, {"rna": 6, "protein": 4, "atac": 5})
    >>> cite_seq = {name: cells[name][:20] for name in ("rna", "protein")}
    >>> asap_seq = {name: cells[name][20:] for name in ("protein", "atac")}
    >>> three_modalities(cite_seq, asap_seq, label_key="cell_type").blocks[-2:]
    ['first: protein->rna', 'second: protein->atac']
    """
    tables = {
        name: read_table(data, name, modality_key)
        for name, data in (("first", first), ("second", second))
    }
    shared = shared_modality(tables)
    own = {name: [m for m in table.modalities if m != shared] for name, table in tables.items()}
    for name, modalities in own.items():
        if len(modalities) != 1:
            raise ValueError(
                f"The {name} data set holds {tables[name].modalities}; beside the shared modality "
                f"{shared!r} it must have one of its own."
            )
    (a,), (b,) = own.values()
    plan = [
        ("first", a, a),
        ("first", shared, shared),
        ("second", shared, shared),
        ("second", b, b),
        ("first", shared, a),
        ("second", shared, b),
    ]
    return rows_of_plan(tables, plan, batch_key, label_key)


def generation(
    reference,
    query,
    batch_key: str | None = None,
    label_key: str | None = None,
    modality_key: str = "modality",
) -> Rows:
    """Rows to generate a modality, and labels, for a query that has only the other one.

    Parameters
    ----------
    reference
        Data set with two modalities, labelled.
    query
        Data set with one of them; labels it may have are not used.
    batch_key, label_key, modality_key
        As for :func:`three_modalities`.

    Returns
    -------
    Rows
        With s the modality of the query and t the other: ``reference: s->s``, ``reference: s->t`` and
        ``query: s->s``.

    Raises
    ------
    ValueError
        The query does not share exactly one modality with the reference, or the reference has not
        exactly one more.

    References
    ----------
    Wang et al., BMC Bioinformatics 25:41 (2024), Fig. 5.

    Examples
    --------
    >>> from imap_keras.datasets import simulate_modalities
    >>> from imap_keras.inclust import generation
    >>> cells = simulate_modalities(30, {"rna": 6, "protein": 4})
    >>> cite_seq = {name: cells[name][:20] for name in cells}
    >>> generation(cite_seq, {"rna": cells["rna"][20:]}, label_key="cell_type").blocks
    ['reference: rna->rna', 'reference: rna->protein', 'query: rna->rna']
    """
    tables = {name: read_table(data, name, modality_key) for name, data in _two(reference, query)}
    source = shared_modality(tables)
    targets = [m for m in tables["reference"].modalities if m != source]
    if len(targets) != 1 or len(tables["query"].modalities) != 1:
        raise ValueError(
            f"The reference holds {tables['reference'].modalities}, the query "
            f"{tables['query'].modalities}; expected are two and one of these two."
        )
    unlabelled = tables["query"].obs.drop(columns=[label_key], errors="ignore")
    tables["query"] = Table(tables["query"].values, tables["query"].features, unlabelled)
    plan = [
        ("reference", source, source),
        ("reference", source, targets[0]),
        ("query", source, source),
    ]
    return rows_of_plan(tables, plan, batch_key, label_key)


def _two(reference, query) -> list[tuple]:
    return [("reference", reference), ("query", query)]
