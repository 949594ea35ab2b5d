"""Finds a search space by name, or by the path of the user's own file: TOML (see `toml_space`) or Python."""

import functools
import inspect
import itertools
import numbers
import os
import sys
import traceback
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

import search_spaces
from search_spaces import SearchSpace
from search_spaces.blocks import Block, Entry, Fields, RandomBlock
from search_spaces.ranges import BO
from search_spaces.space import VERSION_SIGN
from study.core.errors import InputError
from study.core.trial import Method, Training, Trial, content_id, field_values
from study.driver.spaces.expand import MANY
from study.driver.spaces.toml_space import DATASET_DEFAULTS, read_toml, resolve_methods, whole_number
from study.gan.architectures import ARCHITECTURES
from study.gan.methods.menu import MENUS, members

WORDS = ("name", "description", "source", "version")
"""Fields of a space that say nothing of its trials."""

RESERVED_NAMES = ("train", BO)
"""Names under which `study train` and `study bo` record trials; a space records its trials under its own name."""

ANY_TRAINING = Training(discriminator_steps=1, width=1)
"""Any valid value, for checks of settings."""


def find(name: str) -> SearchSpace:
    """The space called `name`, or the space in a file if `name` ends in .toml or .py or contains a path separator.

    Methods, options and numbers of a file are checked completely. A space from a file has a version, a hash of
    its content, so that the trials of two files of one name, or of two versions of a file, are not confused.

    Raises InputError: for a file, with its name and the
    invalid field; for an unknown name, with a suggestion.
    """
    if name == BO:
        raise InputError(
            f"space {BO}: has no fixed settings; run it with `study bo`, or count its trials with `study plan bo`."
        )
    if not name.endswith(tuple(READERS)) and not any(separator in name for separator in ("/", os.sep)):
        return search_spaces.get(name)
    path = Path(name)
    if path.suffix not in READERS:
        raise InputError(
            f"{name}: your own space must be a file that ends in .toml or .py; for the spaces of the study, give a name"
            " from `study spaces`."
        )
    try:
        if not path.is_file():
            raise InputError("no such file.")
        space = READERS[path.suffix](path)
        if space.name in {*search_spaces.spaces(), *RESERVED_NAMES}:
            raise InputError(f"the name {space.name} is used by the study itself; {RENAME[path.suffix]}.")
        if VERSION_SIGN in space.name:
            raise InputError(f"the name {space.name} contains {VERSION_SIGN}; {RENAME[path.suffix]}.")
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}); choose another file.") from error
    except InputError as error:
        raise InputError(f"{name}: {' '.join(str(error).split())}") from error
    return replace(space, version=content_hash(space))


def content_hash(space: SearchSpace) -> str:
    """Hash of everything in a space that its trials depend on, 8 hexadecimal digits.

    Names, descriptions and the spelling of numbers do not count.
    """
    about = {name: _plain(value) for name, value in field_values(space).items() if name not in WORDS}
    return content_id(about, length=8)


def _plain(value: Any) -> Any:
    """A value of a space as JSON."""
    if is_dataclass(value):
        return [type(value).__name__, _plain(field_values(value))]
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(each)] for key, each in value.items()]
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return float(value)
    if callable(value):
        return inspect.getsource(value)
    return value


def read_python(path: Path) -> SearchSpace:
    """The `SPACE` that a Python file defines; raises InputError with the line that fails.

    The file is executed at each call, and leaves neither a module nor a compiled file.
    """
    try:
        code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{_line(getattr(error, 'lineno', None))}{getattr(error, 'msg', error)}.") from error
    module = types.ModuleType(str(path))  # a path, which cannot collide with an importable name
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # during the execution, because dataclasses look up their module there
    try:
        with _unchanged_menus():
            exec(code, vars(module))
    except (Exception, SystemExit) as error:
        inside = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        raise InputError(f"{_line(inside[-1] if inside else None)}{_message(error)}") from error
    finally:
        sys.modules.pop(module.__name__, None)
    if not hasattr(module, "SPACE"):
        raise InputError("does not define SPACE; must have a line SPACE = SearchSpace(...).")
    if not isinstance(module.SPACE, SearchSpace):
        raise InputError(f"SPACE is of type {type(module.SPACE).__name__}; must be a search_spaces.SearchSpace.")
    _check(module.SPACE)
    return module.SPACE


@contextmanager
def _unchanged_menus() -> Iterator[None]:
    """Raises InputError if a member is added to a menu inside, and restores the menus."""
    menus: dict[str, Any] = {"architecture": ARCHITECTURES, **MENUS}
    before = {kind: dict(menu) for kind, menu in menus.items()}
    try:
        yield
        added = [f"{kind} {name}" for kind, menu in menus.items() for name in menu if name not in before[kind]]
    finally:
        for kind, menu in menus.items():
            menu.clear()
            menu.update(before[kind])
    if added:
        raise InputError(
            f"adds the {added[0]} in this process, but workers import their own menus; write it in the package, in the"
            f" file of its menu (`CONTRIBUTING.md` says which)."
        )


READERS = {".toml": read_toml, ".py": read_python}
RENAME = {".toml": "rename the file", ".py": "choose another for SPACE.name"}


def _line(number: int | None) -> str:
    return f"line {number}: " if number else ""


def _message(error: BaseException) -> str:
    """The message of an exception; for exceptions that are not ours, with the type."""
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"


def _check(space: SearchSpace) -> None:
    """Raises InputError for invalid names, types and numbers, which the classes of search_spaces do not check."""
    if not isinstance(space.name, str) or not space.name:
        raise InputError(f"SPACE.name {space.name!r}: must be a name.")
    whole_number("SPACE.seeds", space.seeds, 1)
    whole_number("SPACE.extra_steps", space.extra_steps, 0)
    for field in ("top", *DATASET_DEFAULTS):
        if getattr(space, field) is not None:
            whole_number(f"SPACE.{field}", getattr(space, field), 1)
    if not isinstance(space.blocks, tuple | list):
        raise InputError(
            f"SPACE.blocks is of type {type(space.blocks).__name__}; must be a tuple, which needs a comma even for one"
            " block: blocks=(Block(...),)."
        )
    if not space.blocks and space.choose is None:
        raise InputError("SPACE.blocks: is empty; a space needs at least one block.")
    for number, block in enumerate(space.blocks, 1):
        where = f"SPACE.blocks[{number}]"
        if not isinstance(block, Block | RandomBlock | Entry):
            raise InputError(f"{where} is of type {type(block).__name__}; must be a Block, RandomBlock or Entry.")
        try:
            _check_block(block)
        except Exception as error:  # a value of a wrong type can cause any error
            raise InputError(f"{where}: {_message(error)}") from error


def _check_block(block: Block | RandomBlock | Entry) -> None:
    """Makes the settings of a block and passes on their errors; raises InputError for a method without settings.

    At most `MANY` settings are made per method.
    """
    if block.seeds is not None:
        whole_number("seeds", block.seeds, 1)
    if isinstance(block, Entry) and not isinstance(block.published, tuple):
        raise InputError(f"published {block.published!r}: must be a tuple of numbers.")
    for start in block.architectures:
        whole_number("architectures: resolution", start, 0)
    for method in _methods(block):
        if block.count_for(method) < 1:
            weights = "; a penalty needs penalty_weights" if method.penalty else ""
            raise InputError(f"has no setting for {method.name}{weights}.")
        for setting in itertools.islice(block.settings(method), MANY):
            Trial(dataset="any", method=method, hyperparameters=setting, training=ANY_TRAINING)


def _methods(block: Block | RandomBlock | Entry) -> Iterator[Method]:
    """The checked methods of a block, with each architecture of the block."""
    if not isinstance(block.methods, tuple | list) or not block.methods:
        raise InputError(f"methods {block.methods!r}: must be a tuple of at least one method, such as ({{}},).")
    of_block = [name for names in block.architectures.values() for name in names]
    for fields in block.methods:
        if not isinstance(fields, Mapping):
            raise InputError(
                f'methods: {fields!r} is not a mapping with fields of Method, such as {{"loss": "hinge"}}.'
            )
        named = [fields["architecture"]] if "architecture" in fields else of_block
        yield from resolve_methods(functools.partial(_method, fields), named)


def _method(fields: Fields, architecture: str) -> Method:
    given: dict[str, Any] = {"architecture": architecture, **fields}
    method = Method(**given)
    members(method)
    return method
