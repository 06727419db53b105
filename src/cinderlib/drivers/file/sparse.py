"""Creates, clones and removes sparse files so that a crash never leaves an incomplete file.

A file gets its name only when it is complete and on disk. Until then it has a temporary name in the
same folder, and its writer holds an ``flock``. The kernel releases the lock when the writer dies:
by the lock, :func:`abandoned` recognizes the files of dead writers.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cinderlib.drivers.file import extents

#: Called with the number of copied bytes and the total.
Progress = Callable[[int, int], None]

#: The request number of the FICLONE ioctl: _IOW(0x94, 9, int).
_FICLONE = 0x40049409
#: Errors of FICLONE if the filesystem cannot share extents.
_NO_REFLINK = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS})
#: Bytes for each system call, small enough for regular progress and a fast reaction to signals.
_CHUNK = 16 << 20
#: Attempts to copy a file to which another process writes.
_ATTEMPTS = 5
#: Longest resolution of the clock of filesystems for modification times, in seconds.
_CLOCK_TICK = 0.02
#: Clock ticks to wait for a pause of the writes to a file, in each attempt.
_TICKS = 50

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.part")


class Space(NamedTuple):
    """The size of a filesystem in bytes, and the bytes that this user can still write."""

    total: int
    free: int


def space(folder: Path | int) -> Space:
    """The space of the filesystem that holds the folder or file."""
    found = os.statvfs(folder)
    return Space(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def allocated(path: Path) -> int:
    """Disk usage of a file in bytes; extents shared with other files count for each file."""
    return os.stat(path).st_blocks * 512


def create(path: Path, size: int, *, mode: int = 0o600) -> None:
    """Create a sparse file with a size in bytes.

    :raises FileExistsError: the file already exists.
    """
    with _new_file(path, mode, replace=False) as fd:
        os.ftruncate(fd, size)


def extend(path: Path, size: int) -> None:
    """Extend a file to a size in bytes, durably. Larger files do not change."""
    with contextlib.closing(_File(path, os.O_RDWR)) as file:
        if os.fstat(file.fd).st_size < size:
            os.ftruncate(file.fd, size)
        os.fsync(file.fd)


def remove(path: Path) -> bool:
    """Remove a file, durably.

    :returns: whether it existed.
    """
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    _sync_folder(path.parent)
    return True


def rename(source: Path, target: Path) -> None:
    """Rename a file in its folder, durably.

    :raises FileExistsError: a file with the other name already exists.
    """
    os.link(source, target, follow_symlinks=False)
    source.unlink()
    _sync_folder(target.parent)


def move(source: Path, target: Path, *, flush: Callable[[], None], progress: Progress) -> None:
    """Move a file to another folder, durably. At any time, it is complete in one of them.

    :param flush: writes buffered data of the source to its file.
    :param progress: receives the progress of the copy, if the filesystems differ.
    :raises FileExistsError: another file has the name in the other folder.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        if not target.samefile(source):
            raise
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        clone(source, target, flush=flush, progress=progress)
    _sync_folder(target.parent)
    remove(source)


def clone(
    source: Path,
    target: Path,
    *,
    size: int = 0,
    mode: int = 0o600,
    replace: bool = False,
    flush: Callable[[], None] = lambda: None,
    progress: Progress = lambda done, total: None,
) -> int:
    """Create a consistent copy of a file.

    The files share their extents, if the filesystem supports it. Otherwise the data is copied, and
    holes remain holes. If the source changes during the copy, the copy is not consistent and is
    repeated.

    :param size: minimum size of the new file in bytes.
    :param replace: whether to replace an existing file.
    :param flush: writes buffered data of the source to its file.
    :returns: the number of copied bytes; 0 if the extents are shared.
    :raises FileExistsError: the file already exists, and ``replace`` is not set.
    :raises OSError: ``ENOSPC`` if the filesystem is full, ``EBUSY`` if the writes to the source do
        not pause. The new file does not exist.
    """
    with (
        contextlib.closing(_File(source, os.O_RDONLY)) as file,
        _new_file(target, mode, replace) as fd,
    ):
        flush()
        copied = 0
        if not _reflink(file.fd, fd):
            copied = _copy_consistently(file, fd, flush, progress)
        os.ftruncate(fd, max(size, os.fstat(file.fd).st_size))
    return copied


def quiet_since(paths: Sequence[Path], *, flush: Callable[[Path], None]) -> tuple[int, ...] | None:
    """The modification times of files, once they are old enough that any later write changes them;
    ``None`` if the writes do not pause.

    :param flush: writes buffered data of a file to it.
    """
    changed_at(paths, flush=flush)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(opened(path)) for path in paths]
        times = [_wait_for_pause(fd) for fd in files]
    return None if None in times else tuple(time for time in times if time is not None)


def changed_at(paths: Sequence[Path], *, flush: Callable[[Path], None]) -> tuple[int, ...]:
    """The modification times of files, in nanoseconds, after their buffered data was written.

    :param flush: writes buffered data of a file to it.
    """
    for path in paths:
        flush(path)
    return tuple(os.stat(path).st_mtime_ns for path in paths)


def can_reflink(folder: Path) -> bool:
    """Whether files in the folder can share extents; this creates two temporary files."""
    with _temporary(folder / "probe") as (source, _), _temporary(folder / "probe") as (target, _):
        os.write(source, b"\0")
        return _reflink(source, target)


def abandoned(folder: Path, *, remove: bool) -> list[str]:
    """The names of the temporary files of dead writers.

    :param remove: whether to remove them.
    """
    found = []
    for entry in list(os.scandir(folder)):
        if not _TEMPORARY.fullmatch(entry.name):
            continue
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            fd = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if remove:
                    os.unlink(entry.path)
                found.append(entry.name)
            finally:
                os.close(fd)
    return found


@contextlib.contextmanager
def opened(path: Path, *, writable: bool = False) -> Iterator[int]:
    """A descriptor to read a file, and to write it."""
    with contextlib.closing(_File(path, os.O_RDWR if writable else os.O_RDONLY)) as file:
        yield file.fd


class _File:
    """An open regular file, not a link or a special file."""

    def __init__(self, path: Path, flags: int) -> None:
        self.path = path
        self.fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(self.fd).st_mode):
            os.close(self.fd)
            raise OSError(errno.EINVAL, "not a regular file", str(path))

    def close(self) -> None:
        os.close(self.fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[tuple[int, Path]]:
    """An empty, locked temporary file in the folder of the path; it is removed at the end."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            break
        # another process called abandoned() before the lock was acquired
        os.close(fd)
    try:
        yield fd, temporary
    finally:
        temporary.unlink(missing_ok=True)
        os.close(fd)


@contextlib.contextmanager
def _new_file(path: Path, mode: int, replace: bool) -> Iterator[int]:
    """A file that gets its name, durably, when the block ends without an error."""
    if not replace and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    with _temporary(path) as (fd, temporary):
        yield fd
        os.fchmod(fd, mode)
        os.fsync(fd)
        if replace:
            temporary.replace(path)
        else:
            os.link(temporary, path)
            temporary.unlink()
        _sync_folder(path.parent)


def _reflink(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _NO_REFLINK:
            return False
        raise
    return True


def _copy_consistently(
    file: _File, target: int, flush: Callable[[], None], progress: Progress
) -> int:
    for _ in range(_ATTEMPTS):
        unchanged_since = _wait_for_pause(file.fd)
        os.ftruncate(target, 0)
        copied = _copy(file, target, progress) if unchanged_since is not None else 0
        flush()
        if unchanged_since == os.fstat(file.fd).st_mtime_ns:
            return copied
    raise OSError(
        errno.EBUSY,
        f"the source changed during each of {_ATTEMPTS} attempts to copy it: pause the writes to "
        "it, or use a filesystem that can clone files (XFS, btrfs)",
        str(file.path),
    )


def _wait_for_pause(fd: int) -> int | None:
    """The modification time of a file, once it is old enough that any later write changes it;
    ``None`` if the writes do not pause."""
    for _ in range(_TICKS):
        changed = os.fstat(fd).st_mtime_ns
        if not 0 <= time.time_ns() - changed < _CLOCK_TICK * 1e9:
            return changed
        time.sleep(_CLOCK_TICK)
    return None


def _copy(file: _File, target: int, progress: Progress) -> int:
    found = list(extents.data(file.fd, 0, os.fstat(file.fd).st_size))
    total = sum(end - start for start, end in found)
    free = space(target).free
    if total > free:
        raise OSError(
            errno.ENOSPC,
            f"the copy needs {total} bytes, but only {free} bytes are free",
            str(file.path),
        )
    done = 0
    progress(done, total)
    for start, end in found:
        while start < end:
            count = os.copy_file_range(
                file.fd, target, min(end - start, _CHUNK), offset_src=start, offset_dst=start
            )
            if not count:
                raise OSError(errno.EIO, "the source was truncated during the copy", str(file.path))
            start += count
            done += count
            progress(done, total)
    return done
