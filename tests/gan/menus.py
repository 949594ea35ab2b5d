"""What is on the menus, as names that tests are parametrised with: a new member is covered by being listed."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product, zip_longest

from study.core.errors import InputError
from study.core.trial import NON_SATURATING, OptionValue, option_word
from study.gan.member import Member, Option
from study.gan.methods.constraints import CONSTRAINTS
from study.gan.methods.losses import LOSSES
from study.gan.methods.menu import MENUS, parse, parse_option
from study.gan.methods.normalizations import NORMALIZATIONS
from study.gan.methods.penalties import PENALTIES

TRIPLES = [
    "began+layer_norm+spectral_norm",
    "layer_norm+spectral_norm+gradient_norm+gradient_penalty",
    "wasserstein+spectral_norm+one_sided_gradient_penalty+weight_clipping",
    "hinge+batch_norm+frobenius_norm+dragan+gradient_clipping[clip_norm=0.1,dragan_noise=gaussian]",
    "least_squares+spectral_norm+spectral_regularization[power_iterations=2,real_valued=true]",
]


def other_values(option: Option) -> list[OptionValue]:
    """What an option may be beside its default; of numbers, one."""
    if isinstance(option.default, bool):
        return [not option.default]
    if isinstance(option.default, str):
        return [word for word in option.choices if word != option.default]
    return [option.default + 1 if isinstance(option.default, int) else option.default / 2]


def variants(menu: Mapping[str, Member]) -> list[str]:
    """Every member with one of its options changed."""
    return [
        f"{name}[{option_name}={option_word(value)}]"
        for name, member in menu.items()
        for option_name, option in member.options.items()
        for value in other_values(option)
    ]


def built(menu: Mapping[str, Member], name: str, **options: OptionValue):
    """The member that a name such as `dragan[dragan_noise=gaussian]` stands for."""
    plain, _, rest = name.partition("[")
    defaults = {option_name: option.default for option_name, option in menu[plain].options.items()}
    given = dict(parse_option(text) for text in rest[:-1].split(",")) if rest else {}
    return menu[plain].build(**{**defaults, **given, **options})


def joined(parts: Iterable[str | None]) -> str:
    return "+".join(filter(None, parts)) or "none"


def accepted(names: Iterable[str]) -> Iterator[str]:
    """Those of the names that make sense, each once."""
    for name in dict.fromkeys(names):
        try:
            parse(name, "sndcgan")
        except InputError:
            continue
        yield name


def method_names() -> list[str]:
    """Every normalisation (or none) with every penalty (or none), all other members alone, and every option."""
    pairs = map(joined, product([None, *NORMALIZATIONS], [None, *PENALTIES]))
    others = [name for menu in MENUS.values() for name in menu if name != NON_SATURATING]
    changed = [name for menu in MENUS.values() for name in variants(menu)]
    return list(accepted([*pairs, *others, *changed, *TRIPLES]))


def few_method_names() -> list[str]:
    """Some of `method_names` that together have every member, whatever its options; `TRIPLES` and none among them."""
    chosen, members = ["none", *TRIPLES], {name for menu in MENUS.values() for name in menu}
    while missing := members.difference(*map(_members, chosen)):
        chosen.append(max(method_names(), key=lambda name: len(missing & _members(name))))
    return chosen


def _members(name: str) -> set[str]:
    return {part.partition("[")[0] for part in name.split("+")} | {NON_SATURATING}


def covering_names() -> list[str]:
    """Few methods with every member, and every switch and word of an option, in at least one; and none."""
    together = map(joined, zip_longest(LOSSES, NORMALIZATIONS, PENALTIES, CONSTRAINTS))
    changed = [f"{name}[{option}={option_word(value)}]" for name, option, value in _switches()]
    return list(accepted(["none", *together, *changed]))


def _switches() -> Iterator[tuple[str, str, OptionValue]]:
    for menu in MENUS.values():
        for name, member in menu.items():
            for option_name, option in member.options.items():
                if isinstance(option.default, bool | str):
                    yield from ((name, option_name, value) for value in other_values(option))


def combinations() -> list[str]:
    """Every loss, normalisation (or none) and penalty (or none) that make sense together."""
    return list(accepted(map(joined, product(LOSSES, [None, *NORMALIZATIONS], [None, *PENALTIES]))))
