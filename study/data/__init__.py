"""The datasets, and where their images come from.

The menu is the folder `datasets`. They are embedded (a dependency ships them) or prepared once from what the user
has; the form on disk is described in `prepared`. Datasets of the user's own are registered in the data folder (`user`).
"""

from pathlib import Path

from study.core.errors import InputError, look_up, unknown
from study.data import location, prepared, user
from study.data.dataset import Dataset, Images
from study.data.datasets import built_in
from study.data.location import data_dir
from study.data.prepared import Preparation
from study.data.report import ProgressCallback, report_lines

__all__ = ["Dataset", "Images", "Preparation", "ProgressCallback", "all_datasets", "built_in", "command", "data_dir"]
__all__ += ["get", "is_ready", "load", "prepare", "report_lines", "size_on_disk", "verify"]

Folder = Path | str | None
"""A data folder; None for the one that the function `data_dir` finds."""


def all_datasets(data_dir: Folder = None) -> dict[str, Dataset]:
    """The study's datasets, then those that the user registered in `data_dir`; damaged ones are not among them."""
    found = user.registered(location.data_dir(data_dir))
    own = {name: dataset for name, dataset in found.items() if isinstance(dataset, Dataset)}
    return built_in() | {name: dataset for name, dataset in own.items() if name not in built_in()}


def get(name: str, data_dir: Folder = None, *, field: str = "--dataset") -> Dataset:
    """The declaration of `name`, one of the study's datasets or of those registered in `data_dir`.

    Raises InputError, naming `field` and the closest name, where there is none, and where it is damaged.
    """
    if name in (menu := built_in()):
        return menu[name]
    found = user.registered(location.data_dir(data_dir))
    dataset = look_up(field, name, {**found, **menu})
    if isinstance(dataset, InputError):
        raise dataset
    return dataset


def load(name: str, data_dir: Folder = None) -> Images:
    """The images of a dataset; memory-mapped where they were prepared on disk.

    Raises InputError where the name is unknown, or the images are not prepared in `data_dir` or damaged there; the
    message holds the command that helps.
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
    """Prepares a dataset of the study from `source`, by download where it is None, or registers one of the user's own.

    Args:
        name: of the study, or a plain name of the user's choice, which then stands for the images of `source`.
        source: what holds the images: see the dataset's module, or `user` for one's own.
        data_dir: where it is kept.
        progress: called with (what is going on, how much is done, how much there is).
        resolution, fit, test_fraction: of the user's own: side in pixels, one of `decode.FITS` ("resize"), the share of
            images that is the test split (a tenth) where the source names no splits.
        workers: decoding processes; one per core.

    Raises InputError as `prepared.prepare` and `user.declare` do; then `data_dir` holds no dataset that was not there.
    """
    folder, menu = location.data_dir(data_dir), built_in()
    if name in menu:
        user.built_in_only(name, {"resolution": resolution, "fit": fit, "test-fraction": test_fraction})
        dataset = menu[name]
    else:
        before = user.registered(folder).get(name)
        known = before if isinstance(before, Dataset) else None
        if known is None and resolution is None and not str(source).endswith(".npz"):
            hint = "; to register images of your own under this name, give --source DIR --resolution R"
            raise InputError(str(unknown("dataset", name, menu)).removesuffix(".") + hint + ".")
        path = None if source is None else str(Path(source).expanduser().absolute())
        dataset = user.declare(name, path, resolution=resolution, fit=fit, test_fraction=test_fraction, before=known)
    return prepared.prepare(dataset, None if source is None else str(source), folder, progress, workers)


def verify(name: str, data_dir: Folder = None) -> Images:
    """As `load`, after reading every pixel; raises InputError as well where one is not as its manifest says."""
    dataset = get(name, data_dir, field="dataset")
    return dataset.embedded() if dataset.embedded else prepared.verify(dataset, location.data_dir(data_dir))


def is_ready(name: str, data_dir: Folder = None) -> bool:
    """Whether `load` would succeed; raises InputError where the name is unknown."""
    dataset = get(name, data_dir)
    try:
        return dataset.embedded is not None or bool(prepared.load(dataset, location.data_dir(data_dir)))
    except InputError:
        return False


def size_on_disk(name: str, data_dir: Folder = None) -> int:
    """Bytes that the prepared dataset takes; 0 where it is embedded or not prepared."""
    return prepared.size_on_disk(get(name, data_dir), location.data_dir(data_dir))


def command(name: str, data_dir: Folder = None) -> str:
    """What a person types to prepare a dataset."""
    return prepared.command(get(name, data_dir), location.data_dir(data_dir))
