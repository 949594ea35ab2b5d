"""Random draws from the ranges of the paper's Bayesian optimisation, its Table 2.

The number of settings is that of the paper's optimisation: 12 rounds of 10 for n_dis 1, and the same for n_dis 5.
"""

from search_spaces.blocks import Fields, RandomBlock
from search_spaces.draws import Range
from search_spaces.grid import DATASETS, METHODS
from search_spaces.space import SearchSpace
from study.core.trial import Method

# Differs from Table 2, where the betas range up to 1: Adam divides by 1 - beta, so that 1 is not allowed.
TABLE_2 = {
    "learning_rate": Range(1e-5, 1e-2, log=True),
    "beta1": Range(0, 0.999),
    "beta2": Range(0, 0.999),
}
PENALTY_WEIGHT = Range(1e-1, 1e2, log=True)
PENALTY_WEIGHTS = {"l2": Range(1e-4, 1e1, log=True)}
N_DIS = (1, 5)
BO = "bo"
"""The name of the optimisation over these ranges in memberships and commands; not the name of a space."""


def random_settings(methods: tuple[Fields, ...], count: int, seed: int = 0) -> RandomBlock:
    """`count` random settings per method from the ranges of Table 2, with n_dis 1 and 5 in turn."""
    return RandomBlock(
        methods=methods,
        ranges=TABLE_2,
        penalty_weight=PENALTY_WEIGHT,
        penalty_weights=PENALTY_WEIGHTS,
        n_dis=N_DIS,
        count=count,
        seed=seed,
    )


def blocks_of(space: SearchSpace, method: Method) -> list[RandomBlock]:
    """The random blocks of a space for a method; the ranges of Table 2 if it has none."""
    drawn = [block for block in space.blocks_for(method) if isinstance(block, RandomBlock)]
    return drawn or [random_settings((), 0)]


SPACE = SearchSpace(
    name="ranges",
    description="the grid's seven methods at 240 random settings each, the number that was optimised; betas below 1",
    source="Table 2 (Kurach et al., 2019), drawn at random",
    seeds=1,
    datasets=DATASETS,
    blocks=(random_settings(METHODS, 240),),
)
