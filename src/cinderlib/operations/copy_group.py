"""Creates groups with the data of group snapshots or of other groups."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.operations import (
    capabilities,
    create_volume,
    encryption,
    group_members,
    group_records,
    groups,
    volumes,
)
from cinderlib.operations.concurrent_changes import ATTEMPTS
from cinderlib.operations.existing import raise_not_found, refuse_differences
from cinderlib.operations.group_members import held, named
from cinderlib.operations.history import Outcome
from cinderlib.operations.journal import Journal
from cinderlib.operations.settling import recovers
from cinderlib.persistence import in_key_values
from cinderlib.persistence.base import Remove
from cinderlib.records import (
    GroupRecord,
    GroupSnapshotRecord,
    IntentRecord,
    Secret,
    SnapshotRecord,
    VolumeRecord,
    name_of_copy,
    now,
    replace,
)

_FROM_SNAPSHOT, _CLONE = "group.create_from_snapshot", "group.clone"
#: The namespace of the IDs of new volumes, which depend on the group and the source, so that a
#: repeated call creates the same volumes.
_NAMESPACE = uuid.UUID("c0d3d9f2-6a55-4f0e-9a52-5d3f6f0a7b64")

Sources = Sequence[SnapshotRecord | VolumeRecord]


def create(
    journal: Journal,
    group: GroupRecord,
    asked: Mapping[str, Any],
    *,
    one_after_another: bool = False,
) -> tuple[GroupRecord, bool]:
    """Create a group with a new volume for each volume of the source: the group snapshot
    ``group.group_snapshot_id`` or the group ``group.source_group_id``.

    :param group: the record to create; not stored yet.
    :param asked: the fields that the caller named; an existing group with the same ID must have the
        same values.
    :param one_after_another: clone the volumes of a group in sequence if the driver cannot clone
        them at the same moment.
    :returns: the stored record, and whether the group was created by this call.
    :raises AlreadyExists: another group has the ID.
    :raises GroupNotFound, GroupSnapshotNotFound: the source does not exist.
    :raises InvalidGroup, InvalidVolume, InvalidSnapshot: the source cannot be read.
    :raises Unsupported: the driver cannot do it. Nothing changed.
    """
    snapshot_id = group.group_snapshot_id
    operation = _CLONE if snapshot_id is None else _FROM_SNAPSHOT
    with _held(journal, group) as there:
        if there is not None:
            refuse_differences("Group", there, {**asked, "backend": group.backend})
            return there, False
        sources = _sources(journal, group)
        driver = journal.driver(group.backend)
        capabilities.require(driver, operation, group.backend, group.id)
        if operation == _CLONE and not one_after_another:
            _refuse_sequence(driver, group)
        described = (
            create_volume.with_source(journal, driver, volume, source)
            for volume, source in _new_volumes(journal, group, sources)
        )
        separated = [encryption.separated(journal.keys, each) for each in described]
        new = [volume for volume, _ in separated]
        creating = replace(
            group,
            host=new[0].host,
            status="creating",
            native=capabilities.is_native(driver, "group.create"),
            volume_ids=tuple(each.id for each in new),
            group_specs=_source_group(journal, _members(journal, group)[0]).group_specs,
            created_at=now(),
        )
        intent = group_records.begin(
            journal,
            operation,
            creating,
            creating.volume_ids,
            {
                "group_snapshot_id": snapshot_id,
                "source_group_id": group.source_group_id,
                "one_after_another": one_after_another or None,
            },
            {"created": list(creating.volume_ids)},
            created=new,
        )
        try:
            new = _with_keys(journal, new, [key for _, key in separated])
            created, made = _create(
                journal, driver, creating, new, sources, one_after_another=one_after_another
            )
        except BaseException as exc:
            group_members.clean_up(exc, lambda: _undo(journal, driver, intent, creating, "failed"))
            raise
        ready = replace(created, status="available")
        after = [replace(each, status="available", launched_at=now()) for each in made]
        done = f"Group {named(group)} was created with {len(new)} volume(s)"
        return group_records.finish(journal, intent, done, ready, new, after), True


@contextlib.contextmanager
def _held(journal: Journal, group: GroupRecord) -> Iterator[GroupRecord | None]:
    """Hold the locks of a new group, its new volumes, and its source.

    :returns: the group, if it exists.
    """
    for _ in range(ATTEMPTS):
        source_id, read_from = _members(journal, group)
        new = (_id_of(group, id) for id in read_from)
        with held(journal, group.id, {*read_from, *new}, source_id) as there:
            if _members(journal, group)[1] <= read_from:
                yield there
                return
    raise errors.Busy(f"Others keep changing the volumes of group {source_id}", resource=group.id)


def _members(journal: Journal, group: GroupRecord) -> tuple[str, set[str]]:
    """The ID of the group that is copied, or whose group snapshot is copied; and the IDs of the
    volumes of the group and of the group snapshot."""
    ids: set[str] = set()
    source_id = str(group.source_group_id)
    if group.group_snapshot_id is not None:
        found = _group_snapshot(journal, group)
        source_id = found.group_id
        ids.update(found.volume_ids)
    source = in_key_values.find(journal.store, GroupRecord, source_id)
    return source_id, ids.union(source.volume_ids if source else ())


def _group_snapshot(journal: Journal, group: GroupRecord) -> GroupSnapshotRecord:
    id = str(group.group_snapshot_id)
    found = in_key_values.find(journal.store, GroupSnapshotRecord, id)
    if found is None:
        raise_not_found(errors.GroupSnapshotNotFound, "group snapshot", id)
    return found


def _source_group(journal: Journal, id: str) -> GroupRecord:
    found = in_key_values.find(journal.store, GroupRecord, id)
    if found is None:
        raise_not_found(errors.GroupNotFound, "group", id)
    return found


def _sources(journal: Journal, group: GroupRecord) -> Sources:
    """The snapshots or volumes whose data the new volumes get.

    :raises InvalidGroup: none can be read.
    """
    source: GroupRecord | GroupSnapshotRecord
    found: Sources
    if group.group_snapshot_id is not None:
        source = _group_snapshot(journal, group)
        found = group_members.snapshots(journal.store, source.snapshot_ids)
        is_complete = len(found) == len(source.snapshot_ids) and source.status == "available"
    else:
        source = _source_group(journal, str(group.source_group_id))
        found = [volumes.get(journal, id) for id in source.volume_ids]
        is_complete = source.status in ("available", "error_updating")
    what = f"{source.kind.replace('_', ' ')} {source.name or source.id}"
    if not is_complete:
        raise errors.InvalidGroup(
            f"No group can be created from {what}: it is '{source.status}'", resource=source.id
        )
    if not found:
        raise errors.InvalidGroup(
            f"No group can be created from {what}: it has no volumes", resource=source.id
        )
    return found


def _refuse_sequence(driver: Driver, group: GroupRecord) -> None:
    """:raises Unsupported: the driver cannot clone the volumes of a group at the same moment."""
    if not capabilities.is_native(driver, _CLONE):
        reason = capabilities.reason(driver, _CLONE).partition(";")[0]
        raise _in_sequence(group, reason)


def _in_sequence(group: GroupRecord, reason: str) -> errors.Unsupported:
    return errors.Unsupported(
        f"Backend {group.backend!r} cannot clone the volumes of group {group.source_group_id} at"
        f" the same moment: {reason}. The storage did not change. Specify one_after_another"
        " (--one-after-another) if clones of different moments are sufficient",
        resource=group.id,
    )


def _id_of(group: GroupRecord, source_volume_id: str) -> str:
    """The ID of the new volume for a volume of the source."""
    return str(uuid.uuid5(_NAMESPACE, f"{group.id}/{source_volume_id}"))


def _new_volumes(
    journal: Journal, group: GroupRecord, sources: Sources
) -> list[tuple[VolumeRecord, SnapshotRecord | VolumeRecord | None]]:
    """The volumes to create, each with its source."""
    found = []
    for source in sources:
        if isinstance(source, SnapshotRecord):
            (of,) = group_members.volumes_of_snapshots(journal.store, [source])
            origin = {"snapshot_id": source.id, "size": source.volume_size}
        else:
            of, origin = source, {"source_volid": source.id}
        new = volumes.copy_of(
            of,
            _id_of(group, of.id),
            name=name_of_copy(group.name, of.name),
            status="creating",
            group_id=group.id,
            **origin,
        )
        found.append((new, create_volume.source_of(journal, new)))
    return found


def _with_keys(
    journal: Journal, new: Sequence[VolumeRecord], keys: Sequence[Secret | None]
) -> list[VolumeRecord]:
    """The new volumes, whose intent is stored, after their keys are kept outside the store."""
    stored = group_records.existing(journal, [each.id for each in new])
    pairs = zip(stored, keys, strict=True)
    return [encryption.keep_key(journal, volume, key) for volume, key in pairs]


def _create(
    journal: Journal,
    driver: Driver,
    group: GroupRecord,
    new: Sequence[VolumeRecord],
    sources: Sources,
    *,
    one_after_another: bool,
) -> tuple[GroupRecord, Sequence[VolumeRecord]]:
    """Create the group and its volumes on the storage.

    :returns: the group and the volumes with the driver's changes.
    """
    if capabilities.is_native(driver, _CLONE):
        try:
            return _create_natively(journal, driver, group, new, sources)
        except errors.Unsupported as exc:  # for groups with these properties; nothing changed
            if group.group_snapshot_id is None and not one_after_another:
                raise _in_sequence(group, str(exc)) from exc
    pairs = zip(new, sources, strict=True)
    made = [create_volume.create_on_storage(driver, each, source) for each, source in pairs]
    return groups.create_on_storage(driver, group, made)


def _create_natively(
    journal: Journal,
    driver: Driver,
    group: GroupRecord,
    new: Sequence[VolumeRecord],
    sources: Sources,
) -> tuple[GroupRecord, Sequence[VolumeRecord]]:
    snapshots = [each for each in sources if isinstance(each, SnapshotRecord)]
    if group.group_snapshot_id is None:
        source = _source_group(journal, str(group.source_group_id))
        read = [each for each in sources if isinstance(each, VolumeRecord)]
        return driver.create_cloned_group(group, new, source, read)
    group_snapshot = _group_snapshot(journal, group)
    source = _source_group(journal, group_snapshot.group_id)
    of = group_members.volumes_of_snapshots(journal.store, snapshots)
    return driver.create_group_from_snapshot(group, new, group_snapshot, source, snapshots, of)


def _undo(
    journal: Journal,
    driver: Driver,
    intent: IntentRecord,
    group: GroupRecord | None,
    outcome: Outcome = "undone",
) -> None:
    """Delete the group and its volumes on the storage and in the store.

    :param group: ``None`` if a store without transactions has removed it already.
    """
    created = group_records.existing(journal, intent.data["created"])
    if group is not None and group.native:
        with contextlib.suppress(errors.Unsupported):  # it did not create the group
            driver.delete_group(group, created)
    for each in created:  # the storage may have created them without the group
        driver.delete_volume(each)
        encryption.delete_key(journal, each)
    gone = [Remove(VolumeRecord, each.id) for each in created]
    gone += [] if group is None else [in_key_values.remove(group)]
    group_members.finish(journal, intent, "No group was created", lambda: list(gone), outcome)


@recovers(_FROM_SNAPSHOT)
@recovers(_CLONE)
def recover_create(journal: Journal, intent: IntentRecord) -> str:
    """No caller received the group: delete it with its volumes."""
    group = in_key_values.find(journal.store, GroupRecord, intent.resource_id)
    _undo(journal, journal.driver(intent.backend), intent, group)
    return "undone"
