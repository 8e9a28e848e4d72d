"""What the figures show is what they were given."""

import itertools

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.text import Text

from imap_keras.metrics import imap_index
from imap_keras.plots import (
    COLORS,
    TYPE_COLORS,
    alt_text,
    before_after,
    critic_curves,
    finished,
    index_bars,
    loss_curves,
    pairs_over_embedding,
    pca_of,
    umap_of,
)


@pytest.fixture(autouse=True)
def no_open_figures():
    """Figures are closed in pyplot's list, or a notebook would show them twice."""
    assert matplotlib.get_backend().lower() == "agg"
    yield
    assert plt.get_fignums() == []


def test_loss_curves_hold_the_losses():
    table = pd.DataFrame({"epoch": [1, 2, 3], "loss": [3.0, 2.0, 1.5], "content_loss": [0.5, 0.4, 0.1]})
    figure = loss_curves(table, ["loss", "content_loss"], title="Stage I", log=True)
    assert [axis.get_title() for axis in figure.axes] == ["loss", "content loss"]
    for axis, name in zip(figure.axes, ["loss", "content_loss"], strict=True):
        (line,) = axis.get_lines()
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), table[name])
        assert axis.get_yscale() == "log"
    assert figure.get_suptitle() == "Stage I"


def test_loss_curves_draw_one_line_a_batch(fitted):
    history = fitted.history["stage2"]
    figure = critic_curves(history)
    names = ["wasserstein", "gradient_penalty", "generator_loss", "pair_loss"]
    assert len(figure.axes) == 4
    for axis, name in zip(figure.axes, names, strict=True):
        assert [line.get_label() for line in axis.get_lines()] == fitted.order[1:]
        for line in axis.get_lines():
            expected = history.loc[history["batch"] == line.get_label(), name]
            np.testing.assert_array_equal(line.get_ydata(), expected)
    legend = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert legend == fitted.order[1:]


def test_a_missing_column_is_named():
    with pytest.raises(KeyError, match="'val_loss' is not a column.*'loss'"):
        loss_curves(pd.DataFrame({"epoch": [1], "loss": [1.0]}), ["loss", "val_loss"])


# ------------------------------------------------------------------ pairs

TYPES = np.array(["T", "T", "B", "B", "T", "B"])
POSITIONS = np.random.default_rng(0).normal(size=(6, 2))
BATCH = ["a", "a", "a", "b", "b", "b"]
PAIRS = np.array([[0, 4], [1, 4], [2, 3], [2, 5], [0, 3]])  # the last joins T and B


def lines_of(figure):
    (lines,) = (c for c in figure.axes[0].collections if isinstance(c, LineCollection))
    return lines.get_segments(), [to_hex(color) for color in lines.get_colors()]


def test_pairs_of_two_types_are_red_lines_between_their_cells():
    figure = pairs_over_embedding(POSITIONS, BATCH, PAIRS, TYPES, title="Pairs")
    segments, colors = lines_of(figure)
    np.testing.assert_array_equal(np.array(segments), POSITIONS[PAIRS])
    red = [i for i, color in enumerate(colors) if color == "#ff0000"]
    assert red == [4]
    assert figure.axes[0].get_title() == "Pairs (20% join two types)"


def test_only_so_many_pairs_are_shown_but_all_are_counted():
    pairs = np.repeat(PAIRS, 40, axis=0)
    figure = pairs_over_embedding(POSITIONS, BATCH, pairs, TYPES, n_shown=50)
    segments, colors = lines_of(figure)
    assert len(segments) == 50
    ends = np.array(segments)
    is_wrong = [np.array_equal(end, POSITIONS[[0, 3]]) for end in ends]
    assert 0 < sum(is_wrong) < 50
    assert [color == "#ff0000" for color in colors] == is_wrong
    assert figure.axes[0].get_title() == "(20% join two types)"


def test_without_types_no_line_is_red():
    figure = pairs_over_embedding(POSITIONS, BATCH, PAIRS, title="Pairs")
    segments, colors = lines_of(figure)
    assert len(segments) == 5 and "#ff0000" not in colors
    assert figure.axes[0].get_title() == "Pairs"


def test_cells_have_the_colour_of_their_label():
    figure = pairs_over_embedding(POSITIONS, BATCH, PAIRS)
    points = figure.axes[0].collections[1]
    np.testing.assert_array_equal(points.get_offsets(), POSITIONS)
    expected = [to_rgba(COLORS[0])] * 3 + [to_rgba(COLORS[1])] * 3
    np.testing.assert_allclose(points.get_facecolors(), expected)
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["a", "b"]


# ------------------------------------------------------------------ index, UMAP


def test_index_bars_are_as_wide_as_the_index():
    rng = np.random.default_rng(0)
    batch, kind = np.tile(["a", "b"], 100), np.repeat(["t", "u"], 100)
    near, far = rng.normal(size=(200, 2)), 2.0 * (kind == "t")[:, None]
    indices = {
        "before": imap_index(near + far + 1.5 * (batch == "a")[:, None], batch, kind, k2=30),
        "after": imap_index(near + far, batch, kind, k2=30),
    }
    figure = index_bars(indices, title="Index")
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["after", "before"]
    bars = {container.get_label(): container for container in axis.containers}
    assert list(bars) == ["true positive", "positive only", "negative"]
    for row, name in enumerate(["after", "before"]):
        index = indices[name]
        widths = [bars[part][row].get_width() for part in bars]
        expected = [
            index["true_positive"],
            index["positive"] - index["true_positive"],
            index["negative"],
        ]
        assert min(expected) > 0
        assert widths == pytest.approx(expected)
        lefts = [bars[part][row].get_x() for part in bars]
        assert lefts == pytest.approx([0, index["true_positive"], index["positive"]])
    assert "threshold 1, k 20, k2 30" in axis.get_xlabel()


def test_before_after_is_one_panel_a_space_and_a_key(integrated):
    cells = integrated[:45].copy()
    figure = before_after(
        cells, {"content": "X_imap_content", "after": "X_imap"}, keys=("batch", "cell_type"), seed=1
    )
    titles = ["content, by batch", "after, by batch", "content, by cell type", "after, by cell type"]
    assert [axis.get_title() for axis in figure.axes] == titles
    points = [axis.collections[0].get_offsets() for axis in figure.axes]
    assert all(p.shape == (45, 2) for p in points)
    np.testing.assert_array_equal(points[0], points[2])  # one UMAP, two colourings
    assert not np.allclose(points[0], points[1], atol=0.1)

    # The same UMAP as `umap_of` gives; the cells are shuffled, their colours with them.
    positions = umap_of(cells, "X_imap", seed=1)
    where = [int(np.argmin(np.abs(positions - p).sum(1))) for p in points[1]]
    assert sorted(where) == list(range(45)) and where != list(range(45))
    np.testing.assert_allclose(positions[where], points[1], atol=1e-4)
    names = sorted(set(cells.obs["batch"]))
    expected = [to_rgba(COLORS[names.index(name)]) for name in cells.obs["batch"].iloc[where]]
    np.testing.assert_allclose(figure.axes[1].collections[0].get_facecolors(), expected)
    assert "neighbors" not in cells.uns and "X_umap" not in cells.obsm


def test_principal_components_are_drawn_where_they_are_asked_for(integrated):
    cells = integrated[:45].copy()
    positions = pca_of(cells, "X_imap")
    centred = cells.obsm["X_imap"] - cells.obsm["X_imap"].mean(axis=0)
    widest = np.linalg.svd(centred, compute_uv=False)[:2]
    np.testing.assert_allclose(np.linalg.norm(positions, axis=0), widest, rtol=1e-4)
    figure = before_after(cells, {"after": "X_imap"}, ("batch",), project=pca_of)
    drawn = np.asarray(figure.axes[0].collections[0].get_offsets())
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(positions, axis=0), rtol=1e-5)


def test_a_missing_space_or_column_is_named(integrated):
    for project in (umap_of, pca_of):
        with pytest.raises(KeyError, match="'X_tsne' is not in adata.obsm.*X_imap"):
            project(integrated, "X_tsne")
    for spaces, keys, wrong in (
        ({"after": "X_tsne"}, ("batch",), "X_tsne"),
        ({"after": "X_imap"}, ("batch", "donor"), "donor"),
    ):
        with pytest.raises(KeyError, match=wrong):
            before_after(integrated, spaces, keys)


# ------------------------------------------------------------------ colours, letters, words


def lab(color):
    """CIELAB of a colour: differences are as large as they look."""
    rgb = np.array(to_rgba(color)[:3])
    rgb = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.maximum(np.array(to_xyz) @ rgb / [0.9505, 1, 1.089], 1e-9))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_two_to_five_batches_never_have_colours_that_look_alike():
    pairs = itertools.combinations([lab(color) for color in COLORS[:5]], 2)
    assert min(np.linalg.norm(a - b) for a, b in pairs) > 50  # the two blues: 26


def test_no_colour_is_both_a_batch_and_a_type():
    assert not set(COLORS) & set(TYPE_COLORS)
    assert len(set(COLORS)) == len(set(TYPE_COLORS)) == 8


def test_every_batch_has_its_curve():
    table = pd.DataFrame({"batch": np.repeat(np.arange(80), 2), "epoch": [1, 2] * 80, "loss": 1.0})
    (axis,) = loss_curves(table, ["loss"]).axes
    assert len(axis.get_lines()) == 80
    assert axis.get_lines()[8].get_color() == COLORS[0]


def test_held_out_losses_are_drawn_beside_those_of_training():
    table = pd.DataFrame({"epoch": [1, 2], "loss": [3.0, 1.0], "val_loss": [3.5, 2.0], "kl": [1.0, 1]})
    figure = loss_curves(table, ["loss", "val_loss", "kl"])
    assert [axis.get_title() for axis in figure.axes] == ["loss", "kl"]
    training, held_out = figure.axes[0].get_lines()
    assert list(training.get_ydata()) == [3, 1] and list(held_out.get_ydata()) == [3.5, 2]
    assert held_out.get_linestyle() == "--"
    legend = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert legend == ["training", "held out"]
    assert [a.get_title() for a in loss_curves(table, ["val_loss"]).axes] == ["val loss"]


def test_a_logarithmic_axis_within_one_power_of_ten_has_its_numbers():
    table = pd.DataFrame({"epoch": [1, 2], "loss": [0.9, 0.25]})
    figure = loss_curves(table, ["loss"], log=True)
    figure.canvas.draw()
    low, high = figure.axes[0].get_ylim()
    shown = {
        label.get_text(): place
        for place, label in zip(figure.axes[0].get_yticks(), figure.axes[0].get_yticklabels())
        if low <= place <= high
    }
    assert "0.5" in shown and all(text == f"{place:g}" for text, place in shown.items())


def test_the_ceiling_is_a_line_across_each_bar():
    index = {
        "positive": 0.9,
        "negative": 0.1,
        "true_positive": 0.4,
        "threshold": 3.0,
        "k": 20,
        "k2": 100,
        "rules": "respan",
    }
    indices = {"before": index | {"ceiling": 0.8}, "after": index | {"ceiling": 0.6}}
    (axis,) = index_bars(indices).axes
    lines = {round(line.get_ydata().mean()): line.get_xdata()[0] for line in axis.get_lines()}
    assert lines == {0: 0.6, 1: 0.8}  # rows count from below
    legend = [text.get_text() for text in axis.get_legend().get_texts()]
    assert legend.count("true positive if mixed perfectly") == 1
    assert "ResPAN's rules, threshold 3" in axis.get_xlabel()


def test_types_have_a_palette_and_a_shape_of_their_own_and_the_method_is_named(integrated):
    cells = integrated[:45].copy()
    for project, name in ((pca_of, "component"), (lambda a, s, seed: a.obsm[s][:, :2], "dimension")):
        figure = before_after(cells, {"after": "X_imap"}, project=project)
        batch, kind = figure.axes
        assert batch.get_xlabel() == f"{name} 1" and kind.get_ylabel() == f"{name} 2"
        drawn = [{to_hex(c).upper() for c in a.collections[0].get_facecolors()} for a in (batch, kind)]
        assert drawn[0] <= set(COLORS) and drawn[1] <= set(TYPE_COLORS)
        shapes = [a.collections[0].get_paths()[0].vertices for a in (batch, kind)]
        assert len(shapes[0]) > len(shapes[1])  # a circle, a triangle
    (axis,) = before_after(cells, {"after": "X_imap"}, ("cell_type",), project=pca_of).axes
    assert {to_hex(c).upper() for c in axis.collections[0].get_facecolors()} <= set(TYPE_COLORS)


def all_figures(integrated, fitted):
    index = imap_index(POSITIONS, BATCH, TYPES)
    yield (
        loss_curves(fitted.history["stage1"], ["loss", "content_loss"]),
        "Curves over 3 epochs. In the",
    )
    yield (
        critic_curves(fitted.history["stage2"]),
        f"one line for each of {', '.join(fitted.order[1:])}.",
    )
    yield (
        before_after(integrated[:45], {"after": "X_imap"}, project=pca_of),
        "Two principal components of 45 cells, a point each: columns after; rows coloured by batch",
    )
    yield pairs_over_embedding(POSITIONS, BATCH, PAIRS, TYPES), "and 5 of 5 pairs as lines between them"
    yield index_bars({"before": index}), f"before: true positive {index['true_positive']:.2f} (at most"


def test_every_figure_says_what_it_shows_and_no_letter_is_too_small(integrated, fitted):
    for figure, words in all_figures(integrated, fitted):
        assert words in alt_text(figure)
        figure.canvas.draw()
        texts = [text for text in figure.findobj(Text) if text.get_text().strip()]
        assert texts and min(text.get_fontsize() for text in texts) >= 6


def test_a_figure_without_words_is_described_by_its_titles_and_axes():
    figure, axes = plt.subplots(1, 2)
    axes[0].plot([0, 1], label="a")
    axes[0].legend()
    axes[0].set(title="Loss", xlabel="epoch")
    figure.suptitle("Training")
    text = alt_text(finished(figure))
    assert text == "Figure of 2 panels. Training. Loss: epoch (a). Panel 2: no named axes."
    assert alt_text(finished(figure, "Two lines.")) == "Two lines."


def test_both_kinds_of_pairs_are_in_the_legend():
    figure = pairs_over_embedding(POSITIONS, BATCH, PAIRS, TYPES)
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["pair of one type", "pair of two types", "a", "b"]


def test_bars_scored_by_other_rules_each_say_their_own():
    index = {"positive": 0.9, "negative": 0.1, "true_positive": 0.4, "k": 20, "k2": 100}
    figure = index_bars(
        {"a": index | {"threshold": 1}, "b": index | {"threshold": 3, "rules": "respan"}}
    )
    assert figure.axes[0].get_xlabel() == "share of cells"
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert shown == [
        "b\nResPAN's rules, threshold 3, k 20, k2 100",
        "a\niMAP's rules, threshold 1, k 20, k2 100",
    ]
    assert "a (iMAP's rules, threshold 1, k 20, k2 100): true positive 0.40" in alt_text(figure)
    assert "b (ResPAN's rules, threshold 3, k 20, k2 100): true positive" in alt_text(figure)


def test_what_cannot_be_drawn_is_said_and_leaves_no_figure_open(integrated):
    cells = integrated[:45].copy()
    cells.obsm["gaps"] = np.where(np.arange(90).reshape(45, 2) == 7, np.nan, 1.0)
    before = plt.get_fignums()
    with pytest.raises(ValueError, match=r"adata.obsm\['gaps'\] holds 1 NaN or infinite values"):
        before_after(cells, {"gaps": "gaps"}, project=pca_of)
    with pytest.raises(ValueError, match="must each name something to draw"):
        before_after(cells, {})
    with pytest.raises(ValueError, match="There are no indices"):
        index_bars({})
    history = pd.DataFrame({"epoch": [1], "loss": [1.0]})
    with pytest.raises(ValueError, match="has 0 rows"):
        loss_curves(history[:0], ["loss"])
    with pytest.raises(KeyError, match="'epoch' is not a column"):
        loss_curves(history[["loss"]], ["loss"])
    with pytest.raises(ValueError, match="cells x 2 and a label each"):
        pairs_over_embedding(np.zeros((3, 2)), ["a", "b"], np.array([[0, 1]]))
    assert plt.get_fignums() == before


def test_pairs_of_cells_without_a_type_are_not_pairs_of_two_types():
    types = np.array(["t", "u", None, "t", np.nan, "t", "t"], object)
    pairs = np.array([[0, 1], [2, 3], [4, 2], [5, 6]])
    figure = pairs_over_embedding(np.zeros((7, 2)), list("aababab"), pairs, types=types)
    assert "(50% join two types)" in alt_text(figure)
    lines = next(c for c in figure.axes[0].collections if isinstance(c, LineCollection))
    red = (lines.get_colors()[:, :3] == (1, 0, 0)).all(axis=1)
    assert red.tolist() == [True, False, False, False]
    none = pairs_over_embedding(np.zeros((7, 2)), list("aababab"), np.empty((0, 2), int), types=types)
    assert "%" not in alt_text(none)


def test_the_last_epoch_is_told_even_where_it_is_not_finite():
    history = pd.DataFrame(
        {"batch": ["b", "b", "a", "a"], "epoch": [1, 2, 1, 2], "loss": [2.0, np.nan, 3.0, 1.0]}
    )
    assert "In the last epoch: loss nan, 1." in alt_text(loss_curves(history, ["loss"]))


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_a_pair_with_a_missing_type_is_of_no_two_types(dtype):
    types = pd.Series(["t", None, "t", "u"], dtype=dtype)
    positions, pairs = np.arange(8.0).reshape(4, 2), np.array([[0, 1], [0, 2], [0, 3]])
    figure = pairs_over_embedding(positions, list("abab"), pairs, types, title="Pairs")
    (lines,) = [part for part in figure.axes[0].collections if isinstance(part, LineCollection)]
    assert figure.axes[0].get_title() == "Pairs (50% join two types)" and types.isna().sum() == 1
    assert [to_hex(color) for color in lines.get_colors()] == ["#595959", "#595959", "#ff0000"]


def test_pairs_that_lie_on_their_side_are_refused():
    with pytest.raises(ValueError, match=r"pairs have the shape \(2, 3\); expected are pairs x 2"):
        pairs_over_embedding(np.zeros((4, 2)), list("abab"), np.array([[0, 0, 0], [1, 2, 3]]))
    assert pairs_over_embedding(np.zeros((4, 2)), list("abab"), [])
