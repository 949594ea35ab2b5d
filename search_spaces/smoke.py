"""A quick test of the installation: four trials of the grid, which take seconds on the digits."""

from search_spaces.blocks import Block, Fields
from search_spaces.space import SearchSpace

METHODS: tuple[Fields, ...] = (
    {},
    {"penalty": "gradient_penalty"},
    {"normalizations": ("spectral_norm",)},
    {"normalizations": ("layer_norm",)},
)

SPACE = SearchSpace(
    name="smoke",
    description="one setting of four methods: a quick test, which takes seconds on the digits",
    source="four settings of Table 1 (Kurach et al., 2019)",
    seeds=1,
    blocks=(
        Block(
            methods=METHODS,
            axes={("learning_rate", "beta1", "beta2", "n_dis"): ((2e-4, 0.5, 0.999, 1),)},
            penalty_weights=(1,),
        ),
    ),
)
