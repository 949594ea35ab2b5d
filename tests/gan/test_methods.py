"""Names of methods, their options, and what is refused."""

import dataclasses

import pytest

from study.gan.architectures import ARCHITECTURES
from study.gan.losses import LOSSES
from study.gan.methods import canonical, check, members, parse, parse_list
from study.gan.normalizations import NORMALIZATIONS
from study.gan.penalties import PENALTIES
from study.names import InputError
from study.trial import NON_SATURATING, Method

DECLARED_DEFAULTS = {
    "non_saturating": {},
    "spectral_norm": {"power_iterations": 1},
    "layer_norm": {},
    "batch_norm": {},
    "gradient_penalty": {},
    "dragan": {},
    "l2": {},
}
"""Frozen: a default is part of the identity of every trial that did not name it. Members are added, never changed."""

MENUS = {**LOSSES, **NORMALIZATIONS, **PENALTIES}


def method(**fields):
    return Method(architecture="sndcgan", **fields)


def test_declared_defaults_never_change():
    assert {name: dict(member.options) for name, member in MENUS.items()} == DECLARED_DEFAULTS
    kinds = {name: {k: type(v) for k, v in member.options.items()} for name, member in MENUS.items()}
    assert kinds == {name: {k: type(v) for k, v in options.items()} for name, options in DECLARED_DEFAULTS.items()}


def test_a_name_is_on_one_menu_only_and_none_is_on_no_menu():
    assert len(MENUS) == len(LOSSES) + len(NORMALIZATIONS) + len(PENALTIES)
    assert "none" not in MENUS
    assert not any("+" in name or "," in name for name in MENUS)
    assert all(
        member.description and "\n" not in member.description for member in (*MENUS.values(), *ARCHITECTURES.values())
    )


@pytest.mark.parametrize("name", MENUS)
def test_every_member_is_named_by_itself_and_builds(name, architecture):
    parsed = parse(name, architecture)
    assert parsed.architecture == architecture
    assert parsed.name == ("none" if name == NON_SATURATING else name)
    built = members(parsed)
    assert built.loss is not None
    assert (built.penalty is not None) == (name in PENALTIES)
    assert len(built.normalizations) == (name in NORMALIZATIONS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", {}),
        ("non_saturating", {}),
        ("gradient_penalty", {"penalty": "gradient_penalty"}),
        ("spectral_norm+l2", {"normalizations": ("spectral_norm",), "penalty": "l2"}),
        ("l2+spectral_norm", {"normalizations": ("spectral_norm",), "penalty": "l2"}),
        ("spectral_norm+layer_norm+dragan", {"normalizations": ("layer_norm", "spectral_norm"), "penalty": "dragan"}),
        ("non_saturating+batch_norm", {"normalizations": ("batch_norm",)}),
    ],
)
def test_names_stand_for_methods(name, expected):
    parsed = parse(name, "sndcgan")
    assert parsed == method(**expected)
    assert parse(parsed.name, "sndcgan") == parsed


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("spectralnorm", "--methods spectralnorm: unknown; did you mean spectral_norm?"),
        ("spectral_norm+gradient-penalty", "--methods gradient-penalty: unknown; did you mean gradient_penalty?"),
        ("none+l2", "--methods none: unknown"),
        ("xyz", "--methods xyz: unknown. Known: batch_norm, dragan, "),
        ("gradient_penalty+dragan", "two penalties"),
        ("l2+l2", "two penalties"),
        ("layer_norm+batch_norm", "batch_norm, layer_norm: two act on the same thing"),
        ("spectral_norm+spectral_norm", "each may be named once"),
        ("spectral_norm+", "--methods"),
        ("", "--methods"),
    ],
)
def test_names_that_make_no_sense_are_refused_in_one_line(name, message):
    with pytest.raises(InputError) as error:
        parse(name, "sndcgan")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_field_is_named_as_the_caller_calls_it():
    with pytest.raises(InputError, match=r"^--normalization spectral: unknown; did you mean spectral_norm"):
        parse("spectral", "sndcgan", field="--normalization")


def test_unknown_architecture_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match="--architecture sndgan: unknown; did you mean sndcgan"):
        parse("none", "sndgan")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loss": "non_saturated"}, "--loss non_saturated: unknown; did you mean non_saturating"),
        ({"normalizations": ("layernorm",)}, "--normalization layernorm: unknown; did you mean layer_norm"),
        ({"penalty": "L2"}, "--penalty L2: unknown; did you mean l2"),
        ({"constraint": "weight_clipping"}, "constraint weight_clipping: unknown"),
        ({"options": (("power_iterations", 2),)}, "option power_iterations: unknown"),  # no member reads it
        (
            {"normalizations": ("spectral_norm",), "options": (("power_iteration", 2),)},
            "option power_iteration: unknown; did you mean power_iterations",
        ),
    ],
)
def test_check_refuses_what_is_on_no_menu(fields, message):
    with pytest.raises(InputError) as error:
        check(method(**fields))
    assert message in str(error.value)


def test_check_passes_every_name_on_the_menus():
    for name, member in MENUS.items():
        fields = (
            {"loss": name}
            if name in LOSSES
            else {"penalty": name}
            if name in PENALTIES
            else {"normalizations": (name,)}
        )
        check(method(**fields, options=tuple(member.options.items())))


@pytest.mark.parametrize("name", MENUS)
def test_options_at_their_default_are_left_out_and_others_stay(name):
    plain, member = parse(name, "sndcgan"), MENUS[name]
    spelled_out = dataclasses.replace(plain, options=tuple(member.options.items()))
    assert canonical(spelled_out) == plain
    for option, default in member.options.items():
        changed = dataclasses.replace(plain, options=((option, default + 1),))
        assert canonical(changed) == changed


def test_lists_keep_their_order_and_name_each_method_once():
    assert [m.name for m in parse_list("l2, none,spectral_norm+l2,l2", "sndcgan")] == ["l2", "none", "spectral_norm+l2"]
    with pytest.raises(InputError, match="did you mean dragan"):
        parse_list("none,dragn", "sndcgan")


def test_a_method_under_two_spellings_is_one_method():
    assert len(parse_list("l2+spectral_norm,spectral_norm+l2,none,non_saturating", "sndcgan")) == 2


@pytest.mark.parametrize("value", [0, -1, 1.5, "two"])
def test_values_of_options_that_cannot_be_are_refused(value):
    with pytest.raises(InputError, match="power_iterations"):
        members(method(normalizations=("spectral_norm",), options=(("power_iterations", value),)))
