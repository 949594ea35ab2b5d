"""`study sample`: draw images from a saved generator."""

from pathlib import Path
from typing import Annotated

import typer

from study.cli import options
from study.cli.run.train import SAMPLES
from study.core.errors import InputError
from study.core.output import show
from study.core.text import plural
from study.driver.request import ResultsFolder

app = typer.Typer()


@app.command(epilog="Example: `study sample 5a1a24bbbb04a43d --n 100`")
@options.keeps("No image was written")
@options.spread
def sample(
    trial_id: Annotated[
        str, typer.Argument(help="Id of a finished trial, as in trials.parquet; the first digits are enough.")
    ],
    *,
    n: Annotated[int, typer.Option(help="Number of images.", metavar="N")] = SAMPLES,
    seed: Annotated[int, typer.Option(help="Seed of the latents.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(help="PNG file to write.  [default: samples.png in the folder of the generator]", metavar="FILE"),
    ] = None,
    folder: ResultsFolder,
) -> None:
    """Draw images from the best saved generator of a trial, as one grid."""
    results = folder.results
    if n < 1:
        raise InputError(f"--n {n}: must be 1 or more.")
    from study.storage.layout import generator_path
    from study.storage.tables import statuses
    from study.worker.checkpoint import load_generator, resolve_trial
    from study.worker.image_grid import fixed_latents, save_grid

    kept = generator_path(results, resolve_trial(results, trial_id, {known for known, _ in statuses(results)}))
    generator = load_generator(kept)
    path = output or kept.with_name("samples.png")
    try:
        save_grid(path, generator(fixed_latents(n, generator.trial.training.latent_dim, seed)))
    except OSError as error:
        raise InputError(f"--output {path}: cannot be written ({error.strerror}); choose another file.") from error
    show(f"{n} {plural(n, 'image')} of {generator.trial.method.name} at step {generator.step}: {path}")
