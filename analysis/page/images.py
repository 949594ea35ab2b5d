"""Figures and images as bytes, and as addresses that hold all of them."""

import base64
import io

from matplotlib.figure import Figure

from analysis.figures.drawing.files import write

LARGE = 500_000
"""Bytes of an SVG beyond which a page takes the PNG: so many marks are drawn faster as pixels."""
DOTS = 200  # per inch, of a PNG: of two pixels each on a fine screen


def png(figure: Figure) -> bytes:
    """The figure as pixels."""
    content = io.BytesIO()
    write(figure, content, "png", dpi=DOTS)
    return content.getvalue()


def svg(figure: Figure) -> bytes:
    """The figure as lines."""
    content = io.BytesIO()
    write(figure, content, "svg")
    return content.getvalue()


def figure_uri(figure: Figure) -> str:
    """The figure as a data address: lines where they are few, else pixels."""
    lines = svg(figure)
    figure.set_layout_engine("none")  # which has found its places, and takes most of the time
    return data_uri(lines, "image/svg+xml") if len(lines) <= LARGE else data_uri(png(figure), "image/png")


def data_uri(content: bytes, kind: str) -> str:
    """An address that holds what it points to."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
