"""The remedies of reconciliation. Each holds the volume's lock and checks the current state
first. Each can be repeated after a crash."""

from __future__ import annotations

from typing import TypeVar

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.drivers.port_values import InStorage
from cinderlib.operations import (
    connections,
    disconnect,
    encryption,
    other_names,
    recovery,
    snapshots,
    unmapping,
    volumes,
)
from cinderlib.operations.discrepancies import Changed
from cinderlib.operations.history import PENDING_UNMAPS
from cinderlib.operations.journal import Journal
from cinderlib.persistence.base import Put, Remove
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
    replace,
)

R = TypeVar("R", bound=Record)

#: States of a connection in which its host may reach the volume.
_MAPPED = frozenset({"attached", "detaching", "error_detaching"})


def settle(journal: Journal, intent: IntentRecord) -> None:
    """Recover an interrupted operation, or retry a pending unmap."""
    recovered = recovery.recover_one(journal, intent)
    if recovered.outcome == "skipped":
        raise Changed(recovered.reason)
    if recovered.outcome == "failed":
        raise errors.CinderlibError(recovered.reason)


def remove_failed_connection(journal: Journal, connection: ConnectionRecord) -> None:
    """Remove a connection whose connect or disconnect failed.

    :raises CinderlibError: the driver could not unmap the host. If the connection is deleted
        nevertheless, the store has a pending unmap of it.
    """
    volume = disconnect.disconnect(journal, connection.id)
    if volume is None:
        raise Changed("it was deleted in the meantime")
    for intent in unmapping.pending_of(journal, volume.id, connection.id):
        settle(journal, intent)  # which raises the driver's error, if it fails again


def fits(volume: VolumeRecord, found: list[ConnectionRecord]) -> bool:
    """Whether a volume's status fits its connections."""
    if volume.status not in ("available", "in-use"):
        return True
    if any(connection.status in connections.TRANSITIONAL for connection in found):
        return True
    mapped = any(connection.status in _MAPPED for connection in found)
    expected = ("in-use", "attached") if mapped else ("available", "detached")
    return (volume.status, volume.attach_status) == expected


def set_status(journal: Journal, volume_id: str) -> None:
    """Set a volume's status according to its connections."""
    with journal.locks.hold(volumes.lock_name(volume_id)):
        volume = volumes.get(journal, volume_id)
        found = journal.store.find(ConnectionRecord, {"volume_id": volume_id})
        if fits(volume, found):
            raise Changed("it is right by now")
        mapped = any(connection.status in _MAPPED for connection in found)
        status, attach_status = ("in-use", "attached") if mapped else ("available", "detached")
        repaired = replace(volume, status=status, attach_status=attach_status)
        journal.write(Put(repaired), *journal.noted("volume.repair", volume, {"status": status}))


def remove_volume(journal: Journal, backend: str, item: InStorage) -> None:
    """Delete a volume that the store does not know, with its data.

    The store has a record of it during the delete. So a concurrent create with the same ID finds
    it, and a crash is recovered like that of any delete.
    """
    lock = volumes.lock_name(item.id)
    with journal.locks.hold(lock):
        _refuse_known(journal, VolumeRecord, item.id)
        driver = journal.driver(backend)
        record = volumes.stand_in(item.id, backend, item.size or 1)
        if driver.exists(record) is False:
            raise Changed("the storage does not have it any more")
        intent, deleting = journal.begin("volume.delete", lock, record, arguments={"orphan": True})
        gone = Remove(VolumeRecord, item.id)
        try:
            driver.delete_volume(deleting)
        except BaseException:
            journal.discard(intent, gone)
            raise
        journal.finish(intent, f"Volume {item.id} was deleted", gone)


def remove_snapshot(journal: Journal, backend: str, item: InStorage) -> None:
    """Delete a snapshot that the store does not know."""
    size = item.size or 1
    # Not every driver reports the volume of a snapshot.
    volume_id = item.volume_id or item.id
    lock = volumes.lock_name(volume_id)
    with journal.locks.hold(lock):
        _refuse_known(journal, SnapshotRecord, item.id)
        driver = journal.driver(backend)
        volume = journal.store.get(VolumeRecord, volume_id)
        volume = volume or volumes.stand_in(volume_id, backend, size)
        record = SnapshotRecord(
            id=item.id, backend=backend, volume_id=volume_id, volume_size=size, status="deleting"
        )
        if driver.snapshot_exists(record, volume) is False:
            raise Changed("the storage does not have it any more")
        intent, deleting = journal.begin(
            "snapshot.delete", lock, record, arguments={"orphan": True}
        )
        gone = Remove(SnapshotRecord, item.id)
        try:
            driver.delete_snapshot(deleting, volume)
        except BaseException:
            journal.discard(intent, gone)
            raise
        journal.finish(intent, f"Snapshot {item.id} was deleted", gone)


def forget_volume(journal: Journal, volume_id: str) -> None:
    """Remove the record of a volume that the storage does not have. Does not change the storage."""
    with journal.locks.hold(volumes.lock_name(volume_id)):
        volume = _current(journal, VolumeRecord, volume_id)
        if journal.driver(volume.backend).exists(volume) is not False:
            raise Changed("the storage has it by now")
        for kind in (SnapshotRecord, ConnectionRecord):
            count = journal.store.count(kind, {"volume_id": volume_id})
            if count:
                raise errors.InvalidVolume(
                    f"The record of volume {volume_id} stays: the store has {count} {kind.kind}(s)"
                    " of it; remove them first",
                    resource=volume_id,
                )
        found = journal.store.find(IntentRecord, {"resource_id": volume_id})
        pending_unmaps = [
            change
            for each in found
            if each.operation in PENDING_UNMAPS
            for change in journal.ended(each, "finished")
        ]
        encryption.delete_key(journal, volume)
        gone = Remove(VolumeRecord, volume_id, volume.version)
        journal.write(gone, *pending_unmaps, *journal.noted("volume.forget", volume))


def forget_snapshot(journal: Journal, snapshot: SnapshotRecord) -> None:
    """Remove the record of a snapshot that the storage does not have."""
    with journal.locks.hold(volumes.lock_name(snapshot.volume_id)):
        snapshot = _current(journal, SnapshotRecord, snapshot.id)
        volume = journal.store.get(VolumeRecord, snapshot.volume_id)
        volume = volume or volumes.stand_in(
            snapshot.volume_id, snapshot.backend, snapshot.volume_size
        )
        if journal.driver(snapshot.backend).snapshot_exists(snapshot, volume) is not False:
            raise Changed("the storage has it by now")
        gone = Remove(SnapshotRecord, snapshot.id, snapshot.version)
        journal.write(gone, *journal.noted("snapshot.forget", snapshot))


def delete_snapshot(journal: Journal, snapshot: SnapshotRecord) -> None:
    """Delete a snapshot whose volume the store does not know."""
    if not snapshots.delete(journal, snapshot.id):
        raise Changed("it was deleted in the meantime")


def clean(driver: Driver) -> None:
    """Remove incomplete files of killed processes."""
    if not driver.leftovers(remove=True):
        raise Changed("it was deleted in the meantime")


def unmap_dangling(journal: Journal, connection: ConnectionRecord) -> None:
    """Unmap a volume that the store does not know from a host, and forget the connection."""
    with journal.locks.hold(volumes.lock_name(connection.volume_id)):
        connection = _current(journal, ConnectionRecord, connection.id)
        _refuse_known(journal, VolumeRecord, connection.volume_id)
        driver = journal.driver(connection.backend)
        volume = volumes.stand_in(connection.volume_id, connection.backend, 1)
        if driver.exists(volume) is not False:
            driver.terminate_connection(volume, connection, force=True)
            if journal.store.count(ConnectionRecord, {"volume_id": volume.id}) == 1:
                driver.remove_export(volume)
        gone = Remove(ConnectionRecord, connection.id, connection.version)
        journal.write(gone, *journal.noted("connection.forget", connection))


def forget_damaged(journal: Journal, kind: type[Record], id: str) -> None:
    """Remove a record that cannot be read. The storage does not change."""
    with journal.locks.hold(volumes.lock_name(id)):
        try:
            journal.store.get(kind, id)
        except errors.DamagedRecord:
            note = journal.noted(f"{kind.kind}.forget", Record(id=id), {"damaged": True})
            journal.write(Remove(kind, id), *note)
        else:
            raise Changed("it is readable or deleted in the meantime")


def _current(journal: Journal, kind: type[R], id: str) -> R:
    """The current record, which no operation is changing."""
    record = journal.store.get(kind, id)
    if record is None:
        raise Changed("it was deleted in the meantime")
    found = journal.store.find(IntentRecord, {"resource_id": id})
    if any(intent.operation not in PENDING_UNMAPS for intent in found):
        raise Changed("an operation on it was begun and has not ended")
    return record


def _refuse_known(journal: Journal, kind: type[Record], id: str) -> None:
    if journal.store.get(kind, id) is not None or id in other_names.ids(journal.store):
        raise Changed("the store knows it by now")
