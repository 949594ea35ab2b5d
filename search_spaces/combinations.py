"""Regularization and normalization together: Figure 4 of the paper, section 3.3. 6 x (24 + 24) = 288 settings.

The figure shows the gradient penalty separately by n_dis; here each setting occurs once. Fixed settings have five
seeds, as in section 3, and random settings have one seed, as in the Bayesian optimisation: 864 trials.
"""

from search_spaces.blocks import Block
from search_spaces.grid import DATASETS, TABLE_1
from search_spaces.ranges import random_settings
from search_spaces.space import SearchSpace

METHODS = tuple(
    {"penalty": penalty, "normalizations": (normalization,)}
    for penalty in ("gradient_penalty", "dragan")
    for normalization in ("spectral_norm", "batch_norm", "layer_norm")
)

SPACE = SearchSpace(
    name="combinations",
    description="two penalties with each of three normalisations, 24 fixed and 24 random settings",
    source="Figure 4 and section 3.3, Table 1 and draws from Table 2 (Kurach et al., 2019)",
    seeds=1,
    datasets=DATASETS,
    blocks=(
        Block(methods=METHODS, axes=TABLE_1, penalty_weights=(1, 10), seeds=5),
        random_settings(METHODS, 24),
    ),
)
