"""What would be done with the cells, and what stands in the way: looked at before any long work."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from anndata import AnnData

from ..imap.gene_choice import MARK, variable_genes
from ..imap.hyperparameters import Hyperparameters
from ..imap.pairs import check_annoy
from ..inputs.cells import open_cells
from ..inputs.embeddings import embedding_of
from ..inputs.expression import COUNTS, LOGGED
from ..inputs.labels import labels_of
from ..preprocessing.preprocess import MIN_GENES
from .batches import almost_alike, counted, few_cells, named, one_batch_each, said_of_batches, too_few
from .cost import cost_of
from .finding import Found, find_expression, is_prepared, with_counts
from .outputs import check_writable

ALL_GENES = 10**9  # what --genes all is as a number


@dataclass
class Plan:
    """What was found out about the cells.

    Parameters
    ----------
    found
        Where the expression lies; None where there is none.
    batches
        Number of cells by batch.
    kept
        The same of the cells that preprocessing will keep; without batches that keep none.
    said
        One sentence per finding.
    doubts
        What may spoil the result without stopping it.
    obstacles
        What stands in the way; with any of these nothing is done.
    prepared
        `preprocess` made the cells: they are taken as they are.
    genes
        As :meth:`imap_keras.IMAP.fit` takes it.
    """

    found: Found | None = None
    batches: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)
    prepared: bool = False
    genes: str = "variable"


def plan_of(
    adata: AnnData,
    batch_key: str,
    label_key: str | None,
    n_genes: int,
    hp: Hyperparameters,
    min_genes: int = MIN_GENES,
) -> Plan:
    """Look at batches, labels and values, and reckon memory and minutes.

    Parameters
    ----------
    adata
        Cells as they were read.
    batch_key, label_key
        Columns of ``obs``; no `label_key` where there are no cell types.
    n_genes, min_genes
        Variable genes to keep of counts, or `ALL_GENES`; cells with fewer detected genes leave.
    hp
        Hyperparameters of the fit.

    Examples
    --------
    >>> from imap_keras import Hyperparameters, datasets
    >>> from imap_keras.command.plan import plan_of
    >>> adata = datasets.simulate(n_cells=60, n_genes=20)
    >>> plan = plan_of(adata, "batch", None, 2000, Hyperparameters(), min_genes=5)
    >>> plan.obstacles, plan.found.where
    ([], "layers['counts']")
    """
    plan, found = Plan(prepared=is_prepared(adata)), {}
    for key, flag in ((batch_key, "--batch-key"), (label_key, "--label-key")):
        if key is None:
            continue
        try:
            labels = labels_of(adata, key, flag)
        except (KeyError, ValueError) as error:
            mend = ""
            if isinstance(error, KeyError) and key == batch_key:
                mend = " Add the column, or give one file for each batch."
            plan.obstacles.append(f"{error.args[0]}{mend}")
            continue
        found[flag] = labels
        if key == batch_key:
            names, sizes = np.unique(labels, return_counts=True)
            plan.batches = plan.kept = dict(zip(names.tolist(), sizes.tolist(), strict=True))
    if "--label-key" in found:
        _look_at_types(plan, found["--label-key"], found.get("--batch-key"), label_key)
    _look_at_batches(plan, batch_key)
    if not adata.n_obs:  # the labels have said so
        return plan
    try:
        plan.found = Found("X", LOGGED) if plan.prepared else find_expression(adata)
    except ValueError as error:
        plan.obstacles.append(str(error))
        _look_at_sizes(plan, min_genes)
        return plan
    cells = with_counts(adata, plan.found)
    plan.said.append(_said_of(plan))
    _look_at_cells(plan, cells, min_genes, found.get("--batch-key"))
    _look_at_sizes(plan, min_genes)
    _look_at_the_rest(plan, cells, hp)
    n_fitted = _look_at_genes(plan, cells.var, n_genes)
    if plan.kept and not plan.obstacles:
        seconds, gigabytes = cost_of(sum(plan.kept.values()), n_fitted, len(plan.kept), hp)
        plan.said.append(
            f"Expected on two cores: {gigabytes:.1f} GB, {max(seconds / 60, 0.1):.1f} minutes; "
            "a report about one more."
        )
    return plan


def _said_of(plan: Plan) -> str:
    if plan.prepared:
        return (
            "preprocess made these cells: X holds its log-normalised values, taken as they are "
            "(--min-genes plays no part)."
        )
    if plan.found.kind == COUNTS:
        return f"Counts are in {plan.found.where}."
    return (
        f"No counts; {plan.found.where} holds log-normalised values, taken as they are (--min-genes "
        "plays no part)."
    )


def _look_at_genes(plan: Plan, var: pd.DataFrame, n_genes: int) -> int:
    """Number of genes that will be fitted; of log values --genes cannot choose any."""
    n, every = len(var), n_genes >= ALL_GENES
    if plan.found.kind == COUNTS:
        return min(n_genes, n)
    if MARK not in var:
        if n_genes < n:
            plan.doubts.append(
                f"All {n:,} genes are fitted: --genes chooses from counts only, and no gene is marked. "
                "Mark variable genes first, scanpy.pp.highly_variable_genes(adata, batch_key=...)."
            )
        return n
    plan.genes = "all" if every else "variable"
    try:
        marked = len(variable_genes(var, plan.genes))
    except ValueError as error:
        plan.obstacles.append(str(error))
        return n
    if marked < n:
        plan.said.append(
            f"Pairs are found in the {marked:,} of {n:,} genes that var[{MARK!r}] marks; "
            + ("all are corrected." if every else "these are corrected, with --genes all all of them.")
        )
    if n_genes < marked:
        plan.doubts.append(f"All {marked:,} marked genes are fitted: --genes chooses from counts only.")
    return n if every else marked


def _look_at_the_rest(plan: Plan, cells: AnnData, hp: Hyperparameters) -> None:
    """What else the fit needs, and what comes along into the result."""
    looks = [lambda: check_writable(cells)]
    if hp.own_space:
        looks.append(lambda: embedding_of(open_cells(cells), hp.own_space, "pair_space"))
    if hp.search == "annoy":
        looks.append(check_annoy)
    for look in looks:
        try:
            look()
        except (ImportError, KeyError, RuntimeError, ValueError) as error:
            plan.obstacles.append(str(error.args[0]))


def _look_at_types(plan: Plan, types: np.ndarray, batch: np.ndarray | None, label_key: str) -> None:
    n = len(np.unique(types))
    plan.said.append(f"{counted(n, 'cell type', 'cell types')} in {label_key!r}.")
    if n > len(types) / 3:
        plan.doubts.append(f"{n} cell types for {len(types):,} cells: is --label-key the right column?")
    elif batch is not None and one_batch_each(types, batch):
        plan.doubts.append(
            f"Each cell type of {label_key!r} lies in one batch, so the report cannot say how well "
            "batches mix. Are the types named alike in all batches?"
        )


def _look_at_batches(plan: Plan, batch_key: str) -> None:
    if not plan.batches:
        return
    plan.said.append(said_of_batches(plan.batches, batch_key))
    if len(plan.batches) < 2:
        plan.obstacles.append(
            f"All cells are in one batch, {next(iter(plan.batches))!r}; at least two are needed. "
            "Is --batch-key the right column?"
        )
    alike = almost_alike(plan.batches)
    if alike:
        plan.doubts.append(alike)


def _look_at_sizes(plan: Plan, min_genes: int) -> None:
    """Which batches hold enough cells, of the cells that stay."""
    obstacle = too_few(plan.batches, plan.kept, min_genes)
    lost = [name for name in plan.batches if name not in plan.kept]
    if obstacle:
        plan.obstacles.append(obstacle)
    elif lost:
        plan.doubts.append(
            f"Batches without any cell of at least {min_genes} detected genes leave: "
            f"{named(map(repr, lost))}. Lower --min-genes to keep them."
        )
    doubt = few_cells(plan.kept, "have" if plan.kept == plan.batches else "keep")
    if doubt:
        plan.doubts.append(doubt)


def _look_at_cells(plan: Plan, adata: AnnData, min_genes: int, batch: np.ndarray | None) -> None:
    if adata.n_vars > 20 * adata.n_obs or (adata.n_obs > 15_000 and adata.n_vars < adata.n_obs / 100):
        plan.doubts.append(
            f"{adata.n_obs:,} cells x {adata.n_vars:,} genes: if rows are genes, turn the matrix round "
            "(adata = adata.T)."
        )
    if plan.found.kind != COUNTS:
        return
    enough = np.asarray((adata.X > 0).sum(axis=1)).ravel() >= min_genes
    low = float(np.mean(~enough))
    if low > 0.2:
        plan.doubts.append(
            f"{low:.0%} of the cells have fewer than {min_genes} detected genes: "
            "lower --min-genes if the file holds chosen genes only."
        )
    left = {} if batch is None else pd.Series(enough).groupby(batch).sum().to_dict()
    plan.kept = {name: n for name, n in left.items() if n}
