"""Where prepared data live."""

import os
from pathlib import Path


def data_dir(option: Path | str | None = None) -> Path:
    """The folder of prepared datasets: `option` (--data-dir), else $STUDY_DATA, else the user's cache folder."""
    return Path(option).expanduser().absolute() if option else default_data_dir()


def default_data_dir() -> Path:
    """Where data live unless --data-dir says otherwise; a variable that is set but empty counts as not set."""
    if folder := os.environ.get("STUDY_DATA"):
        return Path(folder).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gan-study"
