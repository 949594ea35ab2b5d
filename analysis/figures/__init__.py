"""The figures: every file in a subfolder that defines FIGURE, in the order of `ORDER`; others follow."""

import importlib
import pkgutil

from matplotlib.figure import Figure

from analysis.figures.figure import FigureKind, Frames
from analysis.rows.view import NotEnough, Rows
from study.core.errors import look_up

ORDER = (
    *("top", "budget", "distribution", "response", "importance", "ablation", "seeds"),
    *("training", "diagnostics", "agreement", "cost", "bo"),
)

__all__ = ["FigureKind", "Frames", "NotEnough", "draw", "figures"]


def figures() -> dict[str, FigureKind]:
    """All figures by name."""
    names = [module.name for module in pkgutil.walk_packages(__path__, f"{__name__}.")]
    modules = [importlib.import_module(name) for name in names]
    kinds = {module.FIGURE.name: module.FIGURE for module in modules if hasattr(module, "FIGURE")}
    return {name: kinds[name] for name in sorted(kinds, key=lambda name: (_place(name), name))}


def draw(name: str, rows: Rows) -> Figure:
    """The figure called `name` of these rows, with its caption.

    Raises:
        InputError: there is no such figure.
        NotEnough: there are not enough rows for the figure.
    """
    kind = look_up("figure", name, figures())
    frames = kind.compute(rows)
    return kind.draw(frames, kind.caption(rows, frames))


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)
