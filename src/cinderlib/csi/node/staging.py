"""Stage and unstage: the filesystem of a volume, mounted once on a node."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping

from cinderlib.csi.capabilities import DEFAULT_FILESYSTEM, Capability
from cinderlib.csi.failures import NotReady
from cinderlib.csi.node import filesystems, groups, mounts, targets
from cinderlib.csi.node.devices import Device
from cinderlib.errors import AlreadyExists, DeviceInUse, InvalidInput, InvalidState, Unsupported

#: The key of options for mkfs in the volume context.
MKFS_OPTIONS = "mkfsOptions"


@dataclasses.dataclass(frozen=True, slots=True)
class Parameters:
    """What a volume's StorageClass requested for its filesystem.

    :ivar mkfs_options: more options for mkfs.
    """

    mkfs_options: tuple[str, ...] = ()


def parameters(context: Mapping[str, str]) -> Parameters:
    """Read them from the volume context.

    :raises InvalidInput: the options cannot be split into words.
    """
    try:
        return Parameters(tuple(shlex.split(context.get(MKFS_OPTIONS, ""))))
    except ValueError as exc:
        raise InvalidInput(f"{MKFS_OPTIONS} is not valid: {exc}.") from None


def stage(device: Device, path: str, capability: Capability, given: Parameters) -> None:
    """Mount the filesystem of a device, which is created first if the device is empty.

    :param path: the folder to mount on; ``block`` needs none.
    :raises Unsupported: it is a file on a share, or a handle of a process.
    """
    if device.number is None and device.healthy:
        raise Unsupported(
            f"Volume {device.volume_id} has no block device on this node: volumes of this protocol"
            " are files on a share, or need the protocol's kernel client.",
            resource=device.volume_id,
        )
    mounts.remove_lost(path)
    seen = mounts.every()
    mount = _mounted(device, path, seen)
    if capability.block:
        if mount is not None:
            raise AlreadyExists(
                f"Volume {device.volume_id} is mounted at {path}, and is requested as a device."
            )
        return
    read_only = capability.read_only or device.read_only
    if mount is not None and mount.has_failed and not read_only:
        _unmount_failed(device, path, seen)
        mount = None
    if mount is not None:
        _compare(mount, capability, read_only=read_only)
        if not read_only:
            # An interrupted call may have mounted it, and not extended it yet.
            _resize(device, mount.filesystem, path)
            _give_to_group(path, capability)
        return
    kind = _filesystem(device, capability, read_only=read_only)
    is_new = kind is None
    if kind is None:
        kind = _create(device, capability, given, seen)
    elif not read_only:
        filesystems.check(device.path, kind)
        # A volume from a smaller snapshot has a filesystem of that size.
        filesystems.resize_unmounted(device.path, kind)
    targets.make_folder(path)
    filesystems.mount(device.path, path, kind, capability.flags, read_only=read_only)
    if not read_only:
        if not is_new:
            _resize(device, kind, path)
        _give_to_group(path, capability)


def _give_to_group(path: str, capability: Capability) -> None:
    if capability.group is not None:
        groups.give(path, capability.group)


def _resize(device: Device, kind: str, path: str) -> None:
    filesystems.resize(device.path, kind, path, filesystems.device_size(device.path))


def _unmount_failed(device: Device, path: str, seen: list[mounts.Mount]) -> None:
    """Unmount a filesystem that the kernel made read-only after an error, so that it is checked and
    mounted again.

    :raises InvalidState: a workload uses it.
    """
    if others := _others(device, path, seen):
        raise InvalidState(
            f"Volume {device.volume_id} is read-only: the kernel refuses writes after an error. It"
            " is checked and mounted again as soon as no workload uses it; it is still published at"
            f" {', '.join(others)}."
        )
    mounts.unmount(path)


def _others(device: Device, path: str, seen: list[mounts.Mount]) -> list[str]:
    """The other mount points of a volume."""
    if device.number is None:
        return []
    return [each.path for each in mounts.of_device(device.number, seen) if each.path != path]


def _compare(mount: mounts.Mount, capability: Capability, *, read_only: bool) -> None:
    if capability.filesystem and capability.filesystem != mount.filesystem:
        raise AlreadyExists(
            f"{mount.path} is mounted with {mount.filesystem}, not {capability.filesystem}."
        )
    if mount.read_only and not read_only:
        raise AlreadyExists(f"{mount.path} is mounted read-only.")
    if read_only and not mount.read_only:
        raise AlreadyExists(f"{mount.path} is mounted for writing, and read-only is requested.")


def _create(
    device: Device, capability: Capability, given: Parameters, seen: list[mounts.Mount]
) -> str:
    """Create the filesystem of an empty device, and return its type."""
    if device.number is not None and mounts.of_device(device.number, seen):
        raise InvalidState(
            f"Volume {device.volume_id} is used as a device on this node; it is not formatted."
        )
    kind = capability.filesystem or DEFAULT_FILESYSTEM
    filesystems.create(device.path, kind, given.mkfs_options)
    return kind


def _filesystem(device: Device, capability: Capability, *, read_only: bool) -> str | None:
    """The filesystem on the device; ``None`` if the device is empty and can be written to."""
    found = filesystems.on(device.path)
    if found is None:
        if read_only:
            raise InvalidState(
                f"Volume {device.volume_id} has no filesystem, and is read-only: mount it for"
                " writing once."
            )
        return None
    if capability.filesystem and found != capability.filesystem:
        raise InvalidState(
            f"Volume {device.volume_id} has {found}, not {capability.filesystem}. It is not"
            " formatted, because that would destroy its data."
        )
    if found not in ("ext2", "ext3", "ext4", "xfs", "btrfs"):
        raise InvalidState(
            f"Volume {device.volume_id} has {found}, which is not a filesystem that can be"
            " mounted. Its data is not overwritten; use volumeMode Block."
        )
    return found


def _mounted(device: Device, path: str, seen: list[mounts.Mount]) -> mounts.Mount | None:
    """The mount of a volume at a path.

    :raises NotReady: the path is a mount of something else.
    """
    mount = mounts.at(path, seen)
    if mount is not None and mounts.device_of(mount) != device.number:
        raise NotReady(
            f"{path} is a mount of {mount.source}, not of volume {device.volume_id}; nothing"
            " changed."
        )
    return mount


def unstage(device: Device, path: str) -> None:
    """Unmount a volume from its staging path.

    :raises DeviceInUse: it is published, or a process uses it.
    :raises NotReady: the path is a mount of something else.
    """
    seen = mounts.every()
    mount = _mounted(device, path, seen)
    if others := _others(device, path, seen):
        raise DeviceInUse(
            f"Volume {device.volume_id} is still published at {', '.join(others)}; nothing"
            " changed.",
            resource=device.volume_id,
        )
    while mount is not None:
        mounts.unmount(path)
        mount = mounts.at(path)
