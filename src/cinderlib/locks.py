"""Locks by name, held across the threads, processes and hosts that share a store.

A lock has two layers: one in this process, which is all that a store of one process needs, and one
that reaches the others: the store's own, or tooz's. Names are spread over a fixed number of
stripes, so that lock files don't grow with the number of volumes ever made; two resources that
share a stripe merely wait for each other now and then.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

from cinderlib import errors
from cinderlib.persistence.base import SharedLocks

LOG = logging.getLogger(__name__)

#: Few enough for a folder, many enough that threads seldom meet by chance.
STRIPES = 4096


class Locks:
    """The locks of a controller.

    :param others: the layer that reaches other processes; ``None`` when no other shares the store.
    :param timeout: seconds to wait for a lock that is held before giving up.
    """

    def __init__(self, others: SharedLocks | None, timeout: float) -> None:
        self._others = others
        self._timeout = timeout
        self._guard = threading.Lock()
        self._held: dict[int, _Held] = {}
        self._mine = threading.local()

    @property
    def reaches_hosts(self) -> bool:
        """Whether they hold wherever the store can be seen."""
        return self._others is None or self._others.reaches_hosts

    @contextlib.contextmanager
    def hold(self, *names: str, timeout: float | None = None) -> Iterator[None]:
        """Hold the locks of all the names.

        :param timeout: seconds, instead of the controller's.
        :raises Busy: one of them was held by another for that long.
        :raises StoreError: the service that keeps the locks cannot be reached.
        """
        if getattr(self._mine, "names", None):
            raise RuntimeError(f"locks are not nested: {names} inside {self._mine.names}")
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        self._mine.names = names
        try:
            with contextlib.ExitStack() as stack:
                # One order for everybody, so that two holders never wait for each other.
                for stripe in sorted({zlib.crc32(name.encode()) % STRIPES for name in names}):
                    stack.enter_context(self._hold_here(stripe, deadline, names))
                    if self._others is not None:
                        wait = max(0.01, deadline - time.monotonic())
                        if not stack.enter_context(self._others.hold(stripe, wait)):
                            raise _busy(names, "another process")
                yield
        finally:
            self._mine.names = None

    @contextlib.contextmanager
    def _hold_here(self, stripe: int, deadline: float, names: tuple[str, ...]) -> Iterator[None]:
        with self._guard:
            held = self._held.setdefault(stripe, _Held())
            held.users += 1
        try:
            if not held.lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
                raise _busy(names, "a thread of this process")
            try:
                yield
            finally:
                held.lock.release()
        finally:
            with self._guard:
                held.users -= 1
                if not held.users:
                    del self._held[stripe]

    def close(self) -> None:
        """Give up what keeps the locks."""
        if self._others is not None:
            self._others.close()


class ToozLocks:
    """Locks of a tooz coordinator: files on this host, or a service such as etcd or Redis.

    :param url: of the coordinator, such as ``file:///run/lock/x`` or ``etcd3+http://host:2379``.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.reaches_hosts = not url.startswith(("file:", "ipc:"))
        self._guard = threading.Lock()
        self._coordinator: Any = None
        self._pid = 0

    @contextlib.contextmanager
    def hold(self, number: int, timeout: float) -> Iterator[bool]:
        """Hold a lock; gives whether it was got within ``timeout`` seconds.

        :raises StoreError: the service cannot be reached.
        """
        import tooz

        try:
            lock = self._start().get_lock(b"cinderlib-%04d" % number)
            got = lock.acquire(blocking=timeout)
        except (tooz.ToozError, OSError) as exc:
            raise errors.StoreError(
                f"The lock service failed before anything was done: {exc}"
            ) from exc
        try:
            yield bool(got)
        finally:
            if got:
                try:
                    lock.release()
                except (tooz.ToozError, OSError):
                    # The work is done and recorded; the service frees what a lost client held.
                    LOG.warning("A lock could not be given back", exc_info=True)

    def _start(self) -> Any:
        # A forked child must not share its parent's connections.
        with self._guard:
            if self._coordinator is None or self._pid != os.getpid():
                from tooz import coordination

                member = f"cinderlib-{os.getpid()}".encode()
                self._coordinator = coordination.get_coordinator(self._url, member)
                self._coordinator.start(start_heart=True)
                self._pid = os.getpid()
            return self._coordinator

    def close(self) -> None:
        """Leave the service."""
        with self._guard:
            if self._coordinator is not None and self._pid == os.getpid():
                self._coordinator.stop()
            self._coordinator = None


class _Held:
    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0


def _busy(names: tuple[str, ...], who: str) -> errors.Busy:
    return errors.Busy(
        f"{' and '.join(names)}: {who} is at work on it and did not end in time; try again later",
        resource=names[0].partition(":")[2],
    )
