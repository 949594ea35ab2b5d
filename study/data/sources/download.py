"""Downloads a file once and checks its hash."""

import contextlib
import hashlib
from pathlib import Path

from study.core.errors import InputError
from study.data.dataset import Download
from study.data.report import ProgressCallback

TIMEOUT = 60.0
BLOCK = 1 << 18


def fetch(download: Download, folder: Path, progress: ProgressCallback | None = None) -> Path:
    """Download a file into `folder`, unless it is there already; returns its path.

    The file gets its name only when it is complete and its MD5 hash is correct. `prepared` holds the lock of the
    dataset meanwhile, so that one process downloads at a time; the remains of a killed process are overwritten.

    Raises InputError if the download fails or has another MD5 hash than published; then no file is left.
    """
    import http.client

    target = folder / download.url.rpartition("/")[2]
    if target.is_file() and _md5(target) == download.md5:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    remedy = "download it elsewhere and give it with --source FILE"
    try:
        md5 = _stream(download.url, partial, progress)
        if md5 != download.md5:
            raise InputError(f"--download {download.url}: md5 {md5}, must be {download.md5}; try again, or {remedy}.")
        partial.rename(target)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"--download {download.url}: cannot be downloaded ({reason}); {remedy}.") from error
    finally:
        partial.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()  # only if the folder is empty
    return target


def _stream(url: str, path: Path, progress: ProgressCallback | None) -> str:
    """Write the response of `url` to `path`; returns its MD5 hash."""
    import urllib.request

    digest, done = hashlib.md5(usedforsecurity=False), 0
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, path.open("wb") as file:
        total = int(answer.headers.get("Content-Length") or 0)
        while block := answer.read(BLOCK):
            digest.update(block)
            file.write(block)
            done += len(block)
            if progress:
                progress("downloading", done, max(done, total))
    return digest.hexdigest()


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
