"""The extents of volumes and snapshots, and those that changed after a snapshot."""

from __future__ import annotations

from cinderlib import errors
from cinderlib.drivers.port_values import Extent, Extents
from cinderlib.operations import capabilities, volumes
from cinderlib.operations.existing import raise_not_found
from cinderlib.operations.journal import Journal
from cinderlib.records import SnapshotRecord, VolumeRecord

_GIB = 1024**3


def of_volume(journal: Journal, volume_id: str, since_id: str | None, offset: int) -> Extents:
    """The extents of a volume from an offset on.

    :param since_id: the ID of a snapshot of it: only the changes since then.
    :raises VolumeNotFound, SnapshotNotFound: one does not exist.
    :raises InvalidVolume, InvalidSnapshot: the data cannot be read now.
    :raises InvalidInput: the snapshot is not of this volume.
    """
    volume = journal.store.get(VolumeRecord, volume_id)
    if volume is None:
        raise_not_found(errors.VolumeNotFound, "volume", volume_id)
    if volume.status not in volumes.READABLE:
        raise errors.InvalidVolume(
            f"Volume {volume_id} cannot be read: it is '{volume.status}'", resource=volume_id
        )
    since = None if since_id is None else _base(journal, since_id, volume_id)
    driver = journal.driver(volume.backend)
    if not capabilities.is_native(driver, "volume.extents"):
        return _everything(volume.size * _GIB, offset)
    return driver.volume_extents(volume, since, offset)


def of_snapshot(journal: Journal, snapshot_id: str, since_id: str | None, offset: int) -> Extents:
    """The extents of a snapshot from an offset on.

    :param since_id: the ID of an older snapshot of the same volume: only the changes
        between both.
    :raises CinderlibError: as :func:`of_volume`.
    """
    snapshot = _available(journal, snapshot_id)
    since = None
    if since_id is not None:
        since = _base(journal, since_id, snapshot.volume_id)
        if since.id == snapshot.id or is_newer(since, snapshot):
            raise errors.InvalidInput(
                f"Snapshot {since_id} is not older than snapshot {snapshot_id}", resource=since_id
            )
    volume = journal.store.get(VolumeRecord, snapshot.volume_id)
    if volume is None:
        raise_not_found(errors.VolumeNotFound, "volume", snapshot.volume_id)
    driver = journal.driver(snapshot.backend)
    if not capabilities.is_native(driver, "snapshot.extents"):
        return _everything(snapshot.volume_size * _GIB, offset)
    return driver.snapshot_extents(snapshot, volume, since, offset)


def is_newer(one: SnapshotRecord, other: SnapshotRecord) -> bool:
    """Whether a snapshot was taken after another one; not if that is unknown."""
    managed = one.managed_from is not None or other.managed_from is not None
    if managed or one.created_at is None or other.created_at is None:
        return False
    return one.created_at > other.created_at


def _base(journal: Journal, since_id: str, volume_id: str) -> SnapshotRecord:
    since = _available(journal, since_id)
    if since.volume_id != volume_id:
        raise errors.InvalidInput(
            f"Snapshot {since_id} is not a snapshot of volume {volume_id}", resource=since_id
        )
    return since


def _available(journal: Journal, snapshot_id: str) -> SnapshotRecord:
    snapshot = journal.store.get(SnapshotRecord, snapshot_id)
    if snapshot is None:
        raise_not_found(errors.SnapshotNotFound, "snapshot", snapshot_id)
    if snapshot.status != "available":
        raise errors.InvalidSnapshot(
            f"Snapshot {snapshot_id} cannot be read: it is '{snapshot.status}'",
            resource=snapshot_id,
        )
    return snapshot


def _everything(size: int, offset: int) -> Extents:
    """The answer for a driver that does not know more: all bytes can have changed.

    :param size: in bytes.
    """
    found = (Extent(offset, size - offset, "data"),) if offset < size else ()
    return Extents(found, max(offset, size))
