"""The course's drawings: they say what they should, legibly, and no words lie over others."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from imap_keras.course import drawings
from imap_keras.plots import alt_text

SAYS = {
    "pipeline": ["counts", "stage I\ncontent code", "stage II\ngenerator, critic", "notebook 04"],
    "stage_one": ["encoder $E$", "own batch $b$", "random batch", "content\nagain"],
    "mixtures": ["batch 1", "batch 2", "$a x_1 + (1 - a) x_2$"],
    "mutual_pairs_and_walk": ["mutual: kept", "one way only: dropped", "pair 1", "pair 3"],
    "slope_of_a_pair": ["$d^2(q, a_j) = d^2(a_1, a_j) + s^2$", "$q$ of a foreign type:\nslope 0"],
    "generator_and_critic": ["critic $D$", "stay near the\ntarget of the pair"],
    "merging_order": ["anchor", "query 1", "query 2", "anchor, two merged"],
    "surgery": ["new\nbatch", "grey: copied from the reference and frozen"],
    "mask_tasks": ["impute genes", "join three modalities", "generate a modality", "reads"],
    "omics_network": ["joint code", "sigmoid,\ncross-entropy", "exponential,\nPoisson"],
    "reparameterisation": ["weight\n$w = \\mu + \\sigma \\epsilon$", "softplus"],
    "which_notebook": ["scArches: 10", "inClust+: 11", "autoencoder or PCA: 13", "disease: 18"],
}


@pytest.fixture(params=drawings.__all__)
def drawing(request):
    return request.param, getattr(drawings, request.param)()


def words(figure):
    return [text for axis in figure.axes for text in axis.texts if text.get_text()]


def test_there_are_twelve_drawings_and_each_has_its_words_checked():
    assert sorted(drawings.__all__) == sorted(SAYS)
    assert len(SAYS) == 12


def test_drawing_says_what_it_should(drawing):
    name, figure = drawing
    said = [text.get_text() for text in words(figure)]
    assert [text for text in SAYS[name] if text not in said] == []


def test_words_are_legible_inside_the_sheet_and_apart(drawing):
    _, figure = drawing
    figure.canvas.draw()
    sheet, places = figure.bbox, []
    for text in words(figure):
        assert text.get_fontsize() >= 8, text.get_text()
        place = text.get_window_extent()
        assert sheet.x0 <= place.x0 and place.x1 <= sheet.x1, text.get_text()
        assert sheet.y0 <= place.y0 and place.y1 <= sheet.y1, text.get_text()
        for other, there in places:
            assert not place.overlaps(there), (text.get_text(), other)
        places.append((text.get_text(), place))


def test_a_drawing_is_told_in_words(drawing):
    assert len(alt_text(drawing[1])) > 60 and "Figure of" not in alt_text(drawing[1])


def test_a_drawing_is_shown_once(drawing):
    assert not plt.fignum_exists(drawing[1].number)


def test_pairs_have_the_slope_that_the_drawing_claims():
    """The green line is computed from the cells drawn beside it."""
    axis = drawings.slope_of_a_pair().axes[1]
    true, foreign = (line.get_xydata() for line in axis.lines)
    assert (true[-1, 1] - true[0, 1]) / (true[-1, 0] - true[0, 0]) == pytest.approx(1)
    assert foreign[:, 1].std() == 0


def test_the_way_through_the_course_leads_to_every_notebook():
    said = " ".join(text.get_text() for text in words(drawings.which_notebook()))
    said = re.sub(
        r"(\d\d) to (\d\d)",
        lambda m: " ".join(f"{n:02d}" for n in range(int(m[1]), int(m[2]) + 1)),
        said,
    )
    there = [
        path.name[:2] for path in (Path(__file__).parent.parent / "notebooks").glob("[0-9][0-9]_*.py")
    ]
    assert sorted(re.findall(r"\b\d\d\b", said)) == sorted(there)
