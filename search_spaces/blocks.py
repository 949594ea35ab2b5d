"""The blocks of a search space: products of methods and values, random draws, and single settings; plain data."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from search_spaces.draws import Range, share
from study.core.trial import Hyperparameters, Method

Fields = Mapping[str, Any]
"""Fields of `Method` that differ from its defaults; without an architecture, that of the block or the dataset."""

Axes = Mapping[tuple[str, ...], Sequence[tuple[Any, ...]]]
"""Groups of hyperparameters that vary together, with their combinations of values."""

Architectures = Mapping[int, tuple[str, ...]]
"""Architectures by the minimum resolution in px at which they apply; empty for that of the dataset."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A product of methods and axes.

    Attributes:
        methods: see `Fields`.
        axes: see `Axes`; the order of their product is that of the axes, with the last one varying fastest.
        penalty_weights: an axis for methods with a penalty only, so that no setting of another method is duplicated.
        architectures: see `Architectures`.
        seeds: number of seeds instead of that of the space, or None.
    """

    methods: tuple[Fields, ...]
    axes: Axes
    penalty_weights: tuple[float, ...] = ()
    architectures: Architectures = field(default_factory=dict)
    seeds: int | None = None

    def count_for(self, method: Method) -> int:
        """Number of settings for a method, including equal ones."""
        return math.prod(map(len, self.axes.values())) * (len(self.penalty_weights) if method.penalty else 1)

    def settings(self, method: Method) -> Iterator[Hyperparameters]:
        """The settings of the block for a method, in order."""
        weights = [(weight,) for weight in self.penalty_weights] if method.penalty else [(None,)]
        axes: Axes = {("penalty_weight",): weights, **self.axes}
        for groups in itertools.product(*axes.values()):
            pairs = (zip(names, group, strict=True) for names, group in zip(axes, groups, strict=True))
            yield Hyperparameters(**dict(itertools.chain.from_iterable(pairs)))


@dataclass(frozen=True, kw_only=True)
class RandomBlock:
    """Random settings, which are equal for all methods except for the penalty weight.

    Each hyperparameter has its own random stream (`draws.share`): another hyperparameter does not change the draws of
    the others, and a larger `count` only appends draws.

    Attributes:
        methods, architectures, seeds: see `Block`.
        ranges: range of each hyperparameter that is drawn.
        penalty_weight: range of the penalty weight, for methods with a penalty; None if it is fixed or not needed.
        penalty_weights: other ranges of the penalty weight, by penalty.
        n_dis: values that the settings take in turn.
        count: number of draws per method.
        seed: seed of all random streams.
        fixed: values of hyperparameters that are not drawn; a penalty weight applies to methods with a penalty.
    """

    methods: tuple[Fields, ...]
    ranges: Mapping[str, Range]
    penalty_weight: Range | None = None
    penalty_weights: Mapping[str, Range] = field(default_factory=dict)
    n_dis: tuple[int, ...]
    count: int
    seed: int = 0
    fixed: Mapping[str, float] = field(default_factory=dict)
    architectures: Architectures = field(default_factory=dict)
    seeds: int | None = None

    def count_for(self, method: Method) -> int:
        """Number of settings for a method."""
        return self.count

    def ranges_of(self, penalty: str | None) -> dict[str, Range]:
        """The ranges of a method with this penalty."""
        weight = self.penalty_weights.get(penalty, self.penalty_weight) if penalty else None
        return {**self.ranges, **({"penalty_weight": weight} if weight else {})}

    def middle(self, penalty: str | None, n_dis: int) -> Hyperparameters:
        """The setting in the middle of all ranges, for a method with this penalty."""
        values = {name: range_.at(0.5) for name, range_ in self.ranges_of(penalty).items()}
        return Hyperparameters(n_dis=n_dis, **self.fixed_of(penalty), **values)

    def fixed_of(self, penalty: str | None) -> dict[str, float]:
        """The fixed hyperparameters of a method with this penalty."""
        return {name: value for name, value in self.fixed.items() if penalty or name != "penalty_weight"}

    def settings(self, method: Method) -> Iterator[Hyperparameters]:
        """The settings of the block for a method, in order."""
        ranges = self.ranges_of(method.penalty)
        for index in range(self.count):
            drawn = {name: range_.at(share(self.seed, name, index)) for name, range_ in ranges.items()}
            yield Hyperparameters(n_dis=self.n_dis[index % len(self.n_dis)], **self.fixed_of(method.penalty), **drawn)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One setting of one method on one dataset, trained with one seed per published score.

    Attributes:
        dataset: name of the dataset.
        method: see `Fields`; includes the architecture.
        values: all hyperparameters.
        published: published Frechet Inception distances, from seed 0 on; if empty, the space decides on the seeds.
    """

    dataset: str
    method: Fields
    values: Mapping[str, Any]
    published: tuple[float, ...] = ()

    @property
    def methods(self) -> tuple[Fields, ...]:
        """The method, as a tuple."""
        return (self.method,)

    @property
    def architectures(self) -> Architectures:
        """The architecture, for all resolutions."""
        return {0: (str(self.method["architecture"]),)}

    @property
    def seeds(self) -> int | None:
        """One seed for each published score; None without scores."""
        return len(self.published) or None

    def count_for(self, method: Method) -> int:
        """The number of settings: 1."""
        return 1

    def settings(self, method: Method) -> Iterator[Hyperparameters]:
        """The setting."""
        yield Hyperparameters(**self.values)
