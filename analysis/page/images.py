"""Figures and images as bytes and as data URIs."""

import base64
import io

from matplotlib.figure import Figure

from analysis.figures.drawing.files import write

LARGE = 500_000
"""Size of an SVG in bytes above which a PNG is used instead, which is drawn faster."""
DOTS = 200  # per inch of a PNG: two pixels each on a high-resolution screen


def png(figure: Figure) -> bytes:
    """The figure as PNG."""
    content = io.BytesIO()
    write(figure, content, "png", dpi=DOTS)
    return content.getvalue()


def svg(figure: Figure) -> bytes:
    """The figure as SVG."""
    content = io.BytesIO()
    write(figure, content, "svg")
    return content.getvalue()


def figure_uri(figure: Figure) -> str:
    """The figure as a data URI: SVG if it is small, else PNG."""
    lines = svg(figure)
    figure.set_layout_engine("none")  # the layout is final, and computing it takes most of the time
    return data_uri(lines, "image/svg+xml") if len(lines) <= LARGE else data_uri(png(figure), "image/png")


def data_uri(content: bytes, kind: str) -> str:
    """A data URI with this content."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
