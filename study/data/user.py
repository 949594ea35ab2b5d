"""The user's own datasets: images from any kind of source, registered under a name when they are prepared.

The declaration is part of the manifest of the prepared dataset, so that a prepared folder can be copied to the data
folder of another machine and is registered there, too.
"""

import io
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path

from study.core.errors import InputError
from study.core.text import printable
from study.data.dataset import Dataset, Source
from study.data.decoding.image import FITS, GREY
from study.data.prepared import RESERVED
from study.data.sources.opening import open_source, source_path
from study.data.sources.pools import AUTO, LABELS, Opened, two_splits
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
        for field in fields(Dataset):
            if field.name in declaration and not _is(declaration[field.name], field.type):
                raise TypeError(f"{field.name} is {declaration[field.name]!r}")
        if dataset.name != name:
            raise ValueError(f"declares {dataset.name}")
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = printable(" ".join(str(error).split()))
        remedy = f"study data prepare {name} --source PATH --resolution R"
        return InputError(f"dataset {name}: {data_dir / name} is damaged ({reason}); prepare it again: {remedy}")
    return dataset


def _is(value: object, kind: object) -> bool:
    """Whether a value is of the type that a field declares, if that is a plain type."""
    return not isinstance(kind, type) or isinstance(value, (int, float) if kind is float else kind)


def declare(
    name: str,
    source: str | None,
    *,
    resolution: int | None,
    fit: str | None,
    test_fraction: float | None,
    layout: str | None = None,
    labels: str | None = None,
    previous: Dataset | None = None,
) -> Dataset:
    """The declaration of a dataset of the user, from the images of `source`.

    Args:
        name: letters, digits, dots, hyphens and underscores.
        source: a path or an address as `open_source` takes it.
        resolution: side of the prepared images in pixels, a multiple of 8 from 8 to 1024.
        fit: one of `FITS`; "resize" by default.
        test_fraction: share of the test split, between 0 and 1 (exclusive); 0.1 by default.
        layout, labels: see `open_source`; "auto" by default.
        previous: the earlier declaration of the same dataset, which supplies values that are None.

    Raises InputError if the name is invalid, a value is out of range, or the source cannot be used.
    """
    if not VALID_NAME.fullmatch(name) or name in RESERVED:
        raise InputError(
            f"dataset {printable(name)}: not a valid name; use letters, digits, dots, hyphens and underscores."
        )
    if source is None:
        raise InputError(f"dataset {name}: no source given; your own dataset needs --source PATH --resolution R.")
    if previous is not None:
        resolution, fit = resolution or previous.resolution, fit or previous.fit
        layout, labels = layout or previous.layout, labels or previous.labels
    _check(resolution, fit or "resize", test_fraction)
    layout, labels = layout or AUTO, labels or AUTO
    labels = labels if labels in LABELS else source_path(labels)
    opened = open_source(source, layout, labels)
    if opened.divided and test_fraction is not None:
        raise InputError(
            f"--test-fraction {test_fraction:g}: {opened.source} has its own {' and '.join(opened.pools)} splits; leave"
            " it out, or give --layout flat to read them as one set."
        )
    if resolution is None and opened.shape is not None and opened.shape[0] == opened.shape[1]:
        resolution = opened.shape[0]
        _check(resolution, "resize", None)
    if resolution is None:
        raise InputError(
            f"--resolution: missing for {opened.source}; give the side of the prepared images in pixels, such as 64."
        )
    channels = opened.shape[2] if opened.shape else _channels(opened)
    dataset = _with_defaults(name, opened.source, resolution, channels, opened.labelled)
    known = previous.test_fraction if previous is not None else 0.0
    fraction = 0.0 if opened.divided else (test_fraction or known or 0.1)
    dataset = replace(dataset, fit=fit or "resize", test_fraction=fraction, layout=layout, labels=labels)
    options = {"resolution": resolution, "fit": dataset.fit, "test-fraction": f"{fraction:g}" if fraction else None}
    options |= {"layout": None if layout == AUTO else layout, "labels": None if labels == AUTO else shlex.quote(labels)}
    how = "".join(f" --{option} {value}" for option, value in options.items() if value is not None)
    dataset = replace(dataset, how=f"--source PATH{how}")
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


def _reopen(dataset: Dataset, source: str) -> Source:
    return _declared(dataset, open_source(source, dataset.layout, dataset.labels))


def _declared(dataset: Dataset, opened: Opened) -> Source:
    kept = {name: value for name, value in asdict(replace(dataset, source=_reopen)).items() if name not in NOT_STORED}
    source = two_splits(opened, dataset.test_fraction)
    return replace(source, provenance={**source.provenance, "declaration": kept})


def _channels(opened: Opened) -> int:
    """1 if all readable images are grey, else 3; reads headers only, up to the first image with colour."""
    modes = _modes(opened)
    first = next(modes, "RGB")
    return 1 if first in GREY and all(mode in GREY for mode in modes) else 3


def _modes(opened: Opened) -> Iterator[str]:
    from PIL import Image

    for _, data in opened.read():
        try:
            with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as picture:  # type: ignore[arg-type]
                yield picture.mode
        except Exception:  # unreadable images are skipped and counted during the preparation
            continue


def refuse_options(name: str, given: Mapping[str, object]) -> None:
    """Raises InputError if an option was given that applies only to the user's own datasets."""
    for option, value in given.items():
        if value is not None:
            raise InputError(f"--{option} {value}: fixed for {name}, a dataset of the study; leave the option out.")
