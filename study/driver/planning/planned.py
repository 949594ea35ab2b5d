"""A trial with everything that is needed to run it."""

from dataclasses import dataclass, field, replace

from study.core.context import Context
from study.core.trial import Trial

Shape = tuple[int, int]
"""(channels, resolution) of images; resolution is height and width in pixels."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A trial of a plan.

    Attributes:
        trial: what is trained and scored.
        context: what it shares with the other trials of its dataset.
        shape: of its images.
        kept: whether it is already trained, and only its kept generator is scored.
        parent: the same trial with fewer steps, whose final state it continues from if there is one (`pending` checks
            this); None if it is trained from the start.
        pack: the ids of all trials that one program trains together, itself included, in the order of the plan
            (`study.driver.planning.packs`); empty if it is trained alone.
    """

    trial: Trial
    context: Context
    shape: Shape = field(repr=False)
    kept: bool = False
    parent: Trial | None = None
    pack: tuple[str, ...] = field(default=(), repr=False)

    @property
    def key(self) -> tuple[str, str]:
        """Trial id and protocol id: the key of its row."""
        return self.trial.id, self.context.protocol.id

    @property
    def together(self) -> tuple[str, ...]:
        """The ids of its pack, or its own id."""
        return self.pack or (self.trial.id,)

    @property
    def rest(self) -> Trial:
        """A trial with the number of steps that are still to be trained, for cost estimates."""
        training = self.trial.training
        done = self.parent.training.discriminator_steps if self.parent else 0
        rest = replace(training, discriminator_steps=training.discriminator_steps - done)
        return replace(self.trial, training=rest)
