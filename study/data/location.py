"""The folder of prepared datasets."""

import os
from pathlib import Path

from study.core.errors import InputError


def data_dir(option: Path | str | None = None) -> Path:
    """The folder of prepared datasets, absolute: `option` (--data-dir), else $STUDY_DATA, else the user's cache."""
    return expanded(option).absolute() if option else default_data_dir()


def default_data_dir() -> Path:
    """The folder without --data-dir; an empty environment variable counts as not set."""
    if folder := os.environ.get("STUDY_DATA"):
        return expanded(folder).absolute()
    return user_cache()


def user_cache() -> Path:
    """The folder for what can be made again; raises InputError if the home folder is not known."""
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "gan-study"


def expanded(path: Path | str) -> Path:
    """A path whose leading ~ is replaced by the home folder; raises InputError if that is not known."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{path}: the home folder is not known; give the whole path.") from error
