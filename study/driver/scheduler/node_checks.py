"""Checks that a machine of a cluster has what trials need: the same code, results folder, images and extractor.

This module does not import Ray, which only runs these functions on the machines (`study.driver.scheduler.launch`).
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

VISIBLE_WITHIN = 10.0
"""Seconds until a file written on one machine is visible on another: network file systems cache missing files."""
PREFIX = ".node-"
MAX_LINE = 600
"""Characters of an error message; if it is longer, only the first problem is named, and the others are counted."""


def check_answers(address: str) -> None:
    """Raises InputError if nothing listens at host:port; Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        reason = f"{error}; give HOST:PORT of `ray start --head`, or auto"
        raise InputError(f"--address {address}: no Ray cluster answers ({reason}).") from error


@cache
def code_digest() -> str:
    """SHA-256 of the names and contents of all source files of `study` and `search_spaces`."""
    digest, above = hashlib.sha256(), Path(study.__file__).parents[1]
    for package in ("study", "search_spaces"):
        for path in sorted((above / package).rglob("*.py")):
            digest.update(f"{path.relative_to(above)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def check_code(digest: str) -> None:
    """Raises StudyStops if the code of this process has another digest."""
    if code_digest() != digest:
        raise StudyStops(
            f"node {socket.gethostname()}: joined with other code ({code_revision()}) than the study's; install the"
            " study's revision there, and run the same command again."
        )


def versions() -> str:
    """Versions of PyTorch and Python, as text."""
    return f"torch {torch.__version__}, Python {platform.python_version()}"


@dataclass(frozen=True, kw_only=True)
class NodeRequirements:
    """What the driver requires of each node.

    Attributes:
        contexts: of the trials.
        manifests: of the prepared images, by dataset.
        nonce: of this check, see `sign`.
        host: the driver's machine.
        digest, revision: of the driver's code.
        prepare: whether nodes prepare missing datasets.
    """

    contexts: Sequence[Context]
    manifests: Mapping[str, Mapping[str, Any]]
    nonce: str
    host: str
    digest: str
    revision: str
    prepare: bool


@dataclass(frozen=True, kw_only=True)
class NodeReport:
    """The answer of a node: its problems as text, each with its remedy, and its versions."""

    problems: Sequence[str]
    versions: str


@contextlib.contextmanager
def node_requirements(contexts: Sequence[Context], *, prepare: bool) -> Iterator[NodeRequirements]:
    """The requirements; until the end of the block the results folder holds a file that nodes must see."""
    nonce = secrets.token_hex(8)
    results = contexts[0].results
    manifests = {each.dataset: dict(data.load(each.dataset, each.data_dir).manifest) for each in contexts}
    sign(results, nonce, "driver")
    try:
        host, digest, revision = socket.gethostname(), code_digest(), code_revision()
        yield NodeRequirements(
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
    """Remove the signatures of one check of the nodes, or of all checks, from the results folder."""
    for path in results.glob(f"{PREFIX}{nonce}-*"):
        path.unlink(missing_ok=True)


def _signature(results: Path, nonce: str, who: str) -> Path:
    return results / f"{PREFIX}{nonce}-{who}"


def sign(results: Path, nonce: str, who: str) -> None:
    """Write a file that shows other machines that this process uses the same results folder."""
    _signature(results, nonce, who).write_text(nonce)


def signed(results: Path, nonce: str, who: str) -> bool:
    """Whether the signature of `who` is visible, now or within VISIBLE_WITHIN seconds."""
    path, deadline = _signature(results, nonce, who), time.monotonic() + VISIBLE_WITHIN
    while True:
        with contextlib.suppress(OSError):
            if path.read_text() == nonce:
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)


@contextlib.contextmanager
def driver_signature(results: Path) -> Iterator[str]:
    """The nonce of the driver's signature, which is in the results folder until the end of the block."""
    nonce = secrets.token_hex(8)
    sign(results, nonce, "driver")
    try:
        yield nonce
    finally:
        with contextlib.suppress(OSError):  # the next run removes it
            forget_signatures(results, nonce)


@cache
def check_shared(results: Path, nonce: str, host: str) -> None:
    """Raises StudyStops if this process does not see the signature of the driver, which runs on `host`.

    A node can join at any time, and rows that it writes to a folder of its own would be lost. Each process checks once.
    """
    if not signed(results, nonce, "driver"):
        raise StudyStops(
            f"node {socket.gethostname()}: does not see --results {results} of {host}; put it where all nodes see it,"
            " and run the same command again."
        )


def examine(required: NodeRequirements, who: str) -> NodeReport:
    """Runs on a node: check it, and leave its signature `who` in the results folder."""
    if code_digest() != required.digest:
        problem = (
            f"runs other code ({code_revision()}) than {required.host} ({required.revision}); install the same on both"
        )
        return NodeReport(problems=[problem], versions=versions())
    problems = _results_problems(required, who)
    for context in required.contexts:
        try:
            _check_images(context, required)
            _check_extractor(context)
        except InputError as error:
            problems.append(str(error).removesuffix("."))
    return NodeReport(problems=list(dict.fromkeys(problems)), versions=versions())


def _results_problems(required: NodeRequirements, who: str) -> list[str]:
    results = required.contexts[0].results
    if not signed(results, required.nonce, "driver"):
        return [f"does not see --results {results} of {required.host}; put it where all nodes see it"]
    try:
        sign(results, required.nonce, who)
    except OSError as error:
        return [f"cannot write --results {results} ({error.strerror}); make it writable there"]
    return []


def _check_images(context: Context, required: NodeRequirements) -> None:
    """Prepare missing images if that is required; raises InputError if they are missing or differ."""
    name, folder = context.dataset, context.data_dir
    try:
        images = data.load(name, folder)
    except InputError as error:
        if not required.prepare:
            raise InputError(f"{str(error).removesuffix('.')}, or add --prepare-nodes") from error
        prepare_as(name, required.manifests[name], folder)
        images = data.load(name, folder)
    if images.sha256 != context.dataset_sha256:
        raise InputError(
            f"dataset {name}: its images in {folder} have hash {images.sha256[:16]}, those of {required.host}"
            f" {context.dataset_sha256[:16]}; remove them there and prepare them from the same source"
        )


def prepare_as(name: str, manifest: Mapping[str, Any], data_dir: Path) -> None:
    """Prepare a dataset from the same source and with the same options as in the manifest of another machine."""
    known = data.built_in().get(name)
    source = manifest["source"]
    if known and known.download and known.download.url == source:
        source = None
    declared = manifest.get("declaration", {}) if known is None else {}
    options = {option: declared.get(option) or None for option in ("resolution", "fit", "test_fraction")}
    data.prepare(name, source, data_dir, **options)


def _check_extractor(context: Context) -> None:
    """Raises InputError if the extractor is missing, or has other weights than the study's."""
    weights, protocol = context.extractor_weights, context.protocol
    extractor = load_extractor(protocol.extractor, dataset=context.dataset, data_dir=context.data_dir, weights=weights)
    if extractor.weights_sha256 != protocol.weights_sha256:
        raise InputError(
            f"--extractor {protocol.extractor}: its weights there have hash {extractor.weights_sha256[:16]}, the"
            f" study's {protocol.weights_sha256[:16]}; copy the weights file there"
        )


def no_answer(error: Exception) -> str:
    """The problem of a node on which the check itself could not run.

    Ray has no type for a failed import on a node, so its text is searched; only the message depends on it.
    """
    lines = [line.strip() for line in str(error).splitlines() if "Error" in line]
    return f"cannot run `study` ({lines[-1] if lines else type(error).__name__}); install the same revision there"


def refusal(problems: Sequence[tuple[str, str]]) -> InputError:
    """One error line for problems given as (node, problem and remedy)."""
    lines = [f"node {node}: {problem}" for node, problem in problems]
    line = " | ".join(lines)
    if len(line) > MAX_LINE and len(lines) > 1:
        line = f"{lines[0]} (and {len(lines) - 1} more problems)"
    return InputError(f"{line}.")


def version_differences(reports: Mapping[str, NodeReport]) -> str | None:
    """A line that names the nodes with other versions than the driver's; None if all are equal."""
    others = [f"{node} has {report.versions}" for node, report in reports.items() if report.versions != versions()]
    return f"{', '.join(others)}; this machine has {versions()}: each row names its versions" if others else None
