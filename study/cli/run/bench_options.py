"""The options of `study bench`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from study.core.errors import InputError, look_up
from study.core.trial import FLOAT32, PRECISIONS
from study.driver.request import RESOURCES_PANEL, SCORING_PANEL, TRAINING_PANEL, check_positive, one_of

AUTO = "auto"
"""Value of --pack that measures which pack size is fastest."""


@dataclass(frozen=True, kw_only=True)
class CaseOptions:
    """The networks and the device to measure; None leaves a field at its value in the standard table."""

    panel: ClassVar = TRAINING_PANEL

    architecture: Annotated[
        str | None, typer.Option(help="Architecture of both networks.  [default: resnet_cifar]")
    ] = None
    method: Annotated[
        str | None,
        typer.Option(help="One method, written as in --methods of `study run`.  [default: spectral_norm]"),
    ] = None
    resolution: Annotated[
        int | None,
        typer.Option(help="Height and width of the images in pixels.  [default: from the architecture]", metavar="N"),
    ] = None
    width: Annotated[
        int | None,
        typer.Option(
            help="Base number of channels of the networks.  [default: 64; with --scoring from the dataset]", metavar="N"
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option(help="Images per batch.  [default: 64; with --scoring from the dataset]", metavar="N"),
    ] = None
    latent_dim: Annotated[
        int | None,
        typer.Option(
            help="Dimension of the latent vectors.  [default: 128; with --scoring from the dataset]", metavar="N"
        ),
    ] = None
    n_dis: Annotated[
        int | None, typer.Option(help="Discriminator updates per generator update.  [default: 5]", metavar="N")
    ] = None
    precision: Annotated[
        str,
        one_of(
            PRECISIONS,
            help="Floating-point precision of training. tf32 needs a GPU, and bfloat16 a device with bfloat16 "
            "instructions.",
        ),
    ] = FLOAT32
    pack: Annotated[
        str | None,
        typer.Option(
            help="Number of trials that one program trains together; `auto` measures which number is fastest, for "
            "`study run --pack auto`.  [default: 1]",
            metavar="auto|N",
            rich_help_panel=RESOURCES_PANEL,
        ),
    ] = None
    device: Annotated[
        str | None,
        typer.Option(
            help="Device to measure.  [default: cpu]", metavar="cpu|cuda|cuda:N", rich_help_panel=RESOURCES_PANEL
        ),
    ] = None
    threads: Annotated[
        int | None,
        typer.Option(
            help="Number of CPU threads. With more than one, the wall time is measured instead of the CPU time.  "
            "[default: 1]",
            metavar="N",
            rich_help_panel=RESOURCES_PANEL,
        ),
    ] = None

    def __post_init__(self) -> None:
        check_positive(width=self.width, batch_size=self.batch_size, latent_dim=self.latent_dim, n_dis=self.n_dis)
        look_up("--precision", self.precision, PRECISIONS)

    def changes(self) -> dict[str, Any]:
        """The fields of a `study.training.bench.cases.Case` that the user gave, by name.

        Raises:
            InputError: --pack is neither AUTO nor a whole number from 1.
        """
        given = {name: value for name, value in vars(self).items() if value is not None}
        if self.precision == FLOAT32:
            del given["precision"]
        if self.pack == AUTO:
            del given["pack"]
        elif self.pack is not None:
            given["pack"] = self._pack_size(self.pack)
        return given

    @staticmethod
    def _pack_size(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise InputError(f"--pack {text}: must be {AUTO}, or a whole number from 1.")
        return int(text)


@dataclass(frozen=True, kw_only=True)
class ScoringCaseOptions:
    """What `study bench --scoring` scores; None means the default of the dataset."""

    panel: ClassVar = SCORING_PANEL

    dataset: Annotated[
        str | None,
        typer.Option(help="Only with --scoring: dataset of the scored images.  [default: digits]", metavar="NAME"),
    ] = None
    extractor: Annotated[
        str | None,
        typer.Option(help="Only with --scoring: feature network.  [default: from the dataset]", metavar="NAME"),
    ] = None
    extractor_weights: Annotated[
        Path | None,
        typer.Option(help="Only with --scoring: weights file of the feature network.", metavar="FILE"),
    ] = None
    checkpoint_every: Annotated[
        int | None,
        typer.Option(
            help="Only with --scoring: discriminator updates between two checkpoints.  [default: from the dataset]",
            metavar="N",
        ),
    ] = None

    def __post_init__(self) -> None:
        check_positive(checkpoint_every=self.checkpoint_every)
