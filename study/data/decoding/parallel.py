"""Parallel decoding of images, by one process per core, with results in order.

Threads would not help, because Pillow holds the global interpreter lock for most of the time of a small image. The
processes are started directly, not by `multiprocessing`: so the main module needs no guard, and the processes end
together with this one, however it ends, because each reads chunks from its standard input and stops when that is
closed. The results do not depend on the number of processes.
"""

import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import BinaryIO

import numpy as np

from study.core.errors import InputError
from study.data.dataset import Encoded, ImageRecord
from study.data.decoding.image import Decoded, Target, decode_all

CHUNK = 32
"""Images per message to a process: 1.5 MB at 128 px, so that a process needs only a few MB."""
CHUNK_BYTES = 8 << 20
"""Size of the images that come as bytes or pixels after which a message is sent."""
WORTHWHILE = 500
"""Minimum number of images for which starting processes saves time."""
Pair = tuple[ImageRecord, Decoded]


def decoded(records: Iterable[ImageRecord], n: int, target: Target, workers: int | None = None) -> Generator[Pair]:
    """Yield each of the `n` records with its pixels, in order, decoded by `workers` processes (one per core).

    At most 3 chunks per process are in memory. Raises InputError as `decode` does, and if a process dies.
    """
    workers = available_cores() if workers is None else workers
    pieces = _pieces(records)
    if workers < 2 or n < WORTHWHILE:
        for piece in pieces:
            yield from zip(piece, decode_all(_items(piece), target), strict=True)
        return
    with ExitStack() as stack:
        pool = _Pool(min(workers, -(-n // CHUNK)), target, stack)
        pending: deque[tuple[list[ImageRecord], Future[list[Decoded]]]] = deque()
        for piece in pieces:
            pending.append((piece, pool.submit(piece)))
            if len(pending) > 2 * workers:
                yield from _next(pending)
        while pending:
            yield from _next(pending)


def _pieces(records: Iterable[ImageRecord]) -> Iterator[list[ImageRecord]]:
    piece: list[ImageRecord] = []
    size = 0
    for record in records:
        piece.append(record)
        size += record.data.nbytes if isinstance(record.data, np.ndarray) else len(record.data)
        if len(piece) == CHUNK or size >= CHUNK_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def available_cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _next(pending: deque[tuple[list[ImageRecord], Future[list[Decoded]]]]) -> Iterator[Pair]:
    piece, future = pending.popleft()
    yield from zip(piece, future.result(), strict=True)


def _items(piece: Sequence[ImageRecord]) -> list[tuple[str, Encoded]]:
    return [(record.name, record.data) for record in piece]


class _Pool:
    """Decoding processes, each with a thread that communicates with it; all end when `stack` is closed."""

    def __init__(self, workers: int, target: Target, stack: ExitStack) -> None:
        self._target, self._stack, self._own = target, stack, threading.local()
        stack.callback(self._end)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads = ThreadPoolExecutor(workers, initializer=self._start)

    def submit(self, piece: list[ImageRecord]) -> Future[list[Decoded]]:
        return self._threads.submit(self._decode, piece)

    def _start(self) -> None:
        code = f"import sys; sys.path[:] = {sys.path!r}; from study.data.decoding.parallel import serve; serve()"
        # A new session, so that an interrupt from the terminal reaches only this process, which then ends the others.
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._processes.append(process)
        self._own.process = process

    def _decode(self, piece: list[ImageRecord]) -> list[Decoded]:
        process = self._own.process
        try:
            pickle.dump((_items(piece), self._target), process.stdin, protocol=5)
            process.stdin.flush()
            answer = pickle.load(process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise InputError(
                f"image {piece[0].name} or one of the next {len(piece) - 1}: the decoding process died (exit code"
                f" {process.wait()}); remove the image, or use a machine with more memory."
            ) from error
        if isinstance(answer, InputError):
            raise answer
        return list(answer)

    def _end(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.kill()
        self._threads.shutdown()
        for process in self._processes:
            process.communicate()


def serve(reader: BinaryIO | None = None, writer: BinaryIO | None = None) -> None:
    """The loop of a decoding process: reads chunks from standard input, writes results to standard output."""
    reader, writer = reader or sys.stdin.buffer, writer or sys.stdout.buffer
    while True:
        try:
            items, target = pickle.load(reader)
        except EOFError:
            return
        try:
            answer: object = decode_all(items, target)
        except InputError as error:
            answer = error
        try:
            pickle.dump(answer, writer, protocol=5)
            writer.flush()
        except BrokenPipeError:
            os._exit(0)  # the reader is gone, and the flush of a normal exit would fail, too
