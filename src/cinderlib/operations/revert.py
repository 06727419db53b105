"""Revert: a volume gets back the data that it had when a snapshot was taken."""

from __future__ import annotations

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.operations import capabilities, volumes
from cinderlib.operations.existing import raise_not_found
from cinderlib.operations.journal import Journal
from cinderlib.operations.refusals import status_after
from cinderlib.operations.settling import recovers
from cinderlib.persistence.base import Query
from cinderlib.records import IntentRecord, SnapshotRecord, VolumeRecord, replace

_INSTEAD = "create a volume from the snapshot instead"
_INSTEAD_NOTE = "Instead, create a volume from the snapshot"


def revert(journal: Journal, volume_id: str, snapshot_id: str) -> VolumeRecord:
    """Give a volume the data that it had when a snapshot was taken.

    :raises InvalidVolume: it is connected, was extended since, or has newer snapshots that the
        driver may delete; nothing changed.
    :raises Unsupported: the driver has no such operation; nothing changed.
    """
    with journal.locks.hold(volumes.lock_name(volume_id)):
        volume, (snapshots,) = volumes.look(
            journal, volume_id, Query(SnapshotRecord, "volume_id", volume_id)
        )
        driver = journal.driver(volume.backend)
        snapshot = next((each for each in snapshots if each.id == snapshot_id), None)
        if snapshot is None:
            raise_not_found(
                errors.SnapshotNotFound, "snapshot", snapshot_id, f" of volume {volume_id}"
            )
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
                f" {snapshot.volume_size} GiB; {_INSTEAD}",
                resource=volume_id,
            )
        capabilities.require(
            driver, "volume.revert", volume.backend, volume_id, instead=_INSTEAD_NOTE
        )
        _refuse_older(driver, snapshot, snapshots)
        intent, reverting = journal.begin(
            "volume.revert",
            volumes.lock_name(volume_id),
            # The snapshot can be older than the header of an encrypted volume.
            replace(volume, status="reverting", applied=None, encryption_opened=False),
            before=volume,
            data={"snapshot_id": snapshot_id, "status": volume.status},
            arguments={"snapshot": snapshot.name, "snapshot_id": snapshot_id},
        )
        try:
            reverted = driver.revert_to_snapshot(reverting, snapshot)
        except BaseException as exc:
            status = status_after(exc, volume.status, "error")
            journal.fail(intent, reverting, replace(reverting, status=status))
            if isinstance(exc, errors.Unsupported):
                exc.add_note(f"Nothing changed; {_INSTEAD}")
            raise
        done = f"Volume {volume_id} was reverted"
        return journal.finish_with(intent, done, reverting, replace(reverted, status="available"))


def blockers(journal: Journal, volume_id: str, snapshot_id: str) -> list[SnapshotRecord]:
    """The newer snapshots that keep a volume from being reverted, the oldest first.

    :raises SnapshotNotFound: the volume has no such snapshot.
    """
    volume, (snapshots,) = volumes.look(
        journal, volume_id, Query(SnapshotRecord, "volume_id", volume_id)
    )
    snapshot = next((each for each in snapshots if each.id == snapshot_id), None)
    if snapshot is None:
        raise_not_found(errors.SnapshotNotFound, "snapshot", snapshot_id, f" of volume {volume_id}")
    return _newer(journal.driver(volume.backend), snapshot, snapshots)


def _newer(
    driver: Driver, snapshot: SnapshotRecord, snapshots: list[SnapshotRecord]
) -> list[SnapshotRecord]:
    """The snapshots that the driver may delete when it reverts.

    :param snapshots: all of the volume, the oldest first.
    """
    if driver.info.keeps_newer_snapshots:
        return []
    return snapshots[snapshots.index(snapshot) + 1 :]


def _refuse_older(
    driver: Driver, snapshot: SnapshotRecord, snapshots: list[SnapshotRecord]
) -> None:
    """Arrays that roll a volume back, as ZFS does, delete the snapshots taken since. Cinder reverts
    to the newest one only.

    :param snapshots: all of the volume, the oldest first.
    """
    newer = _newer(driver, snapshot, snapshots)
    if not newer:
        return
    names = ", ".join(f"{each.name} ({each.id})" if each.name else each.id for each in newer)
    raise errors.InvalidVolume(
        f"Volume {snapshot.volume_id} cannot be reverted to snapshot {snapshot.id}: the driver may"
        f" delete the newer snapshots of the volume: {names}. Delete them first, or {_INSTEAD}",
        resource=snapshot.volume_id,
    )


@recovers("volume.revert")
def recover_revert(journal: Journal, intent: IntentRecord) -> str:
    """Part of the data may be replaced: revert again."""
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    snapshot = journal.store.get(SnapshotRecord, intent.data["snapshot_id"])
    if volume is None or snapshot is None:
        journal.finish(intent, "No change was made", outcome="undone")
        return "undone"
    try:
        reverted = journal.driver(intent.backend).revert_to_snapshot(volume, snapshot)
    except errors.Unsupported:
        # The driver could not do it before the crash either.
        status = intent.data.get("status", "available")
        before = replace(volume, status=status)
        journal.finish_with(intent, "No change was made", volume, before, outcome="undone")
        return "undone"
    done = f"Volume {volume.id} was reverted"
    journal.finish_with(intent, done, volume, replace(reverted, status="available"))
    return "finished"
