"""TODO."""

from pathlib import Path


def trial_folder(folder: Path, trial_id: str) -> Path:
    """Where a trial's kept generator and state, sample grids and traceback are."""
    return folder / "states" / trial_id[:2] / trial_id


def generator_path(folder: Path, trial_id: str) -> Path:
    """Where the best generator of a trial is kept."""
    return trial_folder(folder, trial_id) / "generator.pt"


def generator_at(folder: Path, trial_id: str, step: int) -> Path:
    """Where the generator of a trial at a scored step is kept, of those that keep all."""
    return trial_folder(folder, trial_id) / f"generator-{step:06}.pt"


def state_path(folder: Path, trial_id: str) -> Path:
    """Where the last full state of a finished trial is kept, of those that keep one."""
    return trial_folder(folder, trial_id) / "state.pt"


def unfinished_path(folder: Path, trial_id: str, protocol_id: str) -> Path:
    """Where the latest state of a trial under a protocol is, until it has ended."""
    return folder / "unfinished" / f"{trial_id}-{protocol_id}.pt"


def forget_unfinished(folder: Path, trial_id: str, protocol_id: str) -> None:
    """Remove the state of a trial that has ended, and what a killed process left of writing one."""
    path = unfinished_path(folder, trial_id, protocol_id)
    for each in (path, *path.parent.glob(f".{path.name}.*.tmp")):
        each.unlink(missing_ok=True)
