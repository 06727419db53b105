"""Revert by a copy, for drivers that cannot revert.

The snapshot and the volume are attached to this host, and the data is copied. As in Cinder, a
safety snapshot is taken first. It is deleted at the end, and remains if the copy fails.
"""

from __future__ import annotations

from typing import Any

from cinderlib import errors
from cinderlib.operations import capabilities, copying, long_calls, snapshots, temporary, volumes
from cinderlib.operations.existing import raise_not_found
from cinderlib.operations.history import Outcome
from cinderlib.operations.journal import Journal, was_interrupted
from cinderlib.operations.settling import recovers
from cinderlib.persistence.base import Put, Query
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    SnapshotRecord,
    VolumeRecord,
    new_id,
    replace,
)

_OPERATION = "volume.revert_by_copy"


def revert(journal: Journal, volume_id: str, snapshot_id: str) -> VolumeRecord:
    """Copy the data of a snapshot to its volume; called within :meth:`Journal.whole_call`.

    :raises InvalidVolume: it is connected, or was extended since; nothing changed.
    :raises NodeError: this host cannot attach it, or the copy failed. If data was written already,
        the volume has the status ``'error'``, and the safety snapshot its data from before.
    """
    long_calls.finish_interrupted(journal, volume_id, _OPERATION)
    with journal.locks.hold(volumes.lock_name(volume_id)):
        volume, (found, connections, intents) = volumes.look(
            journal,
            volume_id,
            Query(SnapshotRecord, "volume_id", volume_id),
            Query(ConnectionRecord, "volume_id", volume_id, limit=1),
            Query(IntentRecord, "resource_id", volume_id),
        )
        snapshot = next((each for each in found if each.id == snapshot_id), None)
        if snapshot is None:
            raise_not_found(
                errors.SnapshotNotFound, "snapshot", snapshot_id, f" of volume {volume_id}"
            )
        driver = journal.driver(volume.backend)
        capabilities.require(driver, "volume.revert_by_copy", volume.backend, volume_id)
        long_calls.refuse_others(journal, volume_id, intents, "reverted")
        _refuse(volume, snapshot, connections)
        intent = long_calls.intent(
            journal,
            _OPERATION,
            volume,
            {"snapshot_id": snapshot_id, "safety": new_id(), "status": volume.status},
            {"snapshot_id": snapshot_id},
        )
        # The snapshot can be older than the header of an encrypted volume.
        reverting = replace(volume, status="reverting", encryption_opened=False)
        journal.begin_with(intent, reverting, before=volume)
    return _run(journal, intent)


def _refuse(
    volume: VolumeRecord, snapshot: SnapshotRecord, connections: list[ConnectionRecord]
) -> None:
    if volume.status not in ("available", "error") or snapshot.status != "available" or connections:
        raise errors.InvalidVolume(
            f"Volume {volume.id} cannot be reverted: it is '{volume.status}' and its snapshot"
            f" '{snapshot.status}'; both have to be 'available', and the volume disconnected",
            resource=volume.id,
        )
    if snapshot.volume_size != volume.size:
        raise errors.InvalidVolume(
            f"Volume {volume.id} cannot be reverted: it has {volume.size} GiB and the snapshot"
            f" {snapshot.volume_size} GiB; create a volume from the snapshot instead",
            resource=volume.id,
        )


def _run(journal: Journal, intent: IntentRecord) -> VolumeRecord:
    """All steps. Each has no effect if it was already completed."""
    id, data = intent.resource_id, intent.data
    volume = journal.store.get(VolumeRecord, id)
    snapshot = journal.store.get(SnapshotRecord, data["snapshot_id"])
    if volume is None or snapshot is None:
        raise_not_found(
            errors.SnapshotNotFound, "snapshot", data["snapshot_id"], f" of volume {id}"
        )
    status, is_torn = data["status"], False
    try:
        if not data.get("copied"):
            _take_safety_snapshot(journal, intent, volume)
            source = copying.attach_snapshot(journal, snapshot, volume)
            target = copying.attach_volume(journal, volume)
            is_torn = True
            copying.copy(journal, source, target, id)
            is_torn, status = False, "available"
            intent = _note_copied(journal, intent)
        _detach(journal, snapshot, id)
    except BaseException as exc:
        if not was_interrupted(exc):
            _fail(journal, intent, snapshot, exc, status=status, is_torn=is_torn)
        raise
    snapshots.delete(journal, data["safety"])
    return _end(journal, intent, "available")


def _note_copied(journal: Journal, intent: IntentRecord) -> IntentRecord:
    """Record that only the clean-up is left."""
    (noted,) = journal.store.apply(
        Put(replace(intent, data={**intent.data, "copied": True}), check=False)
    )
    assert isinstance(noted, IntentRecord)
    return noted


def _take_safety_snapshot(journal: Journal, intent: IntentRecord, volume: VolumeRecord) -> None:
    id = intent.data["safety"]
    safety = SnapshotRecord(
        id=id,
        backend=volume.backend,
        volume_id=volume.id,
        volume_size=volume.size,
        name=f"before-revert-{intent.data['snapshot_id']}",
        description="The data of the volume before it was reverted",
        user_id=volume.user_id,
        project_id=volume.project_id,
    )
    snapshots.create(journal, safety, {}, reverting=True)


def _detach(journal: Journal, snapshot: SnapshotRecord, volume_id: str) -> None:
    exposed = [each.id for each in temporary.of_snapshot(journal.store, snapshot)]
    copying.detach_all(journal, [volume_id, *exposed])


def _fail(
    journal: Journal,
    intent: IntentRecord,
    snapshot: SnapshotRecord,
    cause: BaseException,
    *,
    status: str,
    is_torn: bool,
) -> None:
    """Detach both, and keep the safety snapshot if the volume has a part of the data.

    :param status: the status of the volume otherwise.
    """
    try:
        _detach(journal, snapshot, intent.resource_id)
        if is_torn:
            cause.add_note(
                "The volume has a part of the snapshot's data. Snapshot"
                f" {intent.data['safety']} has its data from before: revert again, to either"
                " snapshot"
            )
        else:
            snapshots.delete(journal, intent.data["safety"])
        _end(journal, intent, "error" if is_torn else status, "failed")
    except errors.CinderlibError as exc:
        cause.add_note(f"Undoing it failed too, and is tried again later: {exc}")


def _end(
    journal: Journal, intent: IntentRecord, status: str, outcome: Outcome = "done"
) -> VolumeRecord:
    done = f"Volume {intent.resource_id} was reverted"
    return long_calls.end(journal, intent, done, outcome, status=status)


@recovers(_OPERATION)
def recover_revert(journal: Journal, intent: IntentRecord) -> str:
    """Part of the data may be replaced: copy again."""
    data: dict[str, Any] = intent.data
    known = [
        journal.store.get(VolumeRecord, intent.resource_id),
        journal.store.get(SnapshotRecord, data["snapshot_id"]),
    ]
    if None in known:
        journal.finish(intent, "No change was made", outcome="undone")
        return "undone"
    _run(journal, intent)
    return "finished"
