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

#: How often to look for a lock of another process before a thread waits for it, and how long to
#: sleep before each look, in seconds: a transaction takes less, and a thread is soon dearer.
LOOKS = 20
PAUSE = 0.0002


class FileLocks:
    """Locks on the bytes of a file, between the processes of this host.

    The kernel keeps them for an open file (``F_OFD_SETLK`` in fcntl(2)), so they are neither lost
    when another part of the program closes the file, as POSIX's are, nor kept by a child. They are
    given up when their holder dies. tooz has locks in files too; they take ten times as long, which
    for a store on this host is a tenth of an operation.

    A lock belongs to the file itself and not to its name: processes that see it under other paths,
    in other containers or as other users exclude each other all the same.

    :param path: of the file, which all processes find. Its folder exists.
    :param like: a file whose owner and permissions the lock file gets, so that everybody who can
        write to the one can lock the other. By default only its owner can.
    """

    def __init__(self, path: str, like: str | None = None) -> None:
        self._path = path
        self._like = like
        self._file: _File | None = None

    @functools.cached_property
    def reaches_hosts(self) -> bool:
        """Whether no other host can have the file. One that can may not see these locks."""
        try:
            return filesystems.is_of_one_kernel(os.path.dirname(self._path) or ".")
        except OSError:
            return False

    def take(self, numbers: Sequence[int], timeout: float) -> Callable[[], None] | None:
        """Take locks.

        :param numbers: in the order in which everybody takes them.
        :param timeout: seconds to wait for them.
        :returns: gives them back; ``None`` when they were not got.
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
                f"The lock file {self._path} cannot be used ({exc.strerror}); nothing was done"
            ) from exc
        finally:
            if not got:
                _unlock(held, os.getpid())
        return functools.partial(_unlock, held, os.getpid())

    def _lock(self, number: int, deadline: float) -> _File | None:
        """The open file by which the lock is held, ``None`` when it was not got in time."""
        while True:
            file = self._file
            if file is None or file.closed:
                file = self._file = _File(self._path, self._like)
            if not file.lock(number) and not _soon(file, number, deadline):
                if time.monotonic() >= deadline:
                    return None  # and no thread that takes it for a moment from who comes later
                waiting = _Waiting(_File(self._path, self._like), number)
                if not waiting.until(deadline):
                    return None
                file = waiting.file
            if file.is_there():
                return file
            # Somebody has removed it. Others will lock the one that is made in its place.
            file.unlock(number)
            self._file = None

    def close(self) -> None:
        """Close the file; who holds a lock of it keeps it open."""
        self._file = None


class _File:
    """An open file whose bytes are locks; it is closed when nobody uses it any more."""

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
        """Whether it still has a name by which others find it."""
        return os.fstat(self._number).st_nlink > 0

    def lock(self, number: int, *, wait: bool = False) -> bool:
        """Whether it was free; with ``wait``, once it is."""
        with self._guard:
            # To the kernel, who asks by the same open file has it already.
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
    """Whether a lock was got by looking for it a few times: most are held for a moment."""
    for _ in range(LOOKS):
        if time.monotonic() >= deadline:
            return False
        time.sleep(PAUSE)
        if file.lock(number):
            return True
    return False


class _Waiting:
    """Waits for a lock. The kernel gives it to those who wait one after the other, but knows no end
    of waiting: so a thread does it, which is left to itself when it takes too long.

    :param file: opened for this alone, since locks are the open file's and not the thread's: what
        it gets too late and gives up must not be what another thread has got in the meantime.
    """

    def __init__(self, file: _File, number: int) -> None:
        self.file = file
        self._number = number
        self._guard = threading.Lock()
        self._going_on = threading.Lock()
        self._got = self._given_up = False
        self._error: OSError | None = None

    def until(self, deadline: float) -> bool:
        """Whether it was got by then.

        :raises OSError: the kernel refuses it.
        """
        self._going_on.acquire()
        # Without what a Thread does to be known to have started, which takes as long as the rest.
        try:
            _thread.start_new_thread(self._wait, ())
        except RuntimeError as exc:  # too many of them, or Python is ending
            raise OSError(errno.EAGAIN, str(exc)) from exc
        try:
            self._going_on.acquire(timeout=max(0.0, deadline - time.monotonic()))
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
        self._going_on.release()


def _opened(path: str, like: str | None) -> int:
    """The descriptor of a lock file, which is created if it is missing."""
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
    """Give a new file the owner and permissions of another, as far as this user may."""
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, model.st_uid if os.geteuid() == 0 else -1, model.st_gid)
    os.fchmod(descriptor, model.st_mode & 0o666)


def _unlock(held: Iterable[tuple[_File, int]], process: int) -> None:
    """Give locks up, unless this is a child of that process: they are the parent's."""
    if process == os.getpid():
        for file, number in held:
            file.unlock(number)


#: ``struct flock`` of fcntl(2): type, whence, start, length, process (which must be 0).
_FLOCK = struct.Struct("@hhqqi0q")

_files: weakref.WeakSet[_File] = weakref.WeakSet()


def _close_in_child() -> None:
    # What is open in a child is locked for as long as it runs, should its parent be killed.
    for file in list(_files):
        file.close()


os.register_at_fork(after_in_child=_close_in_child)
