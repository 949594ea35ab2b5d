"""Colours of methods and matplotlib settings, the same in every figure."""

import hashlib
from typing import Any

from analysis.rows.labels import CONTEXT

COLOURS = {
    "W/O": "#595959",
    "GP": "#56B4E9",
    "GP 5": "#0072B2",
    "DR": "#009E73",
    "SN": "#D55E00",
    "LN": "#E69F00",
    "BN": "#CC79A7",
    "L2": "#999933",
}
"""In the order of the paper's Figure 1. Okabe and Ito's colour-blind-safe set, the yellow made olive."""

OTHER_COLOURS = ("#332288", "#88CCEE", "#44AA99", "#117733", "#DDCC77", "#CC6677", "#882255", "#AA4499")
"""Tol's muted set, for methods that the paper's Figure 1 does not show."""

N_DIS_COLOURS = {1: "#332288", 5: "#CC6677"}
"""From Tol's muted set, one dark and one light, so that lines differ in greyscale print as well."""


PAGE: dict[Any, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.size": 0,
    "ytick.major.width": 0.6,
    "ytick.minor.width": 0.4,
    "savefig.dpi": 300,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar sign in a name from outside is a dollar sign
}
"""matplotlib settings under which text stays readable at the width of a paper's column."""


def colour(label: str) -> str:
    """The colour of the method, the same in every figure."""
    method = label.partition(CONTEXT)[0]
    digest = hashlib.sha256(method.encode()).digest()
    return COLOURS.get(method, OTHER_COLOURS[digest[0] % len(OTHER_COLOURS)])


def n_dis_colour(n_dis: int) -> str:
    """The colour of an n_dis, in figures that distinguish lines by n_dis."""
    return N_DIS_COLOURS.get(n_dis, OTHER_COLOURS[n_dis % len(OTHER_COLOURS)])
