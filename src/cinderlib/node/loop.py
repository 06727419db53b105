"""Loop devices: found, made, resized and removed by the kernel's own calls.

Those are the calls that ``losetup`` makes (loop(4), ``linux/loop.h``), without the program: to
start it and wait for its end takes twenty times as long as the kernel takes for the device.
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
#: The number of the driver that all loop devices have.
_MAJOR = 7
_DIRECT_IO = 16
#: The begin of ``struct loop_info64``: the filesystem's device, the inode, the device's own number.
_STATUS = struct.Struct("=QQQ 208x")
#: ``struct loop_config``: the file, then in ``struct loop_info64`` the flags and the file's name.
#: All else is zero: the whole file, in blocks of the kernel's choice.
_CONFIG = struct.Struct("=I 4x 52x I 64s 112x 64x")


class Source(NamedTuple):
    """A file or block device that a loop device can be made of, told apart from all others by
    numbers of the kernel. Its path does not do that: it differs between mount namespaces, and stays
    the same when another file takes its place.

    :ivar filesystem: the device number of the filesystem that it is in.
    :ivar inode: its number in there.
    :ivar device: its own device number; 0 if it is a file.
    :ivar path: where it was found, without symbolic links.
    """

    filesystem: int
    inode: int
    device: int
    path: str

    @classmethod
    def of(cls, path: str) -> Source | None:
        """What is at a path; ``None`` if nothing is."""
        try:
            status = os.stat(path)
        except OSError:
            return None
        number = status.st_rdev if stat.S_ISBLK(status.st_mode) else 0
        return cls(status.st_dev, status.st_ino, number, os.path.realpath(path))

    def is_same(self, other: Source | None) -> bool:
        """Whether both are one file or block device."""
        if other is None or self.device != other.device:
            return False
        # A block device can have nodes in several folders.
        return self.device != 0 or self[:2] == other[:2]


def backing_file(device: str) -> str | None:
    """The file behind a loop device by its name, for people: it may have another name here.

    :returns: ``None`` if the path is not a loop device in use.
    """
    if not block.is_block(device):
        return None
    return block.read(block.sysfs(device) / "loop/backing_file")


def is_free(device: str) -> bool:
    """Whether the path is a loop device that has no file."""
    try:
        status = os.stat(device)
    except OSError:
        return False
    is_loop = stat.S_ISBLK(status.st_mode) and os.major(status.st_rdev) == _MAJOR
    return is_loop and backing_file(device) is None


def is_of(device: str, source: Source | None) -> bool:
    """Whether a loop device is one of the file, whatever names the file has by now."""
    name = backing_file(device)
    if name is None or source is None:
        return False
    try:
        handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        # Only root and the group disk can ask the device itself.
        return name in (source.path, f"{source.path} (deleted)")
    except OSError:
        return False
    try:
        return source.is_same(_source_of(handle))
    finally:
        os.close(handle)


def _source_of(handle: int) -> Source | None:
    """What an open loop device is made of; ``None`` if it is free."""
    status = bytearray(_STATUS.size)
    try:
        fcntl.ioctl(handle, _GET_STATUS, status)
    except OSError as exc:
        if exc.errno == errno.ENXIO:
            return None
        raise NodeError(f"A loop device does not tell its file: {exc.strerror}.") from exc
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
    """Names of the loop devices that have a size. Most hosts have many that are free, and to look
    at each takes longer than to make one; those are not in this list of the kernel's."""
    with open("/proc/partitions", encoding="ascii", errors="replace") as lines:
        names = [line.split()[-1] for line in lines if "loop" in line]
    return [name for name in names if re.fullmatch("loop[0-9]+", name)]


def create(file: str, *, read_only: bool) -> str:
    """A loop device of the file, with direct I/O where the file's filesystem has it.

    :raises DeviceUnavailable: this host makes no loop devices, or the file cannot be opened.
    """
    # How file and device are opened decides whether the device takes writes.
    mode = os.O_RDONLY if read_only else os.O_RDWR
    made = ""

    def take_a_free_one() -> bool:
        nonlocal made
        made = _free()
        with _opened(made, mode) as device:
            return _configure(device, source, file)

    with _opened(file, mode) as source:
        # Another process may take the one that was free.
        if not block.wait(take_a_free_one, timeout=_FREE_TIMEOUT):
            raise NodeError(f"No loop device could be had for {file}: others took those free.")
    return made


def refresh(device: str) -> None:
    """Let the loop device take the size that its file has now."""
    with _opened(device, os.O_RDONLY) as handle:
        _call(handle, _SET_CAPACITY, 0, f"the size of {device} cannot be changed")


def remove(device: str, source: Source) -> None:
    """Remove a loop device if it is the file's, and wait until it is gone.

    :raises LeftoverDevice: something has it open; it goes when that ends.
    """
    # Its name may have been given to another file's since it was made. While it is open here, it
    # stays what it is.
    with _opened(device, os.O_RDONLY) as handle:
        if not source.is_same(_source_of(handle)):
            return
        seen, backing = block.traces(device)[0], backing_file(device)
        _call(handle, _CLR_FD, 0, f"{device} cannot be removed")

    def gone() -> bool:
        return not seen.is_there() or backing_file(device) != backing

    if not block.wait(gone, timeout=_GONE_TIMEOUT):
        raise LeftoverDevice(
            f"{device} of {source.path} is still open somewhere; it goes when that ends.",
            resource=device,
        )


def _free() -> str:
    try:
        control = os.open(_CONTROL, os.O_RDWR)
    except OSError as exc:
        raise DeviceUnavailable(
            f"No loop device can be made, as {_CONTROL} cannot be opened: {exc.strerror}. Load the "
            "kernel's loop module, or give the container the device."
        ) from exc
    try:
        return f"/dev/loop{_call(control, _CTL_GET_FREE, 0, 'the kernel has no free loop device')}"
    finally:
        os.close(control)


def _configure(device: int, source: int, file: str) -> bool:
    """Make the device one of the open file.

    :returns: whether it was free.
    """
    # The name is for who reads it where there is no sysfs; the kernel cuts it off.
    config = _CONFIG.pack(source, _DIRECT_IO, os.fsencode(file)[:63])
    try:
        try:
            fcntl.ioctl(device, _CONFIGURE, config)
        except OSError as exc:
            if exc.errno not in (errno.EINVAL, errno.ENOTTY):
                raise
            # Linux before 5.8 takes it in two steps.
            fcntl.ioctl(device, _SET_FD, source)
            with contextlib.suppress(OSError):  # not every filesystem has direct I/O
                fcntl.ioctl(device, _SET_DIRECT_IO, 1)
    except OSError as exc:
        if exc.errno == errno.EBUSY:
            return False
        raise NodeError(f"{file} cannot be made a loop device: {exc.strerror}.") from exc
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
