"""Groups of volumes: create, change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.operations import (
    capabilities,
    group_members,
    group_records,
    replication,
    volumes,
)
from cinderlib.operations.existing import raise_not_found, refuse_differences
from cinderlib.operations.group_members import held, named
from cinderlib.operations.history import Outcome
from cinderlib.operations.journal import Journal
from cinderlib.operations.refusals import (
    refuse_half_managed,
    refuse_migrating,
    refuse_temporary,
    status_after,
)
from cinderlib.operations.settling import recovers
from cinderlib.persistence import in_key_values
from cinderlib.persistence.base import Change
from cinderlib.records import GroupRecord, IntentRecord, VolumeRecord, now, replace

#: The states of volumes that can be added to a group or removed from it.
_STATES = frozenset({"available", "in-use"})


def create(
    journal: Journal, group: GroupRecord, asked: Mapping[str, Any]
) -> tuple[GroupRecord, bool]:
    """Create a group with the volumes ``group.volume_ids``; their data does not change.

    :param group: the record to create; not stored yet.
    :param asked: the fields that the caller named; an existing group with the same ID must have the
        same values.
    :returns: the stored record, and whether the group was created by this call.
    :raises AlreadyExists: another group has the ID.
    :raises VolumeNotFound, InvalidVolume: a volume cannot be in the group.
    """
    with held(journal, group.id, group.volume_ids) as there:
        driver = journal.driver(group.backend)
        if there is not None:
            refuse_differences("Group", there, {**asked, "backend": group.backend})
            return there, False
        members = _members(journal, group, group.volume_ids)
        if replication.is_of_group(group):
            capabilities.require_group_replication(driver, group.backend, group.id)
        native = capabilities.is_native(driver, "group.create")
        arguments = {"volumes": list(group.volume_ids)}
        creating = replace(group, status="creating", native=native, created_at=now())
        intent = group_records.begin(journal, "group.create", creating, group.volume_ids, arguments)
        try:
            created, changed = create_on_storage(driver, creating, members)
        except BaseException as exc:
            group_members.clean_up(
                exc, lambda: _undo_create(journal, driver, intent, creating, "failed")
            )
            raise
        ready = replace(created, status="available")
        done = f"Group {named(group)} was created"
        added = [replace(each, group_id=group.id) for each in changed]
        return group_records.finish(journal, intent, done, ready, members, added), True


def create_on_storage(
    driver: Driver, group: GroupRecord, members: Sequence[VolumeRecord]
) -> tuple[GroupRecord, Sequence[VolumeRecord]]:
    """Create the group on the storage, if the driver has groups.

    :returns: the group and the volumes with the driver's changes.
    """
    if not group.native:
        return group, members
    try:
        created = driver.create_group(group)
    except errors.Unsupported:  # for groups with these properties; nothing changed
        if replication.is_of_group(group):
            raise
        return replace(group, native=False), members
    return created, driver.update_group(created, members, []) if members else members


def _undo_create(
    journal: Journal,
    driver: Driver,
    intent: IntentRecord,
    group: GroupRecord,
    outcome: Outcome = "undone",
) -> None:
    if group.native:
        members = group_records.existing(journal, group.volume_ids)
        if members:
            driver.update_group(group, [], members)
        driver.delete_group(group, [])
    group_members.finish(
        journal,
        intent,
        "No group was created",
        lambda: [*_released(journal, group), in_key_values.remove(group)],
        outcome,
    )


def _released(journal: Journal, group: GroupRecord) -> list[Change]:
    """The changes that take volumes out of a group. A store without transactions can have recorded
    the group of some of them."""
    members = [
        each
        for each in group_records.existing(journal, group.volume_ids)
        if each.group_id == group.id
    ]
    after = [replace(each, group_id=None) for each in members]
    return group_members.changed(journal.store, members, after)


@recovers("group.create")
def recover_create(journal: Journal, intent: IntentRecord) -> str:
    """No caller received the group: remove it. Its volumes stay."""
    group = in_key_values.find(journal.store, GroupRecord, intent.resource_id)
    if group is None:
        journal.finish(intent, "No change was made", outcome="undone")
    else:
        _undo_create(journal, journal.driver(intent.backend), intent, group)
    return "undone"


def change(
    journal: Journal, group_id: str, add: Sequence[str] = (), remove: Sequence[str] = ()
) -> tuple[GroupRecord, bool]:
    """Add volumes to a group, and remove others from it; their data does not change.

    :param add: IDs of volumes. Those that the group has do not change.
    :param remove: IDs of volumes. Those that it does not have do not change.
    :returns: the stored record, and whether it changed.
    :raises GroupNotFound, VolumeNotFound: one does not exist.
    :raises InvalidVolume: a volume cannot be in the group.
    :raises InvalidGroup: an operation on the group failed before.
    """
    with held(journal, group_id, [*add, *remove]) as there:
        if there is None:
            raise_not_found(errors.GroupNotFound, "group", group_id)
        driver = journal.driver(there.backend)
        new = [id for id in dict.fromkeys(add) if id not in there.volume_ids]
        old = [id for id in dict.fromkeys(remove) if id in there.volume_ids]
        if there.status == "error_deleting":
            raise errors.InvalidGroup(
                f"Group {named(there)} cannot be changed: its deletion failed. Delete it again",
                resource=group_id,
            )
        if not new and not old:
            return there, False
        group_members.refuse_failed_over(there, "changed")
        _members(journal, there, new)
        for volume in group_records.existing(journal, old):
            _check_state(volume, f"removed from group {named(there)}")
        intent = group_records.begin(
            journal,
            "group.change",
            replace(there, status="updating"),
            [*new, *old],
            {"add": new, "remove": old},
            {"add": new, "remove": old},
        )
        try:
            return _change(journal, driver, intent, there, new, old), True
        except BaseException as exc:
            if not isinstance(exc, errors.StoreError):  # then recovery completes the change
                status = status_after(exc, there.status, "error_updating")
                group_records.fail(journal, intent, there, status)
            raise


def _change(
    journal: Journal,
    driver: Driver,
    intent: IntentRecord,
    group: GroupRecord,
    add: Sequence[str],
    remove: Sequence[str],
) -> GroupRecord:
    """Change the volumes of a group on the storage and in the store."""
    new, old = group_records.existing(journal, add), group_records.existing(journal, remove)
    changed = driver.update_group(group, new, old) if group.native else [*new, *old]
    after = [
        *(replace(each, group_id=group.id) for each in changed[: len(new)]),
        *(replace(each, group_id=None) for each in changed[len(new) :]),
    ]
    kept = [id for id in group.volume_ids if id not in remove and id not in add]
    ids = (*kept, *(each.id for each in new))
    done = f"Group {named(group)} was changed"
    ready = replace(group, status="available", volume_ids=ids)
    return group_records.finish(journal, intent, done, ready, [*new, *old], after)


@recovers("group.change")
def recover_change(journal: Journal, intent: IntentRecord) -> str:
    """Complete the change: the storage may have it already."""
    group = in_key_values.find(journal.store, GroupRecord, intent.resource_id)
    if group is None:
        journal.finish(intent, "The group does not exist any more", outcome="undone")
        return "undone"
    add, remove = intent.data["add"], intent.data["remove"]
    _change(journal, journal.driver(intent.backend), intent, group, add, remove)
    return "finished"


def _members(journal: Journal, group: GroupRecord, ids: Sequence[str]) -> list[VolumeRecord]:
    """The volumes with these IDs, which can be added to a group; their locks are held.

    :raises VolumeNotFound, InvalidVolume: one cannot.
    """
    found = []
    for id in ids:
        volume = volumes.get(journal, id)
        task = f"added to group {named(group)}"
        if volume.backend != group.backend:
            raise errors.InvalidVolume(
                f"Volume {id} cannot be {task}: it is on backend {volume.backend!r}, and the group"
                f" is on backend {group.backend!r}",
                resource=id,
            )
        other = group_members.of_volume(journal.store, volume)
        if other is not None and other.id != group.id:
            raise errors.InvalidVolume(
                f"Volume {id} cannot be {task}: it is in group {named(other)}. Remove it from that"
                " group first",
                resource=id,
            )
        refuse_temporary(volume, task)
        refuse_migrating(volume, task)
        refuse_half_managed(volume, task)
        _check_state(volume, task)
        found.append(volume)
    return found


def _check_state(volume: VolumeRecord, task: str) -> None:
    if volume.status not in _STATES:
        raise errors.InvalidVolume(
            f"Volume {volume.id} cannot be {task}: it is '{volume.status}'", resource=volume.id
        )
