"""All option groups of one command together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from study.driver.request.running import Folders, RunningOptions
from study.driver.request.scoring import CheckpointOptions, GeneratorOptions, KeepOptions, ScoringOptions
from study.driver.request.training import (
    MethodSelection,
    Selection,
    TrainingOptions,
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """All options that decide what a command trains and how it scores it.

    `datasets` are names of `study datasets`; each other field is one group of options, at its defaults unless given.
    """

    datasets: Sequence[str]
    folders: Folders
    selection: MethodSelection = field(default_factory=Selection)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    scoring: ScoringOptions = field(default_factory=ScoringOptions)
    checkpoints: CheckpointOptions = field(default_factory=CheckpointOptions)
    keep: GeneratorOptions = field(default_factory=KeepOptions)
    running: RunningOptions = field(default_factory=RunningOptions)

    @property
    def results(self) -> Path:
        """The results folder."""
        return self.folders.results

    @property
    def data_dir(self) -> Path:
        """The folder of prepared datasets: the given one, or the default one."""
        from study.data import data_dir

        return data_dir(self.folders.data_dir)
