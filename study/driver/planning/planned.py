"""A trial with what it needs to run."""

from dataclasses import dataclass, field, replace

from study.core.context import Context
from study.core.trial import Trial

Shape = tuple[int, int]
"""(channels, resolution) of images; resolution is height and width in pixels."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A trial, and what it shares with the others of its dataset.

    `kept`: it was trained before, and only its kept generator is to be scored. `parent`: the same trial with fewer
    steps, from whose state it goes on where there is one (`pending` looks); None where it trains from the start.
    `pack`: the ids of all trials of the plan that one program trains together with it, in the order of the plan
    (`study.driver.planning.packs`); empty where it is trained alone.
    """

    trial: Trial
    context: Context
    shape: Shape = field(repr=False)
    kept: bool = False
    parent: Trial | None = None
    pack: tuple[str, ...] = field(default=(), repr=False)

    @property
    def key(self) -> tuple[str, str]:
        return self.trial.id, self.context.protocol.id

    @property
    def together(self) -> tuple[str, ...]:
        """The ids of its pack, or its own."""
        return self.pack or (self.trial.id,)

    @property
    def rest(self) -> Trial:
        """A trial of the steps that are still to be trained."""
        training, done = self.trial.training, self.parent.training.discriminator_steps if self.parent else 0
        rest = replace(training, discriminator_steps=training.discriminator_steps - done)
        return replace(self.trial, training=rest)
