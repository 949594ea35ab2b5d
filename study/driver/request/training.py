"""Options for training and searches: methods, settings, sizes, length, rounds and samplers."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from study.core.errors import InputError, look_up
from study.core.trial import FLOAT32, PRECISIONS
from study.driver.request.declare import SEARCHED, TRAINED, check_positive, one_of


@dataclass(frozen=True, kw_only=True)
class MethodSelection:
    """The methods of a search space that are trained, and their networks."""

    panel: ClassVar = TRAINED

    architecture: Annotated[
        str | None, typer.Option(help="Architecture of both networks.  [default: the dataset's or the space's]")
    ] = None
    methods: Annotated[
        str | None,
        typer.Option(
            help="Methods, separated by commas; parts of a method are joined by +, its options are in brackets: "
            "`none,spectral_norm+dragan[dragan_noise=gaussian]`. See `study methods`.  [default: the space's]"
        ),
    ] = None
    n_dis: Annotated[
        int | None,
        typer.Option(help="Only settings with this number of discriminator updates per generator update.", metavar="N"),
    ] = None

    def __post_init__(self) -> None:
        check_positive(n_dis=self.n_dis)


@dataclass(frozen=True, kw_only=True)
class Selection(MethodSelection):
    """The settings of a search space that are trained, and the number of seeds."""

    settings: Annotated[
        int | None, typer.Option(help="Only the first N settings of each method.  [default: all]", metavar="N")
    ] = None
    seeds: Annotated[
        int | None, typer.Option(help="Train each setting with seeds 0 to N-1.  [default: the space's]", metavar="N")
    ] = None

    def __post_init__(self) -> None:
        check_positive(settings=self.settings, seeds=self.seeds, n_dis=self.n_dis)


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The size of the networks and of their batches, and the precision of training."""

    panel: ClassVar = TRAINED

    width: Annotated[
        int | None,
        typer.Option(help="Unit of the networks' channel counts; 64 in the study.  [default: the dataset's]"),
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option(help="Images per batch; 64 in the study.  [default: the space's, else the dataset's]"),
    ] = None
    latent_dim: Annotated[
        int | None,
        typer.Option(help="Dimension of the latent vectors; 128 in the study.  [default: the space's or dataset's]"),
    ] = None
    precision: Annotated[
        str,
        one_of(
            PRECISIONS,
            help="Precision of training; part of a trial's identity. tf32 needs a GPU, bfloat16 a device with bfloat16 "
            "instructions.",
        ),
    ] = FLOAT32

    def __post_init__(self) -> None:
        check_positive(width=self.width, batch_size=self.batch_size, latent_dim=self.latent_dim)
        look_up("--precision", self.precision, PRECISIONS)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(NetworkOptions):
    """The training settings that all trials of a study share."""

    discriminator_steps: Annotated[
        int | None,
        typer.Option(help="Length of a trial in discriminator updates.  [default: the dataset's]", metavar="N"),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(discriminator_steps=self.discriminator_steps)


SAMPLERS = ("gp-bucb", "tpe", "gp", "qmc", "random")
"""Names of the samplers that propose settings; see `study.driver.search.samplers`."""


LARGEST_SEARCH = 10_000
"""Maximum number of trials of a search (120 in the paper); a larger Gaussian process does not fit in memory."""


@dataclass(frozen=True, kw_only=True)
class SearchBudget:
    """The size of each search."""

    panel: ClassVar = SEARCHED

    rounds: Annotated[int, typer.Option(help="Rounds of each search; 12 in the paper.", metavar="N")] = 12
    trials_per_round: Annotated[
        int, typer.Option(help="Trials per round of a search; 10 in the paper.", metavar="N")
    ] = 10

    def __post_init__(self) -> None:
        check_positive(rounds=self.rounds, trials_per_round=self.trials_per_round)
        if self.trials > LARGEST_SEARCH:
            raise InputError(
                f"--rounds {self.rounds}: with --trials-per-round {self.trials_per_round}, a search has {self.trials:,}"
                f" trials; must be {LARGEST_SEARCH:,} or fewer."
            )

    @property
    def trials(self) -> int:
        """Number of trials of one search, over all its rounds."""
        return self.rounds * self.trials_per_round


@dataclass(frozen=True, kw_only=True)
class SearchOptions(SearchBudget):
    """The options of all searches of a run. A later run with more rounds continues the same searches."""

    sampler: Annotated[str, one_of(SAMPLERS, help="Sampler that proposes the settings of a round.")] = SAMPLERS[0]
    seed: Annotated[int, typer.Option(help="Seed of the proposals, and of weights and latents of their trials.")] = 0
    stop_early: Annotated[
        bool,
        typer.Option("--stop-early", help="Stop trials at checkpoints where other trials of the search did better."),
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: must be 0 or more.")
        look_up("--sampler", self.sampler, {name: name for name in SAMPLERS})
