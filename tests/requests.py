"""A request from options that stand side by side, as a person types them."""

from dataclasses import fields
from typing import Any

from study.driver.request import (
    CheckpointOptions,
    Folders,
    KeepOptions,
    Request,
    RunningOptions,
    ScoringOptions,
    Selection,
    TrainingOptions,
)

GROUPS = {
    "folders": Folders,
    "selection": Selection,
    "training": TrainingOptions,
    "scoring": ScoringOptions,
    "checkpoints": CheckpointOptions,
    "keep": KeepOptions,
    "running": RunningOptions,
}


def make_request(*, datasets: Any, **options: Any) -> Request:
    """The request of some options, each in its group."""
    groups = {}
    for name, group in GROUPS.items():
        groups[name] = group(**{each.name: options.pop(each.name) for each in fields(group) if each.name in options})
    assert not options, options
    return Request(datasets=datasets, **groups)
