"""Capacity and condition of a volume on this host."""

from __future__ import annotations

import os
from typing import Any

from cinderlib.csi.node import filesystems, mounts
from cinderlib.csi.node.devices import Device
from cinderlib.csi.wire import messages as m
from cinderlib.errors import NodeError


def stats(device: Device, path: str) -> Any:
    """The answer of NodeGetVolumeStats.

    :param path: where the volume is staged or published.
    :raises NodeError: it cannot be read.
    """
    mount = mounts.at(path)
    response = m.NodeGetVolumeStatsResponse()
    condition = response.volume_condition
    condition.message = "The device exists and belongs to the volume."
    if not device.healthy:
        condition.abnormal = True
        condition.message = (
            f"The device {device.path} does not exist any more, or belongs to another volume."
        )
    if mount is None or mount.filesystem in ("devtmpfs", "tmpfs"):
        if device.healthy:
            response.usage.add(unit=m.VolumeUsage.BYTES, total=filesystems.device_size(device.path))
        return response
    if mount.has_failed and not device.read_only:
        condition.abnormal = True
        condition.message = "The kernel made the filesystem read-only after an error."
    try:
        found = os.statvfs(path)
    except OSError as exc:
        raise NodeError(f"The filesystem at {path} cannot be read: {exc.strerror}") from exc
    response.usage.add(
        unit=m.VolumeUsage.BYTES,
        total=found.f_blocks * found.f_frsize,
        available=found.f_bavail * found.f_frsize,
        used=(found.f_blocks - found.f_bfree) * found.f_frsize,
    )
    # btrfs has no fixed number of inodes.
    if found.f_files:
        response.usage.add(
            unit=m.VolumeUsage.INODES,
            total=found.f_files,
            available=found.f_favail,
            used=found.f_files - found.f_ffree,
        )
    return response
