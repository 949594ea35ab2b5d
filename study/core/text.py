"""Names from outside, words for numbers of things, durations and aligned columns as text."""

from collections.abc import Sequence


def printable(name: str) -> str:
    r"""A name from outside, such as a file's, with backslash escapes for all characters that are not printable.

    These are control characters, lone surrogates (bytes of a file name that are not text), characters that change the
    direction of the text, and all others that `repr` escapes. A backslash and all other characters stay as they are.

    >>> print(printable("\x1b[2Ja\nb"), printable("größe β"))
    \x1b[2Ja\nb größe β
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def plural(count: int, one: str, many: str = "") -> str:
    """The words for a number of things: `one`, or `many` (`one` with an s by default) for any other number than 1.

    >>> [f"{n} {plural(n, 'trial has', 'trials have')} {n} {plural(n, 'seed')}" for n in (1, 2)]
    ['1 trial has 1 seed', '2 trials have 2 seeds']
    """
    return one if count == 1 else many or f"{one}s"


def duration(seconds: float) -> str:
    """A duration in its two largest units, which is short enough for table cells.

    >>> [duration(s) for s in (8, 250, 7300, 200_000)]
    ['8 s', '4 min 10 s', '2 h 1 min', '2 d 7 h']
    """
    whole = round(seconds)
    units = {"d": 86400, "h": 3600, "min": 60, "s": 1}
    counts = {unit: whole // size for unit, size in units.items()}
    largest = next((i for i, count in enumerate(counts.values()) if count), len(units) - 1)
    remainders = {"d": 10**9, "h": 24, "min": 60, "s": 60}
    return " ".join(f"{counts[unit] % remainders[unit]:,} {unit}" for unit in list(units)[largest : largest + 2])


def aligned(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Rows of cells as lines with aligned columns: the first `left` columns left-aligned, the others right-aligned.

    >>> aligned([("node", "trials"), ("a", "12")], left=1)
    ['node  trials', 'a         12']
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
