"""The datasets of the study: each file in this folder that defines DATASET is one. To add a dataset, add a file."""

import importlib
import pkgutil

from study.data.dataset import Dataset


def built_in() -> dict[str, Dataset]:
    """The declarations of the datasets of the study by name, sorted."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    declared: list[Dataset] = [module.DATASET for module in modules if hasattr(module, "DATASET")]
    return {dataset.name: dataset for dataset in sorted(declared, key=lambda dataset: dataset.name)}
