"""Find, create, resize and remove loop devices through ioctls of the kernel.

``losetup`` uses the same ioctls (loop(4), ``linux/loop.h``). Running that program takes twenty
times as long as the ioctls.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import struct
from collections.abc import Iterator
from typing import NamedTuple

from cinderlib.errors import DeviceUnavailable, LeftoverDevice, NodeError
from cinderlib.node import block

_GONE_TIMEOUT = 5.0
_FREE_TIMEOUT = 5.0
_CONTROL = "/dev/loop-control"

_CTL_GET_FREE = 0x4C82
_SET_FD = 0x4C00
_CLR_FD = 0x4C01
_SET_CAPACITY = 0x4C07
_SET_DIRECT_IO = 0x4C08
_CONFIGURE = 0x4C0A
_GET_STATUS = 0x4C05
#: The major device number of loop devices.
_MAJOR = 7
_DIRECT_IO = 16
#: The loop devices in ``/proc/partitions``, without their partitions.
_NAMES = re.compile(rb" (loop[0-9]+)$", re.MULTILINE)
#: The start of ``struct loop_info64``: the filesystem's device, the inode, the device's own number.
_STATUS = struct.Struct("=QQQ 208x")
#: ``struct loop_config``: the file, then in ``struct loop_info64`` the flags and the file's name.
#: All other fields are zero: the whole file, with the kernel's default block size.
_CONFIG = struct.Struct("=I 4x 52x I 64s 112x 64x")


class Source(NamedTuple):
    """A file or block device behind a loop device, identified by numbers of the kernel. The path
    does not identify it: it differs between mount namespaces, and another file can replace it.

    :ivar filesystem: the device number of the filesystem.
    :ivar inode: its inode number in that filesystem.
    :ivar device: its own device number; 0 for a file.
    :ivar path: its path, without symbolic links.
    """

    filesystem: int
    inode: int
    device: int
    path: str

    @classmethod
    def of(cls, path: str) -> Source | None:
        """The file or block device at a path; ``None`` if the path does not exist."""
        try:
            status = os.stat(path)
        except OSError:
            return None
        number = status.st_rdev if stat.S_ISBLK(status.st_mode) else 0
        return cls(status.st_dev, status.st_ino, number, os.path.realpath(path))

    def is_same(self, other: Source | None) -> bool:
        """Whether both are the same file or block device."""
        if other is None or self.device != other.device:
            return False
        # A block device can have device nodes in several folders.
        return self.device != 0 or self[:2] == other[:2]


def backing_file(device: str) -> str | None:
    """The name of the file behind a loop device, for messages: it may have another name here.

    :returns: ``None`` if the path is not a loop device in use.
    """
    if not block.is_block(device):
        return None
    return block.read(block.sysfs(device) / "loop/backing_file")


def is_free(device: str) -> bool:
    """Whether the path is a loop device without a file."""
    return _is_loop(device) and backing_file(device) is None


def _is_loop(device: str) -> bool:
    try:
        status = os.stat(device)
    except OSError:
        return False
    return stat.S_ISBLK(status.st_mode) and os.major(status.st_rdev) == _MAJOR


def is_of(device: str, source: Source | None) -> bool:
    """Whether a loop device belongs to the file, independent of the file's current names."""
    # Other files are not opened: that can wait, or have an effect.
    if source is None or not _is_loop(device):
        return False
    try:
        # To open it and query it takes a tenth of the time that sysfs takes.
        handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        # Only root and the group disk can query the device itself.
        return backing_file(device) in (source.path, f"{source.path} (deleted)")
    except OSError:
        return False
    try:
        return source.is_same(_source_of(handle))
    finally:
        os.close(handle)


def _source_of(handle: int) -> Source | None:
    """The source of an open loop device; ``None`` if it is free."""
    status = bytearray(_STATUS.size)
    try:
        fcntl.ioctl(handle, _GET_STATUS, status)
    except OSError as exc:
        if exc.errno == errno.ENXIO:
            return None
        raise NodeError(f"The file of a loop device cannot be read: {exc.strerror}.") from exc
    # Numbers of devices are encoded as in stat(2).
    filesystem, inode, number = _STATUS.unpack(status)
    return Source(filesystem, inode, number, path="")


def devices_of(source: Source | None) -> list[block.Trace]:
    """The loop devices of a file."""
    return [
        trace
        for name in (_in_use() if source is not None else ())
        if is_of(f"/dev/{name}", source)
        for trace in block.traces(f"/dev/{name}")
    ]


def _in_use() -> list[str]:
    """Names of the loop devices that have a size. Most hosts have many free loop devices, and to
    check each takes longer than to create one; the kernel does not list free ones here."""
    with open("/proc/partitions", "rb", buffering=0) as lines:
        return [os.fsdecode(name) for name in _NAMES.findall(lines.read())]


def create(file: str, *, read_only: bool) -> str:
    """Create a loop device of the file, with direct I/O if the file's filesystem supports it.

    :raises DeviceUnavailable: this host has no loop devices, or the file cannot be opened.
    """
    # The device is writable if both the file and the device are opened for writing.
    mode = os.O_RDONLY if read_only else os.O_RDWR
    device = ""

    def take_free_device() -> bool:
        nonlocal device
        device = _free()
        with _opened(device, mode) as handle:
            return _configure(handle, source, file)

    with _opened(file, mode) as source:
        # Another process may take the free device first.
        if not block.wait(take_free_device, timeout=_FREE_TIMEOUT):
            raise NodeError(
                f"No loop device is available for {file}: other processes took the free ones."
            )
    return device


def refresh(device: str) -> None:
    """Update the loop device to the current size of the file."""
    with _opened(device, os.O_RDONLY) as handle:
        _call(handle, _SET_CAPACITY, 0, f"the size of {device} cannot be changed")


def remove(device: str, source: Source) -> None:
    """Remove a loop device if it belongs to the file, and wait until it is removed.

    :raises LeftoverDevice: another process has it open; the kernel removes it after that.
    """
    # Its name may belong to another file's device now. While it is open here, it does not change.
    with _opened(device, os.O_RDONLY) as handle:
        if not source.is_same(_source_of(handle)):
            return
        seen, backing = block.traces(device)[0], backing_file(device)
        _call(handle, _CLR_FD, 0, f"{device} cannot be removed")

    def is_removed() -> bool:
        return not seen.exists() or backing_file(device) != backing

    if not block.wait(is_removed, timeout=_GONE_TIMEOUT):
        raise LeftoverDevice(
            f"{device} of {source.path} is still open in another process; the kernel removes it "
            "when the process closes it.",
            resource=device,
        )


def _free() -> str:
    try:
        control = os.open(_CONTROL, os.O_RDWR)
    except OSError as exc:
        raise DeviceUnavailable(
            f"No loop device can be created, because {_CONTROL} cannot be opened: {exc.strerror}."
            " Load the kernel's loop module, or pass the device to the container."
        ) from exc
    try:
        return f"/dev/loop{_call(control, _CTL_GET_FREE, 0, 'the kernel has no free loop device')}"
    finally:
        os.close(control)


def _configure(device: int, source: int, file: str) -> bool:
    """Configure the device for the open file.

    :returns: whether the device was free.
    """
    # The name is only shown to users on hosts without sysfs; the kernel shortens it.
    config = _CONFIG.pack(source, _DIRECT_IO, os.fsencode(file)[:63])
    try:
        try:
            fcntl.ioctl(device, _CONFIGURE, config)
        except OSError as exc:
            if exc.errno not in (errno.EINVAL, errno.ENOTTY):
                raise
            # Linux before 5.8 needs two calls.
            fcntl.ioctl(device, _SET_FD, source)
            with contextlib.suppress(OSError):  # not every filesystem has direct I/O
                fcntl.ioctl(device, _SET_DIRECT_IO, 1)
    except OSError as exc:
        if exc.errno == errno.EBUSY:
            return False
        raise NodeError(f"{file} cannot be attached as a loop device: {exc.strerror}.") from exc
    return True


@contextlib.contextmanager
def _opened(path: str, mode: int) -> Iterator[int]:
    try:
        handle = os.open(path, mode)
    except OSError as exc:
        raise DeviceUnavailable(f"{path} cannot be opened: {exc.strerror}.") from exc
    try:
        yield handle
    finally:
        os.close(handle)


def _call(handle: int, request: int, argument: int, failed: str) -> int:
    try:
        return fcntl.ioctl(handle, request, argument)
    except OSError as exc:
        raise NodeError(f"{failed[0].upper()}{failed[1:]}: {exc.strerror}.") from exc
