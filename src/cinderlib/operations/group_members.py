"""The locks of groups, and the volumes of groups.

A group changes under its own lock and those of all its volumes. A volume does not change its group
without the group's lock, so the lock of the volume is sufficient to read that it has a group.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from cinderlib import errors
from cinderlib.operations import volumes
from cinderlib.operations.concurrent_changes import ATTEMPTS, differences
from cinderlib.operations.history import Outcome
from cinderlib.operations.journal import Journal, was_interrupted
from cinderlib.persistence import in_key_values
from cinderlib.persistence.base import Change, Put, Store
from cinderlib.records import (
    GroupRecord,
    IntentRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
    replace,
)

R = TypeVar("R")

LOG = logging.getLogger(__name__)

#: In the data of an intent: the locks that are held in addition to its own.
_LOCKS = "locks"


def lock_name(group_id: str) -> str:
    """The lock under which a group and its group snapshots change."""
    return f"group:{group_id}"


def further_locks(intent: IntentRecord) -> list[str]:
    """The locks that recovery of an intent needs in addition to its own."""
    found = intent.data.get(_LOCKS, ())
    return [each for each in found if isinstance(each, str)]


def data(volume_ids: Iterable[str]) -> dict[str, list[str]]:
    """The data of an intent: the locks of these volumes."""
    return {_LOCKS: sorted({volumes.lock_name(id) for id in volume_ids})}


@contextlib.contextmanager
def held(
    journal: Journal, group_id: str, others: Iterable[str] = (), source_id: str | None = None
) -> Iterator[GroupRecord | None]:
    """Hold the locks of a group and its volumes, and settle its interrupted operations.

    :param others: IDs of further volumes.
    :param source_id: the ID of a second group, for which the same is done.
    :returns: the first group, or ``None``.
    :raises Busy: the volumes of the group keep changing, or an operation may still run.
    """
    ids = [group_id] if source_id is None else [group_id, source_id]
    extra = {volumes.lock_name(id) for id in others}
    for _ in range(ATTEMPTS):
        wanted = extra.union(*(_locks(journal.store, id) for id in ids))
        with journal.locks.hold(*map(lock_name, ids), *wanted):
            if not extra.union(*(_locks(journal.store, id) for id in ids)) <= wanted:
                continue
            for each in ids:
                for id in _resources(in_key_values.find(journal.store, GroupRecord, each), each):
                    journal.settle(id, lock_name(each))
            yield in_key_values.find(journal.store, GroupRecord, group_id)
            return
    raise errors.Busy(f"Others keep changing the volumes of group {group_id}", resource=group_id)


def _locks(store: Store, group_id: str) -> set[str]:
    """The locks of the volumes of a group, and of the interrupted operations on it."""
    group = in_key_values.find(store, GroupRecord, group_id)
    found = {volumes.lock_name(id) for id in (group.volume_ids if group else ())}
    for id in _resources(group, group_id):
        for intent in store.find(IntentRecord, {"resource_id": id}):
            found.update(further_locks(intent))
    return found


def _resources(group: GroupRecord | None, group_id: str) -> list[str]:
    """The IDs of a group and its group snapshots."""
    return [group_id, *(group.snapshot_ids if group else ())]


def snapshots(store: Store, ids: Iterable[str]) -> list[SnapshotRecord]:
    """The snapshots with these IDs that exist."""
    return [each for id in ids if (each := store.get(SnapshotRecord, id)) is not None]


def volumes_of_snapshots(store: Store, found: Iterable[SnapshotRecord]) -> list[VolumeRecord]:
    """The volumes of snapshots, to pass to a driver."""
    return [
        store.get(VolumeRecord, each.volume_id)
        or volumes.stand_in(each.volume_id, each.backend, each.volume_size)
        for each in found
    ]


def of_volume(store: Store, volume: VolumeRecord) -> GroupRecord | None:
    """The group of a volume. Drivers and cinderlib 5 can have set the ID of another group, which
    the store does not have."""
    return (
        None if volume.group_id is None else in_key_values.find(store, GroupRecord, volume.group_id)
    )


def refuse(store: Store, volume: VolumeRecord, task: str) -> None:
    """Refuse to delete or move a volume of a group.

    :param task: as a participle, for the message.
    :raises InvalidVolume: it has one.
    """
    group = of_volume(store, volume)
    if group is not None:
        raise errors.InvalidVolume(
            f"Volume {volume.id} cannot be {task}: it is in group {named(group)}. Remove it from"
            f" the group first: `cinderlib group remove {group.id} {volume.id}`",
            resource=volume.id,
        )


def refuse_failed_over(group: GroupRecord, task: str) -> None:
    """Refuse to change or delete a group whose volumes are used on another storage system.

    :param task: as a participle, for the message.
    :raises InvalidGroup: they are.
    """
    if group.active_backend_id is not None:
        raise errors.InvalidGroup(
            f"Group {named(group)} cannot be {task}: it has failed over to"
            f" {group.active_backend_id!r}. Fail back first: `cinderlib group failback {group.id}`",
            resource=group.id,
        )


def named(group: GroupRecord) -> str:
    """The name and ID of a group, for messages."""
    return f"{group.name} ({group.id})" if group.name else group.id


def changed(store: Store, before: Sequence[Record], after: Sequence[Record]) -> list[Change]:
    """The changes to volumes or snapshots, on top of those that others have written meanwhile."""
    changes: list[Change] = []
    for old, new in zip(before, after, strict=True):
        differ = differences(old, new)
        current = store.get(type(old), old.id)
        if differ and current is not None:
            changes.append(Put(replace(current, **differ)))
    return changes


def finish(
    journal: Journal,
    intent: IntentRecord,
    done: str,
    changes: Callable[[], list[Change]],
    outcome: Outcome = "done",
) -> tuple[Record, ...]:
    """Record the result of an operation, as :meth:`Journal.finish`.

    :param changes: returns the changes, which it makes to the stored records. It is called again
        if others write them meanwhile.
    """
    return retried(lambda: journal.finish(intent, done, *changes(), outcome=outcome))


def fail(journal: Journal, intent: IntentRecord, changes: Callable[[], list[Change]]) -> None:
    """Record a failure while its exception is handled, as :meth:`Journal.fail`."""
    if was_interrupted():
        LOG.info("%s of %s was interrupted", intent.operation, intent.resource_id)
        return
    try:
        finish(journal, intent, "It failed", changes, "failed")
    except errors.StoreError as exc:
        LOG.warning("%s of %s failed: %s", intent.operation, intent.resource_id, exc)


def clean_up(cause: BaseException, undo: Callable[[], object]) -> None:
    """Remove what a failed call left on the storage, or leave that to recovery.

    :param cause: why the call failed; its notes get the reason if this fails too.
    :param undo: removes it.
    """
    if was_interrupted(cause):
        return
    try:
        undo()
    except errors.CinderlibError as exc:
        cause.add_note(f"Cleaning up failed too: {exc}. recover() tries it again")


def retried(write: Callable[[], R]) -> R:
    """Call a function that reads records and writes them, again if others write them meanwhile.

    :raises StaleRecord: others keep changing them.
    """
    for attempt in range(ATTEMPTS):
        try:
            return write()
        except errors.StaleRecord:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")
