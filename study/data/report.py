"""Statistics of a preparation: how images were converted, skipped and duplicated; for the manifest and the terminal."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from study.data.dataset import SPLITS, ImageRecord
from study.data.decoding.image import TREATMENTS, Decoded

MAX_NAMED = 100
"""Maximum number of skipped images that the manifest names; all of them are counted."""
ProgressCallback = Callable[[str, int, int], None]
"""Called repeatedly during a preparation with (activity, amount done, total amount)."""


class ImageCounts:
    """Counts converted and skipped images by split. Needs 8 bytes of memory per image, 24 MB for LSUN."""

    def __init__(self) -> None:
        self.read = 0
        self.kept = Counter[str]()
        self._as_stored = 0
        self._kinds = Counter[str]()
        self._reasons = Counter[str]()
        self._named: list[dict[str, str]] = []
        self._digests = {split: bytearray() for split in SPLITS}

    def add(self, split: str, record: ImageRecord, decoded: Decoded) -> None:
        """Count one image."""
        self.read += 1
        if decoded.reason:
            self._reasons[decoded.reason] += 1
            if len(self._named) < MAX_NAMED:
                self._named.append({"name": record.name, "reason": decoded.reason, "detail": decoded.detail})
            return
        self.kept[split] += 1
        self._as_stored += not decoded.kinds
        self._kinds.update(decoded.kinds)
        self._digests[split] += decoded.digest

    def summary(self) -> dict[str, Any]:
        """Plain values for the manifest; duplicates are images with equal prepared pixels."""
        digests = {split: np.frombuffer(bytes(found), np.uint64) for split, found in self._digests.items()}
        unique = {split: np.unique(found) for split, found in digests.items()}
        duplicates = {split: len(digests[split]) - len(unique[split]) for split in SPLITS}
        duplicates["test also in train"] = int(np.isin(digests["test"], unique["train"]).sum())
        return {
            "read": self.read,
            "as_stored": self._as_stored,
            "treated": dict(sorted(self._kinds.items())),
            "left_out": dict(self._reasons.most_common()),
            "left_out_names": self._named,
            "duplicates": duplicates,
        }

    def refusal(self) -> str:
        """Why no image of a split can be used, as text."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self._reasons.most_common())
        first = self._named[0]["name"] if self._named else "none"
        return f"{reasons or 'there are none'}; the first: {first}"


def report_lines(manifest: Mapping[str, Any]) -> list[str]:
    """The report of a preparation: converted images by kind, skipped images by reason, duplicates, remarks."""
    done = manifest["images"]
    lines = [f"read {done['read']:,} images, {done['as_stored']:,} used as stored"]
    lines += [f"  {kind}: {count:,} ({TREATMENTS[kind]})" for kind, count in done["treated"].items()]
    if done["left_out"]:
        lines.append(f"left out {sum(done['left_out'].values()):,}, named in the manifest up to {MAX_NAMED}:")
    for reason, count in done["left_out"].items():
        first = next((named["name"] for named in done["left_out_names"] if named["reason"] == reason), None)
        lines.append(f"  {reason}: {count:,}" + (f" (the first: {first})" if first else ""))
    if any(done["duplicates"].values()):
        found = done["duplicates"]
        within = ", ".join(f"{found[split]:,} within {split}" for split in SPLITS)
        lines.append(
            f"duplicates by content, kept: {within}; {found['test also in train']:,} test images also in train"
        )
    return lines + [f"remark: {remark}" for remark in manifest["remarks"]]
