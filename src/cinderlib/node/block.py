"""Block devices of this host as sysfs shows them. Nothing is opened, no program is run."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from cinderlib.errors import DeviceUnavailable, NodeError

#: Where the kernel shows its devices.
SYS = Path("/sys")


class Trace(msgspec.Struct, frozen=True):
    """A block device as it was seen at one time.

    :ivar name: the kernel's name (``loop3``, ``dm-0``); reused for other devices later.
    :ivar diskseq: never given twice before the next boot; 0 where the kernel has none.
    """

    name: str
    diskseq: int = 0

    def is_there(self) -> bool:
        """Whether the device that was seen is still there (and not another of its name)."""
        there = os.path.exists(f"{SYS}/block/{self.name}")
        return there and _diskseq(self.name) == self.diskseq


def read(path: Path | str) -> str | None:
    """The text of a sysfs attribute, or ``None`` when it cannot be read."""
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
    """The sysfs folder of a block device, by a link that is named after its number.

    :raises DeviceUnavailable: the path is no block device.
    """
    try:
        status = os.stat(path)
    except OSError as exc:
        raise DeviceUnavailable(f"There is no device {path}: {exc.strerror}.") from exc
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
    """The block device, all those that it is made of (the paths of a multipath map), and a
    multipath map that multipathd made of it on its own."""
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
    """What uses the block device, in words: devices stacked on it, mounts, swap."""
    folder = sysfs(path)
    stacked = _inside(folder / "holders")
    found: list[str] = []
    for holder in stacked:
        # multipathd makes a map of a single path too, where it is told to, and kpartx partitions of
        # a map; both go with the device when nothing uses them.
        is_ours = _is_of(holder, "mpath-") or _is_of(holder, "part")
        found += users(f"/dev/{holder.name}") if is_ours else [f"/dev/{holder.name}"]
    number = read(folder / "dev")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            fields = line.split(" ")
            if fields[2] == number:
                found.append(f"the mount on {fields[4]}")
    if not found and not stacked and os.geteuid() == 0:
        # Mounts of other namespaces, swap and md are seen by asking for the device alone.
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
        except OSError as exc:
            if exc.errno == errno.EBUSY:
                found.append("the kernel (a mount elsewhere, swap, or another device)")
    return found


def _inside(folder: Path) -> list[Path]:
    """The links in ``slaves`` or ``holders``, each with the name of the device that it leads to."""
    try:
        return [folder / name for name in sorted(os.listdir(folder))]
    except (FileNotFoundError, NotADirectoryError):
        return []  # A partition has no slaves, and a device may go at any time.


def _is_of(holder: Path, maker: str) -> bool:
    """Whether a device-mapper device was made by this maker, who marks its UUID."""
    return (read(holder / "dm" / "uuid") or "").startswith(maker)


def wait(condition: Callable[[], bool], *, timeout: float) -> bool:
    """Look until the condition holds, at growing intervals.

    :param timeout: in seconds.
    :returns: whether it came to hold.
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
