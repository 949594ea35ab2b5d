"""What every menu of this package is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from study.trial import OptionValue

Built = TypeVar("Built")


@dataclass(frozen=True, kw_only=True)
class Member(Generic[Built]):
    """One entry of a menu.

    Attributes:
        build: makes the member from its options, given by keyword.
        description: one line, with its source.
        options: the options that `build` takes, with their defaults. A declared default never changes: it is part of
            the identity of every trial that did not name it.
    """

    build: Callable[..., Built]
    description: str
    options: Mapping[str, OptionValue] = field(default_factory=dict)
