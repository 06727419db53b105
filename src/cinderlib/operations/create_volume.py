"""Creates volumes: empty, from a snapshot, or as a clone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.operations import (
    capabilities,
    encryption,
    replication,
    unique_names,
    volume_types,
    volumes,
)
from cinderlib.operations.existing import raise_not_found, refuse_differences
from cinderlib.operations.journal import Journal, was_interrupted
from cinderlib.operations.refusals import (
    is_refusal,
    refuse_half_managed,
    refuse_migrating,
    refuse_temporary,
)
from cinderlib.operations.settling import recovers
from cinderlib.persistence.base import Change, Remove
from cinderlib.records import (
    IntentRecord,
    SnapshotRecord,
    TypeSpecs,
    VolumeRecord,
    now,
    replace,
)


def create(
    journal: Journal,
    volume: VolumeRecord,
    asked: Mapping[str, Any],
    *others: Change,
    unique_name: bool = False,
) -> tuple[VolumeRecord, bool]:
    """Create a volume: with the data of ``volume.snapshot_id`` or ``volume.source_volid``, if set.

    :param volume: the record to create; not stored yet.
    :param asked: the fields that the caller named; an existing volume with the same ID must
        have the same values.
    :param others: changes to store with the record, if the volume is created.
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
    locks = {volumes.lock_name(volume.id)}
    if source_id is not None:
        locks.add(volumes.lock_name(source_id))
    if unique_name and volume.name:
        locks.add(unique_names.lock_name(volume.backend, volume.name))
    with journal.locks.hold(*locks):
        there, _ = volumes.find(journal, volume.id)
        if there is not None:
            refuse_differences("Volume", there, {**asked, "backend": volume.backend})
            refuse_half_managed(there, "created")
            if there.status != "error":
                return there, False
            volume = _prepare_retry(journal, driver, volume, there)
        if unique_name and volume.name:
            unique_names.refuse(journal.store, volume, {"backend": volume.backend})
        volume = volume_types.assign(journal.store, volume, asked)
        source = source_of(journal, volume)
        if source is not None:
            is_snapshot = isinstance(source, SnapshotRecord)
            way = "volume.create_from_snapshot" if is_snapshot else "volume.clone"
            way = way if volume.snapshot_access is None else "snapshot.attach"
            capabilities.require(driver, way, volume.backend, volume.id)
        volume = with_source(journal, driver, volume, source)
        volume, key = encryption.separated(journal.keys, volume)
        intent, creating = journal.begin(
            "volume.create",
            volumes.lock_name(volume.id),
            replace(volume, status="creating"),
            *others,
            arguments=_arguments(volume),
        )
        try:
            if asked.get("type_name") is not None:
                volume_types.check_assigned(journal.store, TypeSpecs.of(creating))
            creating = encryption.keep_key(journal, creating, key)
            made = create_on_storage(driver, creating, source)
            ready = replace(made, status="available", launched_at=now())
        except BaseException as exc:
            _clean_up(journal, driver, intent, creating, exc, kept=there is not None)
            raise
        done = f"Volume {volume.id} was created on {volume.backend}"
        return journal.finish_with(intent, done, creating, ready), True


def _prepare_retry(
    journal: Journal, driver: Driver, volume: VolumeRecord, failed: VolumeRecord
) -> VolumeRecord:
    """Delete the remains of a failed create, and return the record for the next attempt."""
    if failed.launched_at is not None:
        raise errors.InvalidVolume(
            f"Volume {failed.id} was created earlier, and a later operation on it failed. Its data"
            " is not overwritten. Revert it to a snapshot, or delete it",
            resource=failed.id,
        )
    driver.delete_volume(failed)
    encryption.delete_key(journal, failed)
    return replace(volume, version=failed.version, created_at=failed.created_at)


def with_source(
    journal: Journal,
    driver: Driver,
    volume: VolumeRecord,
    source: VolumeRecord | SnapshotRecord | None,
) -> VolumeRecord:
    """A new volume with the properties that the source determines.

    :raises OutOfRange: the pool cannot hold it. Nothing changed.
    :raises InvalidInput: it cannot have the requested encryption. Nothing changed.
    :raises KeyManagerError: the key of the source cannot be read. Nothing changed.
    :raises Unsupported: its backend cannot replicate it. Nothing changed.
    """
    volume = replication.of_new(driver.info, volume)
    volumes.refuse_impossible_size(driver, volume, volume.size)
    volume = encryption.of_new(journal, volume, source)
    return volume if source is None else replace(volume, glance_metadata=source.glance_metadata)


def source_of(journal: Journal, volume: VolumeRecord) -> VolumeRecord | SnapshotRecord | None:
    """The snapshot or volume whose data a new volume gets; the lock of that volume is held.

    :raises InvalidVolume, InvalidSnapshot, VolumeNotFound, SnapshotNotFound: it cannot be read.
    """
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
        source = volumes.get(journal, volume.source_volid)
        refuse_temporary(source, "cloned")
        refuse_migrating(source, "cloned")
        if source.status not in volumes.READABLE:
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


def create_on_storage(
    driver: Driver, volume: VolumeRecord, source: VolumeRecord | SnapshotRecord | None
) -> VolumeRecord:
    """Create a volume on the storage, with the data of the source.

    :returns: the record with the driver's changes.
    """
    if isinstance(source, SnapshotRecord):
        return driver.create_volume_from_snapshot(volume, source)
    if source is not None:
        return driver.create_cloned_volume(volume, source)
    return driver.create_volume(volume)


def _arguments(volume: VolumeRecord) -> dict[str, Any]:
    """The arguments of a create, for the history."""
    return {
        "size": volume.size,
        "pool": volume.host.partition("#")[2],
        "snapshot_id": volume.snapshot_id,
        "source_volid": volume.source_volid,
        "bootable": volume.bootable or None,
        "multiattach": volume.multiattach or None,
        "type": volume.type_name,
        "encryption": volume.encryption.get("provider"),
    }


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
    leaves_nothing = is_refusal(cause) or isinstance(cause, errors.KeyManagerError)
    try:
        if isinstance(cause, errors.DriverError) and not cause.retryable:
            driver.delete_volume(creating)
            leaves_nothing = True
        if leaves_nothing and not kept:
            encryption.delete_key(journal, creating)
    except errors.CinderlibError as exc:
        leaves_nothing = False
        cause.add_note(f"Cleaning up failed too: {exc}")
    if leaves_nothing and not kept:
        journal.discard(intent, Remove(VolumeRecord, creating.id))
        return
    cause.add_note(
        f"Volume {creating.id} stays as 'error': create it again with this ID, or remove it with"
        f" `cinderlib volume delete {creating.id}`"
    )
    journal.fail(intent, creating, replace(creating, status="error"))


@recovers("volume.create")
def recover_create(journal: Journal, intent: IntentRecord) -> str:
    """No caller received the volume, and its data may be incomplete: delete it."""
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    if volume is not None:
        journal.driver(intent.backend).delete_volume(volume)
        encryption.delete_key(journal, volume)
        done, gone = f"Volume {volume.id} was removed from storage", Remove(VolumeRecord, volume.id)
        journal.finish(intent, done, gone, outcome="undone")
    else:
        journal.finish(intent, "No change was made", outcome="undone")
    return "undone"
