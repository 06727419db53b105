"""Existing volumes: list, manage and unmanage them. Their data never changes.

The steps that volumes and snapshots share are in :mod:`.adoption`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinderlib import errors
from cinderlib.drivers.port_values import Manageable, Page
from cinderlib.operations import (
    adoption,
    capabilities,
    encryption,
    group_members,
    volume_types,
    volumes,
)
from cinderlib.operations.existing import refuse_differences
from cinderlib.operations.intents import intents_of
from cinderlib.operations.journal import Journal
from cinderlib.operations.settling import recovers
from cinderlib.persistence.base import Query
from cinderlib.persistence.host_key import host_of
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    SnapshotRecord,
    VolumeRecord,
    now,
    replace,
)

#: States in which a volume can be unmanaged.
_UNMANAGEABLE = frozenset(
    {"available", "error", "error_deleting", "error_extending", "error_managing", "error_retyping"}
)


def manageable_volumes(journal: Journal, backend: str, page: Page) -> list[Manageable]:
    """The volumes on the storage of a backend, with and without a record.

    :raises Unsupported: the driver has no list.
    """
    driver = journal.driver(backend)
    capabilities.require(driver, "volume.list_manageable", backend)
    known = journal.store.find(VolumeRecord, {"backend": backend})
    return driver.manageable_volumes(known, page)


def manage(
    journal: Journal, volume: VolumeRecord, reference: dict[str, Any], asked: Mapping[str, Any]
) -> tuple[VolumeRecord, bool]:
    """Adopt an existing volume of the storage as a volume of the store.

    :param volume: the record to create; not stored yet. The driver provides its size.
    :param reference: identifies the existing volume for the driver.
    :param asked: the fields that the caller named; an existing volume with the same ID must
        have the same values.
    :returns: the stored record, and whether the volume was managed by this call.
    :raises AlreadyExists: another volume has the ID.
    :raises InvalidInput: the driver does not find the volume, or its type does not fit.
    :raises InvalidState: the volume already has another record.
    :raises Unsupported: the driver cannot manage existing volumes.
    """
    driver = journal.driver(volume.backend)
    capabilities.require(driver, "volume.manage", volume.backend, volume.id)
    lock = volumes.lock_name(volume.id)
    with journal.locks.hold(lock, adoption.reference_lock(volume.backend, reference)):
        there, _ = volumes.find(journal, volume.id)
        volume = replace(volume, managed_from=reference)
        if there is not None:
            fixed = {"backend": volume.backend, "managed_from": reference}
            refuse_differences("Volume", there, {**asked, **fixed})
            if there.status != "error_managing":
                return there, False
            volume = replace(volume, version=there.version, created_at=there.created_at)
        volume = volume_types.assign(journal.store, volume, asked)
        encryption.refuse_existing(volume)
        existing = _ExistingVolume(driver)
        size = adoption.size(existing, volume, reference, there)
        intent, managing = journal.begin(
            "volume.manage",
            lock,
            replace(volume, size=size, status="managing"),
            arguments={"reference": dict(reference), "size": size},
        )
        is_retry = there is not None
        managed = adoption.manage(journal, existing, intent, managing, reference, is_retry=is_retry)
        return managed, True


class _ExistingVolume(adoption.Existing[VolumeRecord]):
    failed = "error_managing"

    def exists(self, record: VolumeRecord) -> bool | None:
        return self.driver.exists(record)

    def size(self, record: VolumeRecord, reference: Mapping[str, Any]) -> int:
        return self.driver.manageable_volume_size(record, reference)

    def recorded_size(self, record: VolumeRecord) -> int:
        return record.size

    def manage(self, record: VolumeRecord, reference: Mapping[str, Any]) -> VolumeRecord:
        return self.driver.manage_volume(record, reference)

    def ready(self, managed: VolumeRecord, size: int) -> VolumeRecord:
        return replace(managed, size=size, status="available", launched_at=now())

    def release(self, record: VolumeRecord) -> None:
        """Remove what the driver added to a volume: its export, and its own marks."""
        if self.driver.exists(record) is False:
            return  # a driver that renames unmanaged volumes has done so
        record = self.driver.remove_export(record)
        if capabilities.is_native(self.driver, "volume.unmanage"):
            self.driver.unmanage_volume(record)


@recovers("volume.manage")
def recover_manage(journal: Journal, intent: IntentRecord) -> str:
    """See :func:`cinderlib.operations.adoption.recover_manage`."""
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    if volume is None:
        journal.finish(intent, "No change was made", outcome="undone")
        return "undone"
    existing = _ExistingVolume(journal.driver(intent.backend))
    return adoption.recover_manage(journal, existing, intent, volume)


def unmanage(journal: Journal, volume_id: str) -> bool:
    """Remove the record of a volume, and keep the volume with its data on the storage.

    :returns: whether there was one.
    :raises InvalidVolume: it has snapshots or connections, or is encrypted; nothing changed.
    :raises DriverError: the driver failed; the volume stays managed.
    """
    lock = volumes.lock_name(volume_id)
    with journal.locks.hold(lock):
        volume, (connections, snapshots, intents) = volumes.find(
            journal,
            volume_id,
            Query(ConnectionRecord, "volume_id", volume_id, limit=1),
            Query(SnapshotRecord, "volume_id", volume_id, limit=1),
            intents_of(volume_id),
        )
        if volume is None:
            return False
        group_members.refuse(journal.store, volume, "unmanaged")
        driver = journal.driver(volume.backend)
        if reason := _why_not(volume, connections, snapshots):
            raise errors.InvalidVolume(
                f"Volume {volume_id} cannot be unmanaged: {reason}", resource=volume_id
            )
        if journal.retry_pending_unmaps(intents):
            raise errors.InvalidVolume(
                f"Volume {volume_id} cannot be unmanaged: a host may still reach it, and the driver"
                " fails to unmap it",
                resource=volume_id,
            )
        intent, unmanaging = journal.begin(
            "volume.unmanage", lock, replace(volume, status="unmanaging"), before=volume
        )
        adoption.unmanage(journal, _ExistingVolume(driver), intent, unmanaging, volume)
        return True


def _why_not(
    volume: VolumeRecord, connections: list[ConnectionRecord], snapshots: list[SnapshotRecord]
) -> str:
    if connections:
        return f"it is connected to {host_of(connections[0])}; disconnect it first"
    if snapshots:
        return "it has snapshots; delete or unmanage them first"
    if volume.encryption_key_id is not None or volume.encryption:
        return "it is encrypted, and its key would be lost"
    if volume.status not in _UNMANAGEABLE:
        return f"it is '{volume.status}'"
    return ""


@recovers("volume.unmanage")
def recover_unmanage(journal: Journal, intent: IntentRecord) -> str:
    """The driver may have released the volume: finish."""
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    if volume is not None:
        _ExistingVolume(journal.driver(intent.backend)).release(volume)
    adoption.finish_unmanaged(journal, intent, VolumeRecord)
    return "finished"
