"""What a space consists of: products of methods and values, random draws, and single entries. All are plain data."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from search_spaces.draws import Range, share
from study.core.trial import Hyperparameters, Method

Fields = Mapping[str, Any]
"""Fields of `Method` that differ from its defaults; the architecture is the dataset's, or the block's, unless named."""

Axes = Mapping[tuple[str, ...], Sequence[tuple[Any, ...]]]
"""Hyperparameters that vary together, and the values that they take together."""

Architectures = Mapping[int, tuple[str, ...]]
"""Architectures by the resolution in px from which on they are meant; empty: the dataset's."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A product of methods and axes.

    Attributes:
        methods: see `Fields`.
        axes: see `Axes`; their product is taken in the order given, the last axis fastest.
        penalty_weights: an axis of methods with a penalty only, so that no setting is trained twice under another name.
        architectures: see `Architectures`.
        seeds: instead of the space's, or None.
    """

    methods: tuple[Fields, ...]
    axes: Axes
    penalty_weights: tuple[float, ...] = ()
    architectures: Architectures = field(default_factory=dict)
    seeds: int | None = None

    def count_for(self, method: Method) -> int:
        """How many settings that is, equal ones included."""
        return math.prod(map(len, self.axes.values())) * (len(self.penalty_weights) if method.penalty else 1)

    def settings(self, method: Method) -> Iterator[Hyperparameters]:
        """The hyperparameters that the block tries for a method."""
        weights = [(weight,) for weight in self.penalty_weights] if method.penalty else [(None,)]
        axes: Axes = {("penalty_weight",): weights, **self.axes}
        for groups in itertools.product(*axes.values()):
            pairs = (zip(names, group, strict=True) for names, group in zip(axes, groups, strict=True))
            yield Hyperparameters(**dict(itertools.chain.from_iterable(pairs)))


@dataclass(frozen=True, kw_only=True)
class RandomBlock:
    """Random settings, the same for every method but for the penalty's weight.

    Each hyperparameter has a stream of its own (`draws.share`): one more of them shifts none of the others, and the
    first draws of a larger `count` are those of a smaller.

    Attributes:
        methods, architectures, seeds: as of a `Block`; `seed` is something else.
        ranges: by hyperparameter.
        penalty_weight: its range, for methods with a penalty; `penalty_weights` has those of single penalties. None
            where no method has one or where it is fixed.
        n_dis: taken in turns.
        count: draws per method.
        seed: of all streams.
        fixed: hyperparameters that are not drawn; a penalty's weight is for methods with a penalty.
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
        """How many settings that is."""
        return self.count

    def ranges_of(self, penalty: str | None) -> dict[str, Range]:
        """The ranges of a method with this penalty."""
        weight = self.penalty_weights.get(penalty, self.penalty_weight) if penalty else None
        return {**self.ranges, **({"penalty_weight": weight} if weight else {})}

    def middle(self, penalty: str | None, n_dis: int) -> Hyperparameters:
        """The middle of the ranges of a method with this penalty."""
        values = {name: range_.at(0.5) for name, range_ in self.ranges_of(penalty).items()}
        return Hyperparameters(n_dis=n_dis, **self.fixed_of(penalty), **values)

    def fixed_of(self, penalty: str | None) -> dict[str, float]:
        """What is not drawn, for a method with this penalty."""
        return {name: value for name, value in self.fixed.items() if penalty or name != "penalty_weight"}

    def settings(self, method: Method) -> Iterator[Hyperparameters]:
        """The hyperparameters that the block tries for a method."""
        ranges = self.ranges_of(method.penalty)
        for index in range(self.count):
            drawn = {name: range_.at(share(self.seed, name, index)) for name, range_ in ranges.items()}
            yield Hyperparameters(n_dis=self.n_dis[index % len(self.n_dis)], **self.fixed_of(method.penalty), **drawn)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One setting of one method on one dataset, trained with a seed for each score that was published.

    Attributes:
        dataset: its name.
        method: see `Fields`; it names the architecture.
        values: all hyperparameters.
        published: Frechet Inception distances; that of seed 0 first. Empty where there are none: then the seeds are the
            space's.
    """

    dataset: str
    method: Fields
    values: Mapping[str, Any]
    published: tuple[float, ...] = ()

    @property
    def methods(self) -> tuple[Fields, ...]:
        """The one method."""
        return (self.method,)

    @property
    def architectures(self) -> Architectures:
        """The one architecture, at any resolution."""
        return {0: (str(self.method["architecture"]),)}

    @property
    def seeds(self) -> int | None:
        """One for each published score."""
        return len(self.published) or None

    def count_for(self, method: Method) -> int:
        """One setting."""
        return 1

    def settings(self, method: Method) -> Iterator[Hyperparameters]:
        """The one setting."""
        yield Hyperparameters(**self.values)
