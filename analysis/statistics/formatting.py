"""Numbers, intervals and percentages as text."""

import math


def number(value: float) -> str:
    """A score with two decimals, or three digits below 1; a dash for a missing one.

    >>> number(41.499), number(0.01234), number(float("nan"))
    ('41.50', '0.0123', '-')
    """
    if not math.isfinite(value):
        return "-"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def interval(low: float, high: float) -> str:
    """An interval of scores; an unbounded end is inf, and a dash means that both ends are unbounded.

    >>> interval(1.5, 20), interval(float("-inf"), 20), interval(float("-inf"), float("inf"))
    ('[1.50, 20.00]', '[-inf, 20.00]', '-')
    """
    if not (math.isfinite(low) or math.isfinite(high)):
        return "-"
    return f"[{', '.join(number(end) if math.isfinite(end) else f'{end:g}' for end in (low, high))}]"


def percent(change: float) -> str:
    """A relative change in per cent; infinite if a training has no score, a dash for a missing change.

    >>> percent(0.1234), percent(-2), percent(float("inf"))
    ('+12.3 %', '-200.0 %', 'inf')
    """
    return f"{100 * change:+.1f} %" if math.isfinite(change) else "-" if change != change else f"{change:g}"


def percents(low: float, high: float, *, sign: bool = True) -> str:
    """An interval of relative changes (with `sign`) or of shares; a dash if both ends are unbounded.

    >>> percents(-0.2, 0.05), percents(0.1, float("inf"), sign=False)
    ('[-20.0, +5.0] %', '[10.0, inf] %')
    """
    if not (math.isfinite(low) or math.isfinite(high)):
        return "-"
    ends = (f"{100 * end:{'+' if sign else ''}.1f}" if math.isfinite(end) else f"{end:g}" for end in (low, high))
    return f"[{', '.join(ends)}] %"


def bounded(value: str, ends: str) -> str:
    """A value with its interval; parts that are unknown (a dash) are left out.

    >>> bounded("1.50", "[1.20, 1.90]"), bounded("1.50", "-"), bounded("-", "-")
    ('1.50 [1.20, 1.90]', '1.50', '-')
    """
    return value if ends == "-" or value in ("-", "nan %") else f"{value} {ends}"


def count(value: float) -> str:
    """An integer; a dash for a missing one.

    >>> count(1200), count(float("nan"))
    ('1,200', '-')
    """
    return "-" if value != value else f"{value:,.0f}"
