"""Figures and images as bytes, and as addresses that hold all of them."""

import base64
import io

import matplotlib as mpl
from matplotlib.figure import Figure

from analysis.style import PAGE

LARGE = 500_000
"""Bytes of an SVG beyond which a page takes the PNG: so many marks are drawn faster as pixels."""
DOTS = 200  # per inch, of a PNG: of two pixels each on a fine screen


def png(figure: Figure) -> bytes:
    """The figure as pixels."""
    content = io.BytesIO()
    with mpl.rc_context(PAGE):
        figure.savefig(content, format="png", dpi=DOTS)
    return content.getvalue()


def svg(figure: Figure, name: str) -> bytes:
    """The figure as lines; the same bytes each time for the same `name`."""
    content = io.BytesIO()
    with mpl.rc_context({**PAGE, "svg.hashsalt": name}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


def figure_uri(figure: Figure, name: str) -> str:
    """The figure as a data address: lines where they are few, else pixels."""
    lines = svg(figure, name)
    figure.set_layout_engine("none")  # which has found its places, and takes most of the time
    return data_uri(lines, "image/svg+xml") if len(lines) <= LARGE else data_uri(png(figure), "image/png")


def data_uri(content: bytes, kind: str) -> str:
    """An address that holds what it points to."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
