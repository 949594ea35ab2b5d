"""The commands beside `run` and `report`: single trials, samples and menus."""

from pathlib import Path
from typing import Annotated, Any

import typer

from study import cli, options, session
from study.names import InputError

SAMPLES = 64


@cli.app.command(
    epilog="Example: `study train --normalization spectral_norm --learning-rate 1e-3 --beta2 0.9 --n-dis 5 --seed 1`"
)
def train(
    dataset: options.OneDataset = "digits",
    architecture: options.Architecture = None,
    loss: Annotated[str, typer.Option(help="The objective of both networks.")] = "non_saturating",
    normalization: Annotated[
        str | None, typer.Option(help="What is normalised in the discriminator; several joined by a plus.")
    ] = None,
    penalty: Annotated[str | None, typer.Option(help="A term added to the discriminator's loss.")] = None,
    penalty_weight: Annotated[float | None, typer.Option(help="Its weight, lambda; 1 and 10 in the study.")] = None,
    constraint: Annotated[str | None, typer.Option(help="What is done to D's weights or gradients.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="An option of the method; `study methods` lists them.", metavar="NAME=VALUE"),
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Of both networks.")] = 2e-4,
    beta1: Annotated[float, typer.Option(help="Adam's first decay rate, from 0 to below 1.")] = 0.5,
    beta2: Annotated[float, typer.Option(help="Adam's second decay rate, from 0 to below 1.")] = 0.999,
    n_dis: Annotated[int, typer.Option(help="D updates per G update.")] = 1,
    discriminator_steps: options.Steps = None,
    seed: Annotated[int, typer.Option(help="Of weights and latents.")] = 0,
    extractor: options.ExtractorName = None,
    extractor_weights: options.Weights = None,
    n_real: options.NReal = None,
    n_fake: options.NFake = None,
    protocol: options.Protocol = "study",
    metrics: options.Metrics = None,
    kid_subset: options.KidSubset = None,
    feature_precision: options.FeaturePrecision = "float32",
    operator_norms: options.OperatorNorms = False,
    keep_states: options.KeepStates = False,
    keep: options.Keep = "best",
    results: options.Results = Path("results"),
    data_dir: options.DataDir = None,
    deterministic: options.Deterministic = False,
    precision: options.Precision = "float32",
) -> None:
    """Train one trial in this process, and keep a grid of images at each scored checkpoint."""
    from study import data, plan
    from study.device import check_precision
    from study.execute import best_device
    from study.gan.methods import members, parse_option
    from study.trial import Hyperparameters, Method

    method = Method(
        architecture=architecture or data.get(dataset, data_dir).architecture,
        loss=loss,
        normalizations=tuple(normalization.split("+")) if normalization else (),
        penalty=penalty,
        constraint=constraint,
        options=tuple(parse_option(text) for text in option or ()),
    )
    members(method)  # raises where it makes no sense
    hyperparameters = Hyperparameters(
        learning_rate=learning_rate, beta1=beta1, beta2=beta2, n_dis=n_dis, penalty_weight=penalty_weight
    )
    request = cli.make_request(
        [dataset],
        results,
        data_dir,
        discriminator_steps=discriminator_steps,
        extractor=extractor,
        extractor_weights=extractor_weights,
        n_real=n_real,
        n_fake=n_fake,
        protocol=protocol,
        metrics=metrics,
        kid_subset=kid_subset,
        feature_precision=feature_precision,
        operator_norms=operator_norms,
        keep_states=keep_states,
        keep=keep,
        deterministic=deterministic,
        precision=precision,
    )
    check_precision(precision, best_device())
    planned = plan.plan_trial(request, method, hyperparameters, seed)
    with session.opened(request.results):
        if todo := plan.pending([planned], request.results, retry_failed=True):
            status = _train(todo[0])
        else:
            print(f"trial {planned.trial.id} is done already:")
            status = _show_evaluations(request.results, planned.key)
    if status == "failed":
        raise typer.Exit(session.FAILED_EXIT)


def _train(planned: Any) -> str:
    from study.execute import best_device, execute
    from study.memberships import add_memberships
    from study.results import trial_folder
    from study.rows import score_label
    from study.samples import fixed_latents, save_grid

    trial, context = planned.trial, planned.context
    folder = trial_folder(context.results, trial.id)
    label = score_label(vars(context.protocol))
    device = best_device()
    latents = fixed_latents(SAMPLES, trial.training.latent_dim).to(device)
    add_memberships(context.results, "train", trial.dataset, [trial])
    print(f"trial {trial.id}: {trial.method.name} on {trial.dataset}, {trial.training.discriminator_steps} D updates")

    def show(checkpoint: Any, _: Any) -> None:
        state, step = checkpoint.state, checkpoint.evaluation.discriminator_step
        images = checkpoint.gan.sample(state.generator, state.generator_buffers, latents)
        save_grid(folder / f"samples-{step:06}.png", images)
        print(_evaluation_line(label, vars(checkpoint.evaluation)), flush=True)

    if planned.kept:
        print("it stands here under another protocol: its kept generator is scored")
    outcome = execute(trial, context, device, show, kept=planned.kept)
    if planned.kept and outcome.best_frechet_distance is not None:
        print(f"{label} {outcome.best_frechet_distance:.2f}")
    print(f"{': '.join(filter(None, (outcome.status, outcome.reason)))} in {outcome.seconds:.1f} s; images: {folder}")
    return outcome.status


def _evaluation_line(label: str, row: dict[str, Any]) -> str:
    losses = (f"{name} {row[key]:.3f}" for name, key in _LOSSES if row[key] is not None)
    return f"step {row['discriminator_step']:6}  {label} {row['frechet_distance']:8.2f}  {'  '.join(losses)}"


_LOSSES = (("D loss", "discriminator_loss"), ("G loss", "generator_loss"), ("penalty", "penalty"))


def _show_evaluations(results: Path, key: tuple[str, str]) -> str:
    """Print a finished trial from its rows; returns its status."""
    from study.results import rows_of
    from study.rows import score_label

    (row,) = rows_of(results, "trials", key)
    for evaluation in rows_of(results, "evaluations", key):
        print(_evaluation_line(score_label(row), evaluation))
    print(": ".join(filter(None, (row["status"], row["reason"]))))
    return str(row["status"])


@cli.app.command(epilog="Example: `study sample 5a1a24bbbb04a43d --n 100`")
def sample(
    trial_id: Annotated[str, typer.Argument(help="A finished trial, as in trials.parquet; its first digits suffice.")],
    n: Annotated[int, typer.Option(help="How many images.")] = SAMPLES,
    seed: Annotated[int, typer.Option(help="Of the latents.")] = 0,
    output: Annotated[Path | None, typer.Option(help="The PNG.  [default: samples.png beside the generator]")] = None,
    results: options.Results = Path("results"),
) -> None:
    """Draw images from the best generator that a trial kept."""
    found = sorted(results.glob(f"states/{trial_id[:2]}/{trial_id}*/generator.pt")) if trial_id.isalnum() else []
    if len(found) != 1:
        what = f"{len(found)} generators are kept under this id" if found else "no generator is kept under this id"
        raise InputError(f"TRIAL_ID {trial_id}: {what} in {results}; ids stand in {results / 'trials.parquet'}.")
    if n < 1:
        raise InputError(f"--n {n}: must be 1 or more.")
    from study.checkpoint import load_generator
    from study.samples import fixed_latents, save_grid

    generator = load_generator(found[0])
    path = output or found[0].with_name("samples.png")
    try:
        save_grid(path, generator(fixed_latents(n, generator.trial.training.latent_dim, seed)))
    except OSError as error:
        raise InputError(f"--output {path}: cannot be written ({error.strerror}); choose another file.") from error
    print(f"{n} images of {generator.trial.method.name} at step {generator.step}: {path}")


@cli.app.command(epilog="Example: `study methods --sizes`")
def methods(
    sizes: Annotated[bool, typer.Option("--sizes", help="Add the parameter counts of the architectures.")] = False,
) -> None:
    """List the menus that a method is made of, each member with its source and its options."""
    from study.gan.architectures import ARCHITECTURES, parameter_counts
    from study.gan.methods import MENUS
    from study.trial import option_word

    for title, menu in {"architecture": ARCHITECTURES, **MENUS}.items():
        print(f"--{title}")
        for name, member in sorted(menu.items()):
            print(f"    {name}: {member.description}")
            for option, declared in member.options.items():
                value = f"{option}={option_word(declared.default)}"
                print(f"        --option {value}: {declared.description}; {declared.allowed}")
    if sizes:
        print("parameters at width 64, RGB:")
        print(f"    {'architecture':14} {'px':>4} {'G':>10} {'D':>10}")
        for name, architecture in sorted(ARCHITECTURES.items()):
            for resolution in architecture.study_sizes:
                generator, discriminator = parameter_counts(name, resolution)
                print(f"    {name:14} {resolution:4} {generator:10} {discriminator:10}")
