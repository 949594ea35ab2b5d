"""The record of a trial: how it ended, and on which machine and with which software it ran."""

import platform
import socket
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from study.core.context import Context
from study.core.text import printable
from study.core.trial import Trial
from study.storage.schema import TRAINING, TrialRecord
from study.training.lockstep import Position
from study.worker.snapshot import Snapshot


def make_record(
    context: Context,
    status: str,
    reason: str | None,
    *,
    started: str,
    device: str,
    position: Position | None,
    trial: Trial,
    source: str = TRAINING,
    resumptions: int = 0,
    pack: int | None = 1,
    compiled: str | None = None,
) -> TrialRecord:
    """The record of a trial that ended at `position` in this process.

    Args:
        context: of the trial.
        status, reason: how it ended; see `study.storage.schema`.
        started: when it started (ISO 8601, UTC).
        device: "cpu" or a CUDA device.
        position: where it ended; None if it was not trained, and then its seconds are None too.
        trial: the trial.
        source, resumptions, pack, compiled: see `study.storage.schema.TrialRecord`.
    """
    images = position.step * trial.training.batch_size if position else None
    return TrialRecord(
        status=status,
        reason=reason and printable(reason),  # no table can store bytes of a file name that are not text
        dataset_sha256=context.dataset_sha256,
        started_at=started,
        finished_at=now(),
        training_seconds=position.training_seconds if position else None,
        scoring_seconds=position.scoring_seconds if position else None,
        images_per_second=images / position.training_seconds if position and images else None,
        host=printable(socket.gethostname()),
        device=torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        study_version=study_version(),
        code_revision=code_revision(),
        semantics=trial.semantics,
        python=platform.python_version(),
        torch=torch.__version__,
        source=source,
        resumptions=resumptions,
        pack=pack,
        compiled=compiled,
    )


def snapshot_record(
    context: Context,
    snapshot: Snapshot,
    status: str,
    reason: str | None,
    *,
    started: str,
    device: str,
    pack: int = 1,
    compiled: str | None = None,
) -> TrialRecord:
    """The record of a trial that ended at its snapshot; see `make_record`.

    Its seconds are those until the last checkpoint; they are None if there was no checkpoint.
    """
    return make_record(
        context,
        status,
        reason,
        started=started,
        device=device,
        position=snapshot.position if snapshot.evaluations else None,
        trial=snapshot.trial,
        source=snapshot.source,
        resumptions=snapshot.resumptions,
        pack=pack,
        compiled=compiled,
    )


def study_version() -> str:
    """The version of this package; that of its files is not known if they are used without an installation."""
    try:
        return version("gan-study")
    except PackageNotFoundError:
        return "not installed"


@cache
def code_revision() -> str:
    """The git commit that this code runs from, with a plus sign if files were modified; the version if not in git."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return f"release {version('gan-study')}"


def now() -> str:
    """The current time in UTC, in ISO 8601 format."""
    return datetime.now(UTC).isoformat()
