"""Figures as files: PNG, SVG or PDF, with identical bytes for identical figures."""

from pathlib import Path
from typing import IO, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from analysis.figures.drawing.style import PAGE
from study.core.errors import InputError
from study.storage.files import replace

PNG_LEVEL = 3
"""Compression level: files are slightly larger than at the usual 6, in half the time."""


TIMELESS: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""Formats, with the metadata that removes timestamps."""


FORMATS = tuple(f".{kind}" for kind in TIMELESS)


def _leave_empty_labels(figure: Figure) -> None:
    """Fix the position of empty labels; otherwise all ticks would be measured twice as often."""
    for axis in (axis for ax in figure.get_axes() for axis in (ax.xaxis, ax.yaxis)):
        if not axis.get_label_text():
            axis.set_label_coords(0, 0)


def write(figure: Figure, file: IO[bytes], kind: str, **how: Any) -> None:
    """Write the figure as `kind` (png, svg or pdf); equal figures give equal bytes in any process.

    Args:
        figure: its layout is computed again, unless it has no layout engine.
        file: the file to write to.
        kind: a key of TIMELESS.
        how: arguments of `Figure.savefig`.
    """
    with mpl.rc_context({**PAGE, "svg.hashsalt": "figure"}):  # without a salt the ids in an SVG are random
        figure.savefig(file, format=kind, metadata=TIMELESS[kind], **how)


def save(figure: Figure, path: Path) -> Path:
    """Write the figure to `path` atomically, in the format of its suffix; creates the folder.

    Raises:
        InputError: the suffix is not .png, .svg or .pdf, or the path is not writable.
    """
    check_format(path)
    kind = path.suffix[1:]
    how: dict[str, Any] = {"pil_kwargs": {"compress_level": PNG_LEVEL}} if kind == "png" else {}
    _leave_empty_labels(figure)
    try:
        replace(path, lambda file: write(figure, file, kind, **how))
    except OSError as error:
        raise InputError(f"{path}: the figure cannot be written ({error.strerror or error}).") from error
    return path


def check_format(path: Path) -> None:
    """Raise InputError unless the suffix of `path` is one of FORMATS."""
    if path.suffix not in FORMATS:
        raise InputError(f"{path}: unknown figure format. Known suffixes: {', '.join(FORMATS)}.")
