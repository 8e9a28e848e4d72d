"""Losses against the epoch."""

from collections.abc import Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .figure import BESIDE, COLORS, finished, listed


def loss_curves(
    table: pd.DataFrame, names: Sequence[str], title: str = "", log: bool = False
) -> Figure:
    """Draw columns of a history table against the epoch.

    Parameters
    ----------
    table
        From ``IMAP.history["stage1"]``, or a Keras history as a table with a column ``epoch``. A
        column ``batch`` gives one line a batch.
    names
        Columns to draw, one panel each; ``"val_loss"`` is drawn dashed in the panel of ``"loss"``,
        where that is drawn as well.
    title
        Above the figure.
    log
        Logarithmic axis.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        The table has no rows, or there is no column to draw.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.plots import loss_curves
    >>> figure = loss_curves(pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0]}), ["loss"])
    >>> len(figure.axes)
    1
    """
    names = [names] if isinstance(names, str) else list(names)
    missing = [name for name in [*names, "epoch"] if name not in table]
    if missing:
        raise KeyError(f"{missing[0]!r} is not a column of the history; there are {list(table)}.")
    if not len(table) or not names:
        raise ValueError(
            f"The history has {len(table)} rows and names={names}; there must be an epoch and a column "
            "to draw."
        )
    held_out = {n: f"val_{n}" for n in names if not n.startswith("val_") and f"val_{n}" in names}
    panels = [name for name in names if name not in held_out.values()]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(3.8 * len(panels), 2.8), squeeze=False, layout="constrained"
    )
    groups = table.groupby("batch", sort=False) if "batch" in table else [(None, table)]
    for (batch, rows), color in zip(groups, cycle(COLORS), strict=False):
        for axis, name in zip(axes[0], panels, strict=True):
            label = batch if batch is not None or name not in held_out else "training"
            axis.plot(rows["epoch"], rows[name], color=color, label=label)
            if name in held_out:
                label = "held out" if batch is None else f"{batch}, held out"
                axis.plot(rows["epoch"], rows[held_out[name]], "--", color=COLORS[1], label=label)
    for axis, name in zip(axes[0], panels, strict=True):
        axis.set(xlabel="epoch", title=name.replace("_", " "), yscale="log" if log else "linear")
        if log:  # 0.2 0.5 1 2 5, for a loss may stay within one power of ten
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.yaxis.set_minor_formatter(NullFormatter())
    if "batch" in table or held_out:  # beside the curves, not on them
        axes[0, -1].legend(*axes[0, 0].get_legend_handles_labels(), **BESIDE)
    figure.suptitle(title)
    # Not last(), which passes over NaN to an epoch before.
    last = table.iloc[[-1]]
    if "batch" in table:
        named = table.dropna(subset="batch")
        last = named.drop_duplicates("batch", keep="last").set_index("batch")
        last = last.loc[named["batch"].drop_duplicates().tolist()]
    ends = "; ".join(
        f"{name.replace('_', ' ')} " + ", ".join(f"{value:.3g}" for value in last[name])
        for name in names
    )
    lines = f", one line for each of {listed(last.index)}" if "batch" in table else ""
    return finished(
        figure,
        f"Curves over {table['epoch'].max()} epochs{lines}. In the last epoch: {ends}.",
    )


def critic_curves(history: pd.DataFrame, title: str = "Stage II") -> Figure:
    """Draw what the critic and the generator report, one line per query batch.

    Parameters
    ----------
    history
        ``IMAP.history["stage2"]``.
    title
        Above the figure.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.plots import critic_curves
    >>> names = ["wasserstein", "gradient_penalty", "generator_loss", "pair_loss"]
    >>> history = pd.DataFrame({"batch": ["b"], "epoch": [1], **{name: [1.0] for name in names}})
    >>> len(critic_curves(history).axes)
    4
    """
    names = ["wasserstein", "gradient_penalty", "generator_loss", "pair_loss"]
    return loss_curves(history, names, title)
