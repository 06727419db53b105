"""Turns of threads at a database that allows one writer at a time.

The thread with the turn does the work of all waiting threads in one transaction, because the commit
takes longer than the work: it waits for the disk.
"""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Work = TypeVar("Work")

#: Maximum number of jobs in one transaction: so many make the turn only a little longer.
MOST = 16


class Job(Generic[Work]):
    """The work of a thread.

    :ivar result: the return value of the work, once it is committed.
    :ivar error: the exception of the work.
    :ivar taken: whether a thread has started to do it.
    :ivar done: whether it has ended: its changes are committed, or it raised.
    """

    __slots__ = ("done", "error", "result", "taken", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.result: Any = None
        self.error: Exception | None = None
        self.taken = False
        self.done = False


class Turns(Generic[Work]):
    """The turns of threads at one database.

    :param alone: does the work of one thread, in its own transaction.
    :param together: does the work of several threads in one transaction, and sets the result or
        error of each. If it raises, nothing changed.
    """

    def __init__(
        self,
        alone: Callable[[Work], Any],
        together: Callable[[Sequence[Job[Work]]], None],
    ) -> None:
        self._alone = alone
        self._together = together
        self._turn = threading.Lock()
        self._waiting: collections.deque[Job[Work]] = collections.deque()

    def do(self, work: Work, timeout: float) -> Any:
        """Wait for a turn, do the work and return its result.

        :param timeout: seconds to wait.
        :raises TimeoutError: the turn did not come in time; nothing changed.
        """
        if not self._waiting and self._turn.acquire(blocking=False):
            try:
                return self._alone(work)
            finally:
                self._turn.release()
        job = Job(work)
        self._waiting.append(job)
        try:
            got = self._turn.acquire(timeout=timeout)
        except BaseException:
            # The caller has given up, so the work must not be done later.
            self._withdraw(job)
            raise
        if not got:
            self._withdraw(job)
            if not job.done:
                raise TimeoutError
            return _outcome(job)
        try:
            while not job.taken:
                self._serve(job)
            # The transaction with several jobs failed: alone, the job shows its own error.
            return _outcome(job) if job.done else self._alone(work)
        finally:
            self._turn.release()

    def _serve(self, own: Job[Work]) -> None:
        """Do the oldest waiting jobs. The caller holds the turn."""
        if threading.current_thread() is threading.main_thread():
            # Ctrl-C interrupts this thread. If it had committed jobs of others, they would not
            # know.
            self._waiting.remove(own)
            own.taken = True
            return
        jobs: list[Job[Work]] = []
        with contextlib.suppress(IndexError):
            while len(jobs) < MOST:
                jobs.append(self._waiting.popleft())
        for job in jobs:
            job.taken = True
        if len(jobs) > 1:
            with contextlib.suppress(Exception):
                self._together(jobs)
                for job in jobs:
                    job.done = True

    def _withdraw(self, job: Job[Work]) -> None:
        try:
            self._waiting.remove(job)
        except ValueError:
            # Another thread is doing the job or has done it: wait for the end.
            with self._turn:
                pass


def _outcome(job: Job[Work]) -> Any:
    if job.error is not None:
        raise job.error
    return job.result
