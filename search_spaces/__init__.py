"""The search spaces of the paper as data: one file per experiment, with its source."""

import importlib
import pkgutil

from search_spaces.space import SearchSpace
from study.core.errors import look_up

__all__ = ["SearchSpace", "get", "spaces"]


def spaces() -> dict[str, SearchSpace]:
    """All search spaces by name, sorted: each file of this folder that defines SPACE is one."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    declared = [module.SPACE for module in modules if hasattr(module, "SPACE")]
    return {space.name: space for space in sorted(declared, key=lambda space: space.name)}


def get(name: str) -> SearchSpace:
    """The space called `name`; raises InputError with a suggestion if it is unknown."""
    return look_up("space", name, spaces())
