"""The report of an integration: one self-contained HTML file with figures and a plain verdict."""

import base64
import io
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from jinja2 import Environment
from matplotlib.figure import Figure

from .. import plots
from ..inputs.expression import COUNTS
from ..nn.backend import installed_versions
from ..nn.persistence import write_whole
from .integrating import Integration
from .judging import Judgement, judge, judged_cells


def write_report(done: Integration, path: Path) -> str:
    """Write the report, whole or not at all, and return its verdict.

    Parameters
    ----------
    done
        What was read, trained and made.
    path
        The ``.html`` file.

    Returns
    -------
    str
        The verdict, in plain words.
    """
    cells = judged_cells(done)
    keys = done.options.batch_key, done.options.label_key
    judged = judge(cells, *keys, done.model.hyperparameters.stage2_epochs)
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = resources.files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    text = page.from_string(template).render(
        done=done,
        verdict=judged.verdict,
        measures=judged.table,
        scib=judged.scib,
        no_scib=judged.no_scib,
        figures=figures_of(cells, done, judged),
        batches=batch_table(done),
        pairs=done.model.pair_counts,
        drivers=driving_genes(done.before, done.options.batch_key),
        # Cells that were prepared before the command record what left then, of other cells and genes.
        removed=done.before.uns["preprocess"] if done.plan.found.kind == COUNTS else None,
        versions=installed_versions(),
    )
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return f"Verdict: {judged.verdict}"


def batch_table(done: Integration) -> pd.DataFrame:
    """Cells of each batch as read and after filtering, and its place in the order of merging."""
    order = done.model.order
    rows = {
        name: {
            "cells read": done.plan.batches[name],
            "cells kept": done.plan.kept.get(name, 0),
            "merged as number": order.index(name) + 1 if name in order else "left out",
        }
        for name in [*order, *(name for name in done.plan.batches if name not in order)]
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def driving_genes(adata: AnnData, batch_key: str, n: int = 15) -> pd.DataFrame:
    """Genes whose measured variance the batch explains most: share between batches of the whole.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.command.report import driving_genes
    >>> adata = imap_keras.preprocess(imap_keras.datasets.demo(), min_genes=50, verbose=0)
    >>> driving_genes(adata, "batch", n=3).shape
    (3, 2)
    """
    labels = adata.obs[batch_key].astype(str).to_numpy()
    cells = adata.X
    square = cells.multiply(cells) if hasattr(cells, "multiply") else np.square(cells)
    mean = np.asarray(cells.mean(axis=0), float).ravel()
    variance = np.asarray(square.mean(axis=0), float).ravel() - mean**2
    between = np.zeros_like(mean)
    highest = np.full(len(mean), "", dtype=object)
    top = np.full(len(mean), -np.inf)
    for name in np.unique(labels):
        own = labels == name
        own_mean = np.asarray(cells[own].mean(axis=0), float).ravel()
        between += own.mean() * (own_mean - mean) ** 2
        highest = np.where(own_mean > top, name, highest)
        top = np.maximum(top, own_mean)
    share = between / np.maximum(variance, np.finfo(float).tiny)
    best = np.argsort(-share)[:n]
    table = {"variance explained by batch": share[best], "highest in": highest[best]}
    return pd.DataFrame(table, index=adata.var_names[best])


def figures_of(cells: AnnData, done: Integration, judged: Judgement) -> list[dict[str, str]]:
    """Figures as inline images, each with a title, a sentence and alternative text."""
    keys = [key for key in (done.options.batch_key, done.options.label_key) if key]
    figures = [
        (
            "Before and after",
            plots.before_after(
                cells, {"uncorrected": "uncorrected", "iMAP": "iMAP"}, keys, done.options.seed
            ),
            "UMAP of the cells without and with integration, coloured by "
            + " and by ".join(keys)
            + ". Islands that mix batches are what integration is for; distances between islands mean "
            "little.",
        ),
        (
            "Stage I",
            plots.loss_curves(done.model.history["stage1"], ["loss"], log=True),
            "Loss of the autoencoder by epoch; it should fall and flatten.",
        ),
    ]
    if len(done.model.history["stage2"]):
        figures.append(
            (
                "Stage II",
                plots.critic_curves(done.model.history["stage2"]),
                "What critic and generator report by epoch, one line per batch. The critic's estimate "
                "should come to rest.",
            )
        )
    if judged.indices:
        figures.append(
            (
                "The paper's index",
                plots.index_bars(judged.indices),
                "Share of cells that lie among their own type with batches mixed (true positive), "
                "among their own type only, or not (negative), at threshold 3. The line is what "
                "perfect mixing would score.",
            )
        )
    return [
        {"title": title, "image": png(figure), "text": text, "alt": f"{title}: {text}"}
        for title, figure, text in figures
    ]


def png(figure: Figure) -> str:
    """A figure as the text of an inline image."""
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=110, bbox_inches="tight")
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode()
