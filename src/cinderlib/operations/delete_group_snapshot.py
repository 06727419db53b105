"""Deletes group snapshots."""

from __future__ import annotations

from collections.abc import Sequence

from cinderlib.operations import group_members, group_snapshots, temporary
from cinderlib.operations.group_members import held, lock_name
from cinderlib.operations.intents import new_intent
from cinderlib.operations.journal import Journal
from cinderlib.operations.refusals import note_dependents, status_after
from cinderlib.operations.settling import recovers
from cinderlib.persistence import in_key_values
from cinderlib.persistence.base import Change, Remove
from cinderlib.records import GroupSnapshotRecord, IntentRecord, SnapshotRecord, replace


def delete(journal: Journal, id: str) -> bool:
    """Delete a group snapshot with its snapshots.

    :returns: whether there was one.
    :raises InvalidSnapshot: the storage refuses because a snapshot is in use.
    """
    found = in_key_values.find(journal.store, GroupSnapshotRecord, id)
    if found is None:
        return False
    for snapshot in group_members.snapshots(journal.store, found.snapshot_ids):
        temporary.release_unused(journal, temporary.of_snapshot(journal.store, snapshot))
    with held(journal, found.group_id, found.volume_ids):
        there = in_key_values.find(journal.store, GroupSnapshotRecord, id)
        if there is None:
            return False
        driver = journal.driver(there.backend)
        snapshots = group_members.snapshots(journal.store, there.snapshot_ids)
        for snapshot in snapshots:
            temporary.refuse_attached(snapshot, temporary.of_snapshot(journal.store, snapshot))
        deleting = [replace(each, status="deleting") for each in snapshots]
        intent = new_intent(
            "group_snapshot.delete",
            there,
            lock_name(there.group_id),
            data={**group_members.data(there.volume_ids), "group": there.group_id},
            arguments={"group_id": there.group_id},
        )
        marked = in_key_values.put(replace(there, status="deleting")).record

        def write() -> None:
            others = group_members.changed(journal.store, snapshots, deleting)
            journal.begin_with(intent, marked, *others)

        group_members.retried(write)
        deleted: list[str] = []
        try:
            group_snapshots.delete_on_storage(journal, driver, there, deleted)
        except BaseException as exc:
            _fail(journal, intent, there, snapshots, deleted, exc)
            for snapshot in snapshots:
                note_dependents(journal, exc, snapshot)
            raise
        group_snapshots.removed(journal, intent, there, "done")
        return True


def _fail(
    journal: Journal,
    intent: IntentRecord,
    there: GroupSnapshotRecord,
    snapshots: Sequence[SnapshotRecord],
    deleted: Sequence[str],
    cause: BaseException,
) -> None:
    """Record that a group snapshot could not be deleted."""
    status = status_after(cause, there.status, "error_deleting")
    left = [each for each in snapshots if each.id not in deleted]

    def changes() -> list[Change]:
        current = in_key_values.find(journal.store, GroupSnapshotRecord, there.id) or there
        kept = tuple(each.id for each in left)
        before = [replace(each, status="deleting") for each in left]
        after = [
            replace(each, status=status_after(cause, each.status, "error_deleting"))
            for each in left
        ]
        return [
            in_key_values.put(replace(current, status=status, snapshot_ids=kept)),
            *group_members.changed(journal.store, before, after),
            *(Remove(SnapshotRecord, id) for id in deleted),
        ]

    group_members.fail(journal, intent, changes)


@recovers("group_snapshot.delete")
def recover_delete(journal: Journal, intent: IntentRecord) -> str:
    """Its data may be deleted already: complete the delete."""
    group_snapshots.remove(journal, journal.driver(intent.backend), intent, "finished")
    return "finished"
