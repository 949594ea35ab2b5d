"""Names on menus, and what is said of those that are not."""

import pytest

from study.core.errors import InputError, in_one_line, look_up, unknown

MENU = {"digits": 1, "celeba-hq-128": 2, "cifar10": 3}


def test_a_known_name_is_found():
    assert look_up("--dataset", "digits", MENU) == 1


@pytest.mark.parametrize(
    ("given", "meant"),
    [("celebahq", "celeba-hq-128"), ("digit", "digits"), ("DIGITS", "digits"), ("cifar-10", "cifar10")],
)
def test_did_you_mean(given, meant):
    with pytest.raises(InputError) as caught:
        look_up("--dataset", given, MENU)
    expected = f"--dataset {given}: unknown; did you mean {meant}? Known: celeba-hq-128, cifar10, digits."
    assert str(caught.value) == expected


def test_nothing_is_suggested_for_what_resembles_nothing():
    assert str(unknown("--dataset", "xyz", MENU)) == "--dataset xyz: unknown. Known: celeba-hq-128, cifar10, digits."


def test_an_empty_menu_says_so():
    assert str(unknown("constraint", "clip", [])) == "constraint clip: unknown. Known: there are none."


def test_input_errors_are_value_errors():
    assert issubclass(InputError, ValueError)


def test_an_error_of_several_lines_is_told_in_one_with_its_type():
    assert in_one_line(OSError("the disk\n  is full\n")) == "OSError: the disk is full"
    assert in_one_line(KeyError()) == "KeyError:"
