"""What a search space is: settings as data, and their expansion to (method, hyperparameters).

Knows names only; whether they exist is checked where the networks are (study.gan.methods.menu).
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
"""From the rows of a finished study to what is tried next, the best first."""


class Repeats(NamedTuple):
    """How many seeds a setting is trained with, and the scores that were published for it, seed by seed."""

    seeds: int
    published: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """A named union of blocks.

    Attributes:
        name: on the command line.
        description: one line.
        source: figure, table or section of the paper.
        seeds: how many seeds each setting is trained with, unless its block says otherwise.
        blocks: what it consists of.
        datasets: on which the paper has it; empty where it is not the paper's.
        top: how many settings of each method are tried unless told otherwise; None for all.
        extra_steps: D updates beyond a dataset's own, but never more than these: a trial is at most twice as long.
        width, batch_size, latent_dim: of all its trials; None for the dataset's own.
        checkpoint_every: discriminator updates between scored checkpoints; None for the dataset's own.
        choose: makes the blocks from rows (see `chosen`); None where they are given.
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
    choose: Choose | None = None

    def chosen(self, rows: Sequence[Mapping[str, Any]]) -> "SearchSpace":
        """The space with the blocks that rows of trials.parquet give it, or as it is where they are given."""
        return replace(self, blocks=self.choose(rows), choose=None) if self.choose else self

    def on_paper(self) -> tuple[str, ...]:
        """The `datasets`; raises InputError where there are none."""
        if not self.datasets:
            raise InputError(f"--dataset all: {self.name} is not an experiment of the paper's; name a dataset.")
        return self.datasets

    def steps(self, base: int) -> int:
        """D updates of a trial, where `base` are the dataset's own or those asked for in their place."""
        return base + min(self.extra_steps, base)

    def on(self, dataset: str) -> "SearchSpace":
        """What the space has for a dataset; raises InputError where that is nothing, or not chosen yet."""
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

    def placed(self, architecture: str, resolution: int | None = None) -> "SearchSpace":
        """The space with the architecture of every method written out, so that blocks on others are told apart.

        Methods that name none are on their block's at a resolution; on `architecture` where it has none, or for None.
        """
        return replace(self, blocks=tuple(_placed(block, architecture, resolution) for block in self.blocks))

    def methods(self, architecture: str, resolution: int | None = None) -> list[Method]:
        """The methods of the space, in order, each once, where `placed` puts them."""
        blocks = self.placed(architecture, resolution).blocks
        return list(dict.fromkeys(Method(**fields) for block in blocks for fields in block.methods))

    def tried(self, method: Method) -> dict[Hyperparameters, Repeats]:
        """The settings that the space tries for `method`, in order, and how often it tries each.

        A method that the space does not list gets the settings of all its blocks: any recipe can be put on a grid. It
        gets none of single entries.
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
        """The settings that the space tries for `method`, each once, in order."""
        return list(self.tried(method))

    def size(self, method: Method) -> int:
        """How many trials `tried` stands for at most, counted without making them."""
        return sum(block.count_for(method) * (block.seeds or self.seeds) for block in self.blocks_for(method))

    def blocks_for(self, method: Method) -> list[AnyBlock]:
        """What a method's settings come from."""
        return list(self._own(method)) or [block for block in self.blocks if not isinstance(block, Entry)]

    def _own(self, method: Method) -> Iterator[AnyBlock]:
        return (block for block in self.blocks if any(_matches(method, fields) for fields in block.methods))


def _architectures(block: Block | RandomBlock, default: str, resolution: int | None) -> tuple[str, ...]:
    starts = [start for start in block.architectures if resolution is not None and start <= resolution]
    return block.architectures[max(starts)] if starts else (default,)


def _placed(block: AnyBlock, default: str, resolution: int | None) -> AnyBlock:
    if isinstance(block, Entry):
        return block
    names = _architectures(block, default, resolution)
    methods = tuple({"architecture": name, **fields} for name in names for fields in block.methods)
    return replace(block, methods=methods, architectures={})


def _matches(method: Method, fields: Fields) -> bool:
    return Method(**{"architecture": method.architecture, **fields}) == method
