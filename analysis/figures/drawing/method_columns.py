"""A stack of small panels for each method: what figures share that show more of a method than one line."""

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
    """A captioned figure with a stack of panels for each method, four abreast at most; datasets start on new lines.

    Args:
        pools: each once or more often; methods come in the order of the paper's Figure 1.
        heights: of the panels of a stack, in inches; their vertical axes are those of all methods of the dataset.
        caption: under the figure.
        pad: points between a title and its panel.
    """
    pools = sorted(set(pools), key=lambda pool: (pool[0], paper_order(pool[1])))
    datasets = list(dict.fromkeys(dataset for dataset, _ in pools))
    of = {dataset: [pool for pool in pools if pool[0] == dataset] for dataset in datasets}
    most = max(map(len, of.values()))
    columns = math.ceil(most / math.ceil(most / COLUMNS))  # no last line of one method where others have four
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
    """A method's label where there is little room: only discriminator updates are called steps in this house.

    >>> short("SN, resnet19, discriminator steps 200")
    'SN, resnet19, steps\\xa0200'
    """
    return label.replace("discriminator steps ", "steps\N{NO-BREAK SPACE}")


def _prepare(
    mine: list[Axes], first: list[Axes], pool: Pool, leftmost: bool, lowest: bool, several: bool, pad: float
) -> None:
    """Axes shared within a dataset; numbers at the left and at the foot only."""
    for ax, other in zip(mine, first, strict=True):
        if ax is not other:
            ax.sharey(other)
            ax.sharex(other)
        ax.tick_params(labelleft=leftmost, labelbottom=lowest and ax is mine[-1])
        ax.xaxis.set_visible(lowest and ax is mine[-1])  # it has neither ticks nor a grid to show, but costs as much
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
