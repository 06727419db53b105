"""Locks on the bytes of a file, between the processes of one host."""

from __future__ import annotations

import _thread
import contextlib
import errno
import fcntl
import functools
import os
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence

from cinderlib import errors
from cinderlib.locking import filesystems

#: How often to try a lock of another process before a thread waits for it, and the seconds to sleep
#: before each attempt. A transaction takes less time, and starting a thread costs more.
LOOKS = 20
PAUSE = 0.0002


class FileLocks:
    """Locks on the bytes of a file, between the processes of this host.

    The kernel keeps them for an open file (``F_OFD_SETLK`` in fcntl(2)). Therefore they are not
    lost when another part of the program closes the file, as POSIX locks are, and a child process
    does not keep them. When the holder dies, the kernel releases them. tooz has file locks too, but
    they take ten times as long: with a store on this host, a tenth of an operation.

    A lock belongs to the file and not to its path. Processes that use other paths, other containers
    or other users still exclude each other.

    :param path: of the file, the same file for all processes. Its folder exists.
    :param like: the lock file gets the owner and permissions of this file, so that all users who
        can write to that file can use the locks. By default only its owner can.
    """

    def __init__(self, path: str, like: str | None = None) -> None:
        self._path = path
        self._like = like
        self._file: _File | None = None

    @functools.cached_property
    def reaches_hosts(self) -> bool:
        """Whether the file is on a local filesystem. Other hosts may not see locks on a shared
        one."""
        try:
            return filesystems.is_of_one_kernel(os.path.dirname(self._path) or ".")
        except OSError:
            return False

    def take(self, numbers: Sequence[int], timeout: float) -> Callable[[], None] | None:
        """Take locks.

        :param numbers: in the order in which all processes take them.
        :param timeout: seconds to wait for them.
        :returns: a function that releases them; ``None`` if they were not free in time.
        :raises StoreError: the file cannot be used.
        """
        deadline = time.monotonic() + timeout
        held: list[tuple[_File, int]] = []
        got = False
        try:
            for number in numbers:
                file = self._lock(number, deadline)
                if file is None:
                    return None
                held.append((file, number))
            got = True
        except OSError as exc:
            raise errors.StoreError(
                f"The lock file {self._path} cannot be used ({exc.strerror}); the operation did"
                " not start"
            ) from exc
        finally:
            if not got:
                _unlock(held, os.getpid())
        return functools.partial(_unlock, held, os.getpid())

    def _lock(self, number: int, deadline: float) -> _File | None:
        """The open file that holds the lock; ``None`` if the lock was not free in time."""
        while True:
            file = self._file
            if file is None or file.closed:
                file = self._file = _File(self._path, self._like)
            if not file.lock(number) and not _soon(file, number, deadline):
                if time.monotonic() >= deadline:
                    return None  # do not start a thread: it could take the lock from a later caller
                waiting = _Waiting(_File(self._path, self._like), number)
                if not waiting.until(deadline):
                    return None
                file = waiting.file
            if file.is_there():
                return file
            # The file was deleted. Other processes will lock the new file at this path.
            file.unlock(number)
            self._file = None

    def close(self) -> None:
        """Close the file. A held lock keeps it open until its release."""
        self._file = None


class _File:
    """An open file whose bytes are locks; closed when the last user drops it."""

    def __init__(self, path: str, like: str | None) -> None:
        self.closed = True
        self._number = _opened(path, like)
        self.closed = False
        self._guard = threading.Lock()
        self._held: set[int] = set()
        _files.add(self)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self._number)

    __del__ = close

    def is_there(self) -> bool:
        """Whether the file still has a path, so that other processes can open it."""
        return os.fstat(self._number).st_nlink > 0

    def lock(self, number: int, *, wait: bool = False) -> bool:
        """Take a lock. Returns whether it was free; with ``wait``, waits until it is free."""
        with self._guard:
            # The kernel grants a lock again to the open file that already holds it.
            if number in self._held:
                return False
            self._held.add(number)
        got = False
        try:
            command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
            self._set(command, fcntl.F_WRLCK, number)
            got = True
        except OSError as exc:
            if exc.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        finally:
            if not got:
                self._held.discard(number)
        return got

    def unlock(self, number: int) -> None:
        self._set(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, number)
        self._held.discard(number)

    def _set(self, command: int, kind: int, number: int) -> None:
        fcntl.fcntl(self._number, command, _FLOCK.pack(kind, os.SEEK_SET, number, 1, 0))


def _soon(file: _File, number: int, deadline: float) -> bool:
    """Whether the lock was taken within a few attempts: most locks are held for a moment."""
    for _ in range(LOOKS):
        if time.monotonic() >= deadline:
            return False
        time.sleep(PAUSE)
        if file.lock(number):
            return True
    return False


class _Waiting:
    """Waits for a lock with a timeout. The kernel grants a lock in the order of requests, but has
    no timeout. Therefore a thread waits, and is abandoned after the timeout.

    :param file: opened only for this wait. Locks belong to the open file and not to the thread: an
        abandoned thread that gets the lock and releases it must not release another thread's lock.
    """

    def __init__(self, file: _File, number: int) -> None:
        self.file = file
        self._number = number
        self._guard = threading.Lock()
        self._finished = threading.Lock()
        self._got = self._given_up = False
        self._error: OSError | None = None

    def until(self, deadline: float) -> bool:
        """Whether the lock was taken before the deadline.

        :raises OSError: the kernel refuses it.
        """
        self._finished.acquire()
        # Without threading.Thread: its start handshake takes as long as everything else here.
        try:
            _thread.start_new_thread(self._wait, ())
        except RuntimeError as exc:  # too many threads, or the interpreter is shutting down
            raise OSError(errno.EAGAIN, str(exc)) from exc
        try:
            self._finished.acquire(timeout=max(0.0, deadline - time.monotonic()))
        finally:
            with self._guard:
                self._given_up = True
        if self._error is not None:
            raise self._error
        return self._got

    def _wait(self) -> None:
        try:
            self.file.lock(self._number, wait=True)
        except OSError as exc:
            self._error = exc
        with self._guard:
            if not self._given_up:
                self._got = self._error is None
            elif self._error is None:
                self.file.unlock(self._number)
        self._finished.release()


def _opened(path: str, like: str | None) -> int:
    """The descriptor of a lock file; creates the file if it is missing."""
    flags = os.O_RDWR | os.O_CLOEXEC
    while True:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, flags)
        with contextlib.suppress(FileExistsError):  # another process has just created it
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            if like is not None:
                _imitate(descriptor, os.stat(like))
            return descriptor


def _imitate(descriptor: int, model: os.stat_result) -> None:
    """Give a new file the owner and permissions of another file, if this user may do that."""
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, model.st_uid if os.geteuid() == 0 else -1, model.st_gid)
    os.fchmod(descriptor, model.st_mode & 0o666)


def _unlock(held: Iterable[tuple[_File, int]], process: int) -> None:
    """Release locks, unless this is a child of that process: they belong to the parent."""
    if process == os.getpid():
        for file, number in held:
            file.unlock(number)


#: ``struct flock`` of fcntl(2): ``l_type, l_whence, l_start, l_len, l_pid`` (``l_pid`` must be 0).
_FLOCK = struct.Struct("@hhqqi0q")

_files: weakref.WeakSet[_File] = weakref.WeakSet()


def _close_in_child() -> None:
    # An open file in a child would keep the locks while the child runs, even if its parent dies.
    for file in list(_files):
        file.close()


os.register_at_fork(after_in_child=_close_in_child)
