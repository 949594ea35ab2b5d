"""A search space written as TOML: README.md has the form. Errors name the field; who reads the file names the file.

Blocks are counted from 1, as a reader counts them.
"""

import functools
import itertools
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from search_spaces import SearchSpace
from search_spaces.blocks import Block, Fields, RandomBlock
from search_spaces.draws import Range
from study.core.errors import InputError, look_up, unknown
from study.core.trial import Hyperparameters, Method, field_names
from study.gan.architectures import ARCHITECTURES
from study.gan.methods.menu import canonical, parse

NUMBERS = ("learning_rate", "beta1", "beta2", "n_dis")
"""Which every setting has; `penalty_weight` is for methods with a penalty."""

DRAWN = ("learning_rate", "beta1", "beta2", "penalty_weight")
ANY = {"learning_rate": 1, "beta1": 0, "beta2": 0, "n_dis": 1}
"""Numbers that are fine, beside the one that is checked."""

EITHER = ("methods", "architectures", "seeds", *NUMBERS, "penalty_weight")
RANGE = "{ low = 1e-5, high = 1e-2, log = true }"

Table = Mapping[str, Any]


def read_toml(path: Path) -> SearchSpace:
    """The space that a file describes, named after it; raises InputError, with the line or the field."""
    content = _parsed(path)
    _check_keys("", content, ("description", "source", "seeds", "blocks", "random"))
    blocks = [_block(f"blocks[{n}]", table) for n, table in enumerate(_tables(content, "blocks"), 1)]
    draws = [_random(f"random[{n}]", table) for n, table in enumerate(_tables(content, "random"), 1)]
    if not blocks and not draws:
        raise InputError("has no settings; a space has one [[blocks]] or [[random]] at least.")
    return SearchSpace(
        name=path.stem,
        description=_text(content, "description", f"the settings of {path}"),
        source=_text(content, "source", str(path)),
        seeds=whole("seeds", content.get("seeds", 1), 1),
        blocks=(*blocks, *draws),
    )


def whole(field: str, value: Any, low: int) -> int:
    """A whole number from `low` on; raises InputError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise InputError(f"{field} {value!r}: must be a whole number, {low} or more.")
    return value


def resolve_methods(make: Callable[[str], Method], architectures: Sequence[str]) -> list[Method]:
    """`make` on each architecture; where none is named, on the first for which it raises no InputError.

    Then the dataset's is meant: whether options have a meaning on that one is seen when a dataset is chosen.
    """
    if architectures:
        return [make(architecture) for architecture in architectures]
    errors = []
    for architecture in ARCHITECTURES:
        try:
            return [make(architecture)]
        except InputError as error:
            errors.append(error)
    raise errors[0]


def _parsed(path: Path) -> Table:
    text = ""
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors of Windows mark the start of a file
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        last = f"at the end, line {len(text.splitlines())}"
        raise InputError(f"is no TOML: {str(error).replace('at end of document', last)}.") from error


def _check_keys(where: str, table: Any, known: Iterable[str]) -> None:
    if not isinstance(table, dict):
        raise InputError(f"{where} {table!r}: must be a table of {', '.join(known)}.")
    for key in table:
        if key not in known:
            raise unknown(f"{where}: key" if where else "key", key, known)


def _tables(content: Table, name: str) -> list[Any]:
    tables = content.get(name, [])
    if not isinstance(tables, list):
        raise InputError(f"{name}: must be written [[{name}]], in double brackets, once for each.")
    return tables


def _text(content: Table, field: str, default: str) -> str:
    text = content.get(field, default)
    if not isinstance(text, str):
        raise InputError(f"{field} {text!r}: must be a text in quotes.")
    return " ".join(text.split())


def _block(where: str, table: Any) -> Block:
    """A product: of what stands in the table in its order, the last fastest, after the penalty's weights."""
    _check_keys(where, table, (*EITHER, "together"))
    methods = _methods(where, table)
    together = _together(f"{where}.together", table["together"]) if "together" in table else {}
    coupled = tuple(itertools.chain.from_iterable(together))
    axes: dict[tuple[str, ...], Sequence[tuple[Any, ...]]] = {}
    for key in table:
        if key in coupled:
            raise InputError(f"{where}.{key}: is given twice, here and in together; leave one of them out.")
        if key == "together":
            axes.update(together)
        elif key in NUMBERS:
            axes[(key,)] = [(number,) for number in _numbers(where, key, table[key])]
    _check_complete(where, {*table, *coupled}, methods)
    weights = _numbers(where, "penalty_weight", table["penalty_weight"]) if "penalty_weight" in table else ()
    return Block(methods=methods, axes=axes, penalty_weights=tuple(weights), seeds=_seeds(where, table))


def _together(where: str, rows: Any) -> dict[tuple[str, ...], list[tuple[float, ...]]]:
    """The one axis of values that vary together."""
    if not isinstance(rows, list) or not rows:
        raise InputError(
            f"{where}: must be a list such as [{{ beta1 = 0.5, beta2 = 0.9 }}, {{ beta1 = 0, beta2 = 0.9 }}]."
        )
    for number, row in enumerate(rows, 1):
        _check_keys(f"{where}[{number}]", row, NUMBERS)
        if not row or set(row) != set(rows[0]):
            raise InputError(f"{where}[{number}]: must have the same fields as the others, one at least.")
    names = tuple(rows[0])
    values = [tuple(_number(f"{where}[{n}]", name, row[name]) for name in names) for n, row in enumerate(rows, 1)]
    _check_once(where, values, [", ".join(f"{n} = {v:g}" for n, v in zip(names, row, strict=True)) for row in values])
    return {names: values}


def _random(where: str, table: Any) -> RandomBlock:
    """So many draws per method."""
    _check_keys(where, table, (*EITHER, "count", "seed"))
    methods = _methods(where, table)
    _check_complete(where, {*table}, methods)
    given = {name: table[name] for name in DRAWN if name in table}
    ranges = {name: _range(where, name, value) for name, value in given.items() if isinstance(value, dict)}
    if not ranges:
        raise InputError(f"{where}: nothing is drawn; give a range such as {RANGE}, or write [[blocks]].")
    if "count" not in table:
        raise InputError(f"{where}.count: is missing; how many settings are drawn for each method.")
    return RandomBlock(
        methods=methods,
        penalty_weight=ranges.pop("penalty_weight", None),
        ranges=ranges,
        fixed={name: _fixed(where, name, value) for name, value in given.items() if not isinstance(value, dict)},
        n_dis=tuple(int(number) for number in _numbers(where, "n_dis", table["n_dis"])),
        count=whole(f"{where}.count", table["count"], 1),
        seed=whole(f"{where}.seed", table.get("seed", 0), 0),
        seeds=_seeds(where, table),
    )


def _range(where: str, name: str, table: Table) -> Range:
    """A range whose ends, and all that is drawn in between, are valid."""
    _check_keys(f"{where}.{name}", table, ("low", "high", "log"))
    if not {"low", "high"} <= set(table):
        raise InputError(f"{where}.{name}: a range has low and high, such as {RANGE}.")
    low, high, log = table["low"], table["high"], table.get("log", False)
    if not isinstance(log, bool):
        raise InputError(f"{where}.{name}.log {log!r}: must be true or false.")
    _number(where, name, low)
    _number(where, name, high)
    try:
        made = Range(low, high, log=log)
    except InputError as error:
        raise InputError(f"{where}.{name}: {error}") from error
    for share in (0, 1):
        _number(where, name, made.at(share))  # draws are rounded, so that one just below an end can fall on it
    return made


def _fixed(where: str, name: str, value: Any) -> float:
    if isinstance(value, list):
        raise InputError(
            f"{where}.{name} {value!r}: must be one number or a range such as {RANGE}; write lists in [[blocks]]."
        )
    return _number(where, name, value)


def _seeds(where: str, table: Table) -> int | None:
    return whole(f"{where}.seeds", table["seeds"], 1) if "seeds" in table else None


def _check_complete(where: str, given: set[str], methods: Sequence[Fields]) -> None:
    """Raises InputError for a number that is missing, and for a weight of no penalty: it would do nothing."""
    for name in NUMBERS:
        if name not in given:
            raise InputError(f"{where}.{name}: is missing; every block gives {', '.join(NUMBERS)}.")
    penalties = [fields["penalty"] for fields in methods if fields["penalty"]]
    if penalties and "penalty_weight" not in given:
        raise InputError(f"{where}.penalty_weight: is missing; {penalties[0]} needs one, the study used 1 and 10.")
    if not penalties and "penalty_weight" in given:
        raise InputError(
            f"{where}.penalty_weight: none of its methods has a penalty; name one or leave the weight out."
        )


def _number(where: str, name: str, value: Any) -> float:
    """The hyperparameter as it is recorded."""
    try:
        checked: float = getattr(Hyperparameters(**{**ANY, name: value}), name)
    except InputError as error:
        raise InputError(f"{where}.{error}") from error
    return checked


def _numbers(where: str, name: str, value: Any) -> list[float]:
    """One number, or each of a list."""
    if value == [] or isinstance(value, dict):
        raise InputError(
            f"{where}.{name} {value!r}: must be a number or a list of at least one; ranges are for [[random]], but"
            " not for n_dis."
        )
    numbers = [_number(where, name, one) for one in (value if isinstance(value, list) else [value])]
    _check_once(f"{where}.{name}", numbers, [f"{number:g}" for number in numbers])
    return numbers


def _check_once(where: str, values: Sequence[Any], words: Iterable[str]) -> None:
    """Raises InputError, with a value's word, where one equals another."""
    for index, (value, word) in enumerate(zip(values, words, strict=True)):
        if value in values[:index]:
            raise InputError(f"{where} {word}: is given twice; leave one of them out.")


def _names(where: str, key: str, table: Table) -> list[str]:
    """One name, or each of a list."""
    value = table[key]
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"{where}.{key} {value!r}: must be a name in quotes or a list of at least one.")
    _check_once(f"{where}.{key}", names, names)
    return names


def _methods(where: str, table: Table) -> tuple[Fields, ...]:
    """The methods' fields, with each architecture of the block where it names any."""
    if "methods" not in table:
        raise InputError(f'{where}.methods: is missing; a list such as ["none", "hinge+spectral_norm"].')
    architectures = _names(where, "architectures", table) if "architectures" in table else []
    for name in architectures:
        look_up(f"{where}.architectures", name, ARCHITECTURES)
    kept = [name for name in field_names(Method) if architectures or name != "architecture"]
    found, words = [], []
    for name in _names(where, "methods", table):
        for method in resolve_methods(functools.partial(_parse, f"{where}.methods", name), architectures):
            found.append({field: getattr(method, field) for field in kept})
            words.append(name)
    _check_once(f"{where}.methods", found, words)
    return tuple(found)


def _parse(field: str, name: str, architecture: str) -> Method:
    """A method by its name on the command line, without the options that say nothing."""
    try:
        return canonical(parse(name, architecture, field))
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(field) else f"{field} {name}: {text}") from error
