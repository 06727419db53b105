"""Filesystems on devices: recognize, create, check and resize them.

A device is formatted only if it certainly has no data that is recognizable: no filesystem, no
partition table, no other signature. An error while it is read is not "no filesystem".
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from cinderlib.csi.node import mounts
from cinderlib.errors import InvalidState, NodeError

#: Options for mkfs: no discard, which takes long on arrays and would reach beyond thin clones.
_CREATE = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-m0", "-E", "nodiscard"),
    "xfs": ("mkfs.xfs", "-q", "-f", "-K"),
    "btrfs": ("mkfs.btrfs", "-q", "-f", "-K"),
}
#: Checks and repairs ext2, ext3 and ext4 without questions; others repair at the mount.
_FSCK_REPAIRED = (0, 1)
#: Clones and volumes from snapshots have the same UUID as their source.
_ALWAYS = {"xfs": ("nouuid",)}


def on(device: str) -> str | None:
    """The filesystem on a device, or another signature (``'gpt'``, ``'crypto_LUKS'``, ...).

    :returns: ``None`` if the device has no signature.
    :raises NodeError: the device cannot be read, or has several signatures.
    """
    done = mounts.run(
        "blkid", "--probe", "--match-tag", "TYPE", "--match-tag", "PTTYPE",
        "--output", "export", "--", device, ok=(0, 2),
    )  # fmt: skip
    found = dict(line.partition("=")[::2] for line in done.stdout.splitlines() if "=" in line)
    kind = found.get("TYPE") or found.get("PTTYPE")
    if kind == "xfs" and _is_unfinished_xfs(device):
        return None
    if kind:
        return kind
    # blkid ends with 2 also if it could not read.
    try:
        with open(device, "rb") as opened:
            opened.read(4096)
    except OSError as exc:
        raise NodeError(f"{device} cannot be read: {exc.strerror}") from exc
    return None


def _is_unfinished_xfs(device: str) -> bool:
    """Whether mkfs was killed. The kernel never mounts such a filesystem, so it has no data. ext4
    and btrfs have no signature before mkfs has finished."""
    with open(device, "rb") as opened:
        opened.seek(126)
        return opened.read(1) == b"\1"


def create(device: str, kind: str, options: Sequence[str] = ()) -> None:
    """Create a filesystem.

    :param options: more options for mkfs.
    """
    mounts.run(*_CREATE[kind], *options, device, timeout=3600)


def check(device: str, kind: str) -> None:
    """Check a filesystem before it is mounted, with the repairs that are safe.

    :raises InvalidState: it has errors that need a person.
    """
    if not kind.startswith("ext"):
        return
    done = mounts.run("fsck.ext4", "-p", device, timeout=3600, ok=range(256))
    if done.returncode not in _FSCK_REPAIRED:
        raise InvalidState(
            f"The filesystem on {device} has errors that are not repaired automatically; it is not"
            f" mounted. Repair it with `fsck.ext4 {device}` on this node."
            f" fsck reports ({done.returncode}): {(done.stdout + done.stderr).strip()[-500:]}"
        )


def mount(device: str, path: str, kind: str, flags: Sequence[str], *, read_only: bool) -> None:
    """Mount a filesystem.

    :raises InvalidState: btrfs: a copy of the filesystem is mounted here.
    """
    options = [*_ALWAYS.get(kind, ()), *(["ro"] if read_only else []), *flags]
    if kind == "btrfs":
        _refuse_second_btrfs(device)
    mounts.mount(device, path, kind, list(dict.fromkeys(options)))


def _refuse_second_btrfs(device: str) -> None:
    """The kernel confuses two btrfs filesystems with the same ID."""
    with open(device, "rb") as opened:
        opened.seek(65536 + 32)
        raw = opened.read(16).hex()
    fsid = "-".join((raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:]))
    devices = Path("/sys/fs/btrfs", fsid, "devices")
    used = sorted(each.name for each in devices.iterdir()) if devices.is_dir() else []
    if used and os.path.basename(os.path.realpath(device)) not in used:
        raise InvalidState(
            f"{device} is a copy of the btrfs filesystem that is mounted from"
            f" {', '.join(used)} on this node, and the kernel cannot mount both. Use the copy on"
            " another node, or give it another ID with `btrfstune -m`"
        )


def resize_unmounted(device: str, kind: str) -> None:
    """Extend a filesystem that is not mounted to the size of the device. Only ext4 can do that;
    the others are extended by :func:`resize` after the mount."""
    if kind.startswith("ext") and _is_smaller(device, kind, device_size(device)):
        mounts.run("e2fsck", "-f", "-p", device, timeout=3600, ok=_FSCK_REPAIRED)
        mounts.run("resize2fs", device, timeout=3600)


def _is_smaller(device: str, kind: str, size: int) -> bool:
    used = extent(device, kind)
    # Filesystems do not use a few blocks at the end.
    return used is None or size - used >= 2 * 2**20


def resize(device: str, kind: str, path: str, size: int) -> bool:
    """Extend a mounted filesystem to the size of the device.

    :param path: where it is mounted for writing.
    :param size: of the device, in bytes.
    :returns: whether it was smaller.
    """
    if not _is_smaller(device, kind, size):
        return False
    if kind.startswith("ext"):
        mounts.run("resize2fs", device)
    elif kind == "xfs":
        mounts.run("xfs_growfs", path)
    elif kind == "btrfs":
        mounts.run("btrfs", "filesystem", "resize", "max", path)
    return True


def device_size(device: str) -> int:
    """The size of a block device in bytes."""
    handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(handle, 0, os.SEEK_END)
    finally:
        os.close(handle)


def extent(device: str, kind: str) -> int | None:
    """The size of a filesystem in bytes, from its superblock; ``None`` for other filesystems."""
    with open(device, "rb") as opened:
        if kind.startswith("ext"):
            opened.seek(1024)
            block = opened.read(512)
            low, shift = struct.unpack_from("<4xI16xI", block)
            (high,) = struct.unpack_from("<I", block, 0x150)
            is_64_bit = struct.unpack_from("<I", block, 0x60)[0] & 0x80
            return int((low | (high << 32 if is_64_bit else 0)) * (1024 << shift))
        if kind == "xfs":
            size, blocks = struct.unpack_from(">4xIQ", opened.read(16))
            return int(size * blocks)
        if kind == "btrfs":
            opened.seek(65536 + 0x70)
            return int(struct.unpack("<Q", opened.read(8))[0])
    return None
