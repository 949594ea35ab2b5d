"""What every menu of this package is made of."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from study.core.errors import InputError
from study.core.trial import OptionValue, option_word

Built = TypeVar("Built")


@dataclass(frozen=True, kw_only=True)
class Option:
    """A number, word or switch that a member reads.

    Attributes:
        default: of the type that all its values have: a whole number, a number, a word, or true and false. It never
            changes: it is part of the identity of every trial that did not name the option.
        description: what it is, with unit and source.
        choices: the words that it may be.
        at_most: numbers are above 0 and at most this.
    """

    default: OptionValue
    description: str
    choices: tuple[str, ...] = ()
    at_most: float = math.inf

    def check(self, name: str, value: OptionValue) -> None:
        """Raises InputError where `value` is none of those that the option called `name` may have."""
        if not self._takes(value):
            default = option_word(self.default)
            raise InputError(f"option {name} {option_word(value)}: must be {self.allowed}; {default} is the default.")

    def _takes(self, value: OptionValue) -> bool:
        if isinstance(self.default, bool):
            return isinstance(value, bool)
        if isinstance(self.default, str):
            return value in self.choices
        if isinstance(value, bool | str) or (isinstance(self.default, int) and not isinstance(value, int)):
            return False
        return 0 < value <= self.at_most

    @property
    def allowed(self) -> str:
        """The values that it may have, in words."""
        if isinstance(self.default, bool):
            return "true or false"
        if isinstance(self.default, str):
            return f"one of {', '.join(self.choices)}"
        limit = f" and at most {self.at_most:g}" if self.at_most < math.inf else ""
        return f"a {'whole ' if isinstance(self.default, int) else ''}number above 0{limit}"


@dataclass(frozen=True, kw_only=True)
class Member(Generic[Built]):
    """One entry of a menu.

    Attributes:
        build: makes the member from its options, given by keyword.
        description: one line, with its source.
        options: those that `build` takes, by name; no two members share a name.
    """

    build: Callable[..., Built]
    description: str
    options: Mapping[str, Option] = field(default_factory=dict)
