"""Longer training: section 3.1 of the paper, which describes it without a figure. 24 settings, 5 seeds: 120 trials.

The paper says that models with gradient penalty improve with 100,000 further steps. A trial of this space is a trial
of `regularization` with 100,000 more steps. It continues from the training state of the shorter trial, if that was kept
in the same results folder (`--keep-states`); the numbers are the same in either case.
Differs from the paper: a trial is at most twice as long as a trial of the dataset, because some have fewer steps.
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
