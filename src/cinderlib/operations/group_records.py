"""Writes groups together with their volumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cinderlib.operations import group_members
from cinderlib.operations.intents import new_intent
from cinderlib.operations.journal import Journal
from cinderlib.persistence import in_key_values
from cinderlib.persistence.base import Change, Put, Remove
from cinderlib.records import GroupRecord, IntentRecord, VolumeRecord, replace

#: Volumes before and after an operation.
Changes = tuple[Sequence[VolumeRecord], Sequence[VolumeRecord]]


def existing(journal: Journal, ids: Iterable[str]) -> list[VolumeRecord]:
    """The volumes with these IDs that exist."""
    return [v for id in ids if (v := journal.store.get(VolumeRecord, id)) is not None]


def begin(
    journal: Journal,
    operation: str,
    group: GroupRecord,
    volume_ids: Iterable[str],
    arguments: Mapping[str, Any],
    data: Mapping[str, Any] | None = None,
    changes: Changes = ((), ()),
    created: Iterable[VolumeRecord] = (),
) -> IntentRecord:
    """Record the start of an operation.

    :param volume_ids: of the volumes whose locks are held.
    :param changes: volumes before and after this.
    :param created: new volumes.
    """
    held_locks = group_members.data(volume_ids)
    lock = group_members.lock_name(group.id)
    intent = new_intent(
        operation, group, lock, data={**held_locks, **(data or {})}, arguments=arguments
    )

    def write() -> None:
        others = group_members.changed(journal.store, *changes)
        new = map(Put, created)
        journal.begin_with(intent, in_key_values.put(group).record, *others, *new)

    group_members.retried(write)
    return intent


def finish(
    journal: Journal,
    intent: IntentRecord,
    done: str,
    group: GroupRecord,
    before: Sequence[VolumeRecord],
    after: Sequence[VolumeRecord],
) -> GroupRecord:
    """Record the result of an operation.

    :returns: the stored group.
    """

    def changes() -> list[Change]:
        current = in_key_values.find(journal.store, GroupRecord, group.id)
        version = 0 if current is None else current.version
        stored = group_members.changed(journal.store, before, after)
        return [in_key_values.put(replace(group, version=version)), *stored]

    group_members.finish(journal, intent, done, changes)
    found = in_key_values.find(journal.store, GroupRecord, group.id)
    return group if found is None else found


def fail(
    journal: Journal,
    intent: IntentRecord,
    group: GroupRecord,
    status: str,
    volumes: Changes = ((), ()),
    deleted: Sequence[str] = (),
    replication_status: str | None = None,
) -> None:
    """Record a failure.

    :param volumes: before and after this.
    :param deleted: the IDs of volumes that do not exist any more.
    :param replication_status: of the group; by default it does not change.
    """

    def changes() -> list[Change]:
        current = in_key_values.find(journal.store, GroupRecord, group.id) or group
        kept = tuple(id for id in current.volume_ids if id not in deleted)
        stored = [
            each
            for each in group_members.changed(journal.store, *volumes)
            if isinstance(each, Put) and each.record.id not in deleted
        ]
        removed = [Remove(VolumeRecord, id) for id in deleted]
        return [
            in_key_values.put(
                replace(
                    current,
                    status=status,
                    volume_ids=kept,
                    replication_status=replication_status or current.replication_status,
                )
            ),
            *stored,
            *removed,
        ]

    group_members.fail(journal, intent, changes)
