"""What a machine of a cluster must have before it runs trials: the same code, results, images and extractor.

Free of Ray, which only carries these functions to the machines (`study.driver.scheduler.launch`).
"""

import contextlib
import hashlib
import platform
import secrets
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

import study
from study import data
from study.core.context import Context
from study.core.errors import InputError, StudyStops
from study.metrics.extractors.menu import load_extractor
from study.worker.record import code_revision

SEEN_WITHIN = 10.0
"""Seconds until a file that one machine wrote is seen by another: network file systems remember what was not there."""
PREFIX = ".node-"
LINE = 600
"""Characters of a line that a person still reads; of more problems only the first is told, and how many there are."""


def check_answers(address: str) -> None:
    """Raises InputError where nothing listens at host:port, for which Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        reason = f"{error}; it is HOST:PORT of `ray start --head`, or auto"
        raise InputError(f"--address {address}: no Ray cluster answers ({reason}).") from error


@cache
def code_digest() -> str:
    """SHA-256 over the names and contents of all source files of `study` and `search_spaces`."""
    digest, above = hashlib.sha256(), Path(study.__file__).parents[1]
    for package in ("study", "search_spaces"):
        for path in sorted((above / package).rglob("*.py")):
            digest.update(f"{path.relative_to(above)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def check_code(digest: str) -> None:
    """Raises StudyStops where this process runs other code than that of the digest."""
    if code_digest() != digest:
        raise StudyStops(
            f"node {socket.gethostname()}: joined with other code ({code_revision()}) than the study runs; install the"
            " study's revision there, and run the same command again."
        )


def versions() -> str:
    """Of what computes, in words."""
    return f"torch {torch.__version__}, Python {platform.python_version()}"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the driver has, and asks of each node; `manifests` of the images, by dataset."""

    contexts: Sequence[Context]
    manifests: Mapping[str, Mapping[str, Any]]
    nonce: str
    host: str
    digest: str
    revision: str
    prepare: bool


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a node answers: problems in words, each with its remedy, and its versions."""

    problems: Sequence[str]
    versions: str


@contextlib.contextmanager
def wanted(contexts: Sequence[Context], *, prepare: bool) -> Iterator[Wanted]:
    """What to ask; the results folder holds a file that nodes must see until the end of the block."""
    nonce = secrets.token_hex(8)
    results = contexts[0].results
    manifests = {each.dataset: dict(data.load(each.dataset, each.data_dir).manifest) for each in contexts}
    sign(results, nonce, "driver")
    try:
        host, digest, revision = socket.gethostname(), code_digest(), code_revision()
        yield Wanted(
            contexts=contexts,
            manifests=manifests,
            nonce=nonce,
            host=host,
            digest=digest,
            revision=revision,
            prepare=prepare,
        )
    finally:
        forget_signatures(results, nonce)


def forget_signatures(results: Path, nonce: str = "*") -> None:
    """Remove what a check of the nodes left in the results folder: one of them, or all."""
    for path in results.glob(f"{PREFIX}{nonce}-*"):
        path.unlink(missing_ok=True)


def _signature(results: Path, nonce: str, who: str) -> Path:
    return results / f"{PREFIX}{nonce}-{who}"


def sign(results: Path, nonce: str, who: str) -> None:
    """Leave a file that tells others that this process writes where they look."""
    _signature(results, nonce, who).write_text(nonce)


def signed(results: Path, nonce: str, who: str) -> bool:
    """Whether the file that `who` left is seen, now or soon."""
    path, deadline = _signature(results, nonce, who), time.monotonic() + SEEN_WITHIN
    while True:
        with contextlib.suppress(OSError):
            if path.read_text() == nonce:
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)


@contextlib.contextmanager
def shown(results: Path) -> Iterator[str]:
    """The nonce of the driver's signature, which stays in the results folder until the end of the block."""
    nonce = secrets.token_hex(8)
    sign(results, nonce, "driver")
    try:
        yield nonce
    finally:
        with contextlib.suppress(OSError):  # the next run removes what is left
            forget_signatures(results, nonce)


@cache
def check_shared(results: Path, nonce: str, host: str) -> None:
    """Raises StudyStops where this process does not see the signature of the driver, which is on `host`.

    A node may join at any time, and what it writes to a folder of its own would be lost. Asked once in each process.
    """
    if not signed(results, nonce, "driver"):
        raise StudyStops(
            f"node {socket.gethostname()}: joined without --results {results} of {host}; put it where all nodes see it,"
            " and run the same command again."
        )


def examine(wanted: Wanted, who: str) -> Found:
    """On a node: what is missing there, and its signature `who` in the results folder."""
    if code_digest() != wanted.digest:
        problem = (
            f"runs other code ({code_revision()}) than {wanted.host} ({wanted.revision}); install the same on both"
        )
        return Found(problems=[problem], versions=versions())
    problems = _results_problems(wanted, who)
    for context in wanted.contexts:
        try:
            _check_images(context, wanted)
            _check_extractor(context)
        except InputError as error:
            problems.append(str(error).removesuffix("."))
    return Found(problems=list(dict.fromkeys(problems)), versions=versions())


def _results_problems(wanted: Wanted, who: str) -> list[str]:
    results = wanted.contexts[0].results
    if not signed(results, wanted.nonce, "driver"):
        return [f"does not see --results {results} of {wanted.host}; put it where all nodes see it"]
    try:
        sign(results, wanted.nonce, who)
    except OSError as error:
        return [f"cannot write --results {results} ({error.strerror}); make it writable there"]
    return []


def _check_images(context: Context, wanted: Wanted) -> None:
    """Raises InputError where the images are not there, and not to be prepared, or are others."""
    name, folder = context.dataset, context.data_dir
    try:
        images = data.load(name, folder)
    except InputError as error:
        if not wanted.prepare:
            raise InputError(f"{str(error).removesuffix('.')}, or add --prepare-nodes") from error
        prepare_as(name, wanted.manifests[name], folder)
        images = data.load(name, folder)
    if images.sha256 != context.dataset_sha256:
        raise InputError(
            f"dataset {name}: its images in {folder} have hash {images.sha256[:16]}, those of {wanted.host}"
            f" {context.dataset_sha256[:16]}; remove them there and prepare them from the same source"
        )


def prepare_as(name: str, manifest: Mapping[str, Any], data_dir: Path) -> None:
    """Prepare a dataset from the source, and in the way, that the manifest of another machine tells."""
    known = data.built_in().get(name)
    source = manifest["source"]
    if known and known.download and known.download.url == source:
        source = None
    declared = manifest.get("declaration", {}) if known is None else {}
    options = {option: declared.get(option) or None for option in ("resolution", "fit", "test_fraction")}
    data.prepare(name, source, data_dir, **options)


def _check_extractor(context: Context) -> None:
    """Raises InputError where the extractor is not there, or has other weights."""
    weights, wanted = context.extractor_weights, context.protocol
    extractor = load_extractor(wanted.extractor, dataset=context.dataset, data_dir=context.data_dir, weights=weights)
    if extractor.weights_sha256 != wanted.weights_sha256:
        raise InputError(
            f"--extractor {wanted.extractor}: its weights there have hash {extractor.weights_sha256[:16]}, those of the"
            f" study {wanted.weights_sha256[:16]}; copy the weights file there"
        )


def no_answer(error: Exception) -> str:
    """The problem of a node that could not even be asked."""
    lines = [line.strip() for line in str(error).splitlines() if "Error" in line]
    return f"cannot run `study` ({lines[-1] if lines else type(error).__name__}); install the same revision there"


def refusal(problems: Sequence[tuple[str, str]]) -> InputError:
    """The one line for problems as (node, what is missing and the remedy)."""
    said = [f"node {node}: {problem}" for node, problem in problems]
    line = " | ".join(said)
    if len(line) > LINE and len(said) > 1:
        line = f"{said[0]} (and {len(said) - 1} more such)"
    return InputError(f"{line}.")


def other_versions(found: Mapping[str, Found]) -> str | None:
    """The line that names nodes of other versions than the driver's; None where there are none."""
    others = [f"{node} has {each.versions}" for node, each in found.items() if each.versions != versions()]
    return f"{', '.join(others)}; here are {versions()}: rows tell which they are of" if others else None
