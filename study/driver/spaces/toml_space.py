"""Search spaces in TOML files; search_spaces/README.md describes the format.

Error messages start with the field, with blocks counted from 1; the caller adds the name of the file.
"""

import functools
import itertools
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from search_spaces import SearchSpace
from search_spaces.blocks import Block, Fields, RandomBlock
from search_spaces.draws import Range
from study.core.errors import InputError, look_up, unknown
from study.core.trial import Hyperparameters, Method, field_names
from study.gan.architectures import ARCHITECTURES
from study.gan.methods.menu import canonical, parse

DATASET_DEFAULTS = ("width", "batch_size", "latent_dim", "checkpoint_every")
"""Whole numbers of a space that replace those of the dataset."""
REQUIRED = ("learning_rate", "beta1", "beta2", "n_dis")
"""Hyperparameters that every block must have; `penalty_weight` is only for methods with a penalty."""
RANGED = ("learning_rate", "beta1", "beta2", "penalty_weight")
"""Hyperparameters that can be drawn from a range."""
VALID = {"learning_rate": 1.0, "beta1": 0.0, "beta2": 0.0, "n_dis": 1.0}
"""Valid values, for the hyperparameters that are not being checked."""
BLOCK_KEYS = ("methods", "architectures", "seeds", *REQUIRED, "penalty_weight")
"""Keys that both kinds of blocks can have."""
RANGE = "{ low = 1e-5, high = 1e-2, log = true }"
"""An example for error messages."""

Table = Mapping[str, object]


def read_toml(path: Path) -> SearchSpace:
    """The search space in a file, with the file's name; raises InputError, with the line or the field."""
    content = _parse_file(path)
    _table("", content, ("description", "source", "seeds", *DATASET_DEFAULTS, "blocks", "random"))
    blocks = [_block(f"blocks[{n}]", table) for n, table in enumerate(_list_of_tables(content, "blocks"), 1)]
    draws = [_random_block(f"random[{n}]", table) for n, table in enumerate(_list_of_tables(content, "random"), 1)]
    if not blocks and not draws:
        raise InputError("has no settings; a space needs at least one [[blocks]] or [[random]].")
    return SearchSpace(
        name=path.stem,
        description=_text(content, "description", f"the settings of {path}"),
        source=_text(content, "source", str(path)),
        seeds=whole_number("seeds", content.get("seeds", 1), 1),
        blocks=(*blocks, *draws),
        width=_optional(content, "width"),
        batch_size=_optional(content, "batch_size"),
        latent_dim=_optional(content, "latent_dim"),
        checkpoint_every=_optional(content, "checkpoint_every"),
    )


def whole_number(field: str, value: object, low: int) -> int:
    """A whole number, `low` or more; raises InputError. Floats and booleans are refused."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise InputError(f"{field} {value!r}: must be a whole number, {low} or more.")
    return value


def resolve_methods(make: Callable[[str], Method], architectures: Sequence[str]) -> list[Method]:
    """`make(architecture)` for each architecture; without architectures, for the first one that is valid.

    Without architectures, the one of the dataset will be used. Whether the options of the method apply to it is checked
    when a dataset is chosen, so that here it suffices that they apply to any architecture.

    Raises InputError as `make` does.
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


def _parse_file(path: Path) -> Table:
    text = ""
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors on Windows write a byte order mark
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        last = f"at the end, line {len(text.splitlines())}"
        raise InputError(f"is not valid TOML: {str(error).replace('at end of document', last)}.") from error


def _table(where: str, table: object, keys: Iterable[str]) -> Table:
    """The table, if it is one and has no other keys; raises InputError."""
    if not isinstance(table, dict):
        raise InputError(f"{where} {table!r}: must be a table of {', '.join(keys)}.")
    for key in table:
        if key not in keys:
            raise unknown(f"{where}: key" if where else "key", key, keys)
    return table


def _list_of_tables(content: Table, name: str) -> Sequence[object]:
    tables = content.get(name, [])
    if not isinstance(tables, list):
        raise InputError(f"{name}: must be written [[{name}]], with double brackets, once for each block.")
    return tables


def _optional(content: Table, field: str) -> int | None:
    return whole_number(field, content[field], 1) if field in content else None


def _text(content: Table, field: str, default: str) -> str:
    text = content.get(field, default)
    if not isinstance(text, str):
        raise InputError(f"{field} {text!r}: must be text in quotes.")
    return " ".join(text.split())


def _block(where: str, content: object) -> Block:
    """The product of the values in a table; the axes have the order of the table, and the last one varies fastest."""
    table = _table(where, content, (*BLOCK_KEYS, "together"))
    methods = _methods(where, table)
    together = _together(f"{where}.together", table["together"]) if "together" in table else {}
    coupled = tuple(itertools.chain.from_iterable(together))
    axes: dict[tuple[str, ...], Sequence[tuple[float, ...]]] = {}
    for key in table:
        if key in coupled:
            raise InputError(f"{where}.{key}: is given twice, here and in together; leave one of them out.")
        if key == "together":
            axes.update(together)
        elif key in REQUIRED:
            axes[(key,)] = [(number,) for number in _numbers(where, key, table[key])]
    _check_complete(where, {*table, *coupled}, methods)
    weights = _numbers(where, "penalty_weight", table["penalty_weight"]) if "penalty_weight" in table else ()
    return Block(methods=methods, axes=axes, penalty_weights=tuple(weights), seeds=_seeds(where, table))


def _together(where: str, content: object) -> dict[tuple[str, ...], list[tuple[float, ...]]]:
    """The axis of hyperparameters that vary together."""
    if not isinstance(content, list) or not content:
        raise InputError(
            f"{where}: must be a list such as [{{ beta1 = 0.5, beta2 = 0.9 }}, {{ beta1 = 0, beta2 = 0.9 }}]."
        )
    rows = [_table(f"{where}[{number}]", row, REQUIRED) for number, row in enumerate(content, 1)]
    for number, row in enumerate(rows, 1):
        if not row or set(row) != set(rows[0]):
            raise InputError(f"{where}[{number}]: must have at least one field, and the same fields as the others.")
    names = tuple(rows[0])
    values = [tuple(_number(f"{where}[{n}]", name, row[name]) for name in names) for n, row in enumerate(rows, 1)]
    _check_unique(where, values, [", ".join(f"{n} = {v:g}" for n, v in zip(names, row, strict=True)) for row in values])
    return {names: values}


def _random_block(where: str, content: object) -> RandomBlock:
    """The random draws of a table."""
    table = _table(where, content, (*BLOCK_KEYS, "count", "seed"))
    methods = _methods(where, table)
    _check_complete(where, {*table}, methods)
    given = {name: table[name] for name in RANGED if name in table}
    ranges = {name: _range(where, name, value) for name, value in given.items() if isinstance(value, dict)}
    if not ranges:
        raise InputError(f"{where}: has no range; give at least one, such as {RANGE}, or write [[blocks]].")
    if "count" not in table:
        raise InputError(f"{where}.count: is missing; give the number of random settings of each method.")
    return RandomBlock(
        methods=methods,
        penalty_weight=ranges.pop("penalty_weight", None),
        ranges=ranges,
        fixed={name: _fixed(where, name, value) for name, value in given.items() if not isinstance(value, dict)},
        n_dis=tuple(int(number) for number in _numbers(where, "n_dis", table["n_dis"])),
        count=whole_number(f"{where}.count", table["count"], 1),
        seed=whole_number(f"{where}.seed", table.get("seed", 0), 0),
        seeds=_seeds(where, table),
    )


def _range(where: str, name: str, content: object) -> Range:
    """A range of which every drawn value is valid."""
    table = _table(f"{where}.{name}", content, ("low", "high", "log"))
    if not {"low", "high"} <= set(table):
        raise InputError(f"{where}.{name}: a range needs low and high, such as {RANGE}.")
    log = table.get("log", False)
    if not isinstance(log, bool):
        raise InputError(f"{where}.{name}.log {log!r}: must be true or false.")
    low, high = _number(where, name, table["low"]), _number(where, name, table["high"])
    try:
        made = Range(low, high, log=log)
    except InputError as error:
        raise InputError(f"{where}.{name}: {error}") from error
    for share in (0, 1):
        _number(where, name, made.at(share))  # draws are rounded, which can move a value onto an end of the range
    return made


def _fixed(where: str, name: str, value: object) -> float:
    if isinstance(value, list):
        raise InputError(
            f"{where}.{name} {value!r}: must be one number or a range such as {RANGE}; lists are for [[blocks]]."
        )
    return _number(where, name, value)


def _seeds(where: str, table: Table) -> int | None:
    return whole_number(f"{where}.seeds", table["seeds"], 1) if "seeds" in table else None


def _check_complete(where: str, given: set[str], methods: Sequence[Fields]) -> None:
    """Raises InputError for a missing hyperparameter, and for a penalty weight without a penalty."""
    for name in REQUIRED:
        if name not in given:
            raise InputError(f"{where}.{name}: is missing; every block needs {', '.join(REQUIRED)}.")
    penalties = [fields["penalty"] for fields in methods if fields["penalty"]]
    if penalties and "penalty_weight" not in given:
        raise InputError(f"{where}.penalty_weight: is missing; {penalties[0]} needs one, the study used 1 and 10.")
    if not penalties and "penalty_weight" in given:
        raise InputError(
            f"{where}.penalty_weight: none of the methods has a penalty; add a penalty or leave the weight out."
        )


def _number(where: str, name: str, value: object) -> float:
    """A valid value of the hyperparameter `name`, converted as in a trial."""
    try:
        checked: float = getattr(Hyperparameters(**{**VALID, name: value}), name)  # type: ignore[arg-type]  # is checked
    except InputError as error:
        raise InputError(f"{where}.{error}") from error
    return checked


def _numbers(where: str, name: str, value: object) -> list[float]:
    """The values of the hyperparameter `name`: one number or a list of numbers."""
    if value == [] or isinstance(value, dict):
        raise InputError(
            f"{where}.{name} {value!r}: must be a number or a list of at least one number; ranges are only for"
            " [[random]], and not for n_dis."
        )
    numbers = [_number(where, name, each) for each in (value if isinstance(value, list) else [value])]
    _check_unique(f"{where}.{name}", numbers, [f"{number:g}" for number in numbers])
    return numbers


def _check_unique(where: str, values: Sequence[object], texts: Iterable[str]) -> None:
    """Raises InputError, with the text of the value, if a value occurs twice."""
    for index, (value, text) in enumerate(zip(values, texts, strict=True)):
        if value in values[:index]:
            raise InputError(f"{where} {text}: is given twice; leave one of them out.")


def _names(where: str, key: str, value: object) -> list[str]:
    """One name or a list of names."""
    given: list[object] = value if isinstance(value, list) else [value]
    names = [name for name in given if isinstance(name, str) and name]
    if not names or len(names) < len(given):
        raise InputError(f"{where}.{key} {value!r}: must be a name in quotes or a list of at least one name.")
    _check_unique(f"{where}.{key}", names, names)
    return names


def _methods(where: str, table: Table) -> tuple[Fields, ...]:
    """The fields of the methods of a block; with an architecture only if the block names architectures."""
    if "methods" not in table:
        raise InputError(f'{where}.methods: is missing; give a list such as ["none", "hinge+spectral_norm"].')
    architectures = _names(where, "architectures", table["architectures"]) if "architectures" in table else []
    for name in architectures:
        look_up(f"{where}.architectures", name, ARCHITECTURES)
    kept = [name for name in field_names(Method) if architectures or name != "architecture"]
    methods: list[Fields] = []
    texts = []
    for name in _names(where, "methods", table["methods"]):
        for method in resolve_methods(functools.partial(_parse_method, f"{where}.methods", name), architectures):
            methods.append({field: getattr(method, field) for field in kept})
            texts.append(name)
    _check_unique(f"{where}.methods", methods, texts)
    return tuple(methods)


def _parse_method(field: str, name: str, architecture: str) -> Method:
    """The method with a name as on the command line; options at their defaults are removed."""
    try:
        return canonical(parse(name, architecture, field))
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(field) else f"{field} {name}: {text}") from error
