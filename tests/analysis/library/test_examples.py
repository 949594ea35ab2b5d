"""The examples in the docstrings of the analysis say what it does."""

import doctest
import importlib
import pkgutil

import pytest

import analysis

MODULES = sorted(each.name for each in pkgutil.walk_packages(analysis.__path__, "analysis."))


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples_to_try():
    finder = doctest.DocTestFinder(exclude_empty=True)
    tried = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(tried) > 25
