"""The figures, one file each: the folder listing is the menu, in the order of `ORDER`, others after them."""

import importlib
import pkgutil

from analysis.figures.kind import FigureKind, Frames, NotEnough

ORDER = ("top", "budget", "bo")

__all__ = ["FigureKind", "Frames", "NotEnough", "figures"]


def figures() -> dict[str, FigureKind]:
    """The menu: figures by name."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    kinds = {module.FIGURE.name: module.FIGURE for module in modules if hasattr(module, "FIGURE")}
    return {name: kinds[name] for name in sorted(kinds, key=lambda name: (_place(name), name))}


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)
