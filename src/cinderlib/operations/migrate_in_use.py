"""Migrates volumes whose data a hypervisor copies while it uses them.

The copy is created first. The hypervisor connects it, mirrors the data, uses the copy from then on
and disconnects the volume. Then the records are exchanged, and the connections of the copy become
those of the volume. Between these calls, only the ``migration_status`` of both records shows the
migration: it can take hours, and does not belong to a process.
"""

from __future__ import annotations

import uuid

from cinderlib import errors
from cinderlib.operations import (
    connections,
    create_volume,
    delete_volume,
    encryption,
    long_calls,
    migrate,
    migrate_by_copy,
    migration_targets,
    one_array,
    volumes,
)
from cinderlib.operations.existing import raise_not_found
from cinderlib.operations.history import Outcome
from cinderlib.operations.intents import intents_of
from cinderlib.operations.journal import Journal, was_interrupted
from cinderlib.operations.migrate import Destination
from cinderlib.operations.settling import recovers
from cinderlib.persistence.base import Put, Query
from cinderlib.persistence.host_key import host_of
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    SnapshotRecord,
    VolumeRecord,
    replace,
)

_START = "volume.start_migration"
_NAMESPACE = uuid.UUID("5b3f1f0c-6f0e-4a53-8f2d-0a3f0f7f0a6e")


def copy_id(volume: VolumeRecord) -> str:
    """The ID of the copy, by which a later call finds it. It differs from the ID in the name of the
    volume on the storage, which can be that of an earlier copy."""
    return str(uuid.uuid5(_NAMESPACE, f"{volume.id}/{volume.name_id or ''}"))


def start(journal: Journal, volume_id: str, to: Destination) -> tuple[VolumeRecord, bool]:
    """Create the copy of a volume; called within :meth:`Journal.whole_call`.

    :returns: the record of the copy, and whether it was created by this call.
    :raises InvalidVolume: the volume has this place already, has snapshots, or its status does not
        allow it. Nothing changed.
    :raises AlreadyExists: a migration to another place has been started.
    """
    long_calls.finish_interrupted(journal, volume_id, _START)
    with journal.locks.hold(volumes.lock_name(volume_id)):
        volume, (snapshots, intents) = volumes.look(
            journal,
            volume_id,
            Query(SnapshotRecord, "volume_id", volume_id, limit=1),
            intents_of(volume_id),
        )
        long_calls.refuse_others(journal, volume_id, intents, "migrated")
        copy = journal.store.get(VolumeRecord, copy_id(volume))
        if volume.migration_status == "migrating" and copy is not None:
            if not to.has(copy):
                raise errors.AlreadyExists(
                    f"Volume {volume_id} is already being migrated to {copy.host}: finish or cancel"
                    " that migration first",
                    resource=volume_id,
                )
            return copy, False
        if to.has(volume):
            raise errors.InvalidVolume(
                f"Volume {volume_id} is already on {volume.host}. No change was made",
                resource=volume_id,
            )
        encryption.refuse_copy_by_host(volume)
        target = journal.driver(to.backend)
        migrate.refuse(volume, (), snapshots, ("available", "in-use"))
        one_array.refuse_copy(journal, volume, to.backend)
        volumes.refuse_impossible_size(target, migrate.placed(volume, to), volume.size)
        intent = long_calls.intent(
            journal,
            _START,
            volume,
            {"backend": to.backend, "copy": copy_id(volume)},
            {"backend": to.backend, "pool": to.pool},
        )
        marked = replace(volume, migration_status="migrating")
        marked = journal.begin_with(intent, marked, before=volume)
    described = migration_targets.describe(
        volume, copy_id(volume), backend=to.backend, host=to.host, changes={}
    )
    try:
        created, _ = create_volume.create(journal, described, {})
    except BaseException as exc:
        if not was_interrupted(exc):
            _undo_start(journal, intent, failed=True)
        raise
    journal.finish(intent, "The copy was created")
    return created, True


def _undo_start(journal: Journal, intent: IntentRecord, *, failed: bool) -> None:
    delete_volume.delete(journal, intent.data["copy"])
    with journal.locks.hold(volumes.lock_name(intent.resource_id)):
        volume = journal.store.get(VolumeRecord, intent.resource_id)
        outcome: Outcome = "failed" if failed else "undone"
        if volume is None:
            journal.finish(intent, "No change was made", outcome="undone")
            return
        after = replace(volume, migration_status=None)
        journal.finish_with(intent, "It was undone", volume, after, outcome=outcome)


@recovers(_START)
def recover_start(journal: Journal, intent: IntentRecord) -> str:
    """No caller received the copy: delete it."""
    _undo_start(journal, intent, failed=False)
    return "undone"


def finish(journal: Journal, volume_id: str) -> tuple[VolumeRecord, bool]:
    """Let the copy become the volume; called within :meth:`Journal.whole_call`.

    :returns: the stored record, and whether the migration was finished by this call.
    :raises InvalidVolume: the volume is still connected. Nothing changed.
    """
    long_calls.finish_interrupted(journal, volume_id, migration_targets.BY_COPY)
    migrate_by_copy.delete_old_data(journal, volume_id)
    copy_lock = volumes.lock_name(copy_id(_get(journal, volume_id)))
    with journal.locks.hold(volumes.lock_name(volume_id), copy_lock):
        volume, (connected, intents) = volumes.look(
            journal,
            volume_id,
            Query(ConnectionRecord, "volume_id", volume_id, limit=1),
            intents_of(volume_id),
        )
        if volume.migration_status != "migrating":
            return volume, False
        long_calls.refuse_others(journal, volume_id, intents, "migrated")
        if connected:
            raise errors.InvalidVolume(
                f"The migration of volume {volume_id} cannot be finished: it is connected to"
                f" {host_of(connected[0])}; disconnect it first",
                resource=volume_id,
            )
        migrate.refuse_unmapped(journal, volume, intents)
        copy = journal.store.get(VolumeRecord, copy_id(volume))
        if copy is None:
            raise_not_found(errors.VolumeNotFound, "copy of the volume", copy_id(volume))
        journal.driver(copy.backend)
        _refuse_unsettled(journal, copy)
        intent = migrate_by_copy.intent(
            journal,
            volume,
            backend=copy.backend,
            host=copy.host,
            changes={},
            copy_id=copy.id,
            is_copied=True,
        )
        journal.begin_with(intent, volume, before=volume)
    return migrate_by_copy.run(journal, intent), True


def _get(journal: Journal, volume_id: str) -> VolumeRecord:
    volume = journal.store.get(VolumeRecord, volume_id)
    if volume is None:
        raise_not_found(errors.VolumeNotFound, "volume", volume_id)
    return volume


def _refuse_unsettled(journal: Journal, copy: VolumeRecord) -> None:
    """Refuse a copy on which operations are not complete; its lock is held.

    :raises Busy: an operation runs, or was interrupted.
    :raises InvalidVolume: a host may still reach it, and the driver fails to unmap it.
    """
    connections.settle_all(journal, copy.id)
    found = journal.store.find(ConnectionRecord, {"volume_id": copy.id})
    for each in found:
        if journal.store.find(IntentRecord, {"resource_id": each.id}):
            raise errors.Busy(
                f"Connection {each.id} of the copy is being attached or detached: wait until that"
                " ends; if it was interrupted, call recover()",
                resource=each.id,
            )
    migrate.refuse_unmapped(journal, copy, journal.store.query(intents_of(copy.id))[0])


def cancel(journal: Journal, volume_id: str) -> tuple[VolumeRecord, bool]:
    """Delete the copy of a volume; the volume stays where it is.

    :returns: the stored record, and whether a migration was cancelled by this call.
    :raises InvalidVolume: the copy is connected. Nothing changed.
    """
    with journal.locks.hold(volumes.lock_name(volume_id)):
        volume, (intents,) = volumes.look(journal, volume_id, intents_of(volume_id))
        if volume.migration_status != "migrating":
            return volume, False
        long_calls.refuse_others(journal, volume_id, intents, "migrated")
    # If it is interrupted after this, the next call completes it.
    delete_volume.delete(journal, copy_id(volume))
    with journal.locks.hold(volumes.lock_name(volume_id)):
        current = volumes.get(journal, volume_id)
        (written,) = journal.store.apply(Put(replace(current, migration_status=None)))
        assert isinstance(written, VolumeRecord)
        return written, True
