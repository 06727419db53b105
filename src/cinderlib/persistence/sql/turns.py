"""Threads that write to a database which has one writer at a time.

They take turns. The one whose turn it is does the work of all who wait in one transaction, since
the commit takes longer than the work: the disk has to be waited for.
"""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Work = TypeVar("Work")

#: How many are served at once: so many lengthen the turn of the one who does it by little.
MOST = 16


class Job(Generic[Work]):
    """What a thread wants to be done.

    :ivar result: what the work gave, once it is committed.
    :ivar error: what it raised instead.
    :ivar taken: whether a thread has begun to do it.
    :ivar done: whether it has an end: what it changed is committed, or it raised.
    """

    __slots__ = ("done", "error", "result", "taken", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.result: Any = None
        self.error: Exception | None = None
        self.taken = False
        self.done = False


class Turns(Generic[Work]):
    """The turns at one database.

    :param alone: does the work of one thread, in a transaction of its own.
    :param together: does that of several in one transaction, and sets each one's result or error.
        When it raises, nothing was done.
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
        """Wait for a turn, and give what the work gives.

        :param timeout: seconds to wait.
        :raises TimeoutError: the turn did not come; nothing was done.
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
            # What its caller has given up must not be done afterwards.
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
            # The transaction in which it was to be done came to nothing: alone it is seen why.
            return _outcome(job) if job.done else self._alone(work)
        finally:
            self._turn.release()

    def _serve(self, own: Job[Work]) -> None:
        """Do what the longest waiting want; the turn is held."""
        if threading.current_thread() is threading.main_thread():
            # Control-C comes to this one. Had it committed for others by then, they would not know.
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
            # It is being done, or was: wait for how that ends.
            with self._turn:
                pass


def _outcome(job: Job[Work]) -> Any:
    if job.error is not None:
        raise job.error
    return job.result
