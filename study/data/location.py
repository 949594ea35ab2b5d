"""The folder of prepared datasets."""

import os
from pathlib import Path


def data_dir(option: Path | str | None = None) -> Path:
    """The folder of prepared datasets, absolute: `option` (--data-dir), else $STUDY_DATA, else the user's cache."""
    return Path(option).expanduser().absolute() if option else default_data_dir()


def default_data_dir() -> Path:
    """The folder without --data-dir; an empty environment variable counts as not set."""
    if folder := os.environ.get("STUDY_DATA"):
        return Path(folder).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gan-study"
