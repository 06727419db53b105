"""Temporary volumes, through which a host accesses a snapshot.

There is one for each snapshot and host. It has one connection, and is deleted with it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from cinderlib import errors
from cinderlib.operations import encryption, volumes
from cinderlib.operations.history import Outcome
from cinderlib.operations.intents import intents_of, new_intent
from cinderlib.operations.journal import Journal
from cinderlib.operations.settling import SNAPSHOT_CONNECT, recovers
from cinderlib.operations.unmapping import remove_leftover_export
from cinderlib.persistence.base import Change, Put, Query, Remove, Store
from cinderlib.persistence.host_key import key
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    SnapshotRecord,
    VolumeRecord,
)

_NAMESPACE = uuid.UUID("0d1c5e0a-5d0c-4a51-9a5e-6f0a8f0f6c11")


def name_of(snapshot_id: str) -> str:
    """The name of the temporary volumes of a snapshot, by which a store finds them."""
    return f"attached-snapshot-{snapshot_id}"


def id_of(snapshot_id: str, connection: ConnectionRecord) -> str:
    """The ID of the temporary volume through which a host accesses a snapshot.

    :param connection: describes the host.
    """
    host = connection.attached_host or connection.connector.get("host") or key(connection)
    return str(uuid.uuid5(_NAMESPACE, f"{snapshot_id}/{host}/{connection.instance_uuid or ''}"))


def query(snapshot_id: str) -> Query:
    """The query for the temporary volumes of a snapshot. Other volumes can have the same name."""
    return Query(VolumeRecord, "name", name_of(snapshot_id))


def of_snapshot(store: Store, snapshot: SnapshotRecord) -> list[VolumeRecord]:
    """The temporary volumes of a snapshot."""
    return among(snapshot, store.find(VolumeRecord, {"name": name_of(snapshot.id)}))


def among(snapshot: SnapshotRecord, same_name: Sequence[VolumeRecord]) -> list[VolumeRecord]:
    """The temporary volumes of a snapshot, among the result of :func:`query`."""
    return [
        volume
        for volume in same_name
        if volume.snapshot_access is not None and volume.snapshot_id == snapshot.id
    ]


def refuse_attached(snapshot: SnapshotRecord, found: Sequence[VolumeRecord]) -> None:
    """Refuse to delete a snapshot that hosts access; the volume's lock is held.

    :param found: its temporary volumes.
    :raises InvalidSnapshot: they do.
    """
    if found:
        raise errors.InvalidSnapshot(
            f"Snapshot {snapshot.id} cannot be deleted: a host accesses it through temporary volume"
            f" {found[0].id}. Detach the snapshot, or disconnect it, first",
            resource=snapshot.id,
        )


def settled_with(journal: Journal, found: Sequence[IntentRecord]) -> list[Change]:
    """Remove the intents of interrupted connects of a temporary volume that is deleted.

    :param found: the intents of the volume.
    """
    return [
        change
        for each in found
        if each.operation == SNAPSHOT_CONNECT
        for change in journal.ended(each, "undone")
    ]


def release(volume: VolumeRecord, others: Sequence[ConnectionRecord]) -> list[Put]:
    """The intent to delete a temporary volume whose connection was removed.

    :param others: its other connections.
    """
    if volume.snapshot_access is None or others:
        return []
    arguments = {"snapshot_id": volume.snapshot_id}
    lock = volumes.lock_name(volume.id)
    return [Put(new_intent("snapshot.release", volume, lock, arguments=arguments))]


def complete(journal: Journal, released: Sequence[Put]) -> None:
    """Delete a temporary volume; its lock is held, and the intent is stored.

    :raises DriverError: the storage failed. Recovery or the repeated call deletes it.
    """
    for each in released:
        assert isinstance(each.record, IntentRecord)
        try:
            journal.recover(each.record, interrupted=False)
        except errors.CinderlibError as exc:
            exc.add_note(
                f"The host was disconnected. Its temporary volume {each.record.resource_id} could"
                " not be deleted: repeat the call, or call recover()"
            )
            raise


def release_unused(journal: Journal, found: Sequence[VolumeRecord]) -> None:
    """Settle interrupted operations on temporary volumes, and delete those without a connection.

    :param found: the temporary volumes; no lock is held.
    """
    for volume in found:
        lock = volumes.lock_name(volume.id)
        with journal.locks.hold(lock):
            journal.settle(volume.id, lock)
            connected = journal.store.find(ConnectionRecord, {"volume_id": volume.id})
            for connection in connected:
                if connection.status in ("attaching", "detaching"):
                    journal.settle(connection.id, lock)
            current = journal.store.get(VolumeRecord, volume.id)
            (intents,) = journal.store.query(intents_of(volume.id))
            if current is None or any(each.operation == SNAPSHOT_CONNECT for each in intents):
                continue
            others = journal.store.find(ConnectionRecord, {"volume_id": volume.id})
            released = release(current, others)
            if released:
                journal.store.apply(*released)
                complete(journal, released)


@recovers("snapshot.release")
def recover_release(journal: Journal, intent: IntentRecord) -> str:
    """Nobody uses the temporary volume: delete it."""
    delete(journal, intent, "done")
    return "finished"


def delete(journal: Journal, intent: IntentRecord, outcome: Outcome) -> None:
    """Delete a temporary volume that nobody uses.

    :param outcome: of the operation of the intent, for the history.
    """
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    (found,) = journal.store.query(intents_of(intent.resource_id))
    if volume is not None:
        left = journal.retry_pending_unmaps(found)
        driver = journal.driver(intent.backend)
        driver.delete_volume(remove_leftover_export(driver, volume))
        if left and volume.snapshot_access == "native":
            # Deleting the record would lose the mapping of the snapshot, which remains.
            raise errors.InvalidSnapshot(
                f"Snapshot {volume.snapshot_id} may still be mapped", resource=volume.snapshot_id
            )
        encryption.delete_key(journal, volume)
    journal.finish(
        intent,
        f"Temporary volume {intent.resource_id} was deleted",
        Remove(VolumeRecord, intent.resource_id),
        *settled_with(journal, [each for each in found if each.id != intent.id]),
        outcome=outcome,
    )
