"""Revert: a volume gets back the data that it had when a snapshot was taken."""

from __future__ import annotations

from cinderlib import errors
from cinderlib.operations import volumes
from cinderlib.operations.journal import Journal, lost, recovers
from cinderlib.records import IntentRecord, SnapshotRecord, VolumeRecord, replace


def revert(journal: Journal, volume_id: str, snapshot_id: str) -> VolumeRecord:
    """Give a volume the data that it had when a snapshot was taken.

    :raises InvalidVolume: it is connected, or has grown since.
    :raises Unsupported: the driver has no such operation.
    """
    with journal.locks.hold(volumes.lock_name(volume_id)):
        volume = volumes.get(journal, volume_id)
        driver = journal.driver(volume.backend)
        snapshot = journal.store.get(SnapshotRecord, snapshot_id)
        if snapshot is None or snapshot.volume_id != volume_id:
            lost(errors.SnapshotNotFound, f"snapshot of volume {volume_id}", snapshot_id)
        # A volume in 'error' that has a snapshot is one whose last revert failed.
        if volume.status not in ("available", "error") or snapshot.status != "available":
            raise errors.InvalidVolume(
                f"Volume {volume_id} cannot be reverted: it is '{volume.status}' and its snapshot"
                f" '{snapshot.status}'; both have to be 'available'",
                resource=volume_id,
            )
        if snapshot.volume_size != volume.size:
            raise errors.InvalidVolume(
                f"Volume {volume_id} cannot be reverted: it has {volume.size} GiB and the snapshot"
                f" {snapshot.volume_size} GiB; make a volume from the snapshot instead",
                resource=volume_id,
            )
        intent, reverting = journal.begin(
            "volume.revert",
            volumes.lock_name(volume_id),
            replace(volume, status="reverting"),
            before=volume,
            data={"snapshot_id": snapshot_id},
        )
        try:
            reverted = driver.revert_to_snapshot(reverting, snapshot)
        except errors.Unsupported:
            # The driver did nothing.
            journal.fail(intent, reverting, replace(reverting, status="available"))
            raise
        except BaseException:
            journal.fail(intent, reverting, replace(reverting, status="error"))
            raise
        done = f"Volume {volume_id} was reverted"
        return journal.finish_with(intent, done, reverting, replace(reverted, status="available"))


@recovers("volume.revert")
def recover_revert(journal: Journal, intent: IntentRecord) -> str:
    """Half of the data may be replaced: do it again."""
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    snapshot = journal.store.get(SnapshotRecord, intent.data["snapshot_id"])
    if volume is None or snapshot is None:
        journal.finish(intent, "Nothing was done")
        return "undone"
    try:
        reverted = journal.driver(intent.backend).revert_to_snapshot(volume, snapshot)
    except errors.Unsupported:
        # Nor could it before the crash: the driver did nothing.
        done, reverted, outcome = "Nothing was done", volume, "undone"
    else:
        done, outcome = f"Volume {volume.id} was reverted", "finished"
    journal.finish_with(intent, done, volume, replace(reverted, status="available"))
    return outcome
