"""The IDs of volumes, snapshots and connections, and the metadata of volumes and snapshots.

The IDs are computed from the names that the orchestrator chooses, so a repeated call finds the
resource of the first call by its ID, and the array never has two.
"""

from __future__ import annotations

import uuid

#: Metadata of volumes and snapshots from this plug-in: the name in the request, the driver's name.
NAME, DRIVER = "csi:name", "csi:driver"
#: The root of all IDs; it must never change.
_ROOT = uuid.UUID("2f6b4b0e-5f0c-5d7e-9a53-0c9f7f1f6b11")


def _of(*parts: str) -> str:
    found = _ROOT
    for part in parts:
        found = uuid.uuid5(found, part)
    return str(found)


def volume(driver: str, name: str) -> str:
    """The ID of a volume.

    :param driver: the name of the plug-in.
    :param name: the name in the request.
    """
    return _of(driver, "volume", name)


def snapshot(driver: str, name: str) -> str:
    """The ID of a snapshot, as for a volume."""
    return _of(driver, "snapshot", name)


def group(driver: str, group_snapshot_id: str) -> str:
    """The ID of the group of a group snapshot."""
    return _of(driver, "group", group_snapshot_id)


def group_snapshot(driver: str, name: str) -> str:
    """The ID of a group snapshot, as for a volume."""
    return _of(driver, "group snapshot", name)


def connection(volume_id: str, host: str) -> str:
    """The ID of the connection of a volume to a host, which both sides know."""
    return _of("connection", volume_id, host)
