"""A search space on a dataset: its settings, and those of them that were asked for."""

import itertools
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
"""Trials, of a space at its own seeds, above which it has to be confirmed."""


@dataclass(frozen=True, kw_only=True)
class ExpandedSetting:
    """What is trained with seeds 0 to `seeds` - 1; `published`: scores of the same setting, seed by seed."""

    method: Method
    hyperparameters: Hyperparameters
    seeds: int
    published: tuple[float, ...] = ()


def expand(space: SearchSpace, declared: Dataset, asked: Selection, *, many: bool = False) -> list[ExpandedSetting]:
    """The selected settings of a space on a dataset, method by method.

    Raises InputError where a method is unknown or does not fit, where nothing is left, and for more than `MANY` trials
    unless `many` allows them.
    """
    space = placed(space, declared, asked)
    methods = expand_methods(space, declared, asked)
    expanded: dict[tuple[Method, Hyperparameters], ExpandedSetting] = {}
    _check_many(space, methods, many)
    for method in methods:
        tried = {s: repeats for s, repeats in space.tried(method).items() if asked.n_dis in (None, s.n_dis)}
        for hyperparameters, repeats in itertools.islice(tried.items(), asked.settings or space.top):
            one = ExpandedSetting(
                method=canonical(method),
                hyperparameters=hyperparameters,
                seeds=asked.seeds or repeats.seeds,
                published=repeats.published,
            )
            expanded.setdefault((one.method, hyperparameters), one)
    if not expanded:
        known = sorted({setting.n_dis for method in methods for setting in space.settings(method)})
        raise InputError(f"--n-dis {asked.n_dis}: {space.name} has no such setting; it has {known}.")
    return list(expanded.values())


class SearchedMethod(NamedTuple):
    """What one search of hyperparameters is about: a method, and its ranges at one n_dis."""

    method: Method
    n_dis: int
    block: RandomBlock


def expand_searches(space: SearchSpace, declared: Dataset, asked: MethodSelection) -> list[SearchedMethod]:
    """A search for each method of a space on a dataset and each n_dis; raises InputError as `expand` does."""
    found: dict[tuple[Method, int], SearchedMethod] = {}
    space = placed(space, declared, asked)
    for method in expand_methods(space, declared, asked):
        for block in blocks_of(space, method):
            for n_dis in block.n_dis:
                one = SearchedMethod(canonical(method), n_dis, block)
                _check_ranges(space, one, found.setdefault((one.method, n_dis), one))
    known = sorted({n_dis for _, n_dis in found})
    if asked.n_dis not in (None, *known):
        raise InputError(f"--n-dis {asked.n_dis}: {space.name} searches no such n_dis; it has {known}.")
    return [one for one in found.values() if asked.n_dis in (None, one.n_dis)]


def _check_ranges(space: SearchSpace, one: SearchedMethod, other: SearchedMethod) -> None:
    """Raises InputError where there is nothing to search, or where it is not said in which ranges."""
    (ranges, fixed), others = (
        (each.block.ranges_of(each.method.penalty), each.block.fixed_of(each.method.penalty)) for each in (one, other)
    )
    if not ranges:
        raise InputError(f"space {space.name}: has no range for {one.method.name}; `study bo` needs one at least.")
    if (ranges, fixed) != others:
        raise InputError(
            f"space {space.name}: has two sets of ranges for {one.method.name} at n_dis {one.n_dis}; a search needs"
            " one."
        )


def _check_many(space: SearchSpace, methods: list[Method], many: bool) -> None:
    """Raises InputError before memory is filled with more trials than anyone may have meant."""
    trials = sum(space.size(method) for method in methods)
    if trials > MANY and not many:
        raise InputError(
            f"space {space.name}: expands to {trials:,} trials, more than {MANY:,}; add --yes if that is meant."
        )


def placed(space: SearchSpace, declared: Dataset, asked: MethodSelection) -> SearchSpace:
    """A space on a dataset, its architectures decided."""
    default = asked.architecture or declared.architecture
    return space.on(declared.name).placed(default, None if asked.architecture else declared.resolution)


def expand_methods(space: SearchSpace, declared: Dataset, asked: MethodSelection) -> list[Method]:
    """The methods of a placed space, checked; each fits the dataset's images."""
    default = asked.architecture or declared.architecture
    own = space.methods(default)
    if asked.architecture:
        named = sorted({method.architecture for method in own})
        if asked.architecture not in named:
            raise InputError(
                f"--architecture {asked.architecture}: {space.name} has only {', '.join(named)} on {declared.name}."
            )
        own = [method for method in own if method.architecture == asked.architecture]
    methods = own if asked.methods is None else _named(space, declared, asked.methods, own)
    for method in methods:
        check(method)
    for architecture in dict.fromkeys(method.architecture for method in methods):
        _check_size(space, declared, architecture, chosen=architecture == default)
    return methods


def _check_size(space: SearchSpace, declared: Dataset, architecture: str, *, chosen: bool) -> None:
    """Raises InputError where the images do not fit; `chosen`: by the user or the dataset, not by the space."""
    try:
        ARCHITECTURES[architecture].check_size(declared.resolution)
    except InputError as error:
        if chosen:
            raise
        why = str(error).removeprefix("--architecture ")
        raise InputError(f"space {space.name} on {declared.name}: {why}") from error


def _named(space: SearchSpace, declared: Dataset, text: str, own: list[Method]) -> list[Method]:
    """The methods of a list of names: the space's own where it has them, others on each of its architectures."""
    listed = {method.name for method in own}
    architectures = dict.fromkeys(method.architecture for method in own)
    parsed = [method for architecture in architectures for method in parse_list(text, architecture)]
    kept = [m for m in parsed if m in own or (m.name not in listed and space.settings(m))]
    if missing := {method.name for method in parsed} - {method.name for method in kept}:
        known = ", ".join(dict.fromkeys(method.name for method in own))
        raise InputError(
            f"--methods {min(missing)}: {space.name} has no such method on {declared.name}; it has {known}."
        )
    return kept
