"""`study spaces`: list the search spaces with their sizes per dataset, or the settings of one space."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli import options
from study.core.errors import InputError
from study.core.output import show
from study.core.text import aligned, plural
from study.driver.request import DataFolder, Selection

if TYPE_CHECKING:
    from search_spaces import SearchSpace
    from study.data.dataset import Dataset
    from study.driver.spaces.expand import ExpandedSetting

COLUMNS = ("architecture", "method", "learning_rate", "beta1", "beta2", "n_dis", "penalty_weight", "seeds")


app = typer.Typer()


@app.command(epilog="Examples: `study spaces --dataset cifar10`, `study spaces published --dataset cifar10`")
@options.spread
def spaces(
    name: Annotated[
        str | None, typer.Argument(help="A search space, or the path of your own file, to show its settings.")
    ] = None,
    *,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="A dataset; see `study datasets`.  [default: all datasets; with a space, the first that it fits]",
            metavar="NAME",
        ),
    ] = None,
    folder: DataFolder,
) -> None:
    """List the search spaces with their sources and sizes, or the settings of one space."""
    import search_spaces
    from study import data
    from study.driver.spaces import user_space

    path = data.data_dir(folder.data_dir)
    datasets = {dataset: data.get(dataset, path)} if dataset else data.all_datasets(path)
    if name is not None:
        _show_settings(user_space.find(name), datasets)
        return
    for space in search_spaces.spaces().values():
        show(f"{space.name}: {space.description}", f"    {space.source}")
        for line in _size_lines(space, datasets):
            show(f"    {line}")


def _expand(space: "SearchSpace", dataset: "Dataset") -> "Sequence[ExpandedSetting] | InputError":
    """The settings of a space on a dataset, or the error if the space does not fit it."""
    from study.driver.spaces.expand import expand

    try:
        return expand(space, dataset, Selection())
    except InputError as error:
        return error


def _size(space: "SearchSpace", dataset: "Dataset", settings: "Sequence[ExpandedSetting]") -> str:
    """The number of settings and trials, and the length of a trial if the space changes it."""
    steps = f" of {space.steps(dataset.discriminator_steps):,} D updates" if space.extra_steps else ""
    trials = sum(setting.seeds for setting in settings)
    sizes = f"{len(settings):,} {plural(len(settings), 'setting')}, {trials:,} {plural(trials, 'trial')}"
    return sizes + steps


def _size_lines(space: "SearchSpace", datasets: "Mapping[str, Dataset]") -> list[str]:
    """The size of a space per dataset, with datasets of equal size in one line; or the reason if it fits none."""
    if space.choose:
        return [f"taken from the best trials of a results folder: study plan {space.name} --results DIR"]
    fitting: dict[str, list[str]] = {}
    reasons: list[str] = []
    for name, dataset in datasets.items():
        expanded = _expand(space, dataset)
        if isinstance(expanded, InputError):
            reasons.append(str(expanded))
        else:
            fitting.setdefault(_size(space, dataset, expanded), []).append(name)
    return [f"{size}: {', '.join(names)}" for size, names in fitting.items()] or reasons[:1]


def _show_settings(space: "SearchSpace", datasets: "Mapping[str, Dataset]") -> None:
    """Print the settings on one of the datasets: digits, the default of `study run`, or else the first that fits.

    Raises:
        InputError: the space fits none of them.
    """
    expanded = {name: _expand(space, dataset) for name, dataset in datasets.items()}
    fitting = {name: settings for name, settings in expanded.items() if not isinstance(settings, InputError)}
    if not fitting:
        raise next(error for error in expanded.values() if isinstance(error, InputError))
    shown = "digits" if "digits" in fitting else next(iter(fitting))
    settings = fitting.pop(shown)
    show(f"{space.name} on {shown}: {_size(space, datasets[shown], settings)}; {space.source}")
    if fitting:
        show(f"use --dataset to show the settings on {', '.join(fitting)}")
    show("", *_table(settings))


def _table(settings: "Sequence[ExpandedSetting]") -> list[str]:
    """A table with left-aligned columns, one setting per line; numbers have all their digits, and - stands for none."""
    published = any(setting.published for setting in settings)
    rows = [[*COLUMNS, "published_fid"] if published else list(COLUMNS)]
    for setting in settings:
        numbers = setting.hyperparameters
        values = [getattr(numbers, column) for column in COLUMNS[2:-1]]
        words = [setting.method.architecture, setting.method.name]
        words += ["-" if value is None else f"{value:.10g}" for value in values]
        scores = [", ".join(f"{score:.2f}" for score in setting.published)] if published else []
        rows.append([*words, str(setting.seeds), *scores])
    return aligned(rows, left=len(rows[0]))
