"""Block devices of this host, read from sysfs without opening them or running programs."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from cinderlib.errors import DeviceUnavailable, NodeError

#: Where sysfs is mounted.
SYS = Path("/sys")


class Trace(msgspec.Struct, frozen=True):
    """A block device at the time when it was recorded.

    :ivar name: the kernel's name (``loop3``, ``dm-0``), which other devices can get later.
    :ivar diskseq: a number that is unique until the next boot; 0 if the kernel has none.
    """

    name: str
    diskseq: int = 0

    def exists(self) -> bool:
        """Whether the recorded device still exists (and not another device with its name)."""
        exists = os.path.exists(f"{SYS}/block/{self.name}")
        return exists and _diskseq(self.name) == self.diskseq


def read(path: Path | str) -> str | None:
    """The text of a sysfs attribute, or ``None`` if it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as attribute:
            return attribute.read().decode(errors="replace").strip()
    except OSError:
        return None


def is_block(path: str) -> bool:
    """Whether the path is (or leads to) a block device."""
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)
    except OSError:
        return False


def sysfs(path: str) -> Path:
    """The sysfs folder of a block device, by the link named after the device number.

    :raises DeviceUnavailable: the path is not a block device.
    """
    try:
        status = os.stat(path)
    except OSError as exc:
        raise DeviceUnavailable(f"The device {path} does not exist: {exc.strerror}.") from exc
    if not stat.S_ISBLK(status.st_mode):
        raise DeviceUnavailable(f"{path} is not a block device.")
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return Path(f"{SYS}/dev/block/{number}")


def size(path: str) -> int:
    """Size of a block device or a file in bytes."""
    if not is_block(path):
        try:
            return os.stat(path).st_size
        except OSError as exc:
            raise NodeError(f"The size of {path} cannot be read: {exc.strerror}.") from exc
    sectors = read(sysfs(path) / "size")
    if sectors is None:
        raise NodeError(f"The size of {path} cannot be read.")
    return int(sectors) * 512


def is_read_only(path: str) -> bool:
    """Whether the kernel refuses writes to the block device."""
    return read(sysfs(path) / "ro") == "1"


def traces(path: str) -> list[Trace]:
    """The block device, its underlying devices (the paths of a multipath map), and a multipath map
    that multipathd created on top of it."""
    found: dict[str, Trace] = {}

    def visit(folder: Path) -> None:
        found[folder.name] = Trace(folder.name, _diskseq(folder.name))
        for slave in _inside(folder / "slaves"):
            visit(slave)

    folder = Path(os.path.realpath(sysfs(path)))
    visit(folder)
    for holder in _inside(folder / "holders"):
        if _is_of(holder, "mpath-"):
            visit(holder)
    return list(found.values())


def users(path: str) -> list[str]:
    """The users of the block device, as texts: devices stacked on it, mounts, swap."""
    folder = sysfs(path)
    stacked = _inside(folder / "holders")
    found: list[str] = []
    for holder in stacked:
        # multipathd can also create a map of a single path, and kpartx creates partitions of a map.
        # Both are removed with the device if they are unused.
        is_ours = _is_of(holder, "mpath-") or _is_of(holder, "part")
        found += users(f"/dev/{holder.name}") if is_ours else [f"/dev/{holder.name}"]
    number = read(folder / "dev")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            fields = line.split(" ")
            if fields[2] == number:
                found.append(f"the mount on {fields[4]}")
    if not found and not stacked and os.geteuid() == 0:
        # An exclusive open detects mounts in other namespaces, swap and md.
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
        except OSError as exc:
            if exc.errno == errno.EBUSY:
                found.append("the kernel (a mount elsewhere, swap, or another device)")
    return found


def _inside(folder: Path) -> list[Path]:
    """The links in ``slaves`` or ``holders``, named after the devices that they lead to."""
    try:
        return [folder / name for name in sorted(os.listdir(folder))]
    except (FileNotFoundError, NotADirectoryError):
        return []  # A partition has no slaves, and a device can be removed at any time.


def _is_of(holder: Path, maker: str) -> bool:
    """Whether the UUID of a device-mapper device has this prefix, which shows its creator."""
    return (read(holder / "dm" / "uuid") or "").startswith(maker)


def wait(condition: Callable[[], bool], *, timeout: float) -> bool:
    """Poll until the condition is true, with increasing pauses.

    :param timeout: in seconds.
    :returns: whether it became true.
    """
    pause = 0.001
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.1)
    return True


def _diskseq(name: str) -> int:
    return int(read(f"{SYS}/block/{name}/diskseq") or 0)
