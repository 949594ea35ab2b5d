"""Expands a search space on a dataset to its settings, restricted to the selected ones."""

from dataclasses import dataclass
from typing import NamedTuple

from search_spaces import SearchSpace
from search_spaces.blocks import RandomBlock
from search_spaces.ranges import blocks_of
from study.core.errors import InputError
from study.core.trial import Hyperparameters, Method
from study.data.dataset import Dataset
from study.driver.request import MethodSelection, Selection
from study.gan.architectures import ARCHITECTURES
from study.gan.methods.menu import canonical, check, parse_list

MANY = 100_000
"""Maximum number of trials of a space without confirmation."""
LARGEST_PLAN = 1_000_000
"""Maximum number of trials of a space on a dataset: so many take two minutes and 1.6 GB to plan. The grid has 120."""


@dataclass(frozen=True, kw_only=True)
class ExpandedSetting:
    """A setting that is trained with seeds 0 to `seeds` - 1, and its published scores by seed."""

    method: Method
    hyperparameters: Hyperparameters
    seeds: int
    published: tuple[float, ...] = ()


def expand(space: SearchSpace, declared: Dataset, selection: Selection, *, many: bool = False) -> list[ExpandedSetting]:
    """The selected settings of a space on a dataset, method by method.

    Raises InputError if a method is unknown or does not fit the dataset, if no setting is selected, for more than
    `LARGEST_PLAN` trials, and for more than `MANY` trials unless `many` is true.
    """
    space = with_architectures(space, declared, selection)
    methods = expand_methods(space, declared, selection)
    expanded: dict[tuple[Method, Hyperparameters], ExpandedSetting] = {}
    _check_many(space, sum(space.size(method, selection.seeds) for method in methods), many)
    for method in methods:
        settings = [
            (hyperparameters, repeats)
            for hyperparameters, repeats in space.settings_with_repeats(method).items()
            if selection.n_dis in (None, hyperparameters.n_dis)
        ]
        for hyperparameters, repeats in settings[: selection.settings or space.top]:
            setting = ExpandedSetting(
                method=canonical(method),
                hyperparameters=hyperparameters,
                seeds=selection.seeds or repeats.seeds,
                published=repeats.published,
            )
            expanded.setdefault((setting.method, hyperparameters), setting)
    if not expanded:
        known = sorted({setting.n_dis for method in methods for setting in space.settings(method)})
        raise InputError(f"--n-dis {selection.n_dis}: {space.name} has no such setting; it has {known}.")
    _check_many(space, sum(setting.seeds for setting in expanded.values()), many)
    return list(expanded.values())


class SearchedMethod(NamedTuple):
    """A search of hyperparameters: a method, one value of n_dis, and the block with the ranges."""

    method: Method
    n_dis: int
    block: RandomBlock


def expand_searches(space: SearchSpace, declared: Dataset, selection: MethodSelection) -> list[SearchedMethod]:
    """One search for each method of a space on a dataset and each n_dis; raises InputError as `expand` does."""
    found: dict[tuple[Method, int], SearchedMethod] = {}
    space = with_architectures(space, declared, selection)
    for method in expand_methods(space, declared, selection):
        for block in blocks_of(space, method):
            for n_dis in block.n_dis:
                search = SearchedMethod(canonical(method), n_dis, block)
                _check_ranges(space, search, found.setdefault((search.method, n_dis), search))
    known = sorted({n_dis for _, n_dis in found})
    if selection.n_dis not in (None, *known):
        raise InputError(f"--n-dis {selection.n_dis}: {space.name} has no such n_dis; it has {known}.")
    return [search for search in found.values() if selection.n_dis in (None, search.n_dis)]


def _check_ranges(space: SearchSpace, search: SearchedMethod, other: SearchedMethod) -> None:
    """Raises InputError if a search has no ranges, or if another block gives it different ranges."""
    (ranges, fixed), others = (
        (each.block.ranges_of(each.method.penalty), each.block.fixed_of(each.method.penalty))
        for each in (search, other)
    )
    if not ranges:
        raise InputError(f"space {space.name}: has no range for {search.method.name}; `study bo` needs at least one.")
    if (ranges, fixed) != others:
        raise InputError(
            f"space {space.name}: has different ranges for {search.method.name} at n_dis {search.n_dis}; a search needs"
            " exactly one set of ranges."
        )


def _check_many(space: SearchSpace, trials: int, many: bool) -> None:
    """Raises InputError for too many trials, before they fill the memory."""
    if trials > LARGEST_PLAN:
        raise InputError(
            f"space {space.name}: expands to {trials:,} trials; must be {LARGEST_PLAN:,} or fewer: choose fewer"
            " --methods or --seeds, or fewer values in the space."
        )
    if trials > MANY and not many:
        raise InputError(
            f"space {space.name}: expands to {trials:,} trials, more than {MANY:,}; add --yes to allow it."
        )


def with_architectures(space: SearchSpace, declared: Dataset, selection: MethodSelection) -> SearchSpace:
    """The blocks of a space for a dataset, with explicit architectures."""
    default = selection.architecture or declared.architecture
    return space.on(declared.name).with_architectures(default, None if selection.architecture else declared.resolution)


def expand_methods(space: SearchSpace, declared: Dataset, selection: MethodSelection) -> list[Method]:
    """The selected methods of a space with explicit architectures; raises InputError if one does not fit the images."""
    default = selection.architecture or declared.architecture
    own = space.methods(default)
    if selection.architecture:
        named = sorted({method.architecture for method in own})
        if selection.architecture not in named:
            raise InputError(
                f"--architecture {selection.architecture}: {space.name} has only {', '.join(named)} on {declared.name}."
            )
        own = [method for method in own if method.architecture == selection.architecture]
    methods = own if selection.methods is None else _named(space, declared, selection.methods, own)
    for method in methods:
        check(method)
    for architecture in dict.fromkeys(method.architecture for method in methods):
        _check_size(space, declared, architecture, chosen=architecture == default)
    return methods


def _check_size(space: SearchSpace, declared: Dataset, architecture: str, *, chosen: bool) -> None:
    """Raises InputError if an architecture does not fit the images; `chosen` by the user or dataset, not the space."""
    try:
        ARCHITECTURES[architecture].check_size(declared.resolution)
    except InputError as error:
        if chosen:
            raise
        why = str(error).removeprefix("--architecture ")
        raise InputError(f"space {space.name} on {declared.name}: {why}") from error


def _named(space: SearchSpace, declared: Dataset, text: str, own: list[Method]) -> list[Method]:
    """The methods in a list of names: those of the space if it has them, else with each architecture of the space."""
    listed = {method.name for method in own}
    architectures = dict.fromkeys(method.architecture for method in own)
    parsed = [method for architecture in architectures for method in parse_list(text, architecture)]
    kept = [m for m in parsed if m in own or (m.name not in listed and space.size(m))]
    if missing := {method.name for method in parsed} - {method.name for method in kept}:
        known = ", ".join(dict.fromkeys(method.name for method in own))
        raise InputError(
            f"--methods {min(missing)}: {space.name} has no such method on {declared.name}; it has {known}."
        )
    return kept
