"""A search space: settings as data, and their expansion to methods and hyperparameters.

Names of methods are not checked here, but in `study.gan.methods.menu`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from search_spaces.blocks import Block, Entry, Fields, RandomBlock
from study.core.errors import InputError
from study.core.trial import Hyperparameters, Method

__all__ = ["Block", "Entry", "RandomBlock", "Repeats", "SearchSpace"]

AnyBlock = Block | RandomBlock | Entry

Choose = Callable[[Sequence[Mapping[str, Any]]], tuple[Entry, ...]]
"""Chooses settings from the rows of a finished study, the best first."""


VERSION_SIGN = "@"


def plain_name(recorded_name: str) -> str:
    """The name of a space without its version; the counterpart of `SearchSpace.recorded_name`."""
    return recorded_name.partition(VERSION_SIGN)[0]


class Repeats(NamedTuple):
    """The number of seeds of a setting, and its published scores by seed."""

    seeds: int
    published: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """A named union of blocks.

    Attributes:
        name: name on the command line.
        description: one line.
        source: figure, table or section of the paper.
        seeds: number of seeds per setting, unless its block has another number.
        blocks: the blocks of settings.
        datasets: datasets of this experiment in the paper; empty if the space is not from the paper.
        top: number of settings per method that are trained by default, from the first on; None for all.
        extra_steps: discriminator updates in addition to those of the dataset, at most doubling them.
        width, batch_size, latent_dim: values for all trials of the space; None for those of the dataset.
        checkpoint_every: discriminator updates between scored checkpoints; None for the interval of the dataset.
        version: hash of the content of a space from a file; None for the spaces of the study.
        choose: makes the blocks from rows (see `chosen`); None if `blocks` are given.
    """

    name: str
    description: str
    source: str
    seeds: int
    blocks: tuple[AnyBlock, ...] = ()
    datasets: tuple[str, ...] = ()
    top: int | None = None
    extra_steps: int = 0
    width: int | None = None
    batch_size: int | None = None
    latent_dim: int | None = None
    checkpoint_every: int | None = None
    version: str | None = None
    choose: Choose | None = None

    @property
    def recorded_name(self) -> str:
        """The name in memberships.parquet: NAME, or NAME@VERSION for a space from a file."""
        return f"{self.name}{VERSION_SIGN}{self.version}" if self.version else self.name

    def chosen(self, rows: Sequence[Mapping[str, Any]]) -> "SearchSpace":
        """The space with the blocks that `choose` makes from rows of trials.parquet; unchanged without `choose`."""
        return replace(self, blocks=self.choose(rows), choose=None) if self.choose else self

    def paper_datasets(self) -> tuple[str, ...]:
        """The `datasets`; raises InputError if the space is not from the paper."""
        if not self.datasets:
            raise InputError(f"--dataset all: {self.name} is not an experiment of the paper; name a dataset.")
        return self.datasets

    def steps(self, base: int) -> int:
        """Discriminator updates of a trial; `base` are those of the dataset or of the command line."""
        return base + min(self.extra_steps, base)

    def on(self, dataset: str) -> "SearchSpace":
        """The space with its blocks for a dataset; raises InputError if there are none or they are not chosen yet."""
        if self.choose:
            raise InputError(
                f"space {self.name}: its settings are chosen from a results folder; `study plan {self.name} --results"
                " DIR` counts them, `study run` runs them."
            )
        kept = tuple(b for b in self.blocks if not isinstance(b, Entry) or b.dataset == dataset)
        if not kept:
            known = sorted({block.dataset for block in self.blocks if isinstance(block, Entry)})
            raise InputError(f"space {self.name}: has nothing for {dataset}; it has entries for {', '.join(known)}.")
        return replace(self, blocks=kept)

    def with_architectures(self, architecture: str, resolution: int | None = None) -> "SearchSpace":
        """The space with an explicit architecture in every method, which distinguishes methods of different blocks.

        A method without one gets those of its block for the resolution in px; if the block has none, or if the
        resolution is None, it gets `architecture`.
        """
        return replace(
            self, blocks=tuple(_with_architectures(block, architecture, resolution) for block in self.blocks)
        )

    def methods(self, architecture: str, resolution: int | None = None) -> list[Method]:
        """The methods of the space, in order and without duplicates, with the architectures of `with_architectures`."""
        blocks = self.with_architectures(architecture, resolution).blocks
        return list(dict.fromkeys(Method(**fields) for block in blocks for fields in block.methods))

    def settings_with_repeats(self, method: Method) -> dict[Hyperparameters, Repeats]:
        """The settings of the space for `method`, in order, with the number of seeds of each.

        A method that the space does not list gets the settings of all blocks, except for single entries, so that every
        method can be trained on every grid.
        """
        found: dict[Hyperparameters, Repeats] = {}
        for block in self.blocks_for(method):
            published = block.published if isinstance(block, Entry) else ()
            for setting in block.settings(method):
                before = found.get(setting, Repeats(0, ()))
                seeds = max(before.seeds, block.seeds or self.seeds)
                found[setting] = Repeats(seeds, before.published + published)
        return found

    def settings(self, method: Method) -> list[Hyperparameters]:
        """The settings of the space for `method`, in order and without duplicates."""
        return list(self.settings_with_repeats(method))

    def size(self, method: Method, seeds: int | None = None) -> int:
        """Upper bound of the number of trials for `method`, computed without making them.

        With `seeds`, each setting has that number of seeds instead of its own.
        """
        return sum(block.count_for(method) * (seeds or block.seeds or self.seeds) for block in self.blocks_for(method))

    def blocks_for(self, method: Method) -> list[AnyBlock]:
        """The blocks that the settings of a method come from."""
        return list(self._own(method)) or [block for block in self.blocks if not isinstance(block, Entry)]

    def _own(self, method: Method) -> Iterator[AnyBlock]:
        return (block for block in self.blocks if any(_matches(method, fields) for fields in block.methods))


def _architectures(block: Block | RandomBlock, default: str, resolution: int | None) -> tuple[str, ...]:
    starts = [start for start in block.architectures if resolution is not None and start <= resolution]
    return block.architectures[max(starts)] if starts else (default,)


def _with_architectures(block: AnyBlock, default: str, resolution: int | None) -> AnyBlock:
    if isinstance(block, Entry):
        return block
    names = _architectures(block, default, resolution)
    methods = tuple({"architecture": name, **fields} for name in names for fields in block.methods)
    return replace(block, methods=methods, architectures={})


def _matches(method: Method, fields: Fields) -> bool:
    return Method(**{"architecture": method.architecture, **fields}) == method
