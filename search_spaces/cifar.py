"""Small images: appendix A of the paper. 2 x 3 x (12 + 12 + 24) = 288 settings.

According to sections 3.2 and 5, the appendix repeats Miyato et al. (2018) on CIFAR-10 with these architectures and
losses. Which methods and settings it combines is unverified; this space follows Figures 2 and 3.
"""

from search_spaces.blocks import Block
from search_spaces.grid import TABLE_1
from search_spaces.space import SearchSpace

METHODS = tuple(
    {"loss": loss, **fields}
    for loss in ("non_saturating", "wasserstein", "hinge")
    for fields in ({}, {"normalizations": ("spectral_norm",)}, {"penalty": "gradient_penalty"})
)

SPACE = SearchSpace(
    name="cifar",
    description="two architectures and three losses, each plain, with spectral norm and with gradient penalty",
    source="Appendix A, its details unverified; fixed settings of Table 1 (Kurach et al., 2019)",
    seeds=5,
    datasets=("cifar10",),
    blocks=(
        Block(methods=METHODS, axes=TABLE_1, penalty_weights=(1, 10), architectures={0: ("sndcgan", "resnet_cifar")}),
    ),
)
