"""Holes in files and devices: ranges that read as zeros and use no space."""

from __future__ import annotations

import ctypes
import errno
import os

_PUNCH_HOLE, _KEEP_SIZE = 2, 1  # of fallocate(2)
#: Errors of fallocate if the device or the filesystem cannot discard; zeros can be written then.
_NO_DISCARD = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV, errno.EBUSY})
#: Bytes for each system call.
_STEP = 1 << 30

_libc = ctypes.CDLL(None, use_errno=True)


def punch(fd: int, offset: int, length: int) -> bool:
    """Discard a range of an open file or block device, which reads as zeros afterwards.

    :param offset: of the range, in bytes.
    :param length: of the range, in bytes.
    :returns: whether it was discarded; not if the device or the filesystem cannot discard. A part
        of the range may have been.
    :raises OSError: the file or the device failed.
    """
    for start in range(offset, offset + length, _STEP):
        step = min(_STEP, offset + length - start)
        code = _fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, start, step)
        if code in _NO_DISCARD:
            return False
        if code:
            raise OSError(code, os.strerror(code))
    return True


def allocate(fd: int, size: int) -> None:
    """Allocate the blocks of a file up to a size in bytes. The content does not change.

    :raises OSError: ``ENOSPC`` if the filesystem is full, ``EOPNOTSUPP`` if it cannot do this.
    """
    for start in range(0, size, _STEP):
        code = _fallocate(fd, _KEEP_SIZE, start, min(_STEP, size - start))
        if code:
            raise OSError(code, os.strerror(code))


def _fallocate(fd: int, mode: int, offset: int, length: int) -> int:
    """:returns: the error number, or 0."""
    done: int = _libc.fallocate64(fd, mode, ctypes.c_longlong(offset), ctypes.c_longlong(length))
    return ctypes.get_errno() if done else 0
