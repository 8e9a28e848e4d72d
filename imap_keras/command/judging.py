"""How well an integration went, beside no correction and the simplest one, and a verdict in words."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.neighbors import NearestNeighbors

from .. import metrics
from ..imap.components import principal_components
from ..nn.fitting import run
from .batches import one_batch_each
from .integrating import Integration

MOST_CELLS = 20_000  # judged and drawn; of more, a sample
WORSE = 0.03


def judged_cells(done: Integration) -> AnnData:
    """At most `MOST_CELLS` cells with three spaces: uncorrected, batch means subtracted, iMAP."""
    hp, before = done.model.hyperparameters, done.before
    some = np.arange(before.n_obs)
    if before.n_obs > MOST_CELLS:
        some = np.sort(np.random.default_rng(hp.seed).choice(some, MOST_CELLS, replace=False))
    cells = before.X[some]
    cells = np.asarray(cells.toarray() if hasattr(cells, "toarray") else cells, "float32")
    labels = before.obs[done.options.batch_key].astype(str).to_numpy()[some]
    centred = cells.copy()
    for name in np.unique(labels):
        centred[labels == name] -= cells[labels == name].mean(axis=0) - cells.mean(axis=0)
    judged = AnnData(obs=before.obs.iloc[some].copy())
    for space, values in (("uncorrected", cells), ("batch means subtracted", centred)):
        judged.obsm[space] = run(principal_components(values, hp), values)
    judged.obsm["iMAP"] = np.asarray(done.after.obsm["X_imap"])[some]
    return judged


@dataclass
class Judgement:
    """Measures of the three spaces, and what they say.

    Parameters
    ----------
    table
        One row a space.
    verdict
        In plain words.
    indices
        The paper's index by space at threshold 3; empty without cell types.
    scib
        scIB's table, where cell types and scib-metrics are at hand.
    no_scib
        Why there is none, where there are types.
    """

    table: pd.DataFrame
    verdict: str
    indices: dict[str, dict] = field(default_factory=dict)
    scib: pd.DataFrame | None = None
    no_scib: str | None = None


def judge(cells: AnnData, batch_key: str, label_key: str | None, stage2_epochs: int) -> Judgement:
    """Measure the spaces of :func:`judged_cells`, with cell types if there are any.

    Of types that lie in one batch each there is no verdict. `stage2_epochs` are those of the fit.
    """
    batch = cells.obs[batch_key].astype(str).to_numpy()
    if label_key is None:
        return judge_without_types(cells, batch)
    types = cells.obs[label_key].astype(str).to_numpy()
    rows, indices = {}, {}
    for space in cells.obsm:
        strict, loose = (
            metrics.imap_index(cells.obsm[space], batch, types, threshold=threshold, space_name=space)
            for threshold in (1.0, 3.0)
        )
        indices[space] = loose
        rows[space] = [strict["positive"], strict["true_positive"], loose["true_positive"]]
    rows["perfect mixing"] = [1.0, strict["ceiling"], loose["ceiling"]]
    columns = ["positive", "true positive, threshold 1", "true positive, threshold 3"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    scib = no_scib = None
    try:
        scib = metrics.scib_table(cells, list(cells.obsm), batch_key, label_key)
    except ImportError:
        no_scib = 'scIB\'s table needs the package scib-metrics (the extra "course").'
    except ValueError as error:  # few cells, or types of one batch each: the rest still says something
        no_scib = str(error)
    verdict = verdict_with_types(table, stage2_epochs)
    if one_batch_each(types, batch):
        verdict = (
            f"None: each cell type of {label_key!r} lies in one batch, so the index cannot tell mixed "
            "batches from mixed types. Name types alike in all batches, or leave --label-key out."
        )
    return Judgement(table, verdict, indices, scib, no_scib)


def judge_without_types(cells: AnnData, batch: np.ndarray) -> Judgement:
    """Measure what needs no cell types: who mixes, and who keeps its neighbours."""
    rows = {
        space: [
            metrics.neighbor_agreement(cells.obsm["uncorrected"], cells.obsm[space], batch),
            other_batch_share(cells.obsm[space], batch),
        ]
        for space in cells.obsm
    }
    columns = ["neighbours kept within batches", "neighbours of other batches"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return Judgement(table, verdict_without_types(table, batch))


def other_batch_share(space: np.ndarray, batch: np.ndarray, k: int = 20) -> float:
    """Share of a cell's nearest neighbours that are of another batch, mean over the cells."""
    k = min(k, len(space) - 1)
    near = NearestNeighbors(n_neighbors=k).fit(space).kneighbors(return_distance=False)
    return float(np.mean(batch[near] != batch[:, None]))


def verdict_with_types(table: pd.DataFrame, stage2_epochs: int) -> str:
    """What the index says, in plain words, of a fit with so many epochs of stage II.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.command.judging import verdict_with_types
    >>> names = ["uncorrected", "batch means subtracted", "iMAP", "perfect mixing"]
    >>> table = pd.DataFrame({"positive": [0.95, 0.97, 0.76, 1.0]}, index=names)
    >>> table["true positive, threshold 3"] = [0.2, 0.8, 0.7, 1.0]
    >>> verdict_with_types(table, stage2_epochs=12).split(":")[0]
    'Types mix more than before'
    """
    positive, mixed = table["positive"], table["true positive, threshold 3"]
    if positive["iMAP"] < positive["uncorrected"] - WORSE:
        fewer = "try fewer epochs of stage II (--set stage2_epochs=1), or " if stage2_epochs > 1 else ""
        return (
            f"Types mix more than before: share of positive cells {positive['uncorrected']:.2f} -> "
            f"{positive['iMAP']:.2f}. Do not use the result as it is; {fewer}subtract batch means "
            f"({positive['batch means subtracted']:.2f})."
        )
    change = (
        f"batches lie mixed around {mixed['iMAP']:.2f} of the cells ({mixed['uncorrected']:.2f} "
        f"before, {mixed['perfect mixing']:.2f} if mixing were perfect), and {positive['iMAP']:.2f} "
        f"lie among their own type ({positive['uncorrected']:.2f} before)"
    )
    if mixed["iMAP"] < mixed["uncorrected"] + WORSE:
        return f"Little was gained: {change}. The batches may share few types, or lay together before."
    if mixed["batch means subtracted"] >= mixed["iMAP"] and (
        positive["batch means subtracted"] >= positive["iMAP"]
    ):
        return f"Integrated, but subtracting each batch's mean does as well here: {change}."
    return f"Integrated: {change}."


def verdict_without_types(table: pd.DataFrame, batch: np.ndarray) -> str:
    """What neighbours say where no cell type is known, in plain words."""
    kept, other = table["neighbours kept within batches"], table["neighbours of other batches"]
    share = pd.Series(batch).value_counts(normalize=True)
    expected = float(1 - (share**2).sum())
    text = (
        f"{other['iMAP']:.2f} of a cell's neighbours are of another batch ({other['uncorrected']:.2f} "
        f"before; {expected:.2f} if batches were mixed at random), and within a batch cells keep "
        f"{kept['iMAP']:.2f} of their neighbours ({kept['batch means subtracted']:.2f} when batch "
        "means are subtracted)"
    )
    if other["iMAP"] < other["uncorrected"] + WORSE:
        return f"Little was gained: {text}."
    return f"Batches mix: {text}. Without --label-key nothing can be said about cell types."
