"""The types that all menus of this package are made of."""

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
        default: a whole number, a number, a word, or true or false; it sets the type of all values. A default never
            changes: it is part of the identity of every trial that leaves the option out.
        description: one line with unit and source.
        choices: the allowed words.
        at_most: upper limit of a number; numbers are always above 0.
    """

    default: OptionValue
    description: str
    choices: tuple[str, ...] = ()
    at_most: float = math.inf

    def check(self, name: str, value: OptionValue) -> None:
        """Raises InputError if `value` is not allowed for the option called `name`."""
        if not self._allows(value):
            default = option_word(self.default)
            raise InputError(f"option {name} {option_word(value)}: must be {self.allowed}; {default} is the default.")

    def _allows(self, value: OptionValue) -> bool:
        if isinstance(self.default, bool):
            return isinstance(value, bool)
        if isinstance(self.default, str):
            return value in self.choices
        if isinstance(value, bool | str) or (isinstance(self.default, int) and not isinstance(value, int)):
            return False
        return 0 < value <= self.at_most

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        if isinstance(self.default, bool):
            return "true or false"
        if isinstance(self.default, str):
            return f"one of {', '.join(self.choices)}"
        limit = f" and at most {self.at_most:g}" if self.at_most < math.inf else ""
        return f"a {'whole ' if isinstance(self.default, int) else ''}number above 0{limit}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Member(Generic[Built]):
    """One entry of a menu.

    Attributes:
        build: makes the member from its options, which are keyword arguments.
        description: one line, with the source.
        options: the options that `build` takes, by name. Members that a method cannot have together may
            share an option.
    """

    build: Callable[..., Built]
    description: str
    options: Mapping[str, Option] = field(default_factory=dict)
