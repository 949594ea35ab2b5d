"""Losses: Figure 2 of the paper, section 3.2. 2 x (12 + 12 + 24) + (12 + 24) = 132 settings."""

from search_spaces.blocks import Block
from search_spaces.grid import DATASETS, TABLE_1
from search_spaces.space import SearchSpace

SPECTRAL_NORM = {"normalizations": ("spectral_norm",)}
GRADIENT_PENALTY = {"penalty": "gradient_penalty"}

METHODS = (
    {"loss": "non_saturating"},
    {"loss": "non_saturating", **SPECTRAL_NORM},
    {"loss": "non_saturating", **GRADIENT_PENALTY},
    {"loss": "least_squares"},
    {"loss": "least_squares", **SPECTRAL_NORM},
    {"loss": "least_squares", **GRADIENT_PENALTY},
    {"loss": "wasserstein", **SPECTRAL_NORM},
    {"loss": "wasserstein", **GRADIENT_PENALTY},
)

SPACE = SearchSpace(
    name="losses",
    description="three losses, with spectral norm, gradient penalty or (but for wasserstein) neither",
    source="Figure 2 and section 3.2, fixed settings of Table 1 (Kurach et al., 2019)",
    seeds=5,
    datasets=DATASETS,
    blocks=(Block(methods=METHODS, axes=TABLE_1, penalty_weights=(1, 10)),),
)
