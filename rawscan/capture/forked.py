"""The same work on several things, in several processes, with results in order. Forks.

Processes, since much of what is done with captures is in calls too short to let threads pass each
other; forked, since that takes milliseconds where a new interpreter takes longer than reading a
gigabyte.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, TypeVar

T = TypeVar("T")


def can_fork() -> bool:
    """Is it safe here? A fork copies no threads, and what they held locked stays so."""
    return threading.active_count() == 1


@contextmanager
def in_order(work: Callable[[int], T], count: int, jobs: int) -> Iterator[Iterator[T | None]]:
    """`work(0)` to `work(count - 1)`, where each of `jobs` processes does every `jobs`-th.

    Gives None for what a process did not come to, because it failed. All processes are gone when
    the context ends, whether everything was taken or not.
    """
    jobs = min(jobs, count)
    children: list[int] = []
    with ExitStack() as pipes:
        streams: list[BinaryIO] = []
        try:
            for job in range(jobs):
                outlet, inlet = os.pipe()
                child = os.fork()
                if child == 0:
                    for other in (outlet, *(stream.fileno() for stream in streams)):
                        os.close(other)  # else no brother sees that nobody reads him any more
                    _work_and_exit(work, range(job, count, jobs), inlet)
                children.append(child)
                os.close(inlet)
                streams.append(pipes.enter_context(os.fdopen(outlet, "rb", 1 << 16)))
            yield (_received(streams[number % jobs]) for number in range(count))
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)  # it holds nothing that wants to be put away
                os.waitpid(child, 0)


def _received(stream: BinaryIO) -> T | None:
    try:
        result: T = pickle.load(stream)
    except (EOFError, pickle.UnpicklingError):
        return None
    return result


def _work_and_exit(work: Callable[[int], T], numbers: range, inlet: int) -> None:
    """Do the work and write what comes of it. Never returns."""
    code = 1
    try:
        with os.fdopen(inlet, "wb") as stream:
            for number in numbers:
                pickle.dump(work(number), stream, pickle.HIGHEST_PROTOCOL)
                stream.flush()
        code = 0
    finally:
        os._exit(code)
