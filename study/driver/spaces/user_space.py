"""A search space by its name, or of a person's own by the path of a file: TOML (see `toml_space`) or Python."""

import functools
import itertools
import os
import sys
import traceback
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import search_spaces
from search_spaces import SearchSpace
from search_spaces.blocks import Block, Entry, Fields, RandomBlock
from search_spaces.ranges import BO
from study.core.errors import InputError
from study.core.trial import Method, Training, Trial
from study.driver.spaces.expand import MANY
from study.driver.spaces.toml_space import read_toml, resolve_methods, whole
from study.gan.methods.menu import members

TAKEN = ("train", BO)
"""Under which `study train` and `study bo` record their trials; those of a space are recorded under its name."""

SHORTEST = Training(discriminator_steps=1, width=1)


def find(name: str) -> SearchSpace:
    """The space called `name`, or that of a file where `name` ends in .toml or .py or contains a path separator.

    Nothing of a file is left for later: its methods, options and numbers are checked. Raises InputError, one line that
    names the file and what is wrong in it, or suggests a name.
    """
    if name == BO:
        raise InputError(f"space {BO}: is searched, not listed: `study bo` runs it, `study plan bo` counts it.")
    if not name.endswith(tuple(READERS)) and not any(separator in name for separator in ("/", os.sep)):
        return search_spaces.get(name)
    path = Path(name)
    if path.suffix not in READERS:
        raise InputError(
            f"{name}: a space of your own is a file that ends in .toml or .py; the study's have no path, see `study"
            " spaces`."
        )
    try:
        if not path.is_file():
            raise InputError("no such file.")
        space = READERS[path.suffix](path)
        if space.name in {*search_spaces.spaces(), *TAKEN}:
            raise InputError(f"the name {space.name} is taken by the study itself; {RENAME[path.suffix]}.")
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}); choose another file.") from error
    except InputError as error:
        raise InputError(f"{name}: {' '.join(str(error).split())}") from error
    return space


def read_python(path: Path) -> SearchSpace:
    """The `SPACE` that a Python file defines; raises InputError with the line where it fails.

    The file is run each time and leaves nothing behind: no module and no compiled copy.
    """
    try:
        code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{_line(getattr(error, 'lineno', None))}{getattr(error, 'msg', error)}.") from error
    module = types.ModuleType(str(path))  # which is no name that could be imported
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # while it runs: dataclasses look there for what they are made in
    try:
        exec(code, vars(module))
    except (Exception, SystemExit) as error:
        inside = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        raise InputError(f"{_line(inside[-1] if inside else None)}{_said(error)}") from error
    finally:
        sys.modules.pop(module.__name__, None)
    if not hasattr(module, "SPACE"):
        raise InputError("defines no SPACE; it must have a line SPACE = SearchSpace(...).")
    if not isinstance(module.SPACE, SearchSpace):
        raise InputError(f"SPACE is of type {type(module.SPACE).__name__}; it must be a search_spaces.SearchSpace.")
    _check(module.SPACE)
    return module.SPACE


READERS = {".toml": read_toml, ".py": read_python}
RENAME = {".toml": "rename the file", ".py": "choose another for SPACE.name"}


def _line(number: int | None) -> str:
    return f"line {number}: " if number else ""


def _said(error: BaseException) -> str:
    """What an exception says: our own as it is, others after their type."""
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"


def _check(space: SearchSpace) -> None:
    """Raises InputError for what no class of search_spaces checks when it is made: names, types and numbers."""
    if not isinstance(space.name, str) or not space.name:
        raise InputError(f"SPACE.name {space.name!r}: must be a name.")
    whole("SPACE.seeds", space.seeds, 1)
    whole("SPACE.extra_steps", space.extra_steps, 0)
    if space.top is not None:
        whole("SPACE.top", space.top, 1)
    if not isinstance(space.blocks, tuple | list):
        raise InputError(
            f"SPACE.blocks is of type {type(space.blocks).__name__}; it must be a tuple, which for one block ends in a"
            " comma: blocks=(Block(...),)."
        )
    if not space.blocks and space.choose is None:
        raise InputError("SPACE.blocks: there are none; a space has one at least.")
    for number, block in enumerate(space.blocks, 1):
        where = f"SPACE.blocks[{number}]"
        if not isinstance(block, Block | RandomBlock | Entry):
            raise InputError(f"{where} is of type {type(block).__name__}; must be a Block, RandomBlock or Entry.")
        try:
            _check_block(block)
        except Exception as error:  # whatever a value of the wrong type leads to
            raise InputError(f"{where}: {_said(error)}") from error


def _check_block(block: Block | RandomBlock | Entry) -> None:
    """Raises whatever making the block's settings raises, and InputError for a method that has none.

    Only as many are made as may run unconfirmed.
    """
    if block.seeds is not None:
        whole("seeds", block.seeds, 1)
    if isinstance(block, Entry) and not isinstance(block.published, tuple):
        raise InputError(f"published {block.published!r}: must be a tuple of scores.")
    for start in block.architectures:
        whole("architectures: resolution", start, 0)
    for method in _methods(block):
        if block.count_for(method) < 1:
            weights = "; a penalty needs penalty_weights" if method.penalty else ""
            raise InputError(f"has no setting for {method.name}{weights}.")
        for setting in itertools.islice(block.settings(method), MANY):
            Trial(dataset="any", method=method, hyperparameters=setting, training=SHORTEST)


def _methods(block: Block | RandomBlock | Entry) -> Iterator[Method]:
    """The methods of a block, checked, on each architecture that it may mean."""
    if not isinstance(block.methods, tuple | list) or not block.methods:
        raise InputError(f"methods {block.methods!r}: must be a tuple of at least one; ({{}},) is the plain one.")
    anywhere = [name for names in block.architectures.values() for name in names]
    for fields in block.methods:
        if not isinstance(fields, Mapping):
            raise InputError(f"methods: {fields!r} is no mapping of Method's fields, such as those of ({{}},).")
        named = [fields["architecture"]] if "architecture" in fields else anywhere
        yield from resolve_methods(functools.partial(_method, fields), named)


def _method(fields: Fields, architecture: str) -> Method:
    given: dict[str, Any] = {"architecture": architecture, **fields}
    method = Method(**given)
    members(method)
    return method
