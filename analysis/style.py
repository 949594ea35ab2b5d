"""One label, one colour and one place in the order for each term, in every figure and table."""

import hashlib
from collections.abc import Iterable
from typing import Any

TERMS = {
    "none": "W/O",
    "gradient_penalty": "GP",
    "dragan": "DR",
    "spectral_norm": "SN",
    "layer_norm": "LN",
    "batch_norm": "BN",
    "l2": "L2",
    "wasserstein": "WGAN",
    "least_squares": "LS",
    "minimax": "MM",
    "began": "BEGAN",
    "gradient_norm": "GN",
    "frobenius_norm": "FN",
    "one_sided_gradient_penalty": "1-GP",
    "spectral_regularization": "SR",
    "weight_clipping": "WC",
    "gradient_clipping": "GC",
}
"""Parts of a method's name -> the paper's abbreviations (its Figures 1 and 2) and ours. Other parts are written out."""

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
"""Of Tol's muted set, one dark and one light: they tell lines apart in print without colour as well."""

HYPERPARAMETER_LABELS = {"learning_rate": "lr", "beta1": "β1", "beta2": "β2", "n_dis": "n_dis", "penalty_weight": "λ"}
"""As `analysis.top.setting` writes them."""
HYPERPARAMETERS_IN_WORDS = "lr: learning rate, β1, β2: Adam's, n_dis: updates of D per update of G, λ: penalty weight"

CONTEXT = ", "
"""Between a label and what tells its trials from others of the same method (`SN, resnet19`)."""

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
}
"""matplotlib settings under which text stays readable at the width of a paper's column."""


def method_label(name: str) -> str:
    """The label of a method's name (`study.core.trial.Method.name`); generated where parts of it are not in TERMS.

    >>> method_label("least_squares+spectral_norm"), method_label("none[power_iterations=2]"), method_label("my_loss")
    ('LS+SN', 'W/O [power_iterations=2]', 'my loss')
    """
    parts, _, options = name.partition("[")
    label = "+".join(TERMS.get(part, part.replace("_", " ")) for part in parts.split("+"))
    return f"{label} [{options}" if options else label


def abbreviations(names: Iterable[str]) -> str:
    """What the abbreviations in these methods' labels stand for.

    >>> abbreviations(["none", "spectral_norm", "spectral_norm+gradient_penalty"])
    'W/O: none, GP: gradient_penalty, SN: spectral_norm'
    """
    used = {part for name in names for part in name.partition("[")[0].split("+")}
    return ", ".join(f"{short}: {term}" for term, short in TERMS.items() if term in used)


def in_words(name: str) -> str:
    """A name without underscores, but for n_dis, which is written so everywhere.

    >>> in_words("discriminator_steps"), in_words("n_dis")
    ('discriminator steps', 'n_dis')
    """
    return name if name == "n_dis" else name.replace("_", " ")


def place(label: str) -> tuple[int, str]:
    """Sort key: the order of the paper's Figure 1, then the alphabet."""
    known = list(COLOURS)
    method = label.partition(CONTEXT)[0]
    return known.index(method) if method in known else len(known), label


def colour(label: str) -> str:
    """The method's colour, whatever else a figure shows."""
    method = label.partition(CONTEXT)[0]
    digest = hashlib.sha256(method.encode()).digest()
    return COLOURS.get(method, OTHER_COLOURS[digest[0] % len(OTHER_COLOURS)])


def n_dis_colour(n_dis: int) -> str:
    """The colour of what was trained at this n_dis, where a figure tells lines apart by it."""
    return N_DIS_COLOURS.get(n_dis, OTHER_COLOURS[n_dis % len(OTHER_COLOURS)])
