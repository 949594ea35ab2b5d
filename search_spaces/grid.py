"""The grid of the paper: Table 1, for the methods of Figure 1."""

from search_spaces.blocks import Block, Fields
from search_spaces.space import SearchSpace

METHODS: tuple[Fields, ...] = (
    {},
    {"penalty": "gradient_penalty"},
    {"penalty": "dragan"},
    {"penalty": "l2"},
    {"normalizations": ("spectral_norm",)},
    {"normalizations": ("layer_norm",)},
    {"normalizations": ("batch_norm",)},
)

DATASETS = ("celeba-hq-128", "lsun-bedroom-128")
"""The datasets of Figures 1 to 4."""

TABLE_1 = {
    ("learning_rate",): ((2e-4,), (1e-4,), (1e-3,)),
    ("beta1", "beta2", "n_dis"): ((0.5, 0.9, 5), (0.5, 0.999, 1), (0.5, 0.999, 5), (0.9, 0.999, 5)),
}

SPACE = SearchSpace(
    name="grid",
    description="24 settings per method with a penalty weight, 12 per method without; 120 trials a seed",
    source="Table 1, over the methods of Figure 1 (Kurach et al., 2019)",
    seeds=1,
    datasets=DATASETS,
    blocks=(Block(methods=METHODS, axes=TABLE_1, penalty_weights=(1, 10)),),
)
