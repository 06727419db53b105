"""Sparse files: made, cloned and removed so that a crash never leaves half of one.

A file gets its name only when it is whole and on disk. Until then it has a temporary name in the
same folder and an ``flock`` held by its writer; the kernel drops the lock with the writer, which
is how :func:`abandoned` tells what dead writers left from what living ones work on.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

#: Called with the bytes copied so far and the bytes to copy.
Progress = Callable[[int, int], None]

#: The request number of the FICLONE ioctl: _IOW(0x94, 9, int).
_FICLONE = 0x40049409
#: What FICLONE answers when the filesystem cannot share extents.
_NO_REFLINK = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS})
#: Copied with one system call: small enough for progress to move and for a signal to be seen.
_CHUNK = 16 << 20
#: How often a file that is written to meanwhile is copied before giving up.
_ATTEMPTS = 5
#: Filesystems stamp changes with a clock that ticks at least this often, in seconds.
_CLOCK_TICK = 0.02
#: How many ticks to wait for a file to come to rest, in each attempt.
_PATIENCE = 50

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.part")


class Space(NamedTuple):
    """Bytes of a filesystem: all, and those that this user can still write."""

    total: int
    free: int


def space(folder: Path) -> Space:
    """The space of the filesystem that holds the folder."""
    found = os.statvfs(folder)
    return Space(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def allocated(path: Path) -> int:
    """How many bytes of disk the file takes; extents shared with other files count in each."""
    return os.stat(path).st_blocks * 512


def create(path: Path, size: int, *, mode: int = 0o600) -> None:
    """Create a sparse file with a size in bytes.

    :raises FileExistsError: there is such a file.
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
    """Give a file another name in its folder, durably.

    :raises FileExistsError: the other name is taken.
    """
    os.link(source, target, follow_symlinks=False)
    source.unlink()
    _sync_folder(target.parent)


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
    """Make a file with the content that another of the same folder has at one moment.

    The two share their extents where the filesystem can do that. Elsewhere the data is copied, and
    holes stay holes; a copy during which the source was written to would be of no moment at all,
    and is made again.

    :param size: grow the new file to so many bytes when the source has fewer.
    :param replace: take the place of an existing file.
    :param flush: brings writes that others hold back to the source file.
    :returns: how many bytes were copied; 0 when the extents are shared.
    :raises FileExistsError: there is such a file, and it is not to be replaced.
    :raises OSError: ``ENOSPC`` when the data does not fit, ``EBUSY`` when the source is written to
        all the time. Nothing of the new file is left.
    """
    with (
        contextlib.closing(_File(source, os.O_RDONLY)) as file,
        _new_file(target, mode, replace) as fd,
    ):
        flush()
        copied = 0
        if not _reflink(file.fd, fd):
            copied = _copy_at_rest(file, fd, flush, progress)
        os.ftruncate(fd, max(size, os.fstat(file.fd).st_size))
    return copied


def can_reflink(folder: Path) -> bool:
    """Whether files in the folder can share extents, found by trying it."""
    with _temporary(folder / "probe") as (source, _), _temporary(folder / "probe") as (target, _):
        os.write(source, b"\0")
        return _reflink(source, target)


def abandoned(folder: Path, *, remove: bool) -> list[str]:
    """The names of the temporary files of writers that are dead.

    :param remove: whether they are removed.
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


class _File:
    """An open regular file; links and special files are refused."""

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
    """An empty, locked temporary file beside the path; removed at the end."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            break
        # abandoned() of another process came between the two calls above
        os.close(fd)
    try:
        yield fd, temporary
    finally:
        temporary.unlink(missing_ok=True)
        os.close(fd)


@contextlib.contextmanager
def _new_file(path: Path, mode: int, replace: bool) -> Iterator[int]:
    """A file that appears under its name, durably, when the block ends without an error."""
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


def _extents(fd: int) -> Iterator[tuple[int, int]]:
    """Start and end of each part of the file that has data."""
    end = 0
    while True:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end


def _copy_at_rest(file: _File, target: int, flush: Callable[[], None], progress: Progress) -> int:
    for _ in range(_ATTEMPTS):
        at_rest = _wait_for_rest(file.fd)
        os.ftruncate(target, 0)
        copied = _copy(file, target, progress) if at_rest is not None else 0
        flush()
        if at_rest == os.fstat(file.fd).st_mtime_ns:
            return copied
    raise OSError(
        errno.EBUSY,
        f"the source was written to during each of {_ATTEMPTS} attempts to copy it, and this "
        "filesystem cannot clone a file at once as XFS and btrfs can: let what writes to it pause",
        str(file.path),
    )


def _wait_for_rest(fd: int) -> int | None:
    """When the file was last written to, once a later write is sure to get another stamp;
    ``None`` when it does not come to rest."""
    for _ in range(_PATIENCE):
        changed = os.fstat(fd).st_mtime_ns
        if not 0 <= time.time_ns() - changed < _CLOCK_TICK * 1e9:
            return changed
        time.sleep(_CLOCK_TICK)
    return None


def _copy(file: _File, target: int, progress: Progress) -> int:
    extents = list(_extents(file.fd))
    total = sum(end - start for start, end in extents)
    free = space(file.path.parent).free
    if total > free:
        raise OSError(
            errno.ENOSPC, f"{total} bytes of data are to be copied, {free} are free", str(file.path)
        )
    done = 0
    progress(done, total)
    for start, end in extents:
        while start < end:
            count = os.copy_file_range(
                file.fd, target, min(end - start, _CHUNK), offset_src=start, offset_dst=start
            )
            if not count:
                raise OSError(
                    errno.EIO, "the source became shorter while it was copied", str(file.path)
                )
            start += count
            done += count
            progress(done, total)
    return done
