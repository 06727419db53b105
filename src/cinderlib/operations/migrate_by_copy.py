"""Migrates volumes by a copy through attachments of this host.

The destination's driver creates a copy, the data is copied, and then the records are exchanged: the
volume keeps its ID and gets the place of the copy on the storage. The old data is deleted at the
end. An interrupted migration is undone until all data is copied, and finished after that.

The copy can differ in fields of the volume, for example in its type. If its encryption differs, the
decrypted data is copied.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from cinderlib import errors
from cinderlib.operations import (
    capabilities,
    copying,
    create_volume,
    delete_volume,
    long_calls,
    migration_targets,
    volume_types,
    volumes,
)
from cinderlib.operations.existing import raise_not_found
from cinderlib.operations.history import Outcome
from cinderlib.operations.intents import new_intent
from cinderlib.operations.journal import Journal, was_interrupted
from cinderlib.operations.refusals import is_the_drivers
from cinderlib.operations.settling import recovers
from cinderlib.persistence.base import Change, Put, Remove
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    TypeSpecs,
    VolumeRecord,
    new_id,
    replace,
)

LOG = logging.getLogger(__name__)

#: In the data of the intent that deletes old data: the ID of the volume that was migrated.
_OLD_OF = "old_data_of"
_DELETE = "volume.delete"


def intent(
    journal: Journal,
    volume: VolumeRecord,
    *,
    backend: str,
    host: str,
    changes: dict[str, Any],
    copy_id: str | None = None,
    is_copied: bool = False,
    arguments: Mapping[str, Any] | None = None,
) -> IntentRecord:
    """The intent of a migration by this thread.

    :param backend: the destination.
    :param host: the ``host`` of the volume there.
    :param changes: further fields of the volume to change.
    :param copy_id: the ID of the copy; by default a new one.
    :param is_copied: whether another program has copied all data. It may use the copy, which then
        remains if the migration fails.
    :param arguments: further ones, for the history.
    """
    data: dict[str, Any] = {
        "backend": backend,
        "host": host,
        "changes": changes,
        "copy": copy_id or new_id(),
        "delete": new_id(),
        "status": volume.status,
    }
    if is_copied:
        data |= {"copied": True, "remains": True}
    of_place = {"backend": backend, "pool": host.partition("#")[2]}
    all_arguments = {**of_place, **(arguments or {})}
    return long_calls.intent(journal, migration_targets.BY_COPY, volume, data, all_arguments)


def run(journal: Journal, intent: IntentRecord) -> VolumeRecord:
    """All steps of a migration whose intent is stored; called within :meth:`Journal.whole_call`.

    :returns: the volume at its new place.
    """
    try:
        if not intent.data.get("copied"):
            _copy(journal, intent)
            intent = note(journal, intent, copied=True)
        return exchange(journal, intent)
    except BaseException as exc:
        if not was_interrupted(exc):
            _fail(journal, intent, exc)
        raise


def note(journal: Journal, intent: IntentRecord, **data: Any) -> IntentRecord:
    """Record how far a migration is."""
    (noted,) = journal.store.apply(Put(replace(intent, data={**intent.data, **data}), check=False))
    assert isinstance(noted, IntentRecord)
    return noted


def _copy(journal: Journal, intent: IntentRecord) -> None:
    data, volume = intent.data, long_calls.volume_of(journal, intent)
    described = migration_targets.describe(
        volume,
        data["copy"],
        backend=data["backend"],
        host=data["host"],
        changes=data["changes"],
    )
    copy, _ = create_volume.create(journal, described, {})
    volume_types.check_assigned(journal.store, TypeSpecs.of(copy))
    decrypt = copy.encryption != volume.encryption
    # A host that opens an encrypted volume for the first time writes its header.
    is_new = decrypt and bool(volume.encryption) and not volume.encryption_opened
    mode = "rw" if is_new else "ro"
    source = copying.attach_volume(journal, volume, mode=mode, decrypt=decrypt)
    target = copying.attach_volume(journal, copy, decrypt=decrypt)
    copying.copy(journal, source, target, volume.id)
    copying.detach_all(journal, [volume.id, copy.id])


def exchange(journal: Journal, intent: IntentRecord) -> VolumeRecord:
    """Give the volume the place and the connections of the complete copy, and delete the old data.

    :param intent: of the migration, with ``copy`` and ``delete`` in its data.
    """
    id, copy_id = intent.resource_id, intent.data["copy"]
    with journal.locks.hold(volumes.lock_name(id), volumes.lock_name(copy_id)):
        volume = long_calls.volume_of(journal, intent)
        copy = journal.store.get(VolumeRecord, copy_id)
        connections = journal.store.find(ConnectionRecord, {"volume_id": copy_id})
        status = "in-use" if connections or volume.status == "in-use" else "available"
        is_exchanged = migration_targets.is_moved(volume, intent.data.get("old"))
        if not is_exchanged:
            if copy is None:
                raise_not_found(errors.VolumeNotFound, "copy of the volume", copy_id)
            intent, copy = _named(journal, intent, volume, copy, status)
            changes = {
                **intent.data["changes"],
                "status": status,
                "attach_status": copy.attach_status,
                "migration_status": None,
            }
            after = migration_targets.moved(volume, copy, changes)
        else:
            # Interrupted in a store that writes one record after the other.
            after = replace(volume, status=status, migration_status=None)
        old = None
        if copy is not None:
            old = migration_targets.replaced(
                copy, intent.data["old"], volume, is_exchanged=is_exchanged
            )
        deletion = _deletion(intent, old)
        stored: list[Change] = [Put(replace(each, volume_id=id)) for each in connections]
        if old is not None:
            stored += [Put(old, check=False), Put(deletion, check=False)]
        moved = journal.finish_with(intent, f"Volume {id} was migrated", volume, after, *stored)
        if old is not None:
            _delete(journal, deletion)
        return moved


def _named(
    journal: Journal,
    intent: IntentRecord,
    volume: VolumeRecord,
    copy: VolumeRecord,
    status: str,
) -> tuple[IntentRecord, VolumeRecord]:
    """Let the driver give the copy the name of the volume, and record the old place before.

    :returns: the intent, and the copy with its final name.
    """
    # Intents have no secrets; the volume's record keeps them until the end.
    old = migration_targets.before(volume, copy)
    driver = journal.driver(copy.backend)
    # In the same place, the old data has the name, and some drivers would replace it.
    has_name = copy.host == volume.host
    if has_name or not capabilities.implements(driver, "update_migrated_volume"):
        return note(journal, intent, old=old), replace(copy, name_id=copy.name_id or copy.id)
    interrupted = "old" in intent.data
    intent = note(journal, intent, old=old)
    if interrupted and driver.exists(copy) is False:
        return intent, replace(copy, name_id=None)  # the driver had renamed it
    try:
        return intent, driver.update_migrated_volume(volume, copy, status)
    except errors.CinderlibError as exc:
        if was_interrupted(exc) or not is_the_drivers(exc) or driver.exists(copy) is not False:
            raise
        # It has the name of the volume, although the call failed.
        return intent, replace(copy, name_id=None)


def _deletion(intent: IntentRecord, old: VolumeRecord | None) -> IntentRecord:
    """The intent to delete the old data."""
    data = intent.data
    return new_intent(
        _DELETE,
        old,
        volumes.lock_name(data["copy"]),
        id=data["delete"],
        resource_id=data["copy"],
        backend=data["old"]["backend"],
        data={_OLD_OF: intent.resource_id},
    )


def _delete(journal: Journal, deletion: IntentRecord) -> None:
    """Delete the old data; its lock is held. If the storage fails, recovery deletes it."""
    try:
        journal.recover(deletion, interrupted=False)
    except errors.CinderlibError as exc:
        if was_interrupted(exc) or not is_the_drivers(exc):
            raise
        if not isinstance(exc, errors.KeyManagerError) and _is_deleted(journal, deletion):
            gone = Remove(VolumeRecord, deletion.resource_id)
            journal.finish(deletion, f"Volume {deletion.resource_id} was deleted", gone)
            return
        LOG.warning(
            "The volume is migrated, but its old data on backend %s could not be deleted. recover()"
            " deletes it (volume %s): %s",
            *(deletion.backend, deletion.resource_id, exc),
        )


def _is_deleted(journal: Journal, deletion: IntentRecord) -> bool:
    """Whether the storage reports that it has deleted the old data, although the driver failed."""
    old = journal.store.get(VolumeRecord, deletion.resource_id)
    if old is None:
        return True
    try:
        return journal.driver(deletion.backend).exists(old) is False
    except errors.CinderlibError as exc:
        if was_interrupted(exc):
            raise
        return False


def delete_old_data(journal: Journal, volume_id: str) -> None:
    """Delete the old data of a volume if the migration could not; no lock is held."""
    for each in journal.store.find(IntentRecord):
        if each.operation == _DELETE and each.data.get(_OLD_OF) == volume_id:
            with journal.locks.hold(each.lock):
                if journal.store.get(IntentRecord, each.id) is not None:
                    _delete(journal, each)


def _fail(journal: Journal, intent: IntentRecord, cause: BaseException) -> None:
    """Undo a failed migration."""
    try:
        current = journal.store.get(IntentRecord, intent.id)
        if current is None:
            return
        if "old" in current.data and not is_the_drivers(cause):
            return  # the end could not be recorded: recovery finishes it
        _undo(journal, current, "failed")
    except errors.CinderlibError as exc:
        cause.add_note(f"Undoing it failed too, and is tried again later: {exc}")


def _undo(journal: Journal, intent: IntentRecord, outcome: Outcome) -> None:
    """Delete the copy; the volume stays where it is."""
    id, copy_id = intent.resource_id, intent.data["copy"]
    if not intent.data.get("remains"):
        copying.detach_all(journal, [id, copy_id])
        delete_volume.delete(journal, copy_id)
    with journal.locks.hold(volumes.lock_name(id)):
        volume = long_calls.volume_of(journal, intent)
        if intent.data.get("remains"):
            journal.finish_with(intent, "Nothing changed", volume, volume, outcome=outcome)
            return
        after = replace(volume, status=intent.data["status"], migration_status=None)
        done = "The volume stays where it was"
        journal.finish_with(intent, done, volume, after, outcome=outcome)


@recovers(migration_targets.BY_COPY)
def recover_migration(journal: Journal, intent: IntentRecord) -> str:
    """Finish it if all data was copied; otherwise, undo it."""
    if journal.store.get(VolumeRecord, intent.resource_id) is None:
        delete_volume.delete(journal, intent.data["copy"])
        journal.finish(intent, "The volume does not exist any more", outcome="undone")
        return "undone"
    if not intent.data.get("copied"):
        _undo(journal, intent, "undone")
        return "undone"
    try:
        exchange(journal, intent)
    except errors.CinderlibError as exc:
        if was_interrupted(exc) or not is_the_drivers(exc):
            raise
        LOG.warning("The copy of volume %s cannot be used: %s", intent.resource_id, exc)
        _undo(journal, intent, "undone")
        return "undone"
    return "finished"
