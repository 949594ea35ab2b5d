"""Datasets: their declarations, their preparation and their images.

The datasets of the study are the files in the folder `datasets`. A dataset is either embedded (a dependency contains
it) or prepared once from the user's files; `prepared` describes the format on disk. The user's own datasets are
registered in the data folder (`user`).
"""

from pathlib import Path

from study.core.errors import InputError, look_up, unknown
from study.data import location, prepared, user
from study.data.dataset import Dataset, Images
from study.data.datasets import built_in
from study.data.location import data_dir
from study.data.prepared import Preparation
from study.data.report import ProgressCallback, report_lines

__all__ = [
    "Dataset",
    "Images",
    "Preparation",
    "ProgressCallback",
    "all_datasets",
    "built_in",
    "data_dir",
    "prepare_command",
]
__all__ += ["get", "is_ready", "load", "prepare", "report_lines", "size_on_disk", "verify"]

Folder = Path | str | None
"""A data folder; None for the default one (see `data_dir`)."""


def all_datasets(data_dir: Folder = None) -> dict[str, Dataset]:
    """The datasets of the study, then those that the user registered in `data_dir`, without damaged ones."""
    found = user.registered(location.data_dir(data_dir))
    own = {name: dataset for name, dataset in found.items() if isinstance(dataset, Dataset)}
    return built_in() | {name: dataset for name, dataset in own.items() if name not in built_in()}


def get(name: str, data_dir: Folder = None, *, field: str = "--dataset") -> Dataset:
    """The declaration of the dataset `name`, of the study or registered in `data_dir`.

    Raises InputError, with `field` and the closest known name, if the dataset is unknown or damaged.
    """
    if name in (menu := built_in()):
        return menu[name]
    found = user.registered(location.data_dir(data_dir))
    dataset = look_up(field, name, {**found, **menu})
    if isinstance(dataset, InputError):
        raise dataset
    return dataset


def load(name: str, data_dir: Folder = None) -> Images:
    """The images of a dataset; memory-mapped if they are prepared on disk.

    Raises InputError if the name is unknown, or if the images are not prepared in `data_dir` or are damaged; then the
    message contains the command that prepares them.
    """
    dataset = get(name, data_dir)
    return dataset.embedded() if dataset.embedded else prepared.load(dataset, location.data_dir(data_dir))


def prepare(
    name: str,
    source: Path | str | None = None,
    data_dir: Folder = None,
    progress: ProgressCallback | None = None,
    *,
    resolution: int | None = None,
    fit: str | None = None,
    test_fraction: float | None = None,
    workers: int | None = None,
) -> Preparation:
    """Prepare a dataset of the study, or register a dataset of the user.

    Args:
        name: a dataset of the study, or a new name for the images of `source`.
        source: the images; see the module of the dataset, or `user` for the user's own; None to download them.
        data_dir: folder of prepared datasets.
        progress: see `ProgressCallback`.
        resolution: side of the prepared images in pixels; this and the next two are for the user's own datasets only.
        fit: how images of another size are fitted, one of `decoding.image.FITS`; "resize" by default.
        test_fraction: share of the test split, if the source has no splits; 0.1 by default.
        workers: number of decoding processes; one per core by default.

    Raises InputError as `prepared.prepare` and `user.declare` do; then `data_dir` is left without a partial dataset.
    """
    folder, menu = location.data_dir(data_dir), built_in()
    if name in menu:
        user.refuse_options(name, {"resolution": resolution, "fit": fit, "test-fraction": test_fraction})
        dataset = menu[name]
    else:
        previous = user.registered(folder).get(name)
        known = previous if isinstance(previous, Dataset) else None
        if known is None and resolution is None and not str(source).endswith(".npz"):
            hint = "; to register your own images under this name, give --source DIR --resolution R"
            raise InputError(str(unknown("dataset", name, menu)).removesuffix(".") + hint + ".")
        path = None if source is None else str(location.expanded(source).absolute())
        dataset = user.declare(name, path, resolution=resolution, fit=fit, test_fraction=test_fraction, previous=known)
    return prepared.prepare(dataset, None if source is None else str(source), folder, progress, workers)


def verify(name: str, data_dir: Folder = None) -> Images:
    """Like `load`, but reads all pixels and labels; raises InputError also if they do not match the manifest."""
    dataset = get(name, data_dir, field="dataset")
    return dataset.embedded() if dataset.embedded else prepared.verify(dataset, location.data_dir(data_dir))


def is_ready(name: str, data_dir: Folder = None) -> bool:
    """Whether `load` would succeed; raises InputError if the name is unknown."""
    dataset = get(name, data_dir)
    try:
        return dataset.embedded is not None or bool(prepared.load(dataset, location.data_dir(data_dir)))
    except InputError:
        return False


def size_on_disk(name: str, data_dir: Folder = None) -> int:
    """Size of the prepared dataset in bytes; 0 if it is embedded or not prepared."""
    return prepared.size_on_disk(get(name, data_dir), location.data_dir(data_dir))


def prepare_command(name: str, data_dir: Folder = None) -> str:
    """The command that prepares a dataset."""
    return prepared.prepare_command(get(name, data_dir), location.data_dir(data_dir))
