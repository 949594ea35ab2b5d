"""Axes and labels of small panels: ticks that are there, apart from each other, and labels that fit."""

import itertools

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from analysis.figures.drawing.axes import fitted, plain_numbers, set_count_axis, set_score_axis
from analysis.figures.drawing.pages import captioned_figure, lay_out
from analysis.figures.drawing.style import PAGE

RANGES = [(22, 95), (29, 52), (21, 190), (1.9, 51), (0.04, 3), (48, 52), (5, 5), (1e-4, 1e4), (0, 7), (-1, 0)]


@pytest.fixture
def ax():
    """Of a panel of an inch."""
    with mpl.rc_context(PAGE):
        ax = Figure(figsize=(1.4, 1.4)).add_axes((0.25, 0.25, 1 / 1.4, 1 / 1.4), autoscale_on=False)
    ax.tick_params(labelsize=6)
    return ax


def labels(ax, axis):
    """The texts of the ticks that are shown, and where each begins and ends along the axis, in pixels."""
    ax.figure.draw_without_rendering()
    low, high = axis.get_view_interval()
    shown = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    boxes = [tick.label1.get_window_extent() for tick in shown]
    along = "intervalx" if axis is ax.xaxis else "intervaly"
    return [tick.label1.get_text() for tick in shown], [tuple(getattr(box, along)) for box in boxes]


@pytest.mark.parametrize("side", ["x", "y"])
@pytest.mark.parametrize(("low", "high"), RANGES)
def test_scores_have_ticks_that_do_not_touch(ax, side, low, high):
    set_score_axis(ax, side, low, high)
    texts, ends = labels(ax, getattr(ax, f"{side}axis"))
    assert len(texts) >= (1 if low == high else 2)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ends)), texts


@pytest.mark.parametrize(("low", "high"), [(22, 95), (1.05, 8), (3e-4, 2e5)])
def test_round_numbers_are_round_and_no_more_than_asked_for(ax, low, high):
    ax.set(yscale="log", ylim=(low, high))
    plain_numbers(ax.yaxis, 4)
    texts, _ = labels(ax, ax.yaxis)
    assert 2 <= len(texts) <= 4
    assert {f"{float(text):e}"[:3] for text in texts} <= {"1.0", "1.5", "2.0", "3.0", "5.0", "7.0"}


@pytest.mark.parametrize(
    ("most", "expected"), [(1, ["1"]), (40, ["1", "2", "5", "10", "20"]), (2000, ["1", "10", "100", "1000"])]
)
def test_counts_are_whole_numbers(ax, most, expected):
    set_count_axis(ax, most)
    assert labels(ax, ax.xaxis)[0] == expected


@pytest.mark.parametrize("inches", [1.0, 1.5, 2.2])
def test_a_long_score_name_is_no_longer_than_its_axis(ax, inches):
    label = ax.set_ylabel(fitted("FD (inception-v3-compat, bf16 features)", inches), fontsize=8)
    ax.figure.draw_without_rendering()
    assert label.get_window_extent().height <= inches * ax.figure.dpi * 1.05
    assert label.get_text().replace("\n", " ").replace("- ", "-") == "FD (inception-v3-compat, bf16 features)"


def test_places_of_axes_have_no_last_bits_of_a_solver():
    figure = captioned_figure(4, 3, "a caption " * 20)
    upper, lower = figure.subfigures(2, 1)
    axes = [*upper.subplots(1, 2), *lower.subplots(1, 2)]
    for number, ax in enumerate(axes):
        ax.set_ylabel("a label\n" * (number + 1))
    lay_out(figure)
    shares = [share for ax in axes for share in ax.get_position(original=True).extents]
    shares += [share for part in (upper, lower) for share in part.bbox_relative.extents]
    assert shares == [round(share, 9) for share in shares] and len(set(shares)) > 4
    assert all(ax.get_in_layout() for ax in axes)
    axes[0].set_ylabel("a label\n" * 9)
    lay_out(figure)
    assert list(axes[0].get_position(original=True).extents) != shares[:4]
