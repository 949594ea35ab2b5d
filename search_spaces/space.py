"""What a search space is: settings as data, and their expansion to (method, hyperparameters).

Knows names only; whether they exist is checked where the networks are (study.gan.methods).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from study.trial import Hyperparameters, Method

Axes = Mapping[tuple[str, ...], Sequence[tuple[Any, ...]]]
"""Hyperparameters that vary together, and the values that they take together."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A product of methods and axes.

    Attributes:
        methods: fields of `Method` that differ from its defaults; the architecture is the dataset's unless named.
        axes: see `Axes`; their product is taken in the order given, the last axis fastest.
        penalty_weights: an axis of methods with a penalty only, so that no setting is trained twice under another name.
    """

    methods: tuple[Mapping[str, Any], ...]
    axes: Axes
    penalty_weights: tuple[float, ...]

    def settings(self, method: Method) -> Iterator[Hyperparameters]:
        """The hyperparameters that the block tries for a method."""
        weights = [(weight,) for weight in self.penalty_weights] if method.penalty else [(None,)]
        axes: Axes = {("penalty_weight",): weights, **self.axes}
        for groups in itertools.product(*axes.values()):
            pairs = (zip(names, group, strict=True) for names, group in zip(axes, groups, strict=True))
            yield Hyperparameters(**dict(itertools.chain.from_iterable(pairs)))


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """A named union of blocks.

    Attributes:
        name: on the command line.
        description: one line.
        source: figure, table or section of the paper.
        seeds: how many seeds each setting is trained with by default.
        blocks: what it consists of.
    """

    name: str
    description: str
    source: str
    seeds: int
    blocks: tuple[Block, ...]

    def methods(self, architecture: str) -> list[Method]:
        """The methods of the space, in order, on `architecture` where the space names none."""
        named = (
            Method(**{"architecture": architecture, **fields}) for block in self.blocks for fields in block.methods
        )
        return list(dict.fromkeys(named))

    def settings(self, method: Method) -> list[Hyperparameters]:
        """The settings that the space tries for `method`, each once, in order.

        A method that the space does not list gets the settings of all its blocks: any recipe can be put on a grid.
        """
        own = [block for block in self.blocks if any(_matches(method, fields) for fields in block.methods)]
        return list(dict.fromkeys(setting for block in own or self.blocks for setting in block.settings(method)))


def _matches(method: Method, fields: Mapping[str, Any]) -> bool:
    return Method(**{"architecture": method.architecture, **fields}) == method
