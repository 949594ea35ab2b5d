"""The continuous ranges of the paper's Bayesian optimisation, its Table 2, here drawn at random.

As many settings as the paper's optimisation tries: 12 rounds of 10 for n_dis 1, and as many for n_dis 5.
"""

from search_spaces.blocks import Fields, RandomBlock
from search_spaces.draws import Range
from search_spaces.grid import DATASETS, METHODS
from search_spaces.space import SearchSpace
from study.core.trial import Method

# Differs from Table 2, where the betas go up to 1: Adam divides by 1 - beta, so it refuses 1 itself.
TABLE_2 = {
    "learning_rate": Range(1e-5, 1e-2, log=True),
    "beta1": Range(0, 0.999),
    "beta2": Range(0, 0.999),
}
PENALTY_WEIGHT = Range(1e-1, 1e2, log=True)
PENALTY_WEIGHTS = {"l2": Range(1e-4, 1e1, log=True)}
N_DIS = (1, 5)
BO = "bo"
"""The optimisation over ranges, in memberships and commands beside the names of spaces."""


def random_settings(methods: tuple[Fields, ...], count: int, seed: int = 0) -> RandomBlock:
    """So many settings per method from Table 2's ranges, n_dis 1 and 5 in turns."""
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
    """The ranges that a space draws a method's settings from; Table 2 where it draws none."""
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
