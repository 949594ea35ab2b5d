"""From a method's names to its members, and back: the menus' front door."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from study.gan.architectures import ARCHITECTURES
from study.gan.losses import LOSSES, Loss
from study.gan.member import Member
from study.gan.normalizations import NORMALIZATIONS, Normalization
from study.gan.penalties import PENALTIES, Penalty
from study.names import InputError, look_up, unknown
from study.trial import NON_SATURATING, Method


class Members(NamedTuple):
    """What a method is made of."""

    loss: Loss
    normalizations: tuple[Normalization, ...]
    penalty: Penalty | None


def members(method: Method) -> Members:
    """The members that `method` names, built with its options; raises InputError where it makes no sense."""
    check(method)
    options = dict(method.options)

    def built(member: Member[Any]) -> Any:
        return member.build(**{name: options.get(name, default) for name, default in member.options.items()})

    normalizations = tuple(built(NORMALIZATIONS[name]) for name in method.normalizations)
    kinds = [type(normalization) for normalization in normalizations]
    if len(set(kinds)) < len(kinds):
        names = ", ".join(method.normalizations)
        raise InputError(f"normalizations {names}: two act on the same thing; at most one each of weights and layers.")
    penalty = built(PENALTIES[method.penalty]) if method.penalty else None
    return Members(built(LOSSES[method.loss]), normalizations, penalty)


def check(method: Method) -> None:
    """Raises InputError for names and options that are on no menu, with the nearest known one."""
    look_up("--architecture", method.architecture, ARCHITECTURES)
    declared = _declared_options(method)
    for name, _ in method.options:
        look_up("option", name, declared)
    if method.constraint is not None:
        raise unknown("constraint", method.constraint, [])


def canonical(method: Method) -> Method:
    """The same method without the options that are at their declared default, so that it has one id."""
    declared = _declared_options(method)
    kept = tuple((name, value) for name, value in method.options if declared.get(name) != value)
    return replace(method, options=kept)


def _declared_options(method: Method) -> Mapping[str, Any]:
    named = [
        look_up("--loss", method.loss, LOSSES),
        *(look_up("--normalization", name, NORMALIZATIONS) for name in method.normalizations),
        *([look_up("--penalty", method.penalty, PENALTIES)] if method.penalty else []),
    ]
    return {name: default for member in named for name, default in member.options.items()}


def parse(name: str, architecture: str, field: str = "--methods") -> Method:
    """The method that a name such as `spectral_norm+gradient_penalty` or `none` stands for.

    The loss is non_saturating unless named. Raises InputError with a suggestion for a part that is on no menu.
    """
    parts = [] if name == "none" else name.split("+")
    for part in parts:
        if not any(part in menu for menu in (LOSSES, NORMALIZATIONS, PENALTIES)):
            raise unknown(field, part or name, ["none", *LOSSES, *NORMALIZATIONS, *PENALTIES])
    losses, penalties = ([part for part in parts if part in menu] for menu in (LOSSES, PENALTIES))
    for what, named in (("losses", losses), ("penalties", penalties)):
        if len(named) > 1:
            raise InputError(f"{field} {name}: names two {what}; a method has at most one.")
    method = Method(
        architecture=architecture,
        loss=(losses or [NON_SATURATING])[0],
        normalizations=tuple(part for part in parts if part in NORMALIZATIONS),
        penalty=(penalties or [None])[0],
    )
    members(method)
    return method


def parse_list(text: str, architecture: str, field: str = "--methods") -> list[Method]:
    """The methods of a comma-separated list, each once, in order."""
    return list(dict.fromkeys(parse(part.strip(), architecture, field) for part in text.split(",")))
