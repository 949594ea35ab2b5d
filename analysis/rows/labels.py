"""The label and the rank of each method and hyperparameter, the same in every figure and table."""

from collections.abc import Iterable

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
"""Abbreviations of parts of a method's name, from the paper (Figures 1 and 2) or ours. Other parts are spelled out."""


PAPER_ORDER = ("W/O", "GP", "GP 5", "DR", "SN", "LN", "BN", "L2")
"""Labels in the order of the paper's Figure 1."""

HYPERPARAMETER_LABELS = {"learning_rate": "lr", "beta1": "β1", "beta2": "β2", "n_dis": "n_dis", "penalty_weight": "λ"}
"""The names that `analysis.frames.methods.top.setting` writes."""


HYPERPARAMETERS_IN_WORDS = "lr: learning rate, β1, β2: Adam's, n_dis: updates of D per update of G, λ: penalty weight"


CONTEXT = ", "
"""Separates a method's label from the context that distinguishes it, such as the architecture (`SN, resnet19`)."""


def method_label(name: str) -> str:
    """The label of a method's name (`study.core.trial.Method.name`); parts that are not in TERMS are spelled out.

    >>> method_label("least_squares+spectral_norm"), method_label("none[power_iterations=2]"), method_label("my_loss")
    ('LS+SN', 'W/O [power_iterations=2]', 'my loss')
    """
    parts, _, options = name.partition("[")
    label = "+".join(TERMS.get(part, part.replace("_", " ")) for part in parts.split("+"))
    return f"{label} [{options}" if options else label


def abbreviations(names: Iterable[str]) -> str:
    """The meaning of the abbreviations in these methods' labels.

    >>> abbreviations(["none", "spectral_norm", "spectral_norm+gradient_penalty"])
    'W/O: none, GP: gradient_penalty, SN: spectral_norm'
    """
    used = {part for name in names for part in name.partition("[")[0].split("+")}
    return ", ".join(f"{short}: {term}" for term, short in TERMS.items() if term in used)


def in_words(name: str) -> str:
    """A name with spaces instead of underscores, except n_dis, which keeps its underscore everywhere.

    >>> in_words("discriminator_steps"), in_words("n_dis")
    ('discriminator steps', 'n_dis')
    """
    return name if name == "n_dis" else name.replace("_", " ")


def paper_order(label: str) -> tuple[int, str]:
    """Sort key: the order of the paper's Figure 1, then the alphabet."""
    method = label.partition(CONTEXT)[0]
    return PAPER_ORDER.index(method) if method in PAPER_ORDER else len(PAPER_ORDER), label
