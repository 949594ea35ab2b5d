"""From a method's names to its members, and back: the menus' front door."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from study.core.errors import InputError, look_up, unknown
from study.core.trial import NON_SATURATING, Method, OptionValue
from study.gan.architectures import ARCHITECTURES
from study.gan.member import Member, Option
from study.gan.methods.constraints import CONSTRAINTS, Constraint
from study.gan.methods.losses import LOSSES, Loss
from study.gan.methods.normalizations import NORMALIZATIONS, Normalization, OutputNormalization
from study.gan.methods.penalties import PENALTIES, Penalty
from study.gan.networks.architecture import Architecture

MENUS: Mapping[str, Mapping[str, Member[Any]]] = {
    "loss": LOSSES,
    "normalization": NORMALIZATIONS,
    "penalty": PENALTIES,
    "constraint": CONSTRAINTS,
}
"""What the parts of a method's name may be, by the field that they fill. Architectures are a menu of their own."""


class Members(NamedTuple):
    """What a method is made of."""

    loss: Loss
    normalizations: tuple[Normalization, ...]
    penalty: Penalty | None
    constraint: Constraint | None
    architecture_options: Mapping[str, OptionValue]


def members(method: Method) -> Members:
    """The members that `method` names, built with its options; raises InputError where it makes no sense."""
    check(method)
    given = dict(method.options)

    def values(options: Mapping[str, Option]) -> dict[str, OptionValue]:
        return {name: given.get(name, option.default) for name, option in options.items()}

    def built(menu: Mapping[str, Member[Any]], name: str | None) -> Any:
        return menu[name].build(**values(menu[name].options)) if name else None

    made = Members(
        loss=built(LOSSES, method.loss),
        normalizations=tuple(built(NORMALIZATIONS, name) for name in method.normalizations),
        penalty=built(PENALTIES, method.penalty),
        constraint=built(CONSTRAINTS, method.constraint),
        architecture_options=values(ARCHITECTURES[method.architecture].options),
    )
    _check_together(method, made)
    return made


def _check_together(method: Method, made: Members) -> None:
    """Raises InputError for members that have no meaning together."""
    normalizations = dict(zip(method.normalizations, made.normalizations, strict=True))
    kinds = [type(normalization) for normalization in normalizations.values()]
    if len(set(kinds)) < len(kinds):
        names = ", ".join(normalizations)
        raise InputError(
            f"normalizations {names}: two act on the same thing; at most one each of weights, layers and output."
        )
    output = next((n for n, one in normalizations.items() if isinstance(one, OutputNormalization)), None)
    coupling = next((n for n, one in normalizations.items() if getattr(one, "couples_samples", False)), None)
    if output and made.loss.network:
        raise InputError(
            f"normalization {output}: with {method.loss} D's output is an error of reconstruction, not a judgement that"
            f" could be normalised; choose another loss, or a normalisation of weights or layers."
        )
    if output and coupling:
        raise InputError(
            f"normalizations {coupling}, {output}: {output} takes D's gradient at each image on its own, but with"
            f" {coupling} an image's output depends on its whole batch; choose another normalisation of layers."
        )


def check(method: Method) -> None:
    """Raises InputError for names, options and values that are on no menu, with the nearest known one."""
    declared = _declared_options(method)
    for name, value in method.options:
        if name not in declared and (readers := _readers(name)):
            raise InputError(f"option {name}: only {readers} reads it, which this method does not have.")
        look_up("option", name, declared).check(name, value)


def canonical(method: Method) -> Method:
    """The same method without the options that are at their declared default, so that it has one id."""
    declared = _declared_options(method)
    kept = tuple((name, value) for name, value in method.options if declared[name].default != value)
    return replace(method, options=kept)


def _readers(option: str) -> str:
    """The members that declare an option, in words; "" where none does."""
    menus: list[Mapping[str, Member[Any] | Architecture]] = [ARCHITECTURES, *MENUS.values()]
    return " or ".join(name for menu in menus for name, member in menu.items() if option in member.options)


def _declared_options(method: Method) -> Mapping[str, Option]:
    declared = [
        look_up("--architecture", method.architecture, ARCHITECTURES).options,
        look_up("--loss", method.loss, LOSSES).options,
        *(look_up("--normalization", name, NORMALIZATIONS).options for name in method.normalizations),
        *([look_up("--penalty", method.penalty, PENALTIES).options] if method.penalty else []),
        *([look_up("--constraint", method.constraint, CONSTRAINTS).options] if method.constraint else []),
    ]
    return {name: option for options in declared for name, option in options.items()}


def parse_option(text: str, field: str = "--option") -> tuple[str, OptionValue]:
    """The (name, value) of a text such as `clip_value=0.1`, `real_valued=true` or `ablation=CIN`."""
    name, given, value = text.partition("=")
    if not (name and given and value):
        raise InputError(f"{field} {text}: must be NAME=VALUE, such as power_iterations=2; see `study methods`.")
    try:
        parsed = json.loads(value.lower())
    except ValueError:
        parsed = value
    return name.strip(), parsed if isinstance(parsed, bool | int | float) else value.strip()


def parse(name: str, architecture: str, field: str = "--methods") -> Method:
    """The method that a name such as `spectral_norm+dragan[dragan_noise=gaussian]` or `none` stands for.

    The loss is non_saturating unless named. Raises InputError with a suggestion for a part that is on no menu.
    """
    plain, bracket, rest = name.partition("[")
    if bracket and not rest.endswith("]"):
        raise InputError(
            f"{field} {name}: options stand in brackets at the end, such as spectral_norm[power_iterations=2]."
        )
    parts = [] if plain == "none" else plain.split("+")
    known = [member for menu in MENUS.values() for member in menu]
    for part in parts:
        if part not in known:
            raise unknown(field, part or name, ["none", *known])
    named = {what: [part for part in parts if part in menu] for what, menu in MENUS.items()}
    for what, plural in (("loss", "losses"), ("penalty", "penalties"), ("constraint", "constraints")):
        if len(named[what]) > 1:
            raise InputError(f"{field} {name}: names two {plural}; a method has at most one.")
    method = Method(
        architecture=architecture,
        loss=next(iter(named["loss"]), NON_SATURATING),
        normalizations=tuple(named["normalization"]),
        penalty=next(iter(named["penalty"]), None),
        constraint=next(iter(named["constraint"]), None),
        options=tuple(parse_option(option, field) for option in rest[:-1].split(",")) if bracket else (),
    )
    members(method)
    return method


def parse_list(text: str, architecture: str, field: str = "--methods") -> list[Method]:
    """The methods of a list separated by commas (those in brackets separate options), each once, in order."""
    names = re.split(r",(?![^\[]*\])", text)
    return list(dict.fromkeys(parse(name.strip(), architecture, field) for name in names))
