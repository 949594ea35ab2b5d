"""Options for scoring, checkpoints, and what trials keep."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from study.core.context import BEST, KEEPS
from study.core.errors import look_up
from study.core.evaluation import PROTOCOLS, STUDY
from study.core.trial import FLOAT32
from study.driver.request.declare import KEPT, SCORED, check_positive, completing, one_of


@dataclass(frozen=True, kw_only=True)
class FeatureOptions:
    """What scores are computed from."""

    panel: ClassVar = SCORED

    extractor: Annotated[
        str | None, typer.Option(help="Feature network that scores are computed from.  [default: the dataset's]")
    ] = None
    extractor_weights: Annotated[
        Path | None, typer.Option(help="Weights file for the extractor; its hash is recorded.", metavar="FILE")
    ] = None
    n_real: Annotated[
        int | None, typer.Option(help="Number of real images for a score.  [default: the protocol's]", metavar="N")
    ] = None
    n_fake: Annotated[
        int | None, typer.Option(help="Number of generated images for a score.  [default: the protocol's]", metavar="N")
    ] = None
    feature_precision: Annotated[
        str,
        one_of((FLOAT32, "bfloat16"), help="Precision of the feature network; in bfloat16 no score is called an FID."),
    ] = FLOAT32


@dataclass(frozen=True, kw_only=True)
class ScoringOptions(FeatureOptions):
    """How generated images are scored."""

    protocol: Annotated[
        str, one_of(PROTOCOLS, help="Metric protocol: which images are compared; `study` is the paper's.")
    ] = STUDY
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Metrics in addition to the Frechet distance, separated by commas: is, modes, kid, prc, ms_ssim, "
            "infinity; or all, or none.  [default: is and modes, if the extractor has classes]",
            metavar="NAME,...",
            autocompletion=completing(lambda: ("is", "modes", "kid", "prc", "ms_ssim", "infinity", "all", "none")),
        ),
    ] = None
    kid_subset: Annotated[
        int | None,
        typer.Option(help="Number of images per subset of the KID.  [default: at most 1,000]", metavar="N"),
    ] = None


CHECKPOINT_EVERY: Any = typer.Option(
    help="Score a trial every N discriminator updates, and at its end.  [default: the dataset's interval, or a "
    "multiple of it, so that a trial is scored at most about 10 times]",
    metavar="N",
    rich_help_panel=SCORED,
)


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions:
    """When a trial is scored, and what else is recorded at checkpoints."""

    panel: ClassVar = SCORED

    checkpoint_every: Annotated[int | None, CHECKPOINT_EVERY] = None
    operator_norms: Annotated[
        bool,
        typer.Option("--operator-norms", help="Record the operator norm of each discriminator layer at checkpoints."),
    ] = False

    def __post_init__(self) -> None:
        check_positive(checkpoint_every=self.checkpoint_every)


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions:
    """Which generators a trial keeps."""

    panel: ClassVar = KEPT

    keep: Annotated[
        str,
        one_of(
            KEEPS,
            help="Generators that a trial keeps: none, the one with the best score, or one per checkpoint.",
        ),
    ] = BEST

    def __post_init__(self) -> None:
        look_up("--keep", self.keep, KEEPS)


@dataclass(frozen=True, kw_only=True)
class KeepOptions(GeneratorOptions):
    """What a trial keeps in the results folder in addition to its rows."""

    keep_states: Annotated[
        bool,
        typer.Option(
            "--keep-states",
            help="Keep the last training state of each trial, so that longer trials can continue from it; 2 to 400 MB "
            "per trial.",
        ),
    ] = False
