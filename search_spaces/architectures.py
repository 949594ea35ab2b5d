"""Architectures: Figure 3 of the paper, section 3.3. 2 x (12 + 12 + 24) = 96 settings."""

from search_spaces.blocks import Block, Fields
from search_spaces.grid import DATASETS, TABLE_1
from search_spaces.space import SearchSpace

METHODS: tuple[Fields, ...] = ({}, {"normalizations": ("spectral_norm",)}, {"penalty": "gradient_penalty"})

# Differs from the figure: below 128 px, resnet_cifar replaces resnet19, because the figure has no data there.
ARCHITECTURES = {0: ("resnet_cifar", "sndcgan"), 128: ("resnet19", "sndcgan")}

SPACE = SearchSpace(
    name="architectures",
    description="a residual and a plain architecture; resnet19 and sndcgan from 128 px on, resnet_cifar below",
    source="Figure 3 and section 3.3, fixed settings of Table 1 (Kurach et al., 2019)",
    seeds=5,
    datasets=DATASETS,
    blocks=(Block(methods=METHODS, axes=TABLE_1, penalty_weights=(1, 10), architectures=ARCHITECTURES),),
)
