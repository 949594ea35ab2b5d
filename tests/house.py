"""Counts what keeps the house in order: circles of imports, floors of packages, entries of folders, lines of files.

    python tests/house.py

A circle is a set of files of which each imports each, over others or by itself; imports inside functions count. A
package stands one floor above the highest that it imports.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PACKAGES = ("study", "search_spaces", "analysis")
Imports = Mapping[str, set[str]]


def imports(*packages: str) -> dict[str, set[str]]:
    """Each file's imports among the packages, by dotted name."""
    graph = grimp.build_graph(*packages, include_external_packages=False, cache_dir=None)
    return {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}


def circles(found: Imports) -> list[set[str]]:
    """The sets of files that import each other in a circle, the largest first."""
    reached = {name: _reached(name, found) for name in found}
    loops = {frozenset(other for other in reached[name] if name in reached[other]) for name in found}
    return sorted(({*loop} for loop in loops if loop), key=len, reverse=True)


def _reached(name: str, found: Imports) -> set[str]:
    """All files that a file imports, by itself or over others; itself only where there is a circle."""
    seen: set[str] = set()
    todo = [*found[name]]
    while todo:
        if (one := todo.pop()) not in seen:
            seen.add(one)
            todo += found[one]
    return seen


def floors(found: Imports) -> int:
    """How many files stand above each other at most; the imports must have no circle."""
    height: dict[str, int] = {}

    def measure(name: str) -> int:
        if name not in height:
            height[name] = 1 + max((measure(other) for other in found[name]), default=0)
        return height[name]

    return max(map(measure, found))


def packages(found: Imports) -> dict[str, set[str]]:
    """The imports between the packages of study."""
    between: dict[str, set[str]] = {}
    for name, others in found.items():
        own = _package(name)
        between.setdefault(own, set()).update(_package(other) for other in others)
    return {own: {*filter(_in_study, others)} - {own} for own, others in between.items() if _in_study(own)}


def _in_study(package: str) -> bool:
    return package.startswith("study.") and package != "study.__main__"


def _package(name: str) -> str:
    return ".".join(name.split(".")[:2])


def entries(package: str) -> dict[Path, int]:
    """How many files and folders each folder of a package holds, `__init__.py`, `__main__.py` and the like apart."""
    folders = [ROOT / package, *(path for path in (ROOT / package).rglob("*") if path.is_dir())]
    counts = {folder.relative_to(ROOT): sum(map(_counts, folder.iterdir())) for folder in folders}
    return {folder: count for folder, count in counts.items() if count}


def _counts(path: Path) -> bool:
    return (path.suffix == ".py" and not path.stem.startswith("__")) or (path.is_dir() and any(path.rglob("*.py")))


def longest() -> tuple[int, Path]:
    """The number of lines of the longest file, and the file."""
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return max((path.read_text().count("\n"), path.relative_to(ROOT)) for path in files)


def main() -> int:
    """Print the counts; 1 where files import each other in a circle."""
    found = imports(*PACKAGES)
    loops = circles(found)
    lines, path = longest()
    print(f"files that import each other in a circle: {sum(map(len, loops))}")
    for loop in loops:
        print(f"    {', '.join(sorted(loop))}")
    if not loops:
        print(f"floors of the packages of study: {floors(packages(found))}")
    for package in PACKAGES:
        folder, most = max(entries(package).items(), key=lambda each: each[1])
        print(f"most entries of a folder in {package}: {most} ({folder})")
    print(f"longest file: {lines} lines ({path})")
    return bool(loops)


if __name__ == "__main__":
    sys.exit(main())
