"""Paths of the files of a trial in a results folder."""

from pathlib import Path


def trial_folder(folder: Path, trial_id: str) -> Path:
    """The folder of a trial's generators, training state, sample grids and traceback."""
    return folder / "states" / trial_id[:2] / trial_id


def generator_path(folder: Path, trial_id: str) -> Path:
    """The best generator of a trial."""
    return trial_folder(folder, trial_id) / "generator.pt"


def generator_at(folder: Path, trial_id: str, step: int) -> Path:
    """The generator of a trial at a scored step, which exists with `--keep all`."""
    return trial_folder(folder, trial_id) / f"generator-{step:06}.pt"


def state_path(folder: Path, trial_id: str) -> Path:
    """The last training state of a finished trial, which exists with `--keep-states`."""
    return trial_folder(folder, trial_id) / "state.pt"


def unfinished_path(folder: Path, trial_id: str, protocol_id: str) -> Path:
    """The latest training state of a trial under a protocol, which exists until the trial has ended."""
    return folder / "unfinished" / f"{trial_id}-{protocol_id}.pt"


def forget_unfinished(folder: Path, trial_id: str, protocol_id: str) -> None:
    """Remove the training state of a trial that has ended, and temporary files of killed processes."""
    path = unfinished_path(folder, trial_id, protocol_id)
    for each in (path, *path.parent.glob(f".{path.name}.*.tmp")):
        each.unlink(missing_ok=True)
