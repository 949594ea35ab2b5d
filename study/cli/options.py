"""Passes the option groups of `study.driver.request` to commands, and declares options that several commands share."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, get_annotations, signature
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from typer.models import ParameterInfo

from study.core.errors import Interrupted
from study.driver.request import TRAINING_PANEL, completer

if TYPE_CHECKING:
    from search_spaces import SearchSpace

ALL = "all"
"""Value of --dataset that stands for all datasets that the paper trained a space on."""


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command so that Typer sees the fields of each dataclass parameter as options of their own.

    The decorated command builds the dataclasses from the options and calls `command` with them. The help shows an
    option in the panel of the class that declares it.
    """
    parameters = signature(command).parameters.values()
    groups: dict[str, Any] = {one.name: one.annotation for one in parameters if is_dataclass(one.annotation)}
    parts = (_options(groups[one.name]) if one.name in groups else [one] for one in parameters)
    options = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in chain.from_iterable(parts)]

    @wraps(command)
    def with_groups(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(**values)

    with_groups.__signature__ = Signature(options)  # type: ignore[attr-defined]
    return with_groups


def keeps(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command with what is kept if the user interrupts it: the message of the `Interrupted` that it raises.

    This is also raised for an error that only followed from the interrupt.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def interruptible(**values: Any) -> None:
            try:
                command(**values)
            except BaseException as error:
                if any(isinstance(each, KeyboardInterrupt) for each in _with_contexts(error)):
                    raise Interrupted(what) from error
                raise

        return interruptible

    return decorate


def _with_contexts(error: BaseException | None) -> Iterator[BaseException]:
    """The error, the one during whose handling it was raised, and so on."""
    while error:
        yield error
        error = error.__context__


def _options(group: type) -> Iterable[Parameter]:
    """The fields of a group as parameters of a command, each with the panel of its class."""
    for parameter in signature(group).parameters.values():
        owner = next(kind for kind in group.__mro__ if parameter.name in get_annotations(kind))
        kind, *metadata = get_args(parameter.annotation)
        metadata = [copy(item) for item in metadata]  # other commands use the same group
        for item in metadata:
            if isinstance(item, ParameterInfo):
                item.rich_help_panel = item.rich_help_panel or getattr(owner, "panel", None)
        yield parameter.replace(annotation=Annotated[kind, *metadata])


def split(names: str) -> list[str]:
    """The names of a comma-separated list, in order, without duplicates."""
    return list(dict.fromkeys(name.strip() for name in names.split(",")))


def datasets_of(dataset: str, space: "SearchSpace") -> Sequence[str]:
    """The datasets of a comma-separated list; for `all`, those that the paper trained the space on."""
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
        help="A search space (see `study spaces`), or the path of your own .toml or .py file.",
        autocompletion=completer(_space_names),
    ),
]
Datasets = Annotated[
    str,
    typer.Option(
        "--dataset",
        help="Comma-separated datasets (see `study datasets`); `all` selects those of the paper for this space.",
        metavar="NAME,...",
        rich_help_panel=TRAINING_PANEL,
        autocompletion=completer(_dataset_names),
    ),
]
Dataset = Annotated[
    str,
    typer.Option(
        "--dataset",
        help="Dataset; see `study datasets`.",
        metavar="NAME",
        rich_help_panel=TRAINING_PANEL,
        autocompletion=completer(_dataset_names),
    ),
]
DatasetArgument = Annotated[
    str, typer.Argument(help="Dataset; see `study datasets`.", autocompletion=completer(_dataset_names))
]
