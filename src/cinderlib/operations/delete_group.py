"""Deletes groups, with or without their volumes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.operations import delete_volume, encryption, group_members, group_records
from cinderlib.operations.group_members import held, named
from cinderlib.operations.journal import Journal
from cinderlib.operations.refusals import status_after
from cinderlib.operations.settling import recovers
from cinderlib.operations.unmapping import remove_leftover_export
from cinderlib.persistence import in_key_values
from cinderlib.persistence.base import Change, Remove
from cinderlib.records import GroupRecord, IntentRecord, VolumeRecord, replace


def delete(journal: Journal, group_id: str, *, with_volumes: bool = False) -> bool:
    """Delete a group.

    :param with_volumes: also delete its volumes with their data. Otherwise they do not change.
    :returns: whether there was one.
    :raises InvalidGroup: it has group snapshots.
    :raises InvalidVolume: a volume cannot be deleted; nothing changed.
    """
    with held(journal, group_id) as there:
        if there is None:
            return False
        driver = journal.driver(there.backend)
        if there.snapshot_ids:
            raise errors.InvalidGroup(
                f"Group {named(there)} cannot be deleted: it has {len(there.snapshot_ids)} group"
                " snapshot(s); delete them first",
                resource=group_id,
            )
        group_members.refuse_failed_over(there, "deleted")
        gone: list[Change] = []
        deleted: list[str] = []
        members = group_records.existing(journal, there.volume_ids)
        if with_volumes:
            prepared = [delete_volume.prepare(journal, each) for each in there.volume_ids]
            members = [volume for volume, _ in prepared if volume is not None]
            gone = [change for _, changes in prepared for change in changes]
        deleting = [replace(v, status="deleting") for v in members] if with_volumes else members
        intent = group_records.begin(
            journal,
            "group.delete",
            replace(there, status="deleting"),
            there.volume_ids,
            {"volumes": list(there.volume_ids) if with_volumes else None},
            {"with_volumes": with_volumes},
            (members, deleting),
        )
        try:
            _delete(journal, driver, intent, there, deleted, with_volumes=with_volumes, gone=gone)
        except errors.StoreError:
            raise  # recovery completes the deletion
        except BaseException as exc:
            status = status_after(exc, there.status, "error_deleting")
            failed = [
                replace(each, status=status_after(exc, before.status, "error_deleting"))
                for before, each in zip(members, deleting, strict=True)
            ]
            changes = (deleting, failed) if with_volumes else ((), ())
            group_records.fail(journal, intent, there, status, changes, deleted)
            raise
        return True


def _delete(
    journal: Journal,
    driver: Driver,
    intent: IntentRecord,
    group: GroupRecord,
    deleted: list[str],
    *,
    with_volumes: bool,
    gone: Iterable[Change] = (),
) -> None:
    """Delete a group on the storage and in the store.

    :param deleted: receives the IDs of volumes that were deleted in sequence.
    :param gone: changes to store in the same transaction.
    """
    members = group_records.existing(journal, group.volume_ids)
    if with_volumes:
        ready = [remove_leftover_export(driver, each) for each in members]
        if group.native:
            driver.delete_group(group, ready)
            for each in members:
                encryption.delete_key(journal, each)
        else:
            for each in ready:
                driver.delete_volume(each)
                encryption.delete_key(journal, each)
                deleted.append(each.id)
        removed = [Remove(VolumeRecord, each.id) for each in members]
        done = f"Group {named(group)} was deleted with its volumes"
        journal.finish(intent, done, *removed, in_key_values.remove(group), *gone)
        return
    released: Sequence[VolumeRecord] = members
    if group.native:
        released = driver.update_group(group, [], members) if members else members
        driver.delete_group(group, [])
    after = [replace(each, group_id=None) for each in released]
    group_members.finish(
        journal,
        intent,
        f"Group {named(group)} was deleted",
        lambda: [
            *group_members.changed(journal.store, members, after),
            in_key_values.remove(group),
        ],
    )


@recovers("group.delete")
def recover_delete(journal: Journal, intent: IntentRecord) -> str:
    """It may be deleted already: complete the delete."""
    group = in_key_values.find(journal.store, GroupRecord, intent.resource_id)
    if group is None:
        journal.finish(intent, "The group was deleted")
        return "finished"
    driver = journal.driver(intent.backend)
    _delete(journal, driver, intent, group, [], with_volumes=bool(intent.data["with_volumes"]))
    return "finished"
