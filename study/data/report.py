"""The plan of a preparation, and its statistics: how images were converted, skipped and duplicated.

Both are for the terminal, the statistics also for the manifest.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from study.core.text import plural, printable
from study.data.dataset import SPLITS, Dataset, ImageRecord, Source
from study.data.decoding.image import TREATMENTS, Decoded

MAX_NAMED = 100
"""Maximum number of skipped images that the manifest names; all of them are counted."""
ProgressCallback = Callable[[str, int, int], None]
"""Called repeatedly during a preparation with (activity, amount done, total amount)."""
Announcement = Callable[[Sequence[str]], None]
"""Called with the lines of the plan of a preparation, before it starts."""
MAX_CLASSES = 10
"""Maximum number of classes that are shown."""


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
        self._labels = {split: (Counter[int](), Counter[int]()) for split in SPLITS}

    def add(self, split: str, record: ImageRecord, decoded: Decoded) -> None:
        """Count one image."""
        self.read += 1
        read, kept = self._labels[split]
        if record.label is not None:
            read[record.label] += 1
            kept[record.label] += not decoded.reason
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

    def lost_classes(self, classes: Sequence[str]) -> list[str]:
        """A remark on each class of a split of which no image can be used; `classes` are the names, or empty."""
        return [
            f"class {classes[label] if classes else label}: no image in {split} can be used ({n:,} left out); the"
            f" classes keep their numbers, and {label} has no image there"
            for split, (read, kept) in self._labels.items()
            for label, n in sorted(read.items())
            if not kept[label]
        ]

    def refusal(self) -> str:
        """Why no image of a split can be used, as text."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self._reasons.most_common())
        first = self._named[0]["name"] if self._named else "none"
        return f"{reasons or 'there are none'}; the first: {first}"


def plan_lines(dataset: Dataset, opened: Source, source: str) -> list[str]:
    """The plan of a preparation: what the source is, the splits and classes in it, and what is passed over and why."""
    splits = ", ".join(f"{split.n:,} {title}" for title, split in opened.splits.items())
    lines = [f"{dataset.name}, from the {opened.kind} {printable(source)}:"]
    lines.append(f"  {splits}" + (f" ({opened.rule})" if opened.rule else ""))
    sizes = [f"{printable(title)} ({size:,})" for title, size in opened.class_sizes.items()]
    lines.append(f"  {_classes(sizes)}; labels from {opened.labels_from}" if sizes else "  no labels")
    lines += [f"  {line}" for line in passed_over_lines(opened.passed_over.summary())]
    other = other_counts(dataset, {title: split.n for title, split in opened.splits.items()}, "the source has")
    return lines + [f"  remark: {printable(remark)}" for remark in (*opened.remarks, *other)]


def other_counts(dataset: Dataset, counts: Mapping[str, int], verb: str) -> list[str]:
    """A remark if the numbers of images are not those of the published dataset."""
    ours = counts["train"], counts["test"]
    if dataset.counts in (None, ours):
        return []
    mine, published = (f"{train:,} train and {test:,} test images" for train, test in (ours, dataset.counts))
    return [f"{verb} {mine}; {dataset.name} has {published}, so scores are not comparable with published ones"]


def _classes(titles: Sequence[str]) -> str:
    more = ", ..." if len(titles) > MAX_CLASSES else ""
    return f"{len(titles):,} {plural(len(titles), 'class', 'classes')}: {', '.join(titles[:MAX_CLASSES])}{more}"


def passed_over_lines(reasons: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The files that are not read, by reason, in the form of `PassedOver.summary`; no line if there are none."""
    if not reasons:
        return []
    total = sum(one["count"] for one in reasons.values())
    return [f"passed over {total:,} {plural(total, 'file')}:"] + [
        f"  {printable(reason)}: {one['count']:,} (the first: {printable(one['first'])})"
        for reason, one in reasons.items()
    ]


def report_lines(manifest: Mapping[str, Any]) -> list[str]:
    """The report of a preparation: classes, files passed over, conversions, skipped images, duplicates, remarks."""
    done = manifest["images"]
    lines = [f"{_classes([printable(name) for name in manifest['classes']])}"] if manifest.get("classes") else []
    if passed_over := manifest.get("read_as", {}).get("passed_over"):
        reasons = ", ".join(f"{one['count']:,} {printable(reason)}" for reason, one in passed_over.items())
        lines.append(f"passed over: {reasons}")
    lines += [f"read {done['read']:,} {plural(done['read'], 'image')}, {done['as_stored']:,} used as stored"]
    lines += [f"  {kind}: {count:,} ({TREATMENTS[kind]})" for kind, count in done["treated"].items()]
    if done["left_out"]:
        lines.append(f"left out {sum(done['left_out'].values()):,}, named in the manifest up to {MAX_NAMED}:")
    for reason, count in done["left_out"].items():
        first = next((named["name"] for named in done["left_out_names"] if named["reason"] == reason), None)
        lines.append(f"  {reason}: {count:,}" + (f" (the first: {printable(first)})" if first else ""))
    if any(done["duplicates"].values()):
        found = done["duplicates"]
        within = ", ".join(f"{found[split]:,} within {split}" for split in SPLITS)
        lines.append(
            f"duplicates by content, kept: {within}; {found['test also in train']:,} test images also in train"
        )
    return lines + [f"remark: {printable(remark)}" for remark in manifest["remarks"]]
