"""Drawings of iMAP: its stages, its pairs, its order."""

import numpy as np
from matplotlib.figure import Figure

from .canvas import BLUE, GREEN, GREY, ORANGE, PINK, RED, Canvas


def pipeline() -> Figure:
    """What happens to a cell from counts to the integrated space, and the notebook that teaches it."""
    sheet = Canvas(
        9.6,
        1.3,
        "Seven boxes from left to right: counts, log expression, stage I, pairs of cells, "
        "stage II, corrected expression, components; below each the notebook that teaches it.",
    )
    steps = [
        ("counts", GREY, "01"),
        ("normalised\nlog expression", GREY, "01"),
        ("stage I\ncontent code", BLUE, "02, 03"),
        ("pairs of cells\nacross batches", PINK, "04"),
        ("stage II\ngenerator, critic", ORANGE, "05, 06"),
        ("corrected\nexpression", GREEN, "05, 06"),
        ("components\nX_imap", GREEN, "00"),
    ]
    boxes = [
        sheet.box(0.72 + 1.36 * i, 0.82, words, color, 1.16, 0.62)
        for i, (words, color, _) in enumerate(steps)
    ]
    for start, end in zip(boxes, boxes[1:], strict=False):
        sheet.arrow(start, end)
    for (x, *_), (_, color, number) in zip(boxes, steps, strict=True):
        sheet.text(x, 0.28, f"notebook {number}", color, 8)
    return sheet.figure


def stage_one() -> Figure:
    """Encode; decode into the own batch and into a random one; encode again: the two losses."""
    sheet = Canvas(
        8.6,
        3.2,
        "A cell is encoded to its content, decoded into its own batch and into a random "
        "batch; the latter is encoded again. Two losses: the cell must come back, and the "
        "content must come back.",
    )
    cell = sheet.box(0.65, 2.2, "cell\n$x$", GREY, 0.8)
    code = sheet.box(3.0, 2.2, "content\n$c = E(x)$", BLUE, 1.1)
    rebuilt = sheet.box(5.7, 2.2, r"$\mathrm{Dec}(c, b)$", GREEN, 1.4)
    moved = sheet.box(5.7, 1.2, r"$\mathrm{Dec}(c, b_{rand})$", ORANGE, 1.4)
    again = sheet.box(7.85, 1.2, "content\nagain", BLUE, 1.0)
    sheet.arrow(cell, code, "encoder $E$")
    sheet.arrow(code, rebuilt, "own batch $b$")
    sheet.arrow(code, moved, "random batch", shift=(0.22, 0.17))
    sheet.arrow(moved, again, "$E$")
    sheet.arrow((5.7, 2.47), (0.65, 2.47), bend=0.08, both=True, color=GREEN, dashed=True)
    sheet.text(3.1, 2.98, "reconstruction loss: the cell must come back", GREEN)
    sheet.arrow((7.85, 0.93), (3.0, 1.93), bend=-0.3, both=True, color=BLUE, dashed=True)
    sheet.text(2.3, 0.75, "content loss:\nthe content must come back", BLUE)
    return sheet.figure


def mixtures() -> Figure:
    """Training rows of stage I: points on the line between two cells of one batch."""
    sheet = Canvas(
        6.2,
        2.0,
        "Two triangles of cells, one for each batch, with training rows on the lines between "
        "two cells of one batch.",
    )
    for left, color, name in ((0.5, BLUE, "batch 1"), (3.6, ORANGE, "batch 2")):
        cells = np.array([[left + 0.1, 0.5], [left + 1.9, 0.5], [left + 1.0, 1.45]])
        for i, j in ((0, 1), (1, 2), (2, 0)):
            sheet.axis.plot(*cells[[i, j]].T, color=color, lw=1, ls=":")
            share = np.array([0.25, 0.6, 0.8])[:, None]
            sheet.cells(share * cells[i] + (1 - share) * cells[j], color, "D", 22)
        sheet.cells(cells, color, size=90)
        sheet.text(left + 0.1, 0.28, "$x_1$")
        sheet.text(left + 1.9, 0.28, "$x_2$")
        sheet.text(left + 1.0, 0.28, "$a x_1 + (1 - a) x_2$")
        sheet.text(left + 1.0, 1.78, name, color)
    return sheet.figure


def mutual_pairs_and_walk() -> Figure:
    """Mutual nearest neighbours, a cell without a partner, and a walk that grows one pair to three."""
    sheet = Canvas(
        8.6,
        2.7,
        "Left, a mutual pair is kept and a one-way neighbour dropped. Right, query and anchor "
        "cell step along their own batches and one pair becomes three.",
    )
    query = np.array([[0.9, 1.9], [1.7, 2.15], [2.4, 1.85], [0.7, 0.55]])
    anchor = np.array([[1.1, 1.2], [1.9, 1.35], [2.6, 1.1]])
    sheet.cells(query, ORANGE)
    sheet.cells(anchor, BLUE, "s")
    sheet.arrow(query[1], anchor[1], both=True)
    sheet.arrow(query[3], anchor[0], color=RED, dashed=True)
    sheet.text(2.55, 1.62, "mutual: kept")
    sheet.text(1.85, 0.75, "one way only: dropped", RED)
    sheet.text(1.2, 0.28, "a type that the anchor lacks", ORANGE, 8)
    sheet.text(1.6, 2.5, "mutual nearest neighbours")
    walk = np.array([[5.0, 1.95], [6.1, 2.1], [7.3, 1.9]])
    beside = np.array([[5.2, 0.9], [6.3, 0.75], [7.4, 1.0]])
    for side, color, marker in ((walk, ORANGE, "o"), (beside, BLUE, "s")):
        sheet.cells(side, color, marker)
        for start, end in zip(side, side[1:], strict=False):
            sheet.arrow((*start, 0.2, 0.2), (*end, 0.2, 0.2), color=color)
    for number, (one, other) in enumerate(zip(walk, beside, strict=True), start=1):
        sheet.arrow(one, other, both=True, dashed=number > 1)
        sheet.text(*((one + other) / 2 + [0.33, 0]), f"pair {number}")
    sheet.text(6.2, 2.5, "a random walk: both cells step, each in its own batch")
    sheet.text(8.05, 1.95, "query", ORANGE)
    sheet.text(8.05, 1.0, "anchor", BLUE)
    sheet.text(6.2, 0.35, "mutual pair 1 gives pairs 2, 3, ...", GREY, 8)
    return sheet.figure


def slope_of_a_pair() -> Figure:
    """Why a true pair's slope is 1: the batch effect stands at right angles to the types."""
    sheet = Canvas(
        8.6,
        3.0,
        "A query cell lies at right angles above anchor cell 1; beside it, squared distances "
        "from the query against those from anchor 1: slope 1 for the right type, slope 0 for "
        "a foreign one.",
    )
    types = np.array([[0.9, 0.75], [2.2, 0.75], [3.6, 0.75]])
    sheet.cells(types, BLUE, "s", 90)
    sheet.cells([[0.9, 2.0]], ORANGE, "o", 90)
    sheet.arrow((0.9, 0.85), (0.9, 1.9), color=RED)
    sheet.text(0.72, 1.35, "$s$", RED)
    for place in types[1:]:
        sheet.axis.plot(*np.c_[[0.9, 2.0], place], color=GREY, lw=1)
    sheet.text(1.4, 1.05, "$d(q, a_2)$", GREY)
    sheet.text(2.95, 1.4, "$d(q, a_3)$", GREY)
    sheet.axis.plot([0.9, 3.6], [0.75, 0.75], color=GREY, lw=1, ls=":")
    for i, place in enumerate(types, start=1):
        sheet.text(place[0], 0.45, f"$a_{i}$", BLUE)
    sheet.text(0.9, 2.22, "query cell $q$", ORANGE)
    sheet.text(2.35, 2.75, "batch effect $s$ at right angles to the types")
    sheet.text(2.2, 0.17, "$d^2(q, a_j) = d^2(a_1, a_j) + s^2$")
    axis = sheet.figure.add_axes((0.54, 0.2, 0.27, 0.66))
    far = np.array([0, 1.3, 2.7]) ** 2
    axis.plot(far, far + 1.25**2, "o-", color=GREEN)
    axis.plot(far, np.full(3, 5.5), "s--", color=RED)
    axis.text(7.5, 8.6, "$q$ of the type of $a_1$:\nslope 1", color=GREEN, size=8)
    axis.text(7.5, 5.5, "$q$ of a foreign type:\nslope 0", color=RED, size=8, va="center")
    axis.set(xticks=[], yticks=[], ylim=(0, 9.5))
    axis.set_xlabel("squared distance from $a_1$", size=8)
    axis.set_ylabel("squared distance from $q$", size=8)
    axis.spines[["top", "right"]].set_visible(False)
    return sheet.figure


def generator_and_critic() -> Figure:
    """The loop of stage II: who reads what, and which loss goes back to whom."""
    sheet = Canvas(
        8.6,
        2.95,
        "The generator carries a query cell; the critic reads carried and anchor cells. The "
        "generator learns to please the critic and to stay near the target of the pair.",
    )
    query = sheet.box(0.75, 2.1, "query cell $x$", ORANGE, 1.1)
    generator = sheet.box(2.6, 2.1, "generator\n$G(x) = F(x) + x$", ORANGE, 1.4)
    carried = sheet.box(4.7, 2.1, "carried cell\n$G(x)$", GREEN, 1.1)
    anchor = sheet.box(4.7, 0.8, "anchor cell $y$", BLUE, 1.2)
    critic = sheet.box(6.7, 1.45, "critic $D$", PINK, 1.0)
    sheet.arrow(query, generator)
    sheet.arrow(generator, carried)
    sheet.arrow(carried, critic)
    sheet.arrow(anchor, critic)
    sheet.text(7.9, 1.78, "score high\nfor $y$,", PINK)
    sheet.text(7.9, 1.12, "low for\n$G(x)$", PINK)
    sheet.arrow((6.7, 1.72), (2.6, 2.37), bend=0.2, color=ORANGE, dashed=True)
    sheet.text(4.7, 2.78, "learn to please the critic", ORANGE)
    sheet.arrow(anchor, carried, "", both=True, color=GREEN, dashed=True)
    sheet.text(3.75, 1.45, "stay near the\ntarget of the pair", GREEN)
    sheet.text(2.3, 0.72, "five critic steps for one of the generator", GREY, 8)
    return sheet.figure


def merging_order() -> Figure:
    """Batch after batch joins the anchor, the most varied first."""
    sheet = Canvas(
        8.6,
        2.3,
        "Three steps: the first query is carried into the anchor, the second into anchor and "
        "first query together.",
    )
    colors, markers = (BLUE, ORANGE, GREEN), "so^"
    for step, title in enumerate(("anchor", "anchor, one merged", "anchor, two merged")):
        middle = 1.0 + 3.1 * step
        box = sheet.box(middle, 1.25, "", GREY, 1.4, 1.2, filled=False)
        for i in range(step + 1):
            sheet.cloud(middle, 1.25, colors[i], markers[i], 0.5, turned=2.1 * i)
        sheet.text(middle, 2.05, title)
        if step < 2:
            query = sheet.cloud(middle + 1.55, 1.25, colors[step + 1], markers[step + 1], 0.35)
            sheet.arrow(query, box, color=colors[step + 1])
            sheet.text(middle + 1.55, 0.65, f"query {step + 1}", colors[step + 1])
    sheet.text(1.0, 0.35, "the batch that varies most", BLUE, 8)
    sheet.text(4.1, 0.35, "here query 2 may find its partners\nin either batch", GREY, 8)
    return sheet.figure
