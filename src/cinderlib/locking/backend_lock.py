"""One process at a time inside a driver that is not made for several.

Cinder runs such a driver in one service per backend. Its threads may be inside together, as they
are here; two processes may not: the driver takes its locks within its process, or trusts what it
read a moment ago. Drivers that Cinder marks ``SUPPORTS_ACTIVE_ACTIVE`` have no such lock.

It is taken for one call of the driver, inside the locks of an operation, and whoever holds it takes
no other lock: so no two processes wait for each other. A holder that dies gives it up.
"""

from __future__ import annotations

import os
import threading
import time
import zlib
from collections.abc import Callable

from cinderlib import errors
from cinderlib.locking.shared import SharedLocks

#: Seconds after which threads that come wait until the process has given others their turn. Without
#: an end, a process that always has a thread inside would keep the others out.
TURN = 2.0

#: Seconds for a process that waits to take the lock before this one does again.
_PAUSE = 0.005


class BackendLock:
    """For as long as a driver is called: ``with lock:``. Can be entered again by the same thread.

    :param shared: the locks between the processes that use the store.
    :param number: of the lock among these.
    :param name: of the backend.
    :param timeout: seconds to wait for other processes.
    """

    def __init__(self, shared: SharedLocks, number: int, name: str, timeout: float) -> None:
        self._shared = shared
        self._number = number
        self._name = name
        self._timeout = timeout
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._inside = 0
        self._taking = False
        self._turn_ends = 0.0
        self._give_back: Callable[[], None] | None = None
        self._mine = threading.local()

    def __enter__(self) -> None:
        if self._pid != os.getpid():
            self._reset()  # the lock is the parent's
        depth = getattr(self._mine, "depth", 0)
        if not depth:
            self._come_in()
        self._mine.depth = depth + 1

    def _come_in(self) -> None:
        deadline = time.monotonic() + self._timeout
        with self._changed:
            while self._taking or (self._inside and time.monotonic() > self._turn_ends):
                if not self._changed.wait(deadline - time.monotonic()):
                    raise self._busy("threads of this process")
            if self._give_back is not None:
                self._inside += 1
                return
            self._taking = True
        give_back = None
        try:
            give_back = self._shared.take([self._number], max(0.01, deadline - time.monotonic()))
        finally:
            with self._changed:
                self._taking = False
                if give_back is not None:
                    self._give_back = give_back
                    self._inside += 1
                    self._turn_ends = time.monotonic() + TURN
                self._changed.notify_all()
        if give_back is None:
            raise self._busy("another process")

    def __exit__(self, *error: object) -> None:
        if self._pid != os.getpid():
            return
        self._mine.depth -= 1
        if self._mine.depth:
            return
        with self._changed:
            self._inside -= 1
            if self._inside:
                return
            give_back, self._give_back = self._give_back, None
            others_may_wait = time.monotonic() > self._turn_ends
            self._taking = True  # nobody takes it from the others before it is given back
        try:
            if give_back is not None:
                give_back()
            if others_may_wait:
                time.sleep(_PAUSE)
        finally:
            with self._changed:
                self._taking = False
                self._changed.notify_all()

    def _busy(self, who: str) -> errors.Busy:
        return errors.Busy(
            f"Backend {self._name!r} is in use by {who}, and its driver is not made for several"
            f" processes at once; it was not free for {self._timeout:g} seconds",
            resource=self._name,
        )


def number_of(name: str, first: int, count: int) -> int:
    """The number of a backend's lock. Two backends that share one merely wait for each other.

    :param first: the lowest number that is not used for something else.
    :param count: how many numbers there are.
    """
    return first + zlib.crc32(name.encode()) % count
