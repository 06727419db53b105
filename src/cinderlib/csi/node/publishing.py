"""Publish and unpublish: a staged volume at the path that a workload uses."""

from __future__ import annotations

from cinderlib.csi.capabilities import Capability
from cinderlib.csi.failures import NotReady
from cinderlib.csi.node import groups, mounts, targets
from cinderlib.csi.node.devices import Device
from cinderlib.errors import AlreadyExists, InvalidState


def publish(
    device: Device, staged: str, target: str, capability: Capability, *, read_only: bool
) -> None:
    """Show a volume at the target path.

    :param staged: its staging path.
    :param read_only: refuse writes through this target.
    """
    mounts.remove_lost(target)
    seen = mounts.every()
    mount = mounts.at(target, seen)
    if mount is not None:
        _compare(device, mount, capability, read_only=read_only)
        return
    if capability.single_writer and device.number is not None:
        others = [
            each.path for each in mounts.of_device(device.number, seen) if each.path != staged
        ]
        if others:
            raise InvalidState(
                f"Volume {device.volume_id} has the access mode of a single writer, and is"
                f" already published at {', '.join(others)}."
            )
    if capability.block:
        if read_only and not device.read_only:
            raise InvalidState(
                f"Volume {device.volume_id} was attached for writing, and a device cannot be"
                " published read-only then: publish it read-only on the controller too."
            )
        targets.make_file(target)
        mounts.bind(device.path, target, read_only=read_only)
        return
    source = mounts.at(staged, seen)
    if source is None or mounts.device_of(source) != device.number:
        raise NotReady(
            f"Volume {device.volume_id} is not mounted at {staged}: call NodeStageVolume first."
        )
    if source.read_only and not read_only:
        raise InvalidState(
            f"Volume {device.volume_id} is mounted read-only at {staged}: publish it read-only."
        )
    if capability.group is not None and not read_only:
        groups.give(staged, capability.group)
    targets.make_folder(target)
    mounts.bind(staged, target, read_only=read_only)


def _compare(
    device: Device, mount: mounts.Mount, capability: Capability, *, read_only: bool
) -> None:
    if mounts.device_of(mount) != device.number:
        raise NotReady(
            f"{mount.path} is a mount of {mount.source}, not of volume {device.volume_id}; nothing"
            " changed."
        )
    is_block = mount.filesystem in ("devtmpfs", "tmpfs")
    if is_block != capability.block:
        has = "device" if is_block else "filesystem"
        raise AlreadyExists(f"Volume {device.volume_id} is a {has} at {mount.path}.")
    if mount.read_only != read_only:
        has = "read-only" if mount.read_only else "for writing"
        raise AlreadyExists(f"Volume {device.volume_id} is already published {has}.")
    if capability.filesystem and capability.filesystem != mount.filesystem:
        raise AlreadyExists(
            f"Volume {device.volume_id} is published with {mount.filesystem}, not"
            f" {capability.filesystem}."
        )


def unpublish(device: Device | None, volume_id: str, target: str) -> None:
    """Remove a volume from a target path.

    :param device: its device, if it is attached.
    :raises NotReady: the target is a mount of something else.
    """
    mounts.remove_lost(target)
    mount = mounts.at(target)
    while mount is not None:
        if device is None or mounts.device_of(mount) != device.number:
            raise NotReady(
                f"{target} is a mount of {mount.source}, not of volume {volume_id}; nothing"
                " changed."
            )
        mounts.unmount(target)
        mount = mounts.at(target)
    targets.remove(target)
