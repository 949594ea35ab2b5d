"""A column of small panels for each method, for figures with several quantities per method."""

import math
import textwrap
from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.figures.drawing.pages import COLUMN, PAPER, captioned_figure
from analysis.rows.labels import paper_order

COLUMNS = 4
TITLE_LETTERS = 23

Pool = tuple[str, str]
"""A dataset and the label of a method."""


def method_columns(
    pools: Iterable[Pool], heights: tuple[float, ...], caption: str, pad: float = 4
) -> tuple[Figure, dict[Pool, list[Axes]]]:
    """A captioned figure with a column of panels for each method, at most four per row; datasets start on new rows.

    Args:
        pools: may repeat; methods are in the order of the paper's Figure 1.
        heights: heights of the panels of a column, in inches; methods of a dataset share the vertical axes.
        caption: below the figure.
        pad: points between a title and its panel.
    """
    pools = sorted(set(pools), key=lambda pool: (pool[0], paper_order(pool[1])))
    datasets = list(dict.fromkeys(dataset for dataset, _ in pools))
    of = {dataset: [pool for pool in pools if pool[0] == dataset] for dataset in datasets}
    most = max(map(len, of.values()))
    columns = math.ceil(most / math.ceil(most / COLUMNS))  # balanced rows
    lines = [group[at : at + columns] for group in of.values() for at in range(0, len(group), columns)]
    stack = len(heights)
    figure = captioned_figure(COLUMN if columns < 3 else PAPER, sum(heights) * len(lines) + 0.3, caption)
    axes = figure.subplots(stack * len(lines), columns, squeeze=False, height_ratios=list(heights) * len(lines))
    panels: dict[Pool, list[Axes]] = {}
    for number, line in enumerate(lines):
        below = len(lines[number + 1]) if number + 1 < len(lines) and lines[number + 1][0][0] == line[0][0] else 0
        for column in range(columns):
            mine = list(axes[stack * number : stack * (number + 1), column])
            if column < len(line):
                panels[line[column]] = mine
                first = panels[of[line[column][0]][0]]
                _prepare(mine, first, line[column], column == 0, column >= below, len(datasets) > 1, pad)
            else:
                for ax in mine:
                    ax.set_axis_off()
    return figure, panels


def short(label: str) -> str:
    """A short form of a method's label: steps are always discriminator updates in this project.

    >>> short("SN, resnet19, discriminator steps 200")
    'SN, resnet19, steps\\xa0200'
    """
    return label.replace("discriminator steps ", "steps\N{NO-BREAK SPACE}")


def _prepare(
    mine: list[Axes], first: list[Axes], pool: Pool, leftmost: bool, lowest: bool, several: bool, pad: float
) -> None:
    """Share axes within a dataset; numbers only at the left and at the bottom."""
    for ax, other in zip(mine, first, strict=True):
        if ax is not other:
            ax.sharey(other)
            ax.sharex(other)
        ax.tick_params(labelleft=leftmost, labelbottom=lowest and ax is mine[-1])
        ax.xaxis.set_visible(lowest and ax is mine[-1])  # an invisible axis saves time
        ax.xaxis.set_major_locator(MaxNLocator(3, integer=True, steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")
        )
    if lowest:
        mine[-1].set_xlabel("D updates", fontsize=7)
    title = f"{pool[0]}: {short(pool[1])}" if several else short(pool[1])
    mine[0].set_title(
        "\n".join(textwrap.wrap(title, TITLE_LETTERS)), loc="left", fontweight="bold", fontsize=7.5, pad=pad
    )
