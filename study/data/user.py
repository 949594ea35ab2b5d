"""The user's own datasets: a folder of images or an .npz archive, registered under a name when it is prepared.

The declaration is part of the manifest of the prepared dataset, so that a prepared folder can be copied to the data
folder of another machine and is registered there, too.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from study.core.errors import InputError
from study.data.dataset import Dataset, Source
from study.data.decoding.image import FITS, GREY
from study.data.prepared import RESERVED
from study.data.sources.folder import Listing, listing
from study.data.sources.npz import Archive, open_archive
from study.data.writing import MANIFEST

VALID_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NOT_STORED = ("embedded", "source", "download", "counts")
"""Fields of a declaration that the manifest does not contain."""


def registered(data_dir: Path) -> dict[str, Dataset | InputError]:
    """The user's datasets in a data folder by name; an error instead of a dataset whose manifest is not readable."""
    found: dict[str, Dataset | InputError] = {}
    try:
        names = sorted(path.parent.name for path in data_dir.glob(f"*/{MANIFEST}"))
    except OSError:
        return found
    for name in names:
        if name not in RESERVED and VALID_NAME.fullmatch(name) and (dataset := _registered(data_dir, name)) is not None:
            found[name] = dataset
    return found


def _registered(data_dir: Path, name: str) -> Dataset | InputError | None:
    """The dataset `name` of a data folder; None if its manifest has no declaration, as for datasets of the study."""
    try:
        declaration = json.loads((data_dir / name / MANIFEST).read_bytes()).get("declaration")
        if declaration is None:
            return None
        dataset = Dataset(**declaration, source=_reopen)
        if dataset.name != name:
            raise ValueError(f"declares {dataset.name}")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        remedy = f"study data prepare {name} --source DIR --resolution R"
        return InputError(f"dataset {name}: {data_dir / name} is damaged ({reason}); prepare it again: {remedy}")
    return dataset


def declare(
    name: str,
    source: str | None,
    *,
    resolution: int | None,
    fit: str | None,
    test_fraction: float | None,
    previous: Dataset | None = None,
) -> Dataset:
    """The declaration of a dataset of the user, from the images of `source`.

    Args:
        name: letters, digits, dots, hyphens and underscores.
        source: a folder of images or an .npz archive.
        resolution: side of the prepared images in pixels, a multiple of 8 from 8 to 1024.
        fit: one of `FITS`; "resize" by default.
        test_fraction: share of the test split, between 0 and 1 (exclusive); 0.1 by default.
        previous: the earlier declaration of the same dataset, which supplies values that are None.

    Raises InputError if the name is invalid, a value is out of range, or the source cannot be used.
    """
    if not VALID_NAME.fullmatch(name) or name in RESERVED:
        raise InputError(f"dataset {name}: not a valid name; use letters, digits, dots, hyphens and underscores.")
    if source is None:
        raise InputError(f"dataset {name}: no source given; your own dataset needs --source DIR --resolution R.")
    if previous is not None:
        resolution, fit = resolution or previous.resolution, fit or previous.fit
        test_fraction = test_fraction or previous.test_fraction or None
    _check(resolution, fit or "resize", test_fraction)
    opened = _open(source, test_fraction)
    if isinstance(opened, Archive):
        _, height, width, channels = opened.shapes["train"]
        labelled = opened.labels["train"] is not None
        if resolution is None and height == width:
            resolution = height
            _check(resolution, "resize", None)
    else:
        channels, labelled = _channels(opened), bool(opened.classes)
    if resolution is None:
        raise InputError(
            f"--resolution: missing for {source}; give the side of the prepared images in pixels, such as 64."
        )
    dataset = _with_defaults(name, source, resolution, channels, labelled)
    fraction = 0.0 if isinstance(opened, Archive) or opened.given else (test_fraction or 0.1)
    dataset = replace(dataset, fit=fit or "resize", test_fraction=fraction)
    options = f"--resolution {resolution} --fit {dataset.fit}" + (f" --test-fraction {fraction:g}" if fraction else "")
    dataset = replace(dataset, how=f"--source {'FILE' if isinstance(opened, Archive) else 'DIR'} {options}")
    return replace(dataset, source=lambda dataset, _: _declared(dataset, opened))


def _with_defaults(name: str, source: str, resolution: int, channels: int, labelled: bool) -> Dataset:
    """Default settings by image size: those of similar datasets of the study, with short trials below 32 px."""
    if resolution < 32:
        width, steps, every = 16, 2_000, 400
    else:
        width, steps, every = 64, 200_000 if resolution < 64 else 100_000, 20_000
    large = resolution >= 128 and resolution & (resolution - 1) == 0  # as for the datasets of the study at 128 px
    what = f"{'labelled' if labelled else 'unlabelled'} images, {resolution}x{resolution}"
    return Dataset(
        name=name,
        description=f"{what} {'RGB' if channels == 3 else 'grey'}, of {source}",
        resolution=resolution,
        channels=channels,
        labelled=labelled,
        source=_reopen,
        architecture="resnet19" if large else "sndcgan",
        width=width,
        discriminator_steps=steps,
        checkpoint_every=every,
        extractor="classifier" if labelled else "inception-v3-compat",
    )


def _check(resolution: int | None, fit: str, test_fraction: float | None) -> None:
    if resolution is not None and (resolution % 8 or not 8 <= resolution <= 1024):
        raise InputError(f"--resolution {resolution}: must be a multiple of 8 from 8 to 1024 pixels.")
    if fit not in FITS:
        raise InputError(f"--fit {fit}: unknown; must be one of {', '.join(FITS)}.")
    if test_fraction is not None and not 0 < test_fraction < 1:
        raise InputError(f"--test-fraction {test_fraction:g}: must be above 0 and below 1.")


def _open(source: str, test_fraction: float | None) -> Listing | Archive:
    if not source.lower().endswith(".npz"):
        return listing(source, test_fraction)
    if test_fraction is not None:
        raise InputError(f"--test-fraction {test_fraction:g}: {source} has its own splits; leave it out.")
    return open_archive(source)


def _reopen(dataset: Dataset, source: str) -> Source:
    return _declared(dataset, _open(source, dataset.test_fraction or None))


def _declared(dataset: Dataset, opened: Listing | Archive) -> Source:
    kept = {name: value for name, value in asdict(replace(dataset, source=_reopen)).items() if name not in NOT_STORED}
    source = opened.source()
    return replace(source, provenance={**source.provenance, "declaration": kept})


def _channels(files: Listing) -> int:
    """1 if all readable images are grey, else 3; reads headers only, up to the first image with colour."""
    modes = _modes(f"{files.root}/{name}" for split in files.splits.values() for name, _ in split)
    first = next(modes, "RGB")
    return 1 if first in GREY and all(mode in GREY for mode in modes) else 3


def _modes(paths: Iterable[str]) -> Iterator[str]:
    from PIL import Image

    for path in paths:
        try:
            with Image.open(path) as picture:
                yield picture.mode
        except Exception:  # unreadable images are skipped and counted during the preparation
            continue


def refuse_options(name: str, given: Mapping[str, object]) -> None:
    """Raises InputError if an option was given that applies only to the user's own datasets."""
    for option, value in given.items():
        if value is not None:
            raise InputError(f"--{option} {value}: fixed for {name}, a dataset of the study; leave the option out.")
