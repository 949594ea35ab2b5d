"""`study datasets`: list the datasets."""

from typing import TYPE_CHECKING

import typer

from study.cli import options
from study.core.errors import InputError
from study.core.output import show
from study.driver.request import DataFolder

if TYPE_CHECKING:
    from study.data.dataset import Dataset

app = typer.Typer()


@app.command(epilog="Example: `study datasets`")
@options.spread
def datasets(*, folder: DataFolder) -> None:
    """List the datasets: their default settings, whether they are prepared, and the command that prepares them."""
    from study import data
    from study.data import user

    path = data.data_dir(folder.data_dir)
    for name, dataset in data.all_datasets(path).items():
        ready = data.is_ready(name, path)
        size = size_in_bytes(data.size_on_disk(name, path))
        show(f"{name}  ({'embedded' if dataset.embedded else f'{size} in {path}' if ready else 'not prepared'})")
        show(f"    {dataset.description}")
        show(f"    {defaults_line(dataset)}")
        if not ready:
            show(f"    {data.prepare_command(name, path)}")
    for name, found in user.registered(path).items():
        if isinstance(found, InputError) and name not in data.built_in():
            show(f"{name}  (damaged)", f"    {found}")


def defaults_line(dataset: "Dataset") -> str:
    """The default settings of a dataset in one line."""
    steps = f"{dataset.discriminator_steps:,} D updates, scored every {dataset.checkpoint_every:,}"
    return f"{dataset.architecture} of width {dataset.width}, {steps} by {dataset.extractor}"


def size_in_bytes(size: int) -> str:
    """A number of bytes in MB or GB, with the unit."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
