"""Frechet distances between the real images of two splits, recorded in baselines.json of a results folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from study.core.trial import FLOAT32
from study.storage.files import DamagedFile, exists, read, replace

NAME = "baselines.json"


@dataclass(frozen=True, kw_only=True)
class RecordedBaseline:
    """A Frechet distance between real images of `split` and real images of the other split, under a metric protocol."""

    dataset: str
    protocol_id: str
    dataset_sha256: str
    extractor: str
    weights_sha256: str
    split: str
    n_real: int
    n_other: int
    frechet_distance: float
    feature_precision: str = FLOAT32

    @property
    def key(self) -> tuple[str, str, str]:
        """Identifies a baseline: dataset, protocol and hash of the images."""
        return self.dataset, self.protocol_id, self.dataset_sha256


def read_baselines(folder: Path) -> list[RecordedBaseline]:
    """All recorded baselines, sorted by key; empty without a file. Raises DamagedFile if the file is not readable."""
    path = folder / NAME
    if not exists(path):
        return []
    try:
        return [RecordedBaseline(**content) for content in json.loads(read(path))]
    except (ValueError, TypeError) as error:
        raise DamagedFile(path, f"not a list of baselines ({str(error).splitlines()[0]})") from error


def record_baseline(folder: Path, baseline: RecordedBaseline) -> Path:
    """Record a baseline and replace an earlier one with the same key, atomically; returns the path of the file."""
    found = {each.key: each for each in read_baselines(folder)} | {baseline.key: baseline}
    content = json.dumps([asdict(found[key]) for key in sorted(found)], indent=1, allow_nan=False)
    replace(folder / NAME, lambda file: file.write(f"{content}\n".encode()))
    return folder / NAME
