"""Longer training: section 3.1 of the paper, in words only. 24 settings, 5 seeds: 120 trials.

The paper says that models with gradient penalty improve with 100,000 further steps. A trial here is one of
`regularization` with so many more, and goes on from the state that the shorter one left in the same results folder
(`--keep-states`), if it did; its numbers are the same either way.
Differs from the paper where a dataset's trials are shorter than 100,000 steps: then they are twice as long.
"""

from search_spaces.blocks import Block
from search_spaces.grid import DATASETS, TABLE_1
from search_spaces.space import SearchSpace

SPACE = SearchSpace(
    name="long-training",
    description="the gradient penalty's settings with 100,000 more D updates, but at most twice as many",
    source="Section 3.1, fixed settings of Table 1 (Kurach et al., 2019)",
    seeds=5,
    datasets=DATASETS,
    extra_steps=100_000,
    blocks=(Block(methods=({"penalty": "gradient_penalty"},), axes=TABLE_1, penalty_weights=(1, 10)),),
)
