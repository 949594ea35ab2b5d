"""From the name of a method to its members and back."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from study.core.errors import InputError, look_up, unknown
from study.core.trial import NON_SATURATING, Method, OptionValue
from study.gan import optimizers
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
"""The menus of the parts of a method's name, by field of `Method`. Architectures have their own menu."""


class Members(NamedTuple):
    """The members of a method, built with its options."""

    loss: Loss
    normalizations: tuple[Normalization, ...]
    penalty: Penalty | None
    constraint: Constraint | None
    architecture_options: Mapping[str, OptionValue]
    optimizer_options: Mapping[str, Any]


def members(method: Method) -> Members:
    """The members of `method`, built with its options; raises InputError if they are unknown or cannot be combined."""
    check(method)
    given = dict(method.options)

    def values(options: Mapping[str, Option]) -> dict[str, OptionValue]:
        return {name: given.get(name, option.default) for name, option in options.items()}

    def built(name: str | None, menu: Mapping[str, Member[Any]]) -> Any:
        return _built(menu[name], tuple(values(menu[name].options).items())) if name else None

    made = Members(
        loss=built(method.loss, LOSSES),
        normalizations=tuple(built(name, NORMALIZATIONS) for name in method.normalizations),
        penalty=built(method.penalty, PENALTIES),
        constraint=built(method.constraint, CONSTRAINTS),
        architecture_options=values(ARCHITECTURES[method.architecture].options),
        optimizer_options=values(optimizers.OPTIONS),
    )
    _check_combination(method, made)
    return made


@lru_cache(maxsize=256)
def _built(member: Member[Any], options: tuple[tuple[str, OptionValue], ...]) -> Any:
    """The member with these options: one object, so that methods with the same layer norm share their networks."""
    return member.build(**dict(options))


def _check_combination(method: Method, made: Members) -> None:
    """Raises InputError for members that cannot be combined."""
    normalizations = dict(zip(method.normalizations, made.normalizations, strict=True))
    kinds = [type(normalization) for normalization in normalizations.values()]
    if len(set(kinds)) < len(kinds):
        names = ", ".join(normalizations)
        raise InputError(
            f"normalizations {names}: two act on the same part; use at most one each for weights, layers, output."
        )
    output = next((n for n, member in normalizations.items() if isinstance(member, OutputNormalization)), None)
    coupling = next((n for n, member in normalizations.items() if getattr(member, "couples_samples", False)), None)
    if output and made.loss.network:
        raise InputError(
            f"normalization {output}: does not fit {method.loss}, where D's output is a reconstruction error;"
            f" choose another loss, or a normalization of weights or layers."
        )
    if output and coupling:
        raise InputError(
            f"normalizations {coupling}, {output}: do not fit together, as {output} needs D's gradient for each image"
            f" alone and with {coupling} an output depends on the whole batch; choose another layer normalization."
        )


def check(method: Method) -> None:
    """Raises InputError for unknown names and options and for values out of range; suggests the closest known name."""
    declared = _declared_options(method)
    for name, value in method.options:
        if name not in declared and (readers := _readers(name)):
            raise InputError(
                f"option {name}: only {readers} reads it, which this method does not use; remove the option."
            )
        look_up("option", name, declared).check(name, value)


def canonical(method: Method) -> Method:
    """The same method without options at their default, so that equal methods have equal ids."""
    declared = _declared_options(method)
    kept = tuple((name, value) for name, value in method.options if declared[name].default != value)
    return replace(method, options=kept)


def _readers(option: str) -> str:
    """The members that declare an option, joined by "or"; empty if there are none."""
    menus: list[Mapping[str, Member[Any] | Architecture]] = [ARCHITECTURES, *MENUS.values()]
    return " or ".join(name for menu in menus for name, member in menu.items() if option in member.options)


def _declared_options(method: Method) -> Mapping[str, Option]:
    declared = [
        optimizers.OPTIONS,
        look_up("--architecture", method.architecture, ARCHITECTURES).options,
        look_up("--loss", method.loss, LOSSES).options,
        *(look_up("--normalization", name, NORMALIZATIONS).options for name in method.normalizations),
        *([look_up("--penalty", method.penalty, PENALTIES).options] if method.penalty else []),
        *([look_up("--constraint", method.constraint, CONSTRAINTS).options] if method.constraint else []),
    ]
    return {name: option for options in declared for name, option in options.items()}


def parse_option(text: str, field: str = "--option") -> tuple[str, OptionValue]:
    """The (name, value) of a text such as `clip_value=0.1`, `real_valued=true` or `ablation=CIN`.

    Raises InputError, which names `field`, if the text is not NAME=VALUE.
    """
    name, given, value = text.partition("=")
    if not (name and given and value):
        raise InputError(f"{field} {text}: must be NAME=VALUE, such as power_iterations=2; see `study methods`.")
    try:
        parsed = json.loads(value.lower())
    except ValueError:
        parsed = value
    return name.strip(), parsed if isinstance(parsed, bool | int | float) else value.strip()


def parse(name: str, architecture: str, field: str = "--methods") -> Method:
    """The method with a name such as `spectral_norm+dragan[dragan_noise=gaussian]` or `none`.

    The default loss is non_saturating. Raises InputError, which names `field`, with the closest known name for an
    unknown part.
    """
    plain, bracket, rest = name.partition("[")
    if bracket and not rest.endswith("]"):
        raise InputError(
            f"{field} {name}: put options in brackets at the end, such as spectral_norm[power_iterations=2]."
        )
    parts = [] if plain == "none" else plain.split("+")
    known = [member for menu in MENUS.values() for member in menu]
    for part in parts:
        if part not in known:
            raise unknown(field, part or name, ["none", *known])
    chosen = {what: [part for part in parts if part in menu] for what, menu in MENUS.items()}
    for what, plural in (("loss", "losses"), ("penalty", "penalties"), ("constraint", "constraints")):
        if len(chosen[what]) > 1:
            raise InputError(f"{field} {name}: has two {plural}; use at most one.")
    method = Method(
        architecture=architecture,
        loss=next(iter(chosen["loss"]), NON_SATURATING),
        normalizations=tuple(chosen["normalization"]),
        penalty=next(iter(chosen["penalty"]), None),
        constraint=next(iter(chosen["constraint"]), None),
        options=tuple(parse_option(option, field) for option in rest[:-1].split(",")) if bracket else (),
    )
    members(method)
    return method


def parse_list(text: str, architecture: str, field: str = "--methods") -> list[Method]:
    """The methods in a list separated by commas, without duplicates, in order; commas in brackets separate options."""
    names = re.split(r",(?![^\[]*\])", text)
    return list(dict.fromkeys(parse(name.strip(), architecture, field) for name in names))
