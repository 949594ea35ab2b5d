"""The datasets, and where their images come from.

The menu is the folder: every module here that defines DATASET is a dataset, and its name is the module's with hyphens.
To add one, add a file. Datasets are embedded (a dependency ships them) or prepared once from what the user has; the
form on disk is described in `prepared`.
"""

import importlib
import pkgutil
from pathlib import Path

from study.data import location, prepared
from study.data.dataset import Dataset, Images
from study.data.location import data_dir
from study.data.prepared import Preparation, Progress
from study.names import InputError, look_up

__all__ = ["Dataset", "Images", "Preparation", "data_dir", "datasets", "get"]
__all__ += ["is_ready", "load", "prepare", "size_on_disk"]


def datasets() -> dict[str, Dataset]:
    """The menu: declarations by name, sorted."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    declared = [module.DATASET for module in modules if hasattr(module, "DATASET")]
    return {dataset.name: dataset for dataset in sorted(declared, key=lambda dataset: dataset.name)}


def get(name: str, field: str = "--dataset") -> Dataset:
    """The declaration of `name`; raises InputError with a suggestion, naming `field`, where there is none."""
    return look_up(field, name, datasets())


def load(name: str, data_dir: Path | str | None = None) -> Images:
    """The images of a dataset; memory-mapped where they were prepared on disk.

    Raises InputError where the name is unknown, or the images are not prepared in `data_dir` (by default as the
    function `data_dir` finds it) or damaged there; the message holds the command that helps.
    """
    dataset = get(name)
    return dataset.embedded() if dataset.embedded else prepared.load(dataset, location.data_dir(data_dir))


def prepare(
    name: str, source: Path | str, data_dir: Path | str | None = None, progress: Progress | None = None
) -> Preparation:
    """Prepares a dataset from `source`; calls `progress` with (images done, images in all).

    Raises InputError as `prepared.prepare` does; then nothing is left in `data_dir` that was not there before.
    """
    return prepared.prepare(get(name, "dataset"), Path(source).expanduser(), location.data_dir(data_dir), progress)


def is_ready(name: str, data_dir: Path | str | None = None) -> bool:
    """Whether `load` would succeed; raises InputError where the name is unknown."""
    dataset = get(name)
    try:
        return dataset.embedded is not None or bool(prepared.load(dataset, location.data_dir(data_dir)))
    except InputError:
        return False


def size_on_disk(name: str, data_dir: Path | str | None = None) -> int:
    """Bytes that the prepared dataset takes; 0 where it is embedded or not prepared."""
    return prepared.size_on_disk(get(name), location.data_dir(data_dir))
