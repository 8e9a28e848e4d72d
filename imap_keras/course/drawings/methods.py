"""Drawings of the other methods, and of the way through the course."""

import numpy as np
from matplotlib.figure import Figure

from .canvas import BLUE, GREEN, GREY, INK, ORANGE, PINK, RED, SKY, Canvas


def surgery() -> Figure:
    """scArches: a new batch brings new weights of the first layers; all others are frozen."""
    sheet = Canvas(
        8.6,
        2.6,
        "A network whose first layers read the batch: all boxes are grey, frozen, but two "
        "orange ones, the weights of the new batch, whose dispersion is new as well.",
    )
    x = [0.8, 2.8, 4.5, 6.2, 7.8]
    words = ["genes", "first layer", "code $z$", "first layer of\nthe decoder", "genes"]
    boxes = [sheet.box(a, 1.75, w, GREY, 1.2) for a, w in zip(x, words, strict=True)]
    for start, end in zip(boxes, boxes[1:], strict=False):
        sheet.arrow(start, end, color=GREY)
    for target in (boxes[1], boxes[3]):
        known = sheet.box(target[0] - 0.5, 0.7, "known\nbatches", GREY, 0.75)
        new = sheet.box(target[0] + 0.45, 0.7, "new\nbatch", ORANGE, 0.75)
        sheet.arrow(known, target, color=GREY)
        sheet.arrow(new, target, color=ORANGE)
    sheet.text(4.3, 2.35, "grey: copied from the reference and frozen", GREY)
    told = 'orange: what trains (degree "batch"), with a dispersion for each gene'
    sheet.text(4.3, 0.2, told, ORANGE)
    return sheet.figure


PAIRED = (
    ("a to a", "10", "10"),
    ("b to b", "01", "01"),
    ("a to b", "10", "01"),
    ("b to a", "01", "10"),
)
THREE = (
    ("first: a to a", "100", "100"),
    ("first: b to b", "010", "010"),
    ("second: b to b", "010", "010"),
    ("second: c to c", "001", "001"),
    ("first: b to a", "010", "100"),
    ("second: b to c", "010", "001"),
)
TASKS = (
    ("impute genes", (("reference", "10", "11"), ("query", "10", "10"))),
    ("pair modalities", PAIRED),
    ("pair, with batches", PAIRED),
    ("join three modalities", THREE),
    (
        "generate a modality",
        (("reference", "10", "10"), ("reference", "10", "01"), ("query", "10", "10")),
    ),
)


def mask_tasks() -> Figure:
    """inClust+: five tasks are five ways to say what a row reads and what it is judged by."""
    sheet = Canvas(
        9.6,
        3.8,
        "Five columns, one for each task of inClust+: which blocks of features each row "
        "reads, and by which it is judged.",
    )
    for number, (title, rows) in enumerate(TASKS):
        middle = 0.96 + 1.92 * number
        sheet.text(middle, 3.55, title)
        for away, side in ((-0.4, "reads"), (0.4, "judged by")):
            sheet.text(middle + away, 3.27, side, GREY, 8)
        for j, (name, *masks) in enumerate(rows):
            y = 2.8 - 0.45 * j
            sheet.text(middle, y + 0.2, name, GREY, 8)
            for away, mask, color in zip((-0.4, 0.4), masks, (BLUE, GREEN), strict=True):
                for k, on in enumerate(mask):
                    width = 0.7 / len(mask)
                    x = middle + away + width * (k + 0.5) - 0.35
                    own = color if on == "1" else "#CCCCCC"
                    sheet.box(x, y, "", own, width - 0.04, 0.2, filled=on == "1")
    sheet.text(4.8, 0.2, "a column is a block of features; coloured: used; empty: masked", GREY)
    return sheet.figure


def omics_network() -> Figure:
    """One input and one output for each modality, a joint code in the middle."""
    sheet = Canvas(
        8.0,
        2.6,
        "Three modalities, each with its encoder, meet in one joint code; each has its "
        "decoder and its own kind of output.",
    )
    code = sheet.box(4.0, 1.3, "joint code", INK, 1.1, 0.6)
    rows = (
        ("expression", "linear,\nsquared error", BLUE),
        ("methylation", "sigmoid,\ncross-entropy", ORANGE),
        ("counts", "exponential,\nPoisson", GREEN),
    )
    for i, (name, output, color) in enumerate(rows):
        y = 2.15 - 0.85 * i
        given = sheet.box(0.75, y, name, color, 1.1)
        encoder = sheet.box(2.35, y, "encoder", color, 0.9)
        decoded = sheet.box(6.9, y, output, color, 1.4, 0.62)
        decoder = sheet.box(5.55, y, "decoder", color, 0.8)
        for start, end in ((given, encoder), (encoder, code), (code, decoder), (decoder, decoded)):
            sheet.arrow(start, end, color=color)
    return sheet.figure


def reparameterisation() -> Figure:
    """Draw a weight so that gradients reach its mean and its width."""
    sheet = Canvas(
        8.4,
        3.0,
        "Mean and width make a weight together with noise from outside; gradients flow back "
        "from the loss to the mean and to rho, which the width is made of.",
    )
    mean = sheet.box(0.9, 1.95, r"mean $\mu$", BLUE, 1.1)
    rho = sheet.box(0.9, 1.1, r"$\rho$", BLUE, 1.1)
    width = sheet.box(2.9, 1.1, r"width $\sigma$", BLUE, 1.1)
    noise = sheet.box(2.9, 0.35, r"$\epsilon \sim N(0, 1)$", GREY, 1.1, 0.42)
    weight = sheet.box(5.0, 1.5, "weight\n" + r"$w = \mu + \sigma \epsilon$", GREEN, 1.4, 0.62)
    loss = sheet.box(7.4, 1.5, "loss of the network", PINK, 1.5)
    sheet.arrow(mean, weight)
    sheet.arrow(rho, width, "softplus")
    sheet.arrow(width, weight)
    sheet.arrow(noise, weight, color=GREY)
    sheet.arrow(weight, loss)
    sheet.arrow((7.4, 1.76), (0.95, 2.22), bend=0.13, color=RED, dashed=True)
    sheet.text(4.2, 2.8, r"gradients reach $\mu$ and $\rho$", RED)
    sheet.text(5.3, 0.35, "chance enters from outside: no gradient needed", GREY, 8)
    return sheet.figure


QUESTIONS = (
    ("several batches of one modality;\ncorrected expression wanted", "iMAP: 00 to 07", BLUE),
    ("a finished reference,\nnew cells to be placed in it", "scArches: 10", ORANGE),
    ("data sets that measured\ndifferent genes or modalities", "inClust+: 11", GREEN),
    ("regions or types of two species\nto be matched", "regions: 12", PINK),
    ("one large matrix, a code wanted", "autoencoder or PCA: 13", GREY),
    ("several modalities of the same cells", "many OMICs: 14", SKY),
    ("a label and how sure it is", "uncertainty: 15", RED),
    ("which genes tell types or platforms", "importance: 16", BLUE),
    ("which types talk to which,\nover several platforms", "interactions: 17", BLUE),
    ("patients, and a healthy reference", "disease: 18", ORANGE),
    ("more cells than memory,\nor more than one machine", "on disk, on a cluster: 19", GREY),
    ("which method, and is it worth it?", "ablation and peers: 08, 09", INK),
)


def which_notebook() -> Figure:
    """From what one has and wants to the notebook that does it."""
    sheet = Canvas(
        7.2,
        0.62 * len(QUESTIONS) + 0.45,
        f"{len(QUESTIONS)} rows: what one has or wants, and an arrow to the notebook for it.",
    )
    top = 0.62 * len(QUESTIONS)
    sheet.text(1.9, top + 0.2, "I have, I want", GREY)
    sheet.text(5.7, top + 0.2, "notebook", GREY)
    for y, (question, answer, color) in zip(np.arange(top - 0.3, 0, -0.62), QUESTIONS, strict=True):
        asked = sheet.box(1.9, y, question, color, 3.4, 0.48)
        sheet.arrow(asked, sheet.box(5.7, y, answer, color, 2.4, 0.48), color=color)
    return sheet.figure
