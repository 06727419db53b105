"""Existing snapshots: list, manage and unmanage them; see :mod:`.manage`.

Their states are those that Cinder's snapshots can have: a snapshot that is being managed is
``creating``, and one whose manage failed is in ``error``, with its reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.drivers.port_values import Manageable, Page
from cinderlib.operations import (
    adoption,
    capabilities,
    group_snapshots,
    snapshots,
    volumes,
)
from cinderlib.operations.existing import raise_not_found, refuse_differences
from cinderlib.operations.journal import Journal
from cinderlib.operations.refusals import refuse_migrating
from cinderlib.operations.settling import recovers
from cinderlib.records import IntentRecord, SnapshotRecord, VolumeRecord, replace


def manageable_snapshots(journal: Journal, backend: str, page: Page) -> list[Manageable]:
    """The snapshots on the storage of a backend, with and without a record.

    :raises Unsupported: the driver has no list.
    """
    driver = journal.driver(backend)
    capabilities.require(driver, "snapshot.list_manageable", backend)
    known = journal.store.find(SnapshotRecord, {"backend": backend})
    return driver.manageable_snapshots(known, page)


def manage(
    journal: Journal, snapshot: SnapshotRecord, reference: dict[str, Any], asked: Mapping[str, Any]
) -> tuple[SnapshotRecord, bool]:
    """Adopt an existing snapshot of ``snapshot.volume_id`` as a snapshot of the store.

    :param snapshot: the record to create; not stored yet. The driver provides its size.
    :param reference: identifies the existing snapshot for the driver.
    :param asked: the fields that the caller named; an existing snapshot with the same ID must
        have the same values.
    :returns: the stored record, and whether the snapshot was managed by this call.
    :raises AlreadyExists: another snapshot has the ID.
    :raises InvalidInput: the driver does not find the snapshot.
    :raises VolumeNotFound: the volume is not in the store.
    :raises InvalidState: the snapshot already has another record.
    :raises Unsupported: the driver cannot manage existing snapshots.
    """
    driver = journal.driver(snapshot.backend)
    capabilities.require(driver, "snapshot.manage", snapshot.backend, snapshot.id)
    lock = volumes.lock_name(snapshot.volume_id)
    with journal.locks.hold(lock, adoption.reference_lock(snapshot.backend, reference)):
        there, volume = snapshots.look(journal, snapshot.id, snapshot.volume_id)
        snapshot = replace(snapshot, managed_from=reference)
        if there is not None:
            fixed = {"volume_id": snapshot.volume_id, "managed_from": reference}
            refuse_differences("Snapshot", there, {**asked, **fixed})
            if there.status != "error":
                return there, False
            snapshot = replace(snapshot, version=there.version, created_at=there.created_at)
        if volume is None:
            raise_not_found(errors.VolumeNotFound, "volume", snapshot.volume_id)
        refuse_migrating(volume, "used for a snapshot")
        existing = _ExistingSnapshot(driver, volume)
        size = adoption.size(existing, snapshot, reference, there)
        glance = volume.glance_metadata
        managing = replace(snapshot, volume_size=size, status="creating", glance_metadata=glance)
        intent, managing = journal.begin(
            "snapshot.manage", lock, managing, arguments={"reference": dict(reference)}
        )
        is_retry = there is not None
        managed = adoption.manage(journal, existing, intent, managing, reference, is_retry=is_retry)
        return managed, True


class _ExistingSnapshot(adoption.Existing[SnapshotRecord]):
    failed = "error"

    def __init__(self, driver: Driver, volume: VolumeRecord) -> None:
        super().__init__(driver)
        self._volume = volume

    def exists(self, record: SnapshotRecord) -> bool | None:
        return self.driver.snapshot_exists(record, self._volume)

    def size(self, record: SnapshotRecord, reference: Mapping[str, Any]) -> int:
        return self.driver.manageable_snapshot_size(record, self._volume, reference)

    def recorded_size(self, record: SnapshotRecord) -> int:
        return record.volume_size

    def manage(self, record: SnapshotRecord, reference: Mapping[str, Any]) -> SnapshotRecord:
        return self.driver.manage_snapshot(record, self._volume, reference)

    def ready(self, managed: SnapshotRecord, size: int) -> SnapshotRecord:
        return replace(managed, volume_size=size, status="available", progress="100%")

    def release(self, record: SnapshotRecord) -> None:
        is_native = capabilities.is_native(self.driver, "snapshot.unmanage")
        if is_native and self.exists(record) is not False:
            self.driver.unmanage_snapshot(record, self._volume)


def _existing(
    journal: Journal, intent: IntentRecord, snapshot: SnapshotRecord
) -> _ExistingSnapshot:
    volume = journal.store.get(VolumeRecord, snapshot.volume_id)
    return _ExistingSnapshot(journal.driver(intent.backend), volume or snapshots.stand_in(snapshot))


@recovers("snapshot.manage")
def recover_manage(journal: Journal, intent: IntentRecord) -> str:
    """See :func:`cinderlib.operations.adoption.recover_manage`."""
    snapshot = journal.store.get(SnapshotRecord, intent.resource_id)
    if snapshot is None:
        journal.finish(intent, "No change was made", outcome="undone")
        return "undone"
    existing = _existing(journal, intent, snapshot)
    return adoption.recover_manage(journal, existing, intent, snapshot)


def unmanage(journal: Journal, snapshot_id: str) -> bool:
    """Remove the record of a snapshot, and keep the snapshot with its data on the storage.

    :returns: whether there was one.
    :raises DriverError: the driver failed; the snapshot stays managed.
    """
    found = journal.store.get(SnapshotRecord, snapshot_id)
    if found is None:
        return False
    lock = volumes.lock_name(found.volume_id)
    with journal.locks.hold(lock):
        snapshot, volume = snapshots.look(journal, snapshot_id, found.volume_id)
        if snapshot is None:
            return False
        group_snapshots.refuse(journal.store, snapshot, "unmanaged")
        driver = journal.driver(snapshot.backend)
        intent, unmanaging = journal.begin(
            "snapshot.unmanage", lock, replace(snapshot, status="unmanaging"), before=snapshot
        )
        existing = _ExistingSnapshot(driver, volume or snapshots.stand_in(snapshot))
        adoption.unmanage(journal, existing, intent, unmanaging, snapshot)
        return True


@recovers("snapshot.unmanage")
def recover_unmanage(journal: Journal, intent: IntentRecord) -> str:
    """The driver may have released the snapshot: finish."""
    snapshot = journal.store.get(SnapshotRecord, intent.resource_id)
    if snapshot is not None:
        _existing(journal, intent, snapshot).release(snapshot)
    adoption.finish_unmanaged(journal, intent, SnapshotRecord)
    return "finished"
