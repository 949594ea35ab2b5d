"""The menu of feature extractors."""

from collections.abc import Callable, Mapping
from pathlib import Path

from study.core.errors import InputError, look_up
from study.metrics.extractors import classifier, fidelity, inception
from study.metrics.extractors.extractor import Extractor

EXTRACTORS: Mapping[str, Callable[..., Extractor]] = {
    inception.NAME: inception.load,
    classifier.NAME: classifier.load,
    **fidelity.LOADERS,
}


def load_extractor(
    name: str, *, dataset: str, data_dir: Path, weights: Path | None = None, device: str = "cpu"
) -> Extractor:
    """The extractor called `name`, ready for use on `device`.

    Args:
        name: a name on the menu.
        dataset: name of the scored dataset; the classifier depends on it.
        data_dir: folder with the prepared datasets.
        weights: weights file instead of the default one; its hash is recorded.
        device: where features are computed and left.

    Raises InputError for an unknown name, and for weights that are missing, damaged or for another network.
    """
    load = look_up("--extractor", name, EXTRACTORS)
    if weights is not None and not weights.is_file():
        raise InputError(
            f"--extractor-weights {weights}: no such file; give an existing file, or leave the option out."
        )
    return load(dataset=dataset, data_dir=data_dir, weights=weights, device=device)
