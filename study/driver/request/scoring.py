"""Options of scoring, and of what a trial saves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from study.core.context import BEST, KEEPS
from study.core.errors import look_up
from study.core.evaluation import PROTOCOLS, STUDY
from study.core.trial import FLOAT32
from study.driver.request.declare import KEEP_PANEL, SCORING_PANEL, check_positive, completer, one_of


@dataclass(frozen=True, kw_only=True)
class FeatureOptions:
    """The features that a Frechet distance is computed from."""

    panel: ClassVar = SCORING_PANEL

    extractor: Annotated[
        str | None, typer.Option(help="Feature network that scores are computed from.  [default: from the dataset]")
    ] = None
    extractor_weights: Annotated[
        Path | None, typer.Option(help="Weights file of the feature network; its hash is recorded.", metavar="FILE")
    ] = None
    n_real: Annotated[
        int | None, typer.Option(help="Number of real images per score.  [default: from the protocol]", metavar="N")
    ] = None
    n_fake: Annotated[
        int | None,
        typer.Option(help="Number of generated images per score.  [default: from the protocol]", metavar="N"),
    ] = None
    feature_precision: Annotated[
        str,
        one_of(
            (FLOAT32, "bfloat16"),
            help="Floating-point precision of the feature network; a score in bfloat16 is not called FID.",
        ),
    ] = FLOAT32


@dataclass(frozen=True, kw_only=True)
class ScoringOptions(FeatureOptions):
    """How generated images are scored: the metric protocol and the metrics."""

    protocol: Annotated[
        str,
        one_of(
            PROTOCOLS, help="Metric protocol: which and how many images are compared; `study` is the one of the paper."
        ),
    ] = STUDY
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated metrics to compute in addition to the Frechet distance: is, modes, kid, prc, "
            "ms_ssim, infinity; or all, or none.  [default: is,modes if the feature network is a classifier]",
            metavar="NAME,...",
            autocompletion=completer(lambda: ("is", "modes", "kid", "prc", "ms_ssim", "infinity", "all", "none")),
        ),
    ] = None
    kid_subset: Annotated[
        int | None, typer.Option(help="Subset size of the KID, in images.  [default: at most 1,000]", metavar="N")
    ] = None


CHECKPOINT_EVERY: Any = typer.Option(
    help="Score a trial every N discriminator updates, and at its end.  [default: a multiple of the dataset's interval "
    "that gives at most about 10 scores per trial]",
    metavar="N",
    rich_help_panel=SCORING_PANEL,
)


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions:
    """When a trial is scored, and what else each checkpoint records."""

    panel: ClassVar = SCORING_PANEL

    checkpoint_every: Annotated[int | None, CHECKPOINT_EVERY] = None
    operator_norms: Annotated[
        bool,
        typer.Option(
            "--operator-norms", help="Record the operator norm of each discriminator layer at every checkpoint."
        ),
    ] = False

    def __post_init__(self) -> None:
        check_positive(checkpoint_every=self.checkpoint_every)


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions:
    """Which generators a trial saves."""

    panel: ClassVar = KEEP_PANEL

    keep: Annotated[
        str,
        one_of(
            KEEPS,
            help="Generators to save per trial: none, the one with the best score, or one per checkpoint.",
        ),
    ] = BEST

    def __post_init__(self) -> None:
        look_up("--keep", self.keep, KEEPS)


@dataclass(frozen=True, kw_only=True)
class KeepOptions(GeneratorOptions):
    """What a trial saves in the results folder besides its rows."""

    keep_states: Annotated[
        bool,
        typer.Option(
            "--keep-states",
            help="Save the final training state of each trial, so that longer trials can continue from it; 2 to 400 MB "
            "per trial.",
        ),
    ] = False
