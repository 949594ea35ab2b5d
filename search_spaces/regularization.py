"""Regularization and normalization of the discriminator: Figure 1 of the paper, section 3.1."""

from search_spaces.blocks import Block
from search_spaces.grid import DATASETS, METHODS, TABLE_1
from search_spaces.space import SearchSpace

SPACE = SearchSpace(
    name="regularization",
    description="the grid's seven methods, each setting with five seeds",
    source="Figure 1 and section 3.1, fixed settings of Table 1 (Kurach et al., 2019)",
    seeds=5,
    datasets=DATASETS,
    blocks=(Block(methods=METHODS, axes=TABLE_1, penalty_weights=(1, 10)),),
)
