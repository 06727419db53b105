"""Read-only bind mounts that other mount namespaces also see as read-only.

``mount --bind -o ro`` of util-linux before 2.39 mounts first, and then makes the mount read-only,
but only in the mount namespace of the program. The kernel copies a new mount into other namespaces
(for a container: into the host's), but no later change of the options. Here the mount is read-only
before it has a path.
"""

from __future__ import annotations

import ctypes
import errno
import os

#: The numbers of the system calls, the same on all architectures of Linux but Alpha and MIPS.
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = 1, 4
_MOUNT_ATTR_RDONLY = 1

_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    """``struct mount_attr`` of mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def bind(source: str, path: str) -> bool:
    """Show a file or folder at another path too, read-only.

    :returns: whether the kernel can do it; before Linux 5.12 it cannot.
    :raises OSError: it failed. No mount remains.
    """
    try:
        tree = _call(_OPEN_TREE, _AT_FDCWD, os.fsencode(source), _OPEN_TREE_CLONE | os.O_CLOEXEC)
        try:
            wanted = _Attributes(attr_set=_MOUNT_ATTR_RDONLY)
            size = ctypes.c_size_t(ctypes.sizeof(wanted))
            _call(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(wanted), size)
            target = os.fsencode(path)
            _call(_MOVE_MOUNT, tree, b"", _AT_FDCWD, target, _MOVE_MOUNT_F_EMPTY_PATH)
        finally:
            os.close(tree)
    except OSError as exc:
        if exc.errno == errno.ENOSYS:
            return False
        raise
    return True


def _call(number: int, *arguments: object) -> int:
    found: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found
