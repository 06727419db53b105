"""Keeps other processes out of a driver that does not support several processes.

Cinder runs such a driver in one service per backend. Several threads of that service may call the
driver at the same time, as here. Two processes may not: the locks of the driver exclude only the
threads of one process, or it caches data from the storage. Drivers that Cinder marks
``SUPPORTS_ACTIVE_ACTIVE`` do not have this lock.

The lock is held for one call of the driver, inside the locks of an operation. Its holder takes no
other lock, so two processes never deadlock. When a holder dies, the lock is released.
"""

from __future__ import annotations

import os
import threading
import time
import zlib
from collections.abc import Callable

from cinderlib import errors
from cinderlib.locking.shared import SharedLocks
from cinderlib.observation import Activity, Observer

#: Seconds after which new threads wait until other processes had a turn. Without this limit, a
#: process that always has a thread in the driver would never let the others in.
TURN = 2.0

#: Seconds that this process waits before it takes the lock again, so that a waiting one gets it.
_PAUSE = 0.005


class BackendLock:
    """Held during a call of a driver: ``with lock:``. The same thread can enter it again.

    :param shared: the locks between the processes that use the store.
    :param number: the number of this lock among them.
    :param name: the backend.
    :param timeout: seconds to wait for other processes.
    :param observer: receives the time until the lock is held.
    """

    def __init__(
        self,
        shared: SharedLocks,
        number: int,
        name: str,
        timeout: float,
        observer: Observer | None = None,
    ) -> None:
        self._observer = observer
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
            self._reset()  # the lock belongs to the parent process
        depth = getattr(self._mine, "depth", 0)
        if not depth:
            if self._observer is None:
                self._enter_first()
            else:
                with self._observer(Activity("lock", "backend", self._name)):
                    self._enter_first()
        self._mine.depth = depth + 1

    def _enter_first(self) -> None:
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
            self._taking = True  # no thread of this process takes it before it is released
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
            f"Backend {self._name!r} is in use by {who}, and its driver does not support several"
            f" processes at once. It was not free within {self._timeout:g} seconds;"
            " try again later",
            resource=self._name,
        )


def number_of(name: str, first: int, count: int) -> int:
    """The number of a backend's lock. Two backends with the same number only wait for each other.

    :param first: the lowest number for backends.
    :param count: how many numbers are reserved for backends.
    """
    return first + zlib.crc32(name.encode()) % count
