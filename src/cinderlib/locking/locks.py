"""Named locks between the threads, processes and hosts that share a store.

A lock has two layers. The first excludes threads of this process; a store of one process needs only
this layer. The second excludes other processes. It uses locks of the store, files on this host, or
a service through tooz. Names are hashed to a fixed number of stripes, so the number of locks does
not increase with the number of volumes. Two resources with the same stripe occasionally wait for
each other.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from cinderlib import errors
from cinderlib.locking import process_identity
from cinderlib.locking.backend_lock import BackendLock, number_of
from cinderlib.locking.shared import SharedLocks
from cinderlib.observation import Activity, Observer
from cinderlib.records import Owner

LOG = logging.getLogger(__name__)

#: Few enough for a lock service, and enough to make collisions rare.
STRIPES = 4096
#: Lock numbers of whole calls. Each call draws a random one.
CALLS = range(1 << 16, 1 << 31)


class Locks:
    """The locks of a controller.

    :param others: the layer between processes; ``None`` if no other process shares the store.
    :param timeout: seconds to wait for a lock before giving up.
    :param observer: receives the time until a lock is held.
    """

    def __init__(
        self, others: SharedLocks | None, timeout: float, observer: Observer | None = None
    ) -> None:
        self._others = others
        self._timeout = timeout
        self._observer = observer
        self._guard = threading.Lock()
        self._held: dict[int, _Held] = {}
        self._mine = threading.local()
        self._calls: dict[int, int] = {}

    def reach(self, owner: Owner) -> bool:
        """Whether this process can see a lock that the other process holds."""
        return (
            self._others is None
            or self._others.reaches_hosts
            or process_identity.is_of_this_machine(owner)
        )

    @contextlib.contextmanager
    def call(self) -> Iterator[int]:
        """Hold a lock during a call that takes and releases other locks.

        No caller waits for such a lock, so other locks can be taken while it is held.

        :returns: the lock's number, which :meth:`is_running` takes.
        :raises StoreError: the lock service cannot be reached.
        """
        number, give_back = self._begin_call()
        self._calls[number] = os.getpid()
        try:
            yield number
        finally:
            del self._calls[number]
            give_back()

    def _begin_call(self) -> tuple[int, Callable[[], None]]:
        while True:
            number = secrets.choice(CALLS)
            if self._others is None:
                return number, _nothing
            if (give_back := self._others.take([number], 0)) is not None:
                return number, give_back

    def is_running(self, call: int) -> bool:
        """Whether the call with this lock number still runs, in any process.

        :raises StoreError: the lock service cannot be reached.
        """
        if self._calls.get(call) == os.getpid():
            return True
        if self._others is None:
            return False
        give_back = self._others.take([call], 0)
        if give_back is None:
            return True
        give_back()
        return False

    def hold(self, *names: str, timeout: float | None = None) -> Holding:
        """Hold the locks with these names: ``with locks.hold(name):``.

        :param timeout: seconds, instead of the controller's.
        :raises Busy: a lock was not free within the timeout.
        :raises StoreError: the lock service cannot be reached.
        """
        return Holding(self, names, self._timeout if timeout is None else timeout)

    def of_backend(self, name: str) -> BackendLock | None:
        """The lock that keeps other processes out of a backend's driver; ``None`` if no other
        process shares the store."""
        if self._others is None:
            return None
        number = number_of(name, STRIPES, STRIPES)
        return BackendLock(self._others, number, name, self._timeout, self._observer)

    def _take(self, stripe: int, deadline: float) -> bool:
        """Take the lock between threads. Returns whether it was free before the deadline."""
        with self._guard:
            held = self._held.setdefault(stripe, _Held())
            held.users += 1
        got = False
        try:
            got = held.lock.acquire(blocking=False) or held.lock.acquire(
                timeout=max(0.0, deadline - time.monotonic())
            )
        finally:
            if not got:
                self._leave(stripe, held)
        return got

    def _give_back(self, stripe: int) -> None:
        held = self._held[stripe]
        held.lock.release()
        self._leave(stripe, held)

    def _leave(self, stripe: int, held: _Held) -> None:
        with self._guard:
            held.users -= 1
            if not held.users:
                del self._held[stripe]

    def close(self) -> None:
        """Disconnect from the lock service, or close the lock files."""
        if self._others is not None:
            self._others.close()


class Holding:
    """Holds locks in a ``with`` statement. This is a class because a generator takes longer than
    taking the locks between threads.

    :param names: of the locks.
    :param timeout: seconds to wait for them.
    """

    __slots__ = ("_give_back", "_locks", "_names", "_taken", "_timeout")

    def __init__(self, locks: Locks, names: tuple[str, ...], timeout: float) -> None:
        self._locks = locks
        self._names = names
        self._timeout = timeout
        self._taken: list[int] = []
        self._give_back: Callable[[], None] | None = None

    def __enter__(self) -> None:
        mine = self._locks._mine
        if getattr(mine, "names", None):
            raise RuntimeError(f"locks are not nested: {self._names} inside {mine.names}")
        mine.names = self._names
        observer = self._locks._observer
        try:
            if observer is None:
                self._take()
            else:
                with observer(Activity("lock", self._names[0].partition(":")[0])):
                    self._take()
        except BaseException:
            self.__exit__()
            raise

    def _take(self) -> None:
        deadline = time.monotonic() + self._timeout
        # All holders take stripes in the same order, so they never deadlock.
        stripes = sorted({zlib.crc32(name.encode()) % STRIPES for name in self._names})
        for stripe in stripes:
            if not self._locks._take(stripe, deadline):
                raise _busy(self._names, "a thread of this process")
            self._taken.append(stripe)
        others = self._locks._others
        if others is not None:
            self._give_back = others.take(stripes, max(0.01, deadline - time.monotonic()))
            if self._give_back is None:
                raise _busy(self._names, "another process")

    def __exit__(self, *error: object) -> None:
        try:
            if self._give_back is not None:
                self._give_back()
        finally:
            for stripe in self._taken:
                self._locks._give_back(stripe)
            self._locks._mine.names = None


def _nothing() -> None:
    """Releases nothing: no other process shares the store."""


class ToozLocks:
    """Locks of a tooz coordinator, for example etcd or Redis.

    :param url: the coordinator's URL, such as ``etcd3+http://host:2379``.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.reaches_hosts = not url.startswith(("file:", "ipc:"))
        self._guard = threading.Lock()
        self._coordinator: Any = None
        self._pid = 0

    def take(self, numbers: Sequence[int], timeout: float) -> Callable[[], None] | None:
        """Take locks.

        :param numbers: in the order in which all processes take them.
        :param timeout: seconds to wait for them.
        :returns: a function that releases them; ``None`` if they were not free in time.
        :raises StoreError: the service cannot be reached.
        """
        import tooz

        deadline = time.monotonic() + timeout
        held: list[Any] = []
        got = False
        try:
            coordinator = self._start()
            for number in numbers:
                lock = coordinator.get_lock(b"cinderlib-%04d" % number)
                if not lock.acquire(blocking=max(0.01, deadline - time.monotonic())):
                    return None
                held.append(lock)
            got = True
        except (tooz.ToozError, OSError) as exc:
            raise errors.StoreError(
                f"The lock service failed before the operation started: {exc}"
            ) from exc
        finally:
            if not got:
                _release(held)
        return functools.partial(_release, held)

    def _start(self) -> Any:
        # A forked child must not use its parent's connections.
        with self._guard:
            if self._coordinator is None or self._pid != os.getpid():
                from tooz import coordination

                member = f"cinderlib-{os.getpid()}".encode()
                self._coordinator = coordination.get_coordinator(self._url, member)
                self._coordinator.start(start_heart=True)
                self._pid = os.getpid()
            return self._coordinator

    def close(self) -> None:
        """Disconnect from the service."""
        with self._guard:
            if self._coordinator is not None and self._pid == os.getpid():
                self._coordinator.stop()
            self._coordinator = None


def _release(held: Iterable[Any]) -> None:
    import tooz

    for lock in held:
        try:
            lock.release()
        except (tooz.ToozError, OSError):
            # The operation is done and recorded; the service releases the locks of a lost client.
            LOG.warning("A lock could not be released", exc_info=True)


class _Held:
    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0


def _busy(names: tuple[str, ...], who: str) -> errors.Busy:
    return errors.Busy(
        f"{' and '.join(names)} is in use by {who}, which did not finish in time; try again later",
        resource=names[0].partition(":")[2],
    )
