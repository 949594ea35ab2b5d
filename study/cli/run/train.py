"""`study train`: train and score one trial in this process."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from study.cli import options, session
from study.core.output import show
from study.core.trial import Hyperparameters, Method
from study.driver.request import (
    DETERMINISTIC,
    TRAINING_PANEL,
    CheckpointOptions,
    Folders,
    KeepOptions,
    Request,
    RunningOptions,
    ScoringOptions,
    TrainingOptions,
)

if TYPE_CHECKING:
    from study.driver.planning.planned import Planned
    from study.training.loop import Checkpoint
    from study.worker.snapshot import Snapshot

SAMPLES = 64
"""Default number of images in a grid of samples."""

app = typer.Typer()


@dataclass(frozen=True, kw_only=True)
class SettingOptions:
    """One method with its hyperparameters."""

    panel: ClassVar = TRAINING_PANEL

    architecture: Annotated[
        str | None, typer.Option(help="Architecture of both networks.  [default: from the dataset]")
    ] = None
    loss: Annotated[str, typer.Option(help="Loss of both networks.")] = "non_saturating"
    normalization: Annotated[
        str | None, typer.Option(help="Normalization of the discriminator; join several with +.  [default: none]")
    ] = None
    penalty: Annotated[str | None, typer.Option(help="Penalty added to the discriminator's loss.  [default: none]")] = (
        None
    )
    penalty_weight: Annotated[
        float | None,
        typer.Option(help="Weight of the penalty (lambda); 1 or 10 in the paper. Required with --penalty."),
    ] = None
    constraint: Annotated[
        str | None, typer.Option(help="Constraint on the weights or gradients of the discriminator.  [default: none]")
    ] = None
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="Option of the method; `study methods` lists all options. Can be repeated.", metavar="NAME=VALUE"
        ),
    ] = None
    learning_rate: Annotated[float, typer.Option(help="Learning rate of both networks.")] = 2e-4
    beta1: Annotated[float, typer.Option(help="First decay rate of Adam, at least 0 and below 1.")] = 0.5
    beta2: Annotated[float, typer.Option(help="Second decay rate of Adam, at least 0 and below 1.")] = 0.999
    n_dis: Annotated[int, typer.Option(help="Discriminator updates per generator update.")] = 1
    seed: Annotated[int, typer.Option(help="Seed of the initial weights and of the latents.")] = 0

    def method(self, architecture: str) -> Method:
        """The method; `architecture` is the default one.

        Raises:
            InputError: a name is unknown, or the parts do not fit together.
        """
        from study.gan.methods.menu import members, parse_option

        method = Method(
            architecture=self.architecture or architecture,
            loss=self.loss,
            normalizations=tuple(self.normalization.split("+")) if self.normalization else (),
            penalty=self.penalty,
            constraint=self.constraint,
            options=tuple(parse_option(text) for text in self.option or ()),
        )
        members(method)  # checks the names and the combination
        return method

    @property
    def hyperparameters(self) -> Hyperparameters:
        """The hyperparameters; raises InputError if a number is out of range."""
        return Hyperparameters(
            learning_rate=self.learning_rate,
            beta1=self.beta1,
            beta2=self.beta2,
            n_dis=self.n_dis,
            penalty_weight=self.penalty_weight,
        )


@app.command(
    epilog="Example: `study train --normalization spectral_norm --learning-rate 1e-3 --beta2 0.9 --n-dis 5 --seed 1`"
)
@options.keeps("The trial continues from its last saved state, if there is one")
@options.spread
def train(
    *,
    dataset: options.Dataset = "digits",
    setting: SettingOptions,
    training: TrainingOptions,
    scoring: ScoringOptions,
    checkpoints: CheckpointOptions,
    keep: KeepOptions,
    folders: Folders,
    deterministic: Annotated[bool, DETERMINISTIC] = False,
) -> None:
    """Train and score one trial in this process, and save a grid of generated images at each checkpoint."""
    from study import data
    from study.driver.planning import plan
    from study.worker.execute import best_device

    request = Request(
        datasets=[dataset],
        folders=folders,
        training=training,
        scoring=scoring,
        checkpoints=checkpoints,
        keep=keep,
        running=RunningOptions(deterministic=deterministic),
    )
    method = setting.method(data.get(dataset, request.data_dir).architecture)
    hyperparameters = setting.hyperparameters
    session.check_precision(training.precision, best_device())
    planned = plan.plan_trial(request, method, hyperparameters, setting.seed)
    with session.opened(request.results):
        if todo := plan.pending([planned], request.results, retry_failed=True):
            status = _train(todo[0])
        else:
            show(f"trial {planned.trial.id} is already finished:")
            status = _show_evaluations(request.results, planned.key)
    if status == "failed":
        raise typer.Exit(session.FAILED_EXIT)


def _train(planned: "Planned") -> str:
    """Train the trial and print its scores as they come; returns its status."""
    from study.storage.layout import trial_folder
    from study.storage.memberships import add_memberships
    from study.storage.schema import score_label
    from study.worker.execute import best_device, execute
    from study.worker.image_grid import fixed_latents, save_grid

    trial, context = planned.trial, planned.context
    folder = trial_folder(context.results, trial.id)
    label = score_label(vars(context.protocol))
    device = best_device()
    latents = fixed_latents(SAMPLES, trial.training.latent_dim).to(device)
    add_memberships(context.results, "train", trial.dataset, [trial])
    show(f"trial {trial.id}: {trial.method.name} on {trial.dataset}, {trial.training.discriminator_steps} D updates")

    def show_checkpoint(checkpoint: "Checkpoint", _: "Snapshot") -> None:
        state, step = checkpoint.state, checkpoint.evaluation.discriminator_step
        images = checkpoint.gan.sample(state.generator, state.generator_buffers, latents)
        save_grid(folder / f"samples-{step:06}.png", images)
        show(_evaluation_line(label, vars(checkpoint.evaluation)))

    if planned.kept:
        show("already trained; scoring its saved generator")
    outcome = execute(trial, context, device, show_checkpoint, kept=planned.kept)
    if planned.kept and outcome.best_frechet_distance is not None:
        show(f"{label} {outcome.best_frechet_distance:.2f}")
    show(f"{': '.join(filter(None, (outcome.status, outcome.reason)))} in {outcome.seconds:.1f} s; images: {folder}")
    return outcome.status


def _evaluation_line(label: str, row: dict[str, Any]) -> str:
    losses = (f"{name} {row[key]:.3f}" for name, key in _LOSSES if row[key] is not None)
    return f"step {row['discriminator_step']:6}  {label} {row['frechet_distance']:8.2f}  {'  '.join(losses)}"


_LOSSES = (("D loss", "discriminator_loss"), ("G loss", "generator_loss"), ("penalty", "penalty"))


def _show_evaluations(results: Path, key: tuple[str, str]) -> str:
    """Print the scores and the status of a finished trial from its rows; returns the status."""
    from study.storage.schema import score_label
    from study.storage.tables import rows_of

    (row,) = rows_of(results, "trials", key)
    for evaluation in rows_of(results, "evaluations", key):
        show(_evaluation_line(score_label(row), evaluation))
    show(": ".join(filter(None, (row["status"], row["reason"]))))
    return str(row["status"])
