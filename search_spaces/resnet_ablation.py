"""Differences between implementations of the small residual architecture: appendix D of the paper, Figure 7.

The nine codes are explained in study/gan/architectures/resnet_cifar.py. 9 settings, 5 seeds: 45 trials.
"""

from search_spaces.blocks import Block
from search_spaces.space import SearchSpace

CODES = ("DEF", "RES", "CIN", "OPT", "CIN_OPT", "SUM", "TAN", "EPS", "ALL")

SPACE = SearchSpace(
    name="resnet-ablation",
    description="nine variants of resnet_cifar with spectral norm, at the published setting",
    source="Appendix D, Figure 7 (Kurach et al., 2019)",
    seeds=5,
    datasets=("cifar10",),
    blocks=(
        Block(
            methods=tuple({"normalizations": ("spectral_norm",), "options": {"ablation": code}} for code in CODES),
            axes={("learning_rate", "beta1", "beta2", "n_dis"): ((2e-4, 0.5, 0.999, 5),)},
            architectures={0: ("resnet_cifar",)},
        ),
    ),
)
