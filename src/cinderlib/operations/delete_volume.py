"""Deletes volumes."""

from __future__ import annotations

from collections.abc import Sequence

from cinderlib import errors
from cinderlib.operations import (
    encryption,
    group_members,
    long_calls,
    migration_targets,
    temporary,
    volumes,
)
from cinderlib.operations.intents import intents_of
from cinderlib.operations.journal import Journal
from cinderlib.operations.refusals import (
    note_dependents,
    refuse_half_managed,
    refuse_migrating,
    status_after,
)
from cinderlib.operations.settling import recovers
from cinderlib.operations.unmapping import remove_leftover_export
from cinderlib.persistence.base import Change, Query, Remove, Store
from cinderlib.persistence.host_key import host_of
from cinderlib.records import ConnectionRecord, IntentRecord, SnapshotRecord, VolumeRecord, replace


def delete(journal: Journal, volume_id: str) -> bool:
    """Delete a volume.

    :returns: whether there was one.
    :raises InvalidVolume: it has snapshots or connections, or the storage refuses because it is in
        use; nothing changed.
    :raises KeyManagerError: its data was deleted, but its key could not be.
    """
    with journal.locks.hold(volumes.lock_name(volume_id)):
        volume, (connections, snapshots, intents) = volumes.find(
            journal,
            volume_id,
            Query(ConnectionRecord, "volume_id", volume_id),
            Query(SnapshotRecord, "volume_id", volume_id, limit=1),
            intents_of(volume_id),
        )
        if volume is None:
            return False
        driver = journal.driver(volume.backend)
        group_members.refuse(journal.store, volume, "deleted")
        gone = _obsolete_intents(journal, volume, connections, snapshots, intents)
        pending_unmaps = journal.retry_pending_unmaps(intents)
        intent, deleting = journal.begin(
            "volume.delete",
            volumes.lock_name(volume_id),
            replace(volume, status="deleting"),
            before=volume,
        )
        try:
            driver.delete_volume(remove_leftover_export(driver, deleting))
            encryption.delete_key(journal, deleting)
        except BaseException as exc:
            status = status_after(exc, volume.status, "error_deleting")
            journal.fail(intent, deleting, replace(deleting, status=status))
            note_dependents(journal, exc, volume)
            raise
        gone += [change for each in pending_unmaps for change in journal.ended(each, "finished")]
        journal.finish(
            intent, f"Volume {volume_id} was deleted", Remove(VolumeRecord, volume_id), *gone
        )
        return True


def _obsolete_intents(
    journal: Journal,
    volume: VolumeRecord,
    connections: Sequence[ConnectionRecord],
    snapshots: Sequence[SnapshotRecord],
    intents: Sequence[IntentRecord],
) -> list[Change]:
    """Refuse to delete a volume that is in use, and settle its intents.

    :returns: the changes that remove the intents with the volume.
    :raises InvalidVolume: it has snapshots or connections, or is being migrated.
    """
    _refuse_connected(volume.id, connections)
    if snapshots:
        count = journal.store.count(SnapshotRecord, {"volume_id": volume.id})
        raise errors.InvalidVolume(
            f"Volume {volume.id} cannot be deleted: it has {count} snapshot(s); delete them first",
            resource=volume.id,
        )
    refuse_half_managed(volume, "deleted")
    migration_targets.refuse_interrupted(intents)
    if volume.migration_status == "migrating":
        refuse_migrating(volume, "deleted")
    migration_targets.refuse_others(journal, volume, "deleted")
    return [*long_calls.settled_with(journal, intents), *temporary.settled_with(journal, intents)]


def prepare(journal: Journal, volume_id: str) -> tuple[VolumeRecord | None, list[Change]]:
    """Check that a volume of a group can be deleted; its lock is held.

    :returns: the volume, or ``None``; and the changes that remove its intents with it.
    :raises InvalidVolume: it has snapshots or connections, or is being migrated.
    """
    volume, (connections, snapshots, intents) = volumes.find(
        journal,
        volume_id,
        Query(ConnectionRecord, "volume_id", volume_id),
        Query(SnapshotRecord, "volume_id", volume_id, limit=1),
        intents_of(volume_id),
    )
    if volume is None:
        return None, []
    gone = _obsolete_intents(journal, volume, connections, snapshots, intents)
    unmaps = journal.retry_pending_unmaps(intents)
    return volume, [*gone, *(c for each in unmaps for c in journal.ended(each, "finished"))]


def refuse_connected(store: Store, volume_id: str) -> None:
    """Refuse to delete a volume that hosts use, or that is in a group, before its snapshots are
    deleted.

    :raises InvalidVolume: it is connected, or in a group.
    """
    volume = store.get(VolumeRecord, volume_id)
    if volume is not None:
        group_members.refuse(store, volume, "deleted")
    _refuse_connected(volume_id, store.find(ConnectionRecord, {"volume_id": volume_id}))


def _refuse_connected(volume_id: str, connections: Sequence[ConnectionRecord]) -> None:
    if connections:
        hosts = ", ".join(sorted({host_of(c) for c in connections}))
        raise errors.InvalidVolume(
            f"Volume {volume_id} cannot be deleted: it is connected to {hosts}; disconnect it"
            " first",
            resource=volume_id,
        )


@recovers("volume.delete")
def recover_delete(journal: Journal, intent: IntentRecord) -> str:
    """Its data may be deleted already: complete the delete."""
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    if volume is not None:
        driver = journal.driver(intent.backend)
        driver.delete_volume(remove_leftover_export(driver, volume))
        encryption.delete_key(journal, volume)
    journal.finish(
        intent,
        f"Volume {intent.resource_id} was deleted",
        Remove(VolumeRecord, intent.resource_id),
    )
    return "finished"
