"""Snapshots: create, delete. They change under the lock of their volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinderlib import errors
from cinderlib.operations import (
    capabilities,
    group_snapshots,
    temporary,
    unique_names,
    volumes,
)
from cinderlib.operations.existing import raise_not_found, refuse_differences
from cinderlib.operations.history import Outcome
from cinderlib.operations.journal import Journal
from cinderlib.operations.refusals import (
    is_refusal,
    note_dependents,
    refuse_half_managed,
    refuse_migrating,
    refuse_temporary,
    status_after,
)
from cinderlib.operations.settling import recovers
from cinderlib.persistence.base import Query, Remove
from cinderlib.records import IntentRecord, SnapshotRecord, VolumeRecord, replace

TRANSITIONAL = frozenset({"creating", "deleting", "unmanaging"})


def create(
    journal: Journal,
    snapshot: SnapshotRecord,
    asked: Mapping[str, Any],
    *,
    unique_name: bool = False,
    reverting: bool = False,
) -> tuple[SnapshotRecord, bool]:
    """Take a snapshot of ``snapshot.volume_id``, attached or not.

    :param asked: the fields that the caller named; an existing snapshot with the same ID must
        have the same values.
    :param unique_name: refuse a name that another snapshot of the volume has.
    :param reverting: whether the call belongs to the revert of the volume, which has that status.
    :returns: the stored record, and whether it was taken by this call.
    :raises AlreadyExists: another snapshot has the ID, or the name that must be unique.
    :raises VolumeNotFound, InvalidVolume: the volume has no data to keep.
    """
    lock = volumes.lock_name(snapshot.volume_id)
    with journal.locks.hold(lock):
        there, volume = look(journal, snapshot.id, snapshot.volume_id)
        driver = journal.driver(snapshot.backend)
        if there is not None:
            refuse_differences("Snapshot", there, {**asked, "volume_id": snapshot.volume_id})
            refuse_half_managed(there, "created")
            if there.status != "error":
                return there, False
        if volume is None:
            raise_not_found(errors.VolumeNotFound, "volume", snapshot.volume_id)
        refuse_temporary(volume, "used for a snapshot")
        refuse_migrating(volume, "used for a snapshot")
        if volume.status not in volumes.READABLE and not (
            reverting and volume.status == "reverting"
        ):
            raise errors.InvalidVolume(
                f"No snapshot can be taken of volume {volume.id}: it is '{volume.status}'",
                resource=volume.id,
            )
        capabilities.require(driver, "snapshot.create", snapshot.backend, snapshot.id)
        if unique_name and snapshot.name:
            unique_names.refuse(journal.store, snapshot, {"volume_id": snapshot.volume_id})
        snapshot = replace(
            snapshot,
            volume_size=volume.size,
            glance_metadata=volume.glance_metadata,
            status="creating",
        )
        if there is not None:
            # What a failed creation left is removed before it is tried again.
            driver.delete_snapshot(there, volume)
            snapshot = replace(snapshot, version=there.version, created_at=there.created_at)
        intent, creating = journal.begin("snapshot.create", lock, snapshot)
        try:
            ready = replace(
                driver.create_snapshot(creating, volume), status="available", progress="100%"
            )
        except BaseException as exc:
            if is_refusal(exc) and there is None:
                journal.discard(intent, Remove(SnapshotRecord, creating.id))
            else:
                journal.fail(intent, creating, replace(creating, status="error"))
            raise
        done = f"Snapshot {snapshot.id} of volume {volume.id} was taken"
        return journal.finish_with(intent, done, creating, ready), True


def look(
    journal: Journal, snapshot_id: str, volume_id: str
) -> tuple[SnapshotRecord | None, VolumeRecord | None]:
    """A snapshot and its volume as they are, interrupted operations settled; the volume's lock is
    held."""
    return _look(journal, snapshot_id, volume_id)[:2]


def _look(
    journal: Journal, snapshot_id: str, volume_id: str, *others: Query
) -> tuple[SnapshotRecord | None, VolumeRecord | None, list[list[Any]]]:
    """The same, with the results of further queries."""
    queries = (Query(SnapshotRecord, "id", snapshot_id), *others)
    volume, (found, *answers) = volumes.find(journal, volume_id, *queries)
    if (
        found
        and found[0].status in TRANSITIONAL
        and journal.settle(snapshot_id, volumes.lock_name(volume_id))
    ):
        volume, (found, *answers) = volumes.find(journal, volume_id, *queries)
    return (found[0] if found else None), volume, answers


@recovers("snapshot.create")
def recover_create(journal: Journal, intent: IntentRecord) -> str:
    """No caller received the snapshot: delete it."""
    _remove(journal, intent, "undone")
    return "undone"


def delete(journal: Journal, snapshot_id: str) -> bool:
    """Delete a snapshot.

    :returns: whether there was one.
    :raises InvalidSnapshot: the storage refuses because it is in use; nothing changed.
    """
    found = journal.store.get(SnapshotRecord, snapshot_id)
    if found is None:
        return False
    exposed: list[VolumeRecord] = []
    for last in (False, True):
        with journal.locks.hold(volumes.lock_name(found.volume_id)):
            snapshot, volume, (same_name,) = _look(
                journal, snapshot_id, found.volume_id, temporary.query(snapshot_id)
            )
            if snapshot is None:
                return False
            group_snapshots.refuse(journal.store, snapshot, "deleted")
            refuse_half_managed(snapshot, "deleted")
            exposed = temporary.among(snapshot, same_name)
            if last:
                temporary.refuse_attached(snapshot, exposed)
            if not exposed:
                _delete(journal, snapshot, volume)
                return True
        temporary.release_unused(journal, exposed)
    raise AssertionError  # the second attempt returns or raises


def _delete(journal: Journal, snapshot: SnapshotRecord, volume: VolumeRecord | None) -> None:
    """Delete a snapshot; the volume's lock is held."""
    driver = journal.driver(snapshot.backend)
    volume = volume or stand_in(snapshot)
    intent, deleting = journal.begin(
        "snapshot.delete",
        volumes.lock_name(snapshot.volume_id),
        replace(snapshot, status="deleting"),
        before=snapshot,
    )
    try:
        driver.delete_snapshot(deleting, volume)
    except BaseException as exc:
        status = status_after(exc, snapshot.status, "error_deleting")
        journal.fail(intent, deleting, replace(deleting, status=status))
        note_dependents(journal, exc, snapshot)
        raise
    journal.finish(
        intent, f"Snapshot {snapshot.id} was deleted", Remove(SnapshotRecord, snapshot.id)
    )


def stand_in(snapshot: SnapshotRecord) -> VolumeRecord:
    """A record to pass to a driver for the volume of a snapshot that the store does not know."""
    return volumes.stand_in(snapshot.volume_id, snapshot.backend, snapshot.volume_size)


@recovers("snapshot.delete")
def recover_delete(journal: Journal, intent: IntentRecord) -> str:
    """Its data may be deleted already: complete the delete."""
    _remove(journal, intent, "finished")
    return "finished"


def _remove(journal: Journal, intent: IntentRecord, outcome: Outcome) -> None:
    snapshot = journal.store.get(SnapshotRecord, intent.resource_id)
    if snapshot is not None:
        volume = journal.store.get(VolumeRecord, snapshot.volume_id) or stand_in(snapshot)
        journal.driver(intent.backend).delete_snapshot(snapshot, volume)
    journal.finish(
        intent,
        f"Snapshot {intent.resource_id} was deleted",
        Remove(SnapshotRecord, intent.resource_id),
        outcome=outcome,
    )
