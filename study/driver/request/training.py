"""Options of training (methods, settings, network size, number of steps) and of searches."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from study.core.errors import InputError, look_up
from study.core.trial import FLOAT32, PRECISIONS, integer
from study.driver.request.declare import SEARCH_PANEL, TRAINING_PANEL, check_positive, one_of


@dataclass(frozen=True, kw_only=True)
class MethodSelection:
    """Which methods of a search space to train, and with which architecture."""

    panel: ClassVar = TRAINING_PANEL

    architecture: Annotated[
        str | None, typer.Option(help="Architecture of both networks.  [default: from the dataset or the space]")
    ] = None
    methods: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated methods (see `study methods`). Join the parts of a method with +, as in "
            "`none,spectral_norm+dragan`; write options in brackets, as in `dragan[dragan_noise=gaussian]`.  "
            "[default: from the space]",
            metavar="METHOD,...",
        ),
    ] = None
    n_dis: Annotated[
        int | None,
        typer.Option(help="Train only settings with N discriminator updates per generator update.", metavar="N"),
    ] = None

    def __post_init__(self) -> None:
        check_positive(n_dis=self.n_dis)


@dataclass(frozen=True, kw_only=True)
class Selection(MethodSelection):
    """Which settings of a search space to train, and with how many seeds."""

    settings: Annotated[
        int | None, typer.Option(help="Train only the first N settings of each method.  [default: all]", metavar="N")
    ] = None
    seeds: Annotated[
        int | None, typer.Option(help="Train each setting with seeds 0 to N-1.  [default: from the space]", metavar="N")
    ] = None

    def __post_init__(self) -> None:
        check_positive(settings=self.settings, seeds=self.seeds, n_dis=self.n_dis)


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The size of the networks and of a batch, and the floating-point precision of training."""

    panel: ClassVar = TRAINING_PANEL

    width: Annotated[
        int | None,
        typer.Option(
            help="Base number of channels of the networks; 64 in the paper.  [default: from the space or the dataset]",
            metavar="N",
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option(help="Images per batch; 64 in the paper.  [default: from the space or the dataset]", metavar="N"),
    ] = None
    latent_dim: Annotated[
        int | None,
        typer.Option(
            help="Dimension of the latent vectors; 128 in the paper.  [default: from the space or the dataset]",
            metavar="N",
        ),
    ] = None
    precision: Annotated[
        str,
        one_of(
            PRECISIONS,
            help="Floating-point precision of training; part of the trial id. tf32 needs a GPU, and bfloat16 a device "
            "with bfloat16 instructions.",
        ),
    ] = FLOAT32

    def __post_init__(self) -> None:
        check_positive(width=self.width, batch_size=self.batch_size, latent_dim=self.latent_dim)
        look_up("--precision", self.precision, PRECISIONS)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(NetworkOptions):
    """Training options that all trials of a study share."""

    discriminator_steps: Annotated[
        int | None,
        typer.Option(help="Number of discriminator updates per trial.  [default: from the dataset]", metavar="N"),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(discriminator_steps=self.discriminator_steps)


SAMPLERS = ("gp-bucb", "tpe", "gp", "qmc", "random")
"""Names of the samplers of `study.driver.search.samplers`; the first one is the default."""


LARGEST_SEARCH = 10_000
"""Maximum number of trials per search; a Gaussian process with more does not fit in memory. The paper uses 120."""


@dataclass(frozen=True, kw_only=True)
class SearchBudget:
    """The number of trials of each search."""

    panel: ClassVar = SEARCH_PANEL

    rounds: Annotated[int, typer.Option(help="Number of rounds per search; 12 in the paper.", metavar="N")] = 12
    trials_per_round: Annotated[
        int, typer.Option(help="Number of trials that each search proposes per round; 10 in the paper.", metavar="N")
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
        """Number of trials of one search over all its rounds."""
        return self.rounds * self.trials_per_round


@dataclass(frozen=True, kw_only=True)
class SearchOptions(SearchBudget):
    """Options that all searches of a run share. A later run with more rounds continues the same searches."""

    sampler: Annotated[str, one_of(SAMPLERS, help="Sampler that proposes the settings of each round.")] = SAMPLERS[0]
    seed: Annotated[
        int, typer.Option(help="Seed of the proposals, and of the weights and latents of the proposed trials.")
    ] = 0
    stop_early: Annotated[
        bool,
        typer.Option(
            "--stop-early",
            help="Stop poor trials early, by successive halving (ASHA) among the trials of their search.",
        ),
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        integer("--seed", self.seed, 0)
        look_up("--sampler", self.sampler, {name: name for name in SAMPLERS})
