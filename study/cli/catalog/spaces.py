"""The command that shows the search spaces: what each has for which dataset, and its settings."""

from typing import Annotated, Any

import typer

from study.cli import options
from study.core.errors import InputError
from study.core.text import aligned
from study.driver.request import DataFolder, Selection

COLUMNS = ("architecture", "method", "learning_rate", "beta1", "beta2", "n_dis", "penalty_weight", "seeds")


app = typer.Typer()


@app.command(epilog="Examples: `study spaces --dataset cifar10`, `study spaces published --dataset cifar10`")
@options.spread
def spaces(
    name: Annotated[str | None, typer.Argument(help="A space, or a file of your own, to see its settings.")] = None,
    *,
    dataset: Annotated[
        str | None, typer.Option(help="A dataset; see `study datasets`.  [default: all that fit, or the first]")
    ] = None,
    folder: DataFolder,
) -> None:
    """List the search spaces with their sources and sizes, or the settings of one."""
    import search_spaces
    from study import data
    from study.driver.spaces import user_space

    path = data.data_dir(folder.data_dir)
    chosen = {dataset: data.get(dataset, path)} if dataset else data.all_datasets(path)
    if name is not None:
        _show_settings(user_space.find(name), chosen)
        return
    for space in search_spaces.spaces().values():
        print(f"{space.name}: {space.description}\n    {space.source}")
        for line in _size_lines(space, chosen):
            print(f"    {line}")


def _expand(space: Any, declared: Any) -> list[Any] | InputError:
    """The settings of a space on a dataset, or why there are none."""
    from study.driver.spaces.expand import expand

    try:
        return expand(space, declared, Selection())
    except InputError as error:
        return error


def _size(space: Any, declared: Any, settings: list[Any]) -> str:
    """Settings and trials, and how long one is where that is not the dataset's to say."""
    steps = f" of {space.steps(declared.discriminator_steps):,} D updates" if space.extra_steps else ""
    return f"{len(settings):,} settings, {sum(setting.seeds for setting in settings):,} trials{steps}"


def _size_lines(space: Any, chosen: dict[str, Any]) -> list[str]:
    """How large a space is on each dataset that it fits, datasets of equal size together; or why it fits none."""
    if space.choose:
        return [f"chosen from the trials of a results folder: study plan {space.name} --results DIR"]
    fitting: dict[str, list[str]] = {}
    reasons: list[str] = []
    for name, declared in chosen.items():
        expanded = _expand(space, declared)
        if isinstance(expanded, InputError):
            reasons.append(str(expanded))
        else:
            fitting.setdefault(_size(space, declared, expanded), []).append(name)
    return [f"{size}: {', '.join(names)}" for size, names in fitting.items()] or reasons[:1]


def _show_settings(space: Any, chosen: dict[str, Any]) -> None:
    """The settings on the dataset, or on the one that is `study run`'s default or else the first that fits."""
    expanded = {name: _expand(space, declared) for name, declared in chosen.items()}
    fitting = {name: settings for name, settings in expanded.items() if not isinstance(settings, InputError)}
    if not fitting:
        raise next(error for error in expanded.values() if isinstance(error, InputError))
    dataset = "digits" if "digits" in fitting else next(iter(fitting))
    settings = fitting.pop(dataset)
    print(f"{space.name} on {dataset}: {_size(space, chosen[dataset], settings)}; {space.source}")
    if fitting:
        print(f"--dataset shows those on {', '.join(fitting)}")
    print()
    print(*_table(settings), sep="\n")


def _table(settings: list[Any]) -> list[str]:
    """Lines of left-aligned columns: words as they are, numbers in full, - for none."""
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
