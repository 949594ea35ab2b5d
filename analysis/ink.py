"""What all figures share: a page with its caption, logarithmic axes with plain numbers, and files."""

import math
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from analysis.style import PAGE
from study.core.errors import InputError
from study.storage.files import replace

PNG_LEVEL = 3
"""Of 9: files a little larger than at the usual 6, in half the time."""
TIMELESS: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""Formats, each with what matplotlib would write into it of the moment, left out."""
FORMATS = tuple(f".{kind}" for kind in TIMELESS)
COLUMN, PAPER = 3.4, 6.9
"""Inches: a paper's column, and its page."""
CLOUD = 2000
"""Points in one panel from which on they are drawn as pixels, also in PDF and SVG."""
CAPTION_LETTERS = 20  # at most on a line, per inch
CAPTION_SIZE, CAPTION_LINE = 6.5, 0.115  # points; inches
KEPT = "\N{NO-BREAK SPACE}%"  # a number and its sign stay on one line
LABEL_LETTER = 0.065  # inches of a letter of an axis' label
ROUND = ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
"""First digits of numbers about evenly apart on a logarithmic axis, from many to few."""


class RoundedLayout(ConstrainedLayoutEngine):
    """matplotlib's constrained layout with its places rounded: the last bits of its solver differ between processes."""

    def execute(self, fig: Any) -> Any:
        """Gives the axes and the parts of a figure their places."""
        grids = super().execute(fig)
        for part in fig.subfigs:
            part.bbox_relative.set(_rounded(part.bbox_relative))
        for ax in fig.get_axes():
            placed = ax.get_in_layout()
            ax.set_position(_rounded(ax.get_position(original=True)), which="original")
            ax.set_in_layout(placed)  # which a place that is set takes away
        return grids


def _rounded(place: Bbox) -> Bbox:
    """A place in shares of a figure, to a billionth."""
    return Bbox.from_extents(*(round(end, 9) for end in place.extents))


def captioned(width: float, height: float, caption: str) -> Figure:
    """An empty figure of so many inches, and below them the caption."""
    wrapped = textwrap.wrap(caption.replace(" %", KEPT), int(width * CAPTION_LETTERS))
    text = [line.replace(KEPT, " %") for line in wrapped]
    figure = Figure(figsize=(width, height + CAPTION_LINE * len(text) + 0.1), layout=RoundedLayout())
    figure.supxlabel("\n".join(text), x=0.01, ha="left", fontsize=CAPTION_SIZE, color="0.25", linespacing=1.25)
    return figure


def datasets_abreast(
    datasets: Iterable[str], height: float, caption: str, width: float = COLUMN
) -> tuple[Figure, dict[str, Axes]]:
    """A captioned figure with a panel per dataset, at most two abreast: one of `width`, two of the page's.

    Args:
        datasets: their names; titles of the panels.
        height: of a panel, in inches.
        caption: under the figure.
    """
    names = list(dict.fromkeys(datasets))
    columns = min(2, len(names))
    lines = -(-len(names) // columns)
    figure = captioned(width if columns == 1 else max(PAPER, 2 * width), height * lines, caption)
    axes = figure.subplots(lines, columns, squeeze=False).flatten()
    for name, ax in zip(names, axes, strict=False):
        ax.set_title(name, loc="left", fontweight="bold")
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    return figure, dict(zip(names, axes, strict=False))


def scale_scores(ax: Axes, shown: "pd.Series[float]", most: int = 7) -> None:
    """A logarithmic axis with at most so many plain numbers for these scores; linear where some are 0 or below."""
    ax.yaxis.grid(visible=True, color="0.92", lw=0.5)
    ax.set_axisbelow(True)
    if shown.min() <= 0:
        return
    ax.set_yscale("log")
    plain_numbers(ax.yaxis, most)


class RoundNumbers(Locator):
    """At most so many ticks on a logarithmic axis, at round numbers.

    matplotlib's own, where one of its numbers at most is in sight, takes as many as it likes of any.
    """

    def __init__(self, most: int) -> None:
        self._most = most

    def __call__(self) -> list[float]:
        """The ticks of what the axis shows."""
        assert self.axis is not None  # which a locator has once it is set
        return self.tick_values(*self.axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """The ticks from vmin to vmax, both above 0, of which either may be the larger.

        >>> [RoundNumbers(4).tick_values(*ends) for ends in ((22, 95), (0.04, 3), (29, 52))]
        [[30.0, 50.0, 70.0], [0.1, 0.3, 1.0, 3.0], [32.0, 40.0, 48.0]]
        """
        low, high = sorted((vmin, vmax))
        powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
        for digits in ROUND:
            ticks = [float(f"{digit}e{power}") for power in powers for digit in digits]
            ticks = [tick for tick in ticks if low <= tick <= high]
            if len(ticks) <= self._most:
                break
        if len(ticks) < (2 if high > 3 * low else 3):  # a short stretch is about linear
            evenly = MaxNLocator(self._most - 1).tick_values(low, high)
            ticks = [float(tick) for tick in evenly if low <= tick <= high]
        return ticks[:: max(1, math.ceil(len(ticks) / self._most))]


def plain_numbers(axis: Axis, most: int) -> None:
    """Let a logarithmic axis have at most so many ticks, at round numbers that are written out."""
    axis.set_major_locator(RoundNumbers(most))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def fitted(label: str, inches: float) -> str:
    """The label of an axis on as many lines as it takes for none to be longer than so many inches.

    >>> fitted("FD (inception-v3-compat, bf16 features)", 1.5)
    'FD (inception-v3-compat,\\nbf16 features)'
    """
    return "\n".join(textwrap.wrap(label, max(10, int(inches / LABEL_LETTER) + 1)))


def lay_out(figure: Figure) -> None:
    """Give everything in the figure its place, as saving it will, without the cost of drawing it."""
    _leave_empty_labels(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


def _leave_empty_labels(figure: Figure) -> None:
    """Fix the place of labels without a text, for which all ticks would be measured twice as often."""
    for axis in (axis for ax in figure.get_axes() for axis in (ax.xaxis, ax.yaxis)):
        if not axis.get_label_text():
            axis.set_label_coords(0, 0)


def write(figure: Figure, file: IO[bytes], kind: str, **how: Any) -> None:
    """Write the figure as `kind` (png, svg or pdf): the same figure is the same bytes, in any process, at any time.

    Args:
        figure: is laid out anew, unless it has no layout engine.
        file: to which it is written.
        kind: of TIMELESS.
        how: of `Figure.savefig`.
    """
    with mpl.rc_context({**PAGE, "svg.hashsalt": "figure"}):  # without a salt the ids in an SVG are random
        figure.savefig(file, format=kind, metadata=TIMELESS[kind], **how)


def save(figure: Figure, path: Path) -> Path:
    """Write the figure under `path`, all of it or nothing, in the format of its suffix; makes the folder.

    Raises:
        InputError: a suffix other than .png, .svg or .pdf, or a place that cannot be written to.
    """
    check_format(path)
    kind = path.suffix[1:]
    how: dict[str, Any] = {"pil_kwargs": {"compress_level": PNG_LEVEL}} if kind == "png" else {}
    _leave_empty_labels(figure)
    try:
        replace(path, lambda file: write(figure, file, kind, **how))
    except OSError as error:
        raise InputError(f"{path}: the figure cannot be written ({error.strerror or error}).") from error
    return path


def check_format(path: Path) -> None:
    """Raise InputError unless the suffix of `path` is one of FORMATS."""
    if path.suffix not in FORMATS:
        raise InputError(f"{path}: no figure has this suffix. Known: {', '.join(FORMATS)}.")
