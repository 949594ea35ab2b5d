"""How a command takes the groups of options of `study.driver.request`, and what several commands take beside them."""

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, get_annotations, signature
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from typer.models import ParameterInfo

from study.driver.request import TRAINED, completing

if TYPE_CHECKING:
    from search_spaces import SearchSpace

ALL = "all"
"""In place of datasets: those on which the paper has a space."""


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """A command for Typer to read: in place of each parameter that is a dataclass, it takes the fields of that.

    An option is shown in the panel of the class that declares it.
    """
    parameters = signature(command).parameters.values()
    groups: dict[str, Any] = {each.name: each.annotation for each in parameters if is_dataclass(each.annotation)}
    parts = (_options(groups[each.name]) if each.name in groups else [each] for each in parameters)
    options = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in chain.from_iterable(parts)]

    @wraps(command)
    def spread_out(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    spread_out.__signature__ = Signature(options)  # type: ignore[attr-defined]
    return spread_out


def _options(group: type) -> Iterable[Parameter]:
    """A group's fields as parameters, each in its panel."""
    for parameter in signature(group).parameters.values():
        declares = next(kind for kind in group.__mro__ if parameter.name in get_annotations(kind))
        kind, *metadata = get_args(parameter.annotation)
        shown = [copy(each) for each in metadata]
        for each in shown:
            if isinstance(each, ParameterInfo):
                each.rich_help_panel = each.rich_help_panel or getattr(declares, "panel", None)
        yield parameter.replace(annotation=Annotated[kind, *shown])


def split(names: str) -> list[str]:
    """The names of a list separated by commas, each once, in order."""
    return list(dict.fromkeys(name.strip() for name in names.split(",")))


def datasets_of(dataset: str, space: "SearchSpace") -> Sequence[str]:
    """Those of a list separated by commas, or where that is `all` those on which the paper has the space."""
    return list(space.paper_datasets()) if dataset == ALL else split(dataset)


def _space_names() -> Iterable[str]:
    import search_spaces

    return search_spaces.spaces()


def _dataset_names() -> Iterable[str]:
    from study import data

    return data.all_datasets(data.data_dir())


Space = Annotated[
    str,
    typer.Argument(
        help="A search space (see `study spaces`), or a .toml or .py file of your own.",
        autocompletion=completing(_space_names),
    ),
]
Datasets = Annotated[
    str,
    typer.Option(
        "--dataset",
        help="Datasets, separated by commas (see `study datasets`); `all` means those that the paper has for it.",
        metavar="NAME,...",
        rich_help_panel=TRAINED,
        autocompletion=completing(_dataset_names),
    ),
]
Dataset = Annotated[
    str,
    typer.Option(
        "--dataset",
        help="Dataset; see `study datasets`.",
        metavar="NAME",
        rich_help_panel=TRAINED,
        autocompletion=completing(_dataset_names),
    ),
]
DatasetArgument = Annotated[
    str, typer.Argument(help="Dataset; see `study datasets`.", autocompletion=completing(_dataset_names))
]
