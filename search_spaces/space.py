"""What a search space is: settings as data, and their expansion to (method, hyperparameters).

Knows names only; whether they exist is checked where the networks are (study.gan.methods).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from search_spaces.blocks import Block, Entry, Fields, RandomBlock
from study.names import InputError
from study.trial import Hyperparameters, Method

__all__ = ["Block", "Entry", "RandomBlock", "SearchSpace"]

AnyBlock = Block | RandomBlock | Entry


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """A named union of blocks.

    Attributes:
        name: on the command line.
        description: one line.
        source: figure, table or section of the paper.
        seeds: how many seeds each setting is trained with by default; entries have their own.
        blocks: what it consists of.
    """

    name: str
    description: str
    source: str
    seeds: int
    blocks: tuple[AnyBlock, ...]

    def on(self, dataset: str) -> "SearchSpace":
        """What the space has for a dataset; raises InputError where that is nothing."""
        kept = tuple(b for b in self.blocks if not isinstance(b, Entry) or b.dataset == dataset)
        if not kept:
            known = sorted({block.dataset for block in self.blocks if isinstance(block, Entry)})
            raise InputError(f"space {self.name}: has nothing for {dataset}; it has entries for {', '.join(known)}.")
        return replace(self, blocks=kept)

    def architectures(self, architecture: str, resolution: int | None = None) -> list[str]:
        """What the space is about at a resolution, in order; `architecture` where it names none, or for None."""
        named = (name for block in self.blocks for name in _architectures(block, architecture, resolution))
        return list(dict.fromkeys(named))

    def methods(self, architecture: str, resolution: int | None = None) -> list[Method]:
        """The methods of the space, in order, on the `architectures`, unless a method names its own."""
        return list(
            dict.fromkeys(
                Method(**{"architecture": name, **fields})
                for block in self.blocks
                for name in _architectures(block, architecture, resolution)
                for fields in block.methods
            )
        )

    def settings(self, method: Method) -> list[Hyperparameters]:
        """The settings that the space tries for `method`, each once, in order.

        A method that the space does not list gets the settings of all its blocks: any recipe can be put on a grid. It
        gets none of single entries.
        """
        own = list(self._own(method)) or [block for block in self.blocks if not isinstance(block, Entry)]
        return list(dict.fromkeys(setting for block in own for setting in block.settings(method)))

    def published(self, method: Method, setting: Hyperparameters) -> tuple[float, ...]:
        """The scores that entries have for a setting, one per seed; empty where there are none."""
        own = (block for block in self._own(method) if isinstance(block, Entry) and setting in block.settings(method))
        return tuple(score for entry in own for score in entry.published)

    def _own(self, method: Method) -> Iterator[AnyBlock]:
        return (block for block in self.blocks if any(_matches(method, fields) for fields in block.methods))


def _architectures(block: AnyBlock, default: str, resolution: int | None) -> tuple[str, ...]:
    starts = [start for start in block.architectures if resolution is not None and start <= resolution]
    return block.architectures[max(starts)] if starts else (default,)


def _matches(method: Method, fields: Fields) -> bool:
    return Method(**{"architecture": method.architecture, **fields}) == method
