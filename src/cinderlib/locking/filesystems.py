"""The mounts that this process sees."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

#: Filesystems that only one kernel can mount at a time. Others may be mounted on several hosts,
#: with or without locks between them.
_OF_ONE_KERNEL = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "reiserfs"}
    | {"tmpfs", "xfs", "zfs"}
)
_OCTAL = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """A line of ``/proc/self/mountinfo`` (proc(5)).

    :ivar number: the mount's ID.
    :ivar point: the mount point.
    :ivar kind: the type of the filesystem.
    :ivar source: the mounted device or export.
    """

    number: str
    point: str
    kind: str
    source: str


def mounts() -> Iterator[Mount]:
    """The mounts in this process's mount namespace."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields, _, rest = line.partition(" - ")
            number, _, _, _, point, *_ = fields.split(" ")
            kind, source, *_ = rest.split(" ")
            yield Mount(number, _unescaped(point), kind, _unescaped(source))


def is_mount_point(path: str) -> bool:
    """Whether exactly this path is a mount point. The path must not contain symbolic links."""
    return any(mount.point == path for mount in mounts())


def is_of_one_kernel(folder: str) -> bool:
    """Whether other hosts cannot mount the folder's filesystem.

    :raises OSError: the folder does not exist.
    """
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with open(f"/proc/self/fdinfo/{handle}") as lines:
            facts = dict(line.rstrip("\n").split(":", 1) for line in lines)
    finally:
        os.close(handle)
    number = facts["mnt_id"].strip()
    return any(mount.number == number and mount.kind in _OF_ONE_KERNEL for mount in mounts())


def _unescaped(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
