"""Locks by name, held across the threads, processes and hosts that share a store.

A lock has two layers: one in this process, which is all that a store of one process needs, and one
that reaches the others: the store's own, files on this host, or a service that tooz speaks to.
Names are spread over a fixed number of stripes, so that lock files don't grow with the number of
volumes ever made; two resources that share a stripe merely wait for each other now and then.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import random
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

#: How long to sleep between two looks at a lock file that another process holds, in seconds. The
#: kernel has no wait with an end; random pauses give all who wait the same chance.
PAUSE = (0.0005, 0.005)

#: Lock files that are open. A child that is forked would keep their locks for as long as it runs.
_open_files: set[int] = set()


def _close_in_child() -> None:
    for file in _open_files:
        os.close(file)
    _open_files.clear()


os.register_at_fork(after_in_child=_close_in_child)


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
                    if not self._take(stripe, deadline):
                        raise _busy(names, "a thread of this process")
                    stack.callback(self._give_back, stripe)
                    if self._others is not None:
                        wait = max(0.01, deadline - time.monotonic())
                        if not stack.enter_context(self._others.hold(stripe, wait)):
                            raise _busy(names, "another process")
                yield
        finally:
            self._mine.names = None

    def _take(self, stripe: int, deadline: float) -> bool:
        """Take the lock of this process; gives whether it was got until then."""
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
        """Give up what keeps the locks."""
        if self._others is not None:
            self._others.close()


class FileLocks:
    """Locks in files, between the processes of this host.

    The kernel keeps them for an open file and gives them up when its holder dies. tooz has such
    locks too; they take ten times as long, which for a store on this host is a tenth of an
    operation.

    :param folder: the same for all processes that use the store; it exists.
    """

    reaches_hosts = False

    def __init__(self, folder: str) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def hold(self, number: int, timeout: float) -> Iterator[bool]:
        """Hold a lock; gives whether it was got within ``timeout`` seconds.

        :raises StoreError: its file cannot be opened.
        """
        path = f"{self._folder}/{number:04d}.lock"
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise errors.StoreError(
                f"The lock file {path} cannot be used ({exc.strerror}); nothing was done"
            ) from exc
        process = os.getpid()
        _open_files.add(file)
        try:
            yield _lock(file, timeout)
        finally:
            # In a child that was forked meanwhile it is closed, and the lock is its parent's.
            if os.getpid() == process:
                _open_files.discard(file)
                # A program that is being started may have a copy of it still.
                fcntl.flock(file, fcntl.LOCK_UN)
                os.close(file)

    def close(self) -> None:
        """Nothing is kept."""


def _lock(file: int, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(random.uniform(*PAUSE))  # noqa: S311
        else:
            return True


class ToozLocks:
    """Locks of a tooz coordinator: a service such as etcd or Redis.

    :param url: of the coordinator, such as ``etcd3+http://host:2379``.
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
