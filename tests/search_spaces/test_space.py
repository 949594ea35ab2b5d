"""The menu of spaces, what a space of several blocks is, and what importing one may not bring along."""

import subprocess
import sys

import pytest

import search_spaces
from search_spaces.space import Block, SearchSpace
from study.core.errors import InputError
from study.core.trial import Method


def test_the_menu():
    menu = search_spaces.spaces()
    assert "grid" in menu
    assert list(menu) == sorted(menu)
    for name, space in menu.items():
        assert space.name == name
        assert space.description
        assert space.source
        assert space.seeds >= 1
        assert search_spaces.get(name) == space


def test_an_unknown_space():
    with pytest.raises(InputError, match=r"space gird: unknown; did you mean grid\?"):
        search_spaces.get("gird")


def block(learning_rate, *methods):
    betas = {("beta1", "beta2", "n_dis"): ((0.5, 0.9, 1),)}
    rates = {("learning_rate",): tuple((value,) for value in learning_rate)}
    return Block(methods=methods, axes={**rates, **betas}, penalty_weights=(1, 10))


def test_blocks_unite_without_doubling():
    spectral, penalty = {"normalizations": ("spectral_norm",)}, {"penalty": "l2", "architecture": "dcgan"}
    first, second = block((1e-3, 1e-4), {}, spectral), block((1e-4, 1e-5), spectral, penalty)
    space = SearchSpace(name="two", description="", source="", seeds=2, blocks=(first, second))
    none, spectral_norm, l2 = space.methods("sndcgan")
    assert (none.name, spectral_norm.name, l2.name) == ("none", "spectral_norm", "l2")
    assert (none.architecture, l2.architecture) == ("sndcgan", "dcgan")
    rates = {m.name: [s.learning_rate for s in space.settings(m)] for m in (none, spectral_norm)}
    assert rates == {"none": [1e-3, 1e-4], "spectral_norm": [1e-3, 1e-4, 1e-5]}
    assert [(s.penalty_weight, s.learning_rate) for s in space.settings(l2)] == [
        (1, 1e-4),
        (1, 1e-5),
        (10, 1e-4),
        (10, 1e-5),
    ]
    unlisted = Method(architecture="sndcgan", loss="hinge")
    assert [s.learning_rate for s in space.settings(unlisted)] == [1e-3, 1e-4, 1e-5]


def loaded_by(statement):
    """The top-level packages that a statement brings in, in a fresh process."""
    code = (
        f"import sys; before = set(sys.modules); {statement}; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(run.stdout.split())


@pytest.mark.parametrize("package", ["search_spaces", "analysis"])
def test_neither_torch_nor_ray(package):
    loaded = loaded_by(
        f"import pkgutil, importlib, {package} as p; "
        "[importlib.import_module(f'{p.__name__}.{m.name}') for m in pkgutil.iter_modules(p.__path__)]"
    )
    assert package in loaded
    assert not loaded & {"torch", "ray", "optuna", "torch_fidelity", "torchvision"}


def test_trials_and_spaces_need_the_standard_library_only():
    loaded = loaded_by("import study.core.trial, search_spaces; search_spaces.spaces()")
    assert loaded - set(sys.stdlib_module_names) == {"study", "search_spaces"}


def test_the_package_itself_is_instant():
    loaded = loaded_by("import study")
    assert loaded == {"study"}
