"""Group snapshots: create, delete. They change under the locks of their group and its volumes."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.operations import capabilities, group_members, volumes
from cinderlib.operations.existing import raise_not_found, refuse_differences
from cinderlib.operations.group_members import held, lock_name, named
from cinderlib.operations.history import Outcome
from cinderlib.operations.intents import new_intent
from cinderlib.operations.journal import Journal
from cinderlib.operations.refusals import (
    refuse_migrating,
    refuse_temporary,
)
from cinderlib.operations.settling import recovers
from cinderlib.persistence import in_key_values
from cinderlib.persistence.base import Change, Put, Remove, Store
from cinderlib.records import (
    GroupRecord,
    GroupSnapshotRecord,
    IntentRecord,
    SnapshotRecord,
    VolumeRecord,
    now,
    replace,
)

#: The namespace of the IDs of snapshots, which depend on the group snapshot and the volume, so that
#: a repeated call takes the same snapshots.
_NAMESPACE = uuid.UUID("5b0b3f5e-8d0c-4a63-9a45-0b6f1f3f2a90")
#: The states of groups whose volumes are known.
_STATES = frozenset({"available", "error_updating"})


def id_of(group_snapshot_id: str, volume_id: str) -> str:
    """The ID of the snapshot of a volume in a group snapshot."""
    return str(uuid.uuid5(_NAMESPACE, f"{group_snapshot_id}/{volume_id}"))


def create(
    journal: Journal,
    record: GroupSnapshotRecord,
    asked: Mapping[str, Any],
    *,
    one_after_another: bool = False,
) -> tuple[GroupSnapshotRecord, bool]:
    """Take snapshots of all volumes of ``record.group_id``, attached or not.

    :param asked: the fields that the caller named; an existing group snapshot with the same ID must
        have the same values.
    :param one_after_another: take the snapshots in sequence if the driver cannot take them at
        the same moment.
    :returns: the stored record, and whether it was taken by this call.
    :raises GroupNotFound: the group does not exist.
    :raises InvalidGroup, InvalidVolume: the group or a volume has no data to keep.
    :raises Unsupported: the driver cannot take them at the same moment. Nothing changed.
    """
    with held(journal, record.group_id) as group:
        there = in_key_values.find(journal.store, GroupSnapshotRecord, record.id)
        if there is not None:
            refuse_differences("Group snapshot", there, {**asked, "group_id": record.group_id})
            return there, False
        if group is None:
            raise_not_found(errors.GroupNotFound, "group", record.group_id)
        members = _readable(journal, group)
        driver = journal.driver(group.backend)
        consistent = _is_consistent(driver, group, one_after_another)
        taking = replace(
            record,
            backend=group.backend,
            status="creating",
            consistent=consistent,
            volume_ids=group.volume_ids,
            snapshot_ids=tuple(id_of(record.id, each.id) for each in members),
            created_at=now(),
        )
        snapshots = [_snapshot(taking, each) for each in members]
        intent = new_intent(
            "group_snapshot.create",
            taking,
            lock_name(group.id),
            data={**group_members.data(group.volume_ids), "group": group.id},
            arguments={"group_id": group.id, "one_after_another": one_after_another or None},
        )
        listed = replace(group, snapshot_ids=(*group.snapshot_ids, record.id))
        journal.begin_with(
            intent,
            in_key_values.put(taking).record,
            in_key_values.put(listed),
            *map(Put, snapshots),
        )
        try:
            taking, taken = _take(driver, taking, group, members, one_after_another)
        except BaseException as exc:
            group_members.clean_up(exc, lambda: remove(journal, driver, intent, "failed"))
            raise
        done = f"Group snapshot {record.id} of group {named(group)} was taken"
        ready = replace(taking, status="available")
        return _finish(journal, intent, done, ready, snapshots, taken), True


def _readable(journal: Journal, group: GroupRecord) -> list[VolumeRecord]:
    """The volumes of a group; their locks are held.

    :raises InvalidGroup, InvalidVolume: no snapshot can be taken of them.
    """
    if group.status not in _STATES:
        raise errors.InvalidGroup(
            f"No snapshot can be taken of group {named(group)}: it is '{group.status}'",
            resource=group.id,
        )
    if not group.volume_ids:
        raise errors.InvalidGroup(
            f"No snapshot can be taken of group {named(group)}: it has no volumes. Add volumes to"
            " it first",
            resource=group.id,
        )
    found = []
    for id in group.volume_ids:
        volume = volumes.get(journal, id)
        refuse_temporary(volume, "used for a snapshot")
        refuse_migrating(volume, "used for a snapshot")
        if volume.status not in volumes.READABLE:
            raise errors.InvalidVolume(
                f"No snapshot can be taken of group {named(group)}: its volume {id} is"
                f" '{volume.status}'",
                resource=id,
            )
        found.append(volume)
    return found


def _is_consistent(driver: Driver, group: GroupRecord, one_after_another: bool) -> bool:
    """Whether the driver takes the snapshots of a group at the same moment.

    :raises Unsupported: it does not, and the caller requires it.
    """
    operation = "group_snapshot.create"
    capabilities.require(driver, operation, group.backend, group.id)
    if group.native and capabilities.is_native(driver, operation):
        return True
    reason = capabilities.reason(driver, operation).partition(";")[0]
    if not one_after_another:
        raise _inconsistent(group, reason or "the driver did not create this group")
    return False


def _inconsistent(group: GroupRecord, reason: str) -> errors.Unsupported:
    return errors.Unsupported(
        f"Backend {group.backend!r} cannot take the snapshots of group {named(group)} at the same"
        f" moment: {reason}. The storage did not change. Specify one_after_another"
        " (--one-after-another) if snapshots of different moments are sufficient",
        resource=group.id,
    )


def _snapshot(taking: GroupSnapshotRecord, volume: VolumeRecord) -> SnapshotRecord:
    return SnapshotRecord(
        id=id_of(taking.id, volume.id),
        backend=volume.backend,
        volume_id=volume.id,
        volume_size=volume.size,
        name=taking.name,
        user_id=volume.user_id,
        project_id=volume.project_id,
        glance_metadata=volume.glance_metadata,
        group_snapshot_id=taking.id,
    )


def _take(
    driver: Driver,
    taking: GroupSnapshotRecord,
    group: GroupRecord,
    members: Sequence[VolumeRecord],
    one_after_another: bool,
) -> tuple[GroupSnapshotRecord, list[SnapshotRecord]]:
    """Take the snapshots on the storage.

    :returns: the group snapshot, and the snapshots with the driver's changes.
    """
    snapshots = [replace(_snapshot(taking, each), version=1) for each in members]
    if taking.consistent:
        try:
            return taking, driver.create_group_snapshot(taking, group, snapshots, members)
        except errors.Unsupported as exc:  # for groups with these properties; nothing changed
            if not one_after_another:
                raise _inconsistent(group, str(exc)) from exc
    pairs = zip(snapshots, members, strict=True)
    taken = [driver.create_snapshot(snapshot, volume) for snapshot, volume in pairs]
    return replace(taking, consistent=False), taken


def _finish(
    journal: Journal,
    intent: IntentRecord,
    done: str,
    ready: GroupSnapshotRecord,
    before: Sequence[SnapshotRecord],
    taken: Sequence[SnapshotRecord],
) -> GroupSnapshotRecord:
    after = [replace(each, status="available", progress="100%") for each in taken]

    def changes() -> list[Change]:
        current = in_key_values.find(journal.store, GroupSnapshotRecord, ready.id)
        version = 0 if current is None else current.version
        stored = group_members.changed(journal.store, before, after)
        return [in_key_values.put(replace(ready, version=version)), *stored]

    group_members.finish(journal, intent, done, changes)
    return in_key_values.find(journal.store, GroupSnapshotRecord, ready.id) or ready


@recovers("group_snapshot.create")
def recover_create(journal: Journal, intent: IntentRecord) -> str:
    """No caller received the group snapshot: delete its snapshots."""
    remove(journal, journal.driver(intent.backend), intent, "undone")
    return "undone"


def delete_on_storage(
    journal: Journal, driver: Driver, there: GroupSnapshotRecord, deleted: list[str]
) -> None:
    """Delete the snapshots on the storage.

    :param deleted: receives the IDs of snapshots that were deleted in sequence.
    """
    snapshots = group_members.snapshots(journal.store, there.snapshot_ids)
    of = group_members.volumes_of_snapshots(journal.store, snapshots)
    if there.consistent and snapshots:
        group = in_key_values.find(journal.store, GroupRecord, there.group_id)
        stand_in = GroupRecord(id=there.group_id, backend=there.backend, host=of[0].host)
        # The driver may have refused to take them, so that they were taken in sequence.
        with contextlib.suppress(errors.Unsupported):
            driver.delete_group_snapshot(there, group or stand_in, snapshots, of)
            return
    for snapshot, volume in zip(snapshots, of, strict=True):
        driver.delete_snapshot(snapshot, volume)
        deleted.append(snapshot.id)


def remove(journal: Journal, driver: Driver, intent: IntentRecord, outcome: Outcome) -> None:
    """Delete a group snapshot on the storage and in the store."""
    there = in_key_values.find(journal.store, GroupSnapshotRecord, intent.resource_id)
    if there is not None:
        delete_on_storage(journal, driver, there, [])
    removed(journal, intent, there, outcome)


def removed(
    journal: Journal,
    intent: IntentRecord,
    there: GroupSnapshotRecord | None,
    outcome: Outcome,
) -> None:
    """Record that a group snapshot does not exist any more."""

    def changes() -> list[Change]:
        gone: list[Change] = []
        if there is not None:
            gone = [Remove(SnapshotRecord, id) for id in there.snapshot_ids]
            gone.append(in_key_values.remove(there))
        # A store without transactions can have removed the group snapshot only.
        group = in_key_values.find(journal.store, GroupRecord, intent.data["group"])
        if group is not None:
            kept = tuple(id for id in group.snapshot_ids if id != intent.resource_id)
            gone.append(in_key_values.put(replace(group, snapshot_ids=kept)))
        return gone

    done = f"Group snapshot {intent.resource_id} was deleted"
    group_members.finish(journal, intent, done, changes, outcome)


def refuse(store: Store, snapshot: SnapshotRecord, task: str) -> None:
    """Refuse to delete one snapshot of a group snapshot.

    :param task: as a participle, for the message.
    :raises InvalidSnapshot: it belongs to one.
    """
    if snapshot.group_snapshot_id is None:
        return
    there = in_key_values.find(store, GroupSnapshotRecord, snapshot.group_snapshot_id)
    if there is not None:
        raise errors.InvalidSnapshot(
            f"Snapshot {snapshot.id} cannot be {task}: it belongs to group snapshot"
            f" {there.name or there.id}. Delete that: `cinderlib group snapshot delete {there.id}`",
            resource=snapshot.id,
        )
