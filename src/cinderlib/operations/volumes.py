"""Volumes: create (empty, from a snapshot, as a clone) and delete."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.locking.process_identity import this_host
from cinderlib.operations import capabilities
from cinderlib.operations.existing import raise_not_found, refuse_differences
from cinderlib.operations.journal import (
    Journal,
    intents_of,
    recovers,
    was_interrupted,
)
from cinderlib.operations.refusals import (
    is_refusal,
    is_the_drivers,
    note_dependents,
    refuse_half_managed,
    status_after,
)
from cinderlib.persistence.base import Query, Remove, Store
from cinderlib.persistence.host_key import host_of
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    SnapshotRecord,
    VolumeRecord,
    now,
    replace,
)
from cinderlib.value_checks import shown

LOG = logging.getLogger(__name__)

#: States that an operation leaves when it is interrupted.
TRANSITIONAL = frozenset(
    {"creating", "deleting", "extending", "managing", "reverting", "unmanaging"}
)
#: States in which a volume's data can be read.
READABLE = frozenset({"available", "in-use", "error_extending"})


def lock_name(volume_id: str) -> str:
    """The lock under which a volume, its snapshots and its connections change."""
    return f"volume:{volume_id}"


def get(journal: Journal, volume_id: str) -> VolumeRecord:
    """The current volume, after interrupted operations are settled; its lock is held.

    :raises VolumeNotFound: there is none.
    """
    return look(journal, volume_id)[0]


def look(journal: Journal, volume_id: str, *queries: Query) -> tuple[VolumeRecord, list[list[Any]]]:
    """The same, with the results of further queries.

    :param queries: executed together with that for the volume.
    :returns: the volume, and a result for each query.
    :raises VolumeNotFound: there is none.
    """
    volume, answers = find(journal, volume_id, *queries)
    if volume is None:
        raise_not_found(errors.VolumeNotFound, "volume", volume_id)
    return volume, answers


def find(
    journal: Journal, volume_id: str, *queries: Query
) -> tuple[VolumeRecord | None, list[list[Any]]]:
    """The same, with ``None`` if the volume does not exist."""
    queries = (Query(VolumeRecord, "id", volume_id), *queries)
    (volume,), *answers = _ask(journal, queries)
    if (
        volume is not None
        and volume.status in TRANSITIONAL
        and journal.settle(volume_id, lock_name(volume_id))
    ):
        (volume,), *answers = _ask(journal, queries)
    return volume, answers


def _ask(journal: Journal, queries: Sequence[Query]) -> list[list[Any]]:
    volumes, *answers = journal.store.query(*queries)
    return [volumes or [None], *answers]


def stand_in(volume_id: str, backend: str, size: int) -> VolumeRecord:
    """A record to pass to a driver for a volume that the store does not know.

    :param size: in GiB.
    """
    host = f"{this_host()}@{backend}#{backend}"
    return VolumeRecord(id=volume_id, backend=backend, size=size, host=host, status="deleting")


def create(
    journal: Journal,
    volume: VolumeRecord,
    asked: Mapping[str, Any],
    *,
    unique_name: bool = False,
) -> tuple[VolumeRecord, bool]:
    """Create a volume: with the data of ``volume.snapshot_id`` or ``volume.source_volid``, if set.

    :param volume: the record to create; not stored yet.
    :param asked: the fields that the caller named; an existing volume with the same ID must
        have the same values.
    :param unique_name: refuse a name that another volume of the backend has.
    :returns: the stored record, and whether the volume was created by this call.
    :raises AlreadyExists: another volume has the ID, or the name that must be unique.
    :raises InvalidVolume: it was created earlier, and a later operation on it failed.
    :raises InvalidVolume, InvalidSnapshot, VolumeNotFound, SnapshotNotFound: the source cannot be
        read.
    """
    driver = journal.driver(volume.backend)
    source_id = volume.source_volid
    if volume.snapshot_id is not None:
        snapshot = journal.store.get(SnapshotRecord, volume.snapshot_id)
        if snapshot is None:
            raise_not_found(errors.SnapshotNotFound, "snapshot", volume.snapshot_id)
        source_id = snapshot.volume_id
    locks = {lock_name(volume.id)} | ({lock_name(source_id)} if source_id is not None else set())
    if unique_name and volume.name:
        locks.add(_name_lock(volume.backend, volume.name))
    with journal.locks.hold(*locks):
        there, _ = find(journal, volume.id)
        if there is not None:
            refuse_differences("Volume", there, {**asked, "backend": volume.backend})
            refuse_half_managed(there, "created")
            if there.status != "error":
                return there, False
            volume = _prepare_retry(driver, volume, there)
        if unique_name and volume.name:
            refuse_name(journal.store, volume, {"backend": volume.backend})
        source = _source(journal, volume)
        if source is not None:
            is_snapshot = isinstance(source, SnapshotRecord)
            way = "volume.create_from_snapshot" if is_snapshot else "volume.clone"
            capabilities.require(driver, way, volume.backend, volume.id)
        refuse_impossible_size(driver, volume, volume.size)
        if source is not None:
            volume = replace(volume, glance_metadata=source.glance_metadata)
        intent, creating = journal.begin(
            "volume.create", lock_name(volume.id), replace(volume, status="creating")
        )
        try:
            made = _make(driver, creating, source)
            ready = replace(made, status="available", launched_at=now())
        except BaseException as exc:
            _clean_up(journal, driver, intent, creating, exc, kept=there is not None)
            raise
        done = f"Volume {volume.id} was created on {volume.backend}"
        return journal.finish_with(intent, done, creating, ready), True


def rename(journal: Journal, volume_id: str, name: str) -> tuple[VolumeRecord, bool]:
    """Give a volume a name that no other volume of the backend has. The storage does not change.

    :returns: the record, and whether it had another name.
    :raises AlreadyExists: another volume of the backend has the name.
    """
    found = journal.store.get(VolumeRecord, volume_id)
    backend = "" if found is None else found.backend
    with journal.locks.hold(lock_name(volume_id), _name_lock(backend, name)):
        volume = get(journal, volume_id)
        renamed = replace(volume, name=name)
        if name:
            refuse_name(journal.store, renamed, {"backend": volume.backend})
        if volume.name == name:
            return volume, False
        return journal.keep(volume, renamed), True


def _name_lock(backend: str, name: str) -> str:
    return f"name:{backend}/{name}"


def refuse_name(
    store: Store, record: VolumeRecord | SnapshotRecord, where: Mapping[str, str]
) -> None:
    """Refuse the name of a new or renamed record if another one has it.

    :param where: among which records the name must be unique.
    :raises AlreadyExists: another record has the name.
    """
    for other in store.find(type(record), {**where, "name": record.name}):
        if other.id != record.id:
            raise errors.AlreadyExists(
                f"A {record.kind} with the name {shown(record.name)} already exists; choose"
                " another name, or delete that one",
                resource=other.id,
                differences={},
            )


def _clean_up(
    journal: Journal,
    driver: Driver,
    intent: IntentRecord,
    creating: VolumeRecord,
    cause: BaseException,
    *,
    kept: bool,
) -> None:
    """Record that a volume could not be created.

    Its record stays with the status 'error', so that it can be created again or deleted. The record
    is removed if the driver created no volume, or if a retry cannot succeed.

    :param kept: whether the record of an earlier attempt has the ID.
    """
    if was_interrupted(cause):
        return
    leaves_nothing = is_refusal(cause)
    if isinstance(cause, errors.DriverError) and not cause.retryable:
        try:
            driver.delete_volume(creating)
            leaves_nothing = True
        except errors.CinderlibError as exc:
            cause.add_note(f"Cleaning up failed too: {exc}")
    if leaves_nothing and not kept:
        journal.discard(intent, Remove(VolumeRecord, creating.id))
        return
    cause.add_note(
        f"Volume {creating.id} stays as 'error': create it again with this ID, or remove it with"
        f" `cinderlib volume delete {creating.id}`"
    )
    journal.fail(intent, creating, replace(creating, status="error"))


def refuse_impossible_size(driver: Driver, volume: VolumeRecord, size: int) -> None:
    """Refuse what the whole pool could not hold, as Cinder's scheduler does.

    :param size: in GiB.
    :raises OutOfRange: it could not.
    """
    limit = driver.size_limit(volume, size)
    if limit is not None and size > limit:
        pool = volume.host.partition("#")[2]
        raise errors.OutOfRange(
            f"No volume of {size} GiB fits into pool {pool!r} of backend {volume.backend!r}: its"
            f" capacity, with over-subscription, is {limit} GiB. No change was made",
            resource=volume.id,
        )


def _prepare_retry(driver: Driver, volume: VolumeRecord, failed: VolumeRecord) -> VolumeRecord:
    """Delete the remains of a failed create, and return the record for the next attempt."""
    if failed.launched_at is not None:
        raise errors.InvalidVolume(
            f"Volume {failed.id} was created earlier, and a later operation on it failed. Its data"
            " is not overwritten. Revert it to a snapshot, or delete it",
            resource=failed.id,
        )
    driver.delete_volume(failed)
    return replace(volume, version=failed.version, created_at=failed.created_at)


def _source(journal: Journal, volume: VolumeRecord) -> VolumeRecord | SnapshotRecord | None:
    if volume.snapshot_id is not None:
        snapshot = journal.store.get(SnapshotRecord, volume.snapshot_id)
        if snapshot is None:
            raise_not_found(errors.SnapshotNotFound, "snapshot", volume.snapshot_id)
        if snapshot.status != "available":
            raise errors.InvalidSnapshot(
                f"Snapshot {snapshot.id} cannot be used as a source: it is '{snapshot.status}'",
                resource=snapshot.id,
            )
        _refuse_smaller(volume, f"snapshot {snapshot.id}", snapshot.volume_size)
        return snapshot
    if volume.source_volid is not None:
        source = get(journal, volume.source_volid)
        if source.status not in READABLE:
            raise errors.InvalidVolume(
                f"Volume {source.id} cannot be cloned: it is '{source.status}'", resource=source.id
            )
        _refuse_smaller(volume, f"volume {source.id}", source.size)
        return source
    return None


def _refuse_smaller(volume: VolumeRecord, source: str, size: int) -> None:
    if volume.size < size:
        raise errors.OutOfRange(
            f"A volume of {volume.size} GiB cannot hold the data of {source}, which has {size} GiB",
            resource=volume.id,
        )


def _make(
    driver: Driver, volume: VolumeRecord, source: VolumeRecord | SnapshotRecord | None
) -> VolumeRecord:
    if isinstance(source, SnapshotRecord):
        return driver.create_volume_from_snapshot(volume, source)
    if source is not None:
        return driver.create_cloned_volume(volume, source)
    return driver.create_volume(volume)


@recovers("volume.create")
def recover_create(journal: Journal, intent: IntentRecord) -> str:
    """No caller received the volume, and its data may be incomplete: delete it."""
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    if volume is not None:
        journal.driver(intent.backend).delete_volume(volume)
        journal.finish(
            intent, f"Volume {volume.id} was removed from storage", Remove(VolumeRecord, volume.id)
        )
    else:
        journal.finish(intent, "No change was made")
    return "undone"


def delete(journal: Journal, volume_id: str) -> bool:
    """Delete a volume.

    :returns: whether there was one.
    :raises InvalidVolume: it has snapshots or connections, or the storage refuses because it is in
        use; nothing changed.
    """
    with journal.locks.hold(lock_name(volume_id)):
        volume, (connections, snapshots, intents) = find(
            journal,
            volume_id,
            Query(ConnectionRecord, "volume_id", volume_id),
            Query(SnapshotRecord, "volume_id", volume_id, limit=1),
            intents_of(volume_id),
        )
        if volume is None:
            return False
        driver = journal.driver(volume.backend)
        _refuse_connected(volume_id, connections)
        if snapshots:
            count = journal.store.count(SnapshotRecord, {"volume_id": volume_id})
            raise errors.InvalidVolume(
                f"Volume {volume_id} cannot be deleted: it has {count} snapshot(s); delete"
                " them first",
                resource=volume_id,
            )
        refuse_half_managed(volume, "deleted")
        pending_unmaps = journal.retry_pending_unmaps(intents)
        intent, deleting = journal.begin(
            "volume.delete", lock_name(volume_id), replace(volume, status="deleting"), before=volume
        )
        try:
            driver.delete_volume(remove_leftover_export(driver, deleting))
        except BaseException as exc:
            status = status_after(exc, volume.status, "error_deleting")
            journal.fail(intent, deleting, replace(deleting, status=status))
            note_dependents(journal, exc, volume)
            raise
        gone = [Remove(IntentRecord, each.id) for each in pending_unmaps]
        journal.finish(
            intent, f"Volume {volume_id} was deleted", Remove(VolumeRecord, volume_id), *gone
        )
        return True


def refuse_connected(store: Store, volume_id: str) -> None:
    """Refuse to delete a volume that hosts use, before its snapshots are deleted.

    :raises InvalidVolume: it is connected.
    """
    _refuse_connected(volume_id, store.find(ConnectionRecord, {"volume_id": volume_id}))


def _refuse_connected(volume_id: str, connections: Sequence[ConnectionRecord]) -> None:
    if connections:
        hosts = ", ".join(sorted({host_of(c) for c in connections}))
        raise errors.InvalidVolume(
            f"Volume {volume_id} cannot be deleted: it is connected to {hosts}; disconnect it"
            " first",
            resource=volume_id,
        )


def remove_leftover_export(driver: Driver, volume: VolumeRecord) -> VolumeRecord:
    """Remove an export that no connection needs, for example that of a failed connect. Cinder's
    manager also does this before each delete.

    An error of the driver is ignored: storage that still exports the volume refuses the delete.

    :returns: the volume with the driver's changes.
    """
    try:
        return driver.remove_export(volume)
    except errors.CinderlibError as exc:
        if not is_the_drivers(exc):
            raise
        LOG.info("The export of volume %s could not be removed: %s", volume.id, exc)
        return volume


@recovers("volume.delete")
def recover_delete(journal: Journal, intent: IntentRecord) -> str:
    """Its data may be deleted already: complete the delete."""
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    if volume is not None:
        driver = journal.driver(intent.backend)
        driver.delete_volume(remove_leftover_export(driver, volume))
    journal.finish(
        intent,
        f"Volume {intent.resource_id} was deleted",
        Remove(VolumeRecord, intent.resource_id),
    )
    return "finished"
