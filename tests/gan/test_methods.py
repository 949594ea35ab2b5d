"""Names of methods, their options, and what is refused."""

import dataclasses

import pytest
import torch

from study.core.errors import InputError
from study.core.trial import NON_SATURATING, Method
from study.gan.architectures import ARCHITECTURES
from study.gan.methods.constraints import CONSTRAINTS
from study.gan.methods.losses import LOSSES
from study.gan.methods.menu import MENUS, canonical, check, members, parse, parse_list, parse_option
from study.gan.methods.normalizations import NORMALIZATIONS
from study.gan.methods.penalties import PENALTIES
from study.gan.optimizers import OPTIONS
from tests.gan.menus import method_names, other_values

DECLARED_DEFAULTS = {
    "non_saturating": {},
    "minimax": {},
    "wasserstein": {},
    "least_squares": {"real_valued": False},
    "hinge": {},
    "began": {"began_gamma": 0.75, "began_lambda": 0.001},
    "spectral_norm": {"power_iterations": 1},
    "frobenius_norm": {"frobenius_clip": False, "frobenius_radius": 1.0},
    "layer_norm": {"stopped_moments": False},
    "batch_norm": {"stopped_moments": False},
    "gradient_norm": {},
    "gradient_penalty": {},
    "one_sided_gradient_penalty": {},
    "dragan": {"dragan_noise": "uniform"},
    "l2": {},
    "spectral_regularization": {},
    "weight_clipping": {"clip_value": 0.01},
    "gradient_clipping": {"clip_norm": 1.0},
    "sndcgan": {},
    "dcgan": {},
    "resnet_cifar": {"ablation": "DEF"},
    "resnet19": {},
    "every method": {"adam_epsilon": "torch"},
}
"""Frozen: a default is part of the identity of every trial that did not name it. Members are added, never changed."""

WORDS = {"dragan_noise": ("uniform", "gaussian"), "adam_epsilon": ("torch", "tensorflow")}
"""Frozen as far as they go: a word in a trial's identity keeps its meaning."""

MEMBERS = {name: member for menu in MENUS.values() for name, member in menu.items()}


def defaults(member):
    return {name: option.default for name, option in member.options.items()}


def method(**fields):
    return Method(architecture="sndcgan", **fields)


def test_declared_defaults_never_change():
    declared = {name: defaults(member) for name, member in {**MEMBERS, **ARCHITECTURES}.items()}
    declared["every method"] = {name: option.default for name, option in OPTIONS.items()}
    assert declared == DECLARED_DEFAULTS
    kinds = {name: {k: type(v) for k, v in options.items()} for name, options in declared.items()}
    assert kinds == {name: {k: type(v) for k, v in options.items()} for name, options in DECLARED_DEFAULTS.items()}


def test_options_have_names_of_their_own_descriptions_and_values_that_they_take_themselves():
    members = (*MEMBERS.values(), *ARCHITECTURES.values())
    options = [*OPTIONS.items(), *(option for member in members for option in member.options.items())]
    assert all(option is dict(options)[name] for name, option in options)  # of two with one name, both are one
    for name, option in options:
        option.check(name, option.default)
        for value in other_values(option):
            option.check(name, value)
        assert option.description and "\n" not in option.description
        assert (option.default in option.choices) == isinstance(option.default, str)
        assert option.choices[: len(WORDS.get(name, ()))] == WORDS.get(name, ())
        assert not {",", "]", "[", "+", "="} & set("".join((name, *option.choices)))  # which separate names


def test_a_name_is_on_one_menu_only_and_none_is_on_no_menu():
    assert len(MEMBERS) == sum(map(len, (LOSSES, NORMALIZATIONS, PENALTIES, CONSTRAINTS)))
    assert not set(MEMBERS) & {"none", *ARCHITECTURES}
    assert not any(sign in name for name in MEMBERS for sign in "+,[]=")
    assert all(
        member.description and "\n" not in member.description for member in (*MEMBERS.values(), *ARCHITECTURES.values())
    )


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_is_named_by_itself_and_builds(name, architecture):
    parsed = parse(name, architecture)
    assert parsed.architecture == architecture
    assert parsed.name == ("none" if name == NON_SATURATING else name)
    built = members(parsed)
    assert built.loss is not None
    assert (built.penalty is not None) == (name in PENALTIES)
    assert (built.constraint is not None) == (name in CONSTRAINTS)
    assert len(built.normalizations) == (name in NORMALIZATIONS)
    assert built.architecture_options == DECLARED_DEFAULTS[architecture]


def test_every_method_is_found_again_by_its_name(method_name):
    parsed = parse(method_name, "sndcgan")
    assert parse(parsed.name, "sndcgan") == parsed
    plain, bracket, options = method_name.partition("[")
    turned = "+".join(reversed(plain.split("+")))
    assert parse(turned + bracket + options, "sndcgan") == parsed
    assert canonical(parsed) == parsed


def test_different_methods_have_different_names():
    parsed = [parse(name, "sndcgan") for name in method_names()]
    assert len({method.name for method in parsed}) == len(set(parsed)) == len(method_names())


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
        ("wasserstein+weight_clipping", {"loss": "wasserstein", "constraint": "weight_clipping"}),
        (
            "gradient_norm+hinge+layer_norm+l2+spectral_norm",
            {"loss": "hinge", "normalizations": ("gradient_norm", "layer_norm", "spectral_norm"), "penalty": "l2"},
        ),
        (
            "least_squares[real_valued=true]",
            {"loss": "least_squares", "options": (("real_valued", True),)},
        ),
        (
            "dragan+spectral_norm[power_iterations=2,dragan_noise=gaussian]",
            {
                "normalizations": ("spectral_norm",),
                "penalty": "dragan",
                "options": (("dragan_noise", "gaussian"), ("power_iterations", 2)),
            },
        ),
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
        ("xyz", "--methods xyz: unknown. Known: batch_norm, began, dragan, "),
        ("hinge+wasserstein", "--methods hinge+wasserstein: has two losses; use at most one."),
        ("weight_clipping+gradient_clipping", "two constraints"),
        ("spectral_norm+frobenius_norm", "normalizations frobenius_norm, spectral_norm: two act on the same part"),
        (
            "began+gradient_norm",
            "normalization gradient_norm: does not fit began, where D's output is a reconstruction error",
        ),
        ("began+layer_norm+gradient_norm+spectral_norm", "normalization gradient_norm: does not fit began"),
        (
            "batch_norm+gradient_norm",
            "normalizations batch_norm, gradient_norm: do not fit together, as gradient_norm needs D's gradient",
        ),
        ("spectral_norm[power_iterations=2", "put options in brackets at the end"),
        ("spectral_norm[power_iterations=2]+l2", "put options in brackets at the end"),
        ("spectral_norm[]", "must be NAME=VALUE"),
        ("spectral_norm[power_iterations]", "--methods power_iterations: must be NAME=VALUE"),
        ("spectral_norm[power_iterations=]", "must be NAME=VALUE"),
        ("spectral_norm[=2]", "must be NAME=VALUE"),
        (
            "none[power_iterations=2]",
            "option power_iterations: only spectral_norm reads it, which this method does not",
        ),
        ("l2[dragan_noise=gaussian]", "option dragan_noise: only dragan reads it"),
        ("dragan[dragan_noise=normal]", "option dragan_noise normal: must be one of uniform, gaussian; uniform is"),
        ("least_squares[real_valued=1]", "option real_valued 1: must be true or false; false is the default."),
        ("began[began_gamma=1.5]", "option began_gamma 1.5: must be a number above 0 and at most 1; 0.75 is"),
        ("weight_clipping[clip_value=0]", "option clip_value 0: must be a number above 0; 0.01 is the default."),
        ("weight_clipping[clip_value=true]", "option clip_value true: must be a number above 0"),
        ("spectral_norm[power_iterations=1.5]", "option power_iterations 1.5: must be a whole number above 0; 1 is"),
        ("gradient_penalty+dragan", "two penalties"),
        ("l2+l2", "two penalties"),
        ("layer_norm+batch_norm", "batch_norm, layer_norm: two act on the same part"),
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
        ({"constraint": "weightclipping"}, "--constraint weightclipping: unknown; did you mean weight_clipping"),
        ({"options": (("power_iterations", 2),)}, "option power_iterations: only spectral_norm reads it"),
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
    for field, menu in MENUS.items():
        for name, member in menu.items():
            fields = {"normalizations": (name,)} if field == "normalization" else {field: name}
            check(method(**fields, options=tuple(defaults(member).items())))


@pytest.mark.parametrize("name", MEMBERS)
def test_options_at_their_default_are_left_out_and_others_stay(name):
    plain, member = parse(name, "sndcgan"), MEMBERS[name]
    spelled_out = dataclasses.replace(plain, options=tuple(defaults(member).items()))
    assert canonical(spelled_out) == plain
    for option_name, option in member.options.items():
        for value in other_values(option):
            changed = dataclasses.replace(plain, options=((option_name, value),))
            assert canonical(changed) == changed


def test_options_of_the_architecture_belong_to_the_method():
    parsed = parse("none[ablation=CIN]", "resnet_cifar")
    assert members(parsed).architecture_options == {"ablation": "CIN"}
    assert canonical(parsed).name == "none[ablation=CIN]"
    assert canonical(parse("none[ablation=DEF]", "resnet_cifar")).name == "none"
    with pytest.raises(InputError, match="option ablation: only resnet_cifar reads it"):
        parse("none[ablation=CIN]", "sndcgan")
    with pytest.raises(InputError, match="option ablation XYZ: must be one of DEF, "):
        parse("none[ablation=XYZ]", "resnet_cifar")


def test_options_reach_the_members_that_they_are_for():
    built = members(parse("spectral_norm+wasserstein+weight_clipping[clip_value=0.5,power_iterations=3]", "sndcgan"))
    assert built.normalizations[0].power_iterations == 3
    assert built.constraint.parameters({"bias": torch.tensor([2.0])})["bias"].item() == 0.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clip_value=0.1", ("clip_value", 0.1)),
        ("clip_value=1e-3", ("clip_value", 0.001)),
        ("clip_value=1E-3", ("clip_value", 0.001)),
        ("power_iterations=2", ("power_iterations", 2)),
        ("real_valued=true", ("real_valued", True)),
        ("real_valued=False", ("real_valued", False)),
        ("real_valued=TRUE", ("real_valued", True)),
        ("ablation=CIN_OPT", ("ablation", "CIN_OPT")),  # words keep their case
        (" dragan_noise = gaussian ", ("dragan_noise", "gaussian")),
        ("ablation=null", ("ablation", "null")),
        ("ablation=[1]", ("ablation", "[1]")),
    ],
)
def test_options_are_numbers_truth_values_or_words(text, expected):
    got = parse_option(text)
    assert got == expected
    assert type(got[1]) is type(expected[1])


@pytest.mark.parametrize("text", ["", "=", "a", "a=", "=1"])
def test_an_option_without_a_name_or_a_value_is_refused_by_the_field_as_the_caller_calls_it(text):
    with pytest.raises(InputError, match=r"^--option .*: must be NAME=VALUE, such as power_iterations=2"):
        parse_option(text)


def test_lists_keep_their_order_and_name_each_method_once():
    assert [m.name for m in parse_list("l2, none,spectral_norm+l2,l2", "sndcgan")] == ["l2", "none", "spectral_norm+l2"]
    with pytest.raises(InputError, match="did you mean dragan"):
        parse_list("none,dragn", "sndcgan")
    text = "dragan+spectral_norm[dragan_noise=gaussian,power_iterations=2], began[began_gamma=0.5],l2"
    assert [m.name for m in parse_list(text, "sndcgan")] == [
        "spectral_norm+dragan[dragan_noise=gaussian,power_iterations=2]",
        "began[began_gamma=0.5]",
        "l2",
    ]


def test_a_method_under_two_spellings_is_one_method():
    assert len(parse_list("l2+spectral_norm,spectral_norm+l2,none,non_saturating", "sndcgan")) == 2


@pytest.mark.parametrize("value", [0, -1, 1.5, "two", True])
def test_values_of_options_that_cannot_be_are_refused(value):
    with pytest.raises(InputError, match="power_iterations"):
        members(method(normalizations=("spectral_norm",), options=(("power_iterations", value),)))
