"""The mounts that this process sees: find, create and remove them.

A mount is compared with a volume by the device number, because the paths of devices can change.
The kernel gives the number of a mounted disk to no other one, even if the disk disappears.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from cinderlib.csi.node import read_only_bind
from cinderlib.errors import DeviceInUse, NodeError
from cinderlib.node import program

LOG = logging.getLogger(__name__)

#: Seconds for a program. A mount can replay a long journal.
_TIMEOUT = 600.0
#: Options of a filesystem that refuses writes; ext4 has the second one after an error.
_READ_ONLY = frozenset(("ro", "emergency_ro"))
_ESCAPED = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """A line of ``/proc/self/mountinfo``.

    :ivar device: the number of the filesystem's device, as two numbers with a colon. The first one
        is 0 if the filesystem has no device or, like btrfs, can have several.
    :ivar path: the mount point.
    :ivar root: the part of the filesystem that is mounted; ``/`` for all.
    :ivar options: of the mount.
    :ivar filesystem: its type.
    :ivar source: the device of a filesystem on a disk.
    :ivar super_options: of the filesystem.
    """

    device: str
    path: str
    root: str
    options: tuple[str, ...]
    filesystem: str
    source: str
    super_options: tuple[str, ...]

    @property
    def has_failed(self) -> bool:
        """Whether the kernel made the filesystem read-only after an error."""
        return "rw" in self.options and not _READ_ONLY.isdisjoint(self.super_options)

    @property
    def read_only(self) -> bool:
        """Whether writes through this mount are refused."""
        return "ro" in self.options or not _READ_ONLY.isdisjoint(self.super_options)


def every() -> list[Mount]:
    """All mounts of this mount namespace, in the order of mounting."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return [_parse(line) for line in lines]


def _parse(line: str) -> Mount:
    before, _, after = line.rstrip("\n").partition(" - ")
    fields, (filesystem, source, super_options) = before.split(" "), after.split(" ", 2)
    return Mount(
        device=fields[2],
        path=_plain(fields[4]),
        root=_plain(fields[3]),
        options=tuple(fields[5].split(",")),
        filesystem=filesystem,
        source=_plain(source),
        super_options=tuple(super_options.split(",")),
    )


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text) if "\\" in text else text


def at(path: str, mounts: Sequence[Mount] | None = None) -> Mount | None:
    """The mount at a path: the last one, if there are several."""
    found = [mount for mount in (every() if mounts is None else mounts) if mount.path == path]
    return found[-1] if found else None


def device_number(path: str) -> int | None:
    """The number of a block device; ``None`` if the path is not one."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_rdev if stat.S_ISBLK(status.st_mode) else None


def device_of(mount: Mount) -> int | None:
    """The number of the device that a mount shows: the device of the filesystem, or a device node
    that is mounted over a file."""
    if mount.filesystem in ("devtmpfs", "tmpfs"):
        return device_number(mount.path)
    major, _, minor = mount.device.partition(":")
    if major != "0":
        return os.makedev(int(major), int(minor))
    # The source of a filesystem without a device is any word.
    return device_number(mount.source) if mount.source.startswith("/") else None


def has_lost_its_disk(mount: Mount) -> bool:
    """Whether the disk of a mounted filesystem does not exist any more: a session of the initiator
    ended, or the storage removed the volume. Nobody can read or write there."""
    if mount.filesystem in ("devtmpfs", "tmpfs"):
        return False
    if not mount.device.startswith("0:"):
        return not os.path.exists(f"/sys/dev/block/{mount.device}")
    return mount.filesystem == "btrfs" and not os.path.exists(mount.source)


def remove_lost(path: str) -> None:
    """Remove the mounts at a path that have lost their disk. They are left from an earlier disk of
    the volume, and would hide the new one.

    :raises DeviceInUse: a process still uses it.
    """
    while (mount := at(path)) is not None and has_lost_its_disk(mount):
        LOG.warning("%s is a mount of %s, which disappeared; it is unmounted", path, mount.source)
        unmount(path)


def of_device(number: int, mounts: Sequence[Mount]) -> list[Mount]:
    """The mounts that show a device."""
    return [mount for mount in mounts if device_of(mount) == number]


def run(
    *command: str, timeout: float = _TIMEOUT, ok: Sequence[int] = (0,)
) -> subprocess.CompletedProcess[str]:
    """Run a program in the C locale.

    :param ok: exit codes that are not errors.
    :raises NodeError: it failed; the message has its output.
    """
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = program.run(command, timeout=timeout, environment=environment)
    except FileNotFoundError:
        raise NodeError(
            f"The program {command[0]} is not installed on this node", retryable=False
        ) from None
    except subprocess.TimeoutExpired:
        raise NodeError(
            f"{' '.join(command)} did not end in {timeout:.0f} seconds and was killed"
        ) from None
    if done.returncode not in ok:
        said = (done.stderr.strip() or done.stdout.strip())[-1000:]
        raise NodeError(f"{' '.join(command)} failed with {done.returncode}: {said}")
    return done


def mount(device: str, path: str, filesystem: str, options: Sequence[str]) -> None:
    """Mount the filesystem on a device."""
    run("mount", "-t", filesystem, *_options(options), "--", device, path)


def bind(source: str, path: str, *, read_only: bool) -> None:
    """Show a file or folder at another path too."""
    if read_only and _bound_read_only(source, path):
        return
    run("mount", "--bind", *_options(["ro"] if read_only else []), "--", source, path)


def _bound_read_only(source: str, path: str) -> bool:
    try:
        return read_only_bind.bind(source, path)
    except OSError as exc:
        raise NodeError(f"{source} cannot be shown read-only at {path}: {exc.strerror}") from exc


def _options(options: Sequence[str]) -> list[str]:
    return ["-o", ",".join(options)] if options else []


def unmount(path: str) -> None:
    """Remove the last mount at a path.

    :raises DeviceInUse: a process uses it.
    """
    done = run("umount", "--", path, ok=range(256))
    if done.returncode == 0 or at(path) is None:
        return
    said = done.stderr.strip()
    if "busy" in said:
        raise DeviceInUse(f"{path} cannot be unmounted, because it is in use: {said}")
    raise NodeError(f"{path} cannot be unmounted: {said}")
