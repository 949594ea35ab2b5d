"""How a trial went, and where and by what it was run: what its row says beside the trial and its scores."""

import platform
import socket
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from study.core.context import Context
from study.core.trial import SEMANTICS, Trial
from study.storage.schema import TRAINING, TrialRecord
from study.training.lockstep import Position
from study.worker.checkpoint import Snapshot


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
    """How a trial went until it came to `position`, and where and by what it was run."""
    images = position.step * trial.training.batch_size if position else None
    return TrialRecord(
        status=status,
        reason=reason,
        dataset_sha256=context.dataset_sha256,
        started_at=started,
        finished_at=now(),
        training_seconds=position.training_seconds if position else None,
        scoring_seconds=position.scoring_seconds if position else None,
        images_per_second=images / position.training_seconds if position and images else None,
        host=socket.gethostname(),
        device=torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        study_version=version("gan-study"),
        code_revision=code_revision(),
        semantics=SEMANTICS,
        python=platform.python_version(),
        torch=torch.__version__,
        source=source,
        resumptions=resumptions,
        pack=pack,
        compiled=compiled,
    )


def reached(so_far: Snapshot) -> dict[str, Any]:
    """What the record says of it; its seconds are those until the last checkpoint, and None where there was none."""
    position = so_far.position if so_far.evaluations else None
    return {"trial": so_far.trial, "position": position, "source": so_far.source, "resumptions": so_far.resumptions}


@cache
def code_revision() -> str:
    """The commit of the checkout that this code runs from, with a plus where it was changed; else its version."""
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
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat()
