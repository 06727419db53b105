"""Existing volumes: list, manage and unmanage them. Their data never changes.

An interrupted manage is undone if the storage certainly does not have the volume under its new
name, and finished otherwise: so no volume loses its record after the driver renamed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinderlib import errors
from cinderlib.drivers.port import Driver, Manageable, Page
from cinderlib.operations import capabilities, volumes
from cinderlib.operations.existing import refuse_differences
from cinderlib.operations.journal import Journal, intents_of, recovers, was_interrupted
from cinderlib.operations.refusals import is_refusal
from cinderlib.persistence.base import Query, Remove
from cinderlib.persistence.host_key import host_of
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    SnapshotRecord,
    VolumeRecord,
    now,
    replace,
)

#: States in which a volume can be unmanaged.
_UNMANAGEABLE = frozenset(
    {"available", "error", "error_deleting", "error_extending", "error_managing"}
)


def manageable_volumes(journal: Journal, backend: str, page: Page) -> list[Manageable]:
    """The volumes on the storage of a backend, with and without a record.

    :raises Unsupported: the driver has no list.
    """
    driver = journal.driver(backend)
    capabilities.require(driver, "volume.list_manageable", backend)
    known = journal.store.find(VolumeRecord, {"backend": backend})
    return driver.manageable_volumes(known, page)


def is_refused(error: BaseException) -> bool:
    """Whether the driver changed nothing: it has no such resource, or refuses to manage it."""
    return is_refusal(error) or isinstance(error, errors.InvalidInput)


def reference_lock(backend: str, reference: Mapping[str, Any]) -> str:
    """The lock under which only one record is created for a reference."""
    return f"reference:{backend}:{sorted(reference.items())}"


def manage(
    journal: Journal, volume: VolumeRecord, reference: dict[str, Any], asked: Mapping[str, Any]
) -> tuple[VolumeRecord, bool]:
    """Adopt an existing volume of the storage as a volume of the store.

    :param volume: the record to create; not stored yet. The driver provides its size.
    :param reference: identifies the existing volume for the driver.
    :param asked: the fields that the caller named; an existing volume with the same ID must
        have the same values.
    :returns: the stored record, and whether the volume was managed by this call.
    :raises AlreadyExists: another volume has the ID.
    :raises InvalidInput: the driver does not find the volume, or its type does not fit.
    :raises InvalidState: the volume already has another record.
    :raises Unsupported: the driver cannot manage existing volumes.
    """
    driver = journal.driver(volume.backend)
    capabilities.require(driver, "volume.manage", volume.backend, volume.id)
    lock = volumes.lock_name(volume.id)
    with journal.locks.hold(lock, reference_lock(volume.backend, reference)):
        there, _ = volumes.find(journal, volume.id)
        volume = replace(volume, managed_from=reference)
        if there is not None:
            fixed = {"backend": volume.backend, "managed_from": reference}
            refuse_differences("Volume", there, {**asked, **fixed})
            if there.status != "error_managing":
                return there, False
            volume = replace(volume, version=there.version, created_at=there.created_at)
        size = _size(driver, volume, reference, there)
        intent, managing = journal.begin(
            "volume.manage",
            lock,
            replace(volume, size=size, status="managing"),
            arguments={"reference": dict(reference), "size": size},
        )
        try:
            take_over = _take_over if there is None else _manage_again
            managed = take_over(driver, managing, reference)
        except BaseException as exc:
            _clean_up(journal, driver, intent, managing, exc, kept=there is not None)
            raise
        done = f"Volume {volume.id} is managed"
        return journal.finish_with(intent, done, managing, _ready(managed, size)), True


def _size(
    driver: Driver, volume: VolumeRecord, reference: Mapping[str, Any], failed: VolumeRecord | None
) -> int:
    """The size of the existing volume in GiB.

    :param failed: the record of an earlier attempt, which may have renamed the volume.
    """
    try:
        return driver.manageable_volume_size(volume, reference)
    except (errors.DriverError, errors.InvalidInput):
        if failed is None or not driver.exists(volume):
            raise
        return failed.size


def _take_over(driver: Driver, volume: VolumeRecord, reference: Mapping[str, Any]) -> VolumeRecord:
    try:
        return driver.manage_volume(volume, reference)
    except (errors.DriverError, errors.InvalidState) as exc:
        if was_interrupted(exc) or not names(reference, volume):
            raise
        try:
            driver.manageable_volume_size(volume, reference)
        except errors.CinderlibError:
            raise exc from None
        return volume  # it has its name already, and the driver refuses a rename to the same name


def names(reference: Mapping[str, Any], record: VolumeRecord | SnapshotRecord) -> bool:
    """Whether a reference contains the name of a record, because it was unmanaged before."""
    return record.id in str(reference)


def _ready(managed: VolumeRecord, size: int) -> VolumeRecord:
    return replace(managed, size=size, status="available", launched_at=now())


def _clean_up(
    journal: Journal,
    driver: Driver,
    intent: IntentRecord,
    managing: VolumeRecord,
    cause: BaseException,
    *,
    kept: bool,
) -> None:
    """Remove the record, unless the driver may have renamed the volume.

    :param kept: whether it is the record of an earlier attempt, which may have done so.
    """
    if was_interrupted(cause):
        return
    if (is_refused(cause) and not kept) or _is_absent(driver, managing):
        journal.discard(intent, Remove(VolumeRecord, managing.id))
        return
    cause.add_note(
        f"Volume {managing.id} stays as 'error_managing'. Its data did not change, but the driver"
        " may have renamed it: manage it again with this ID and reference, or unmanage it"
    )
    journal.fail(intent, managing, replace(managing, status="error_managing"))


def _is_absent(driver: Driver, volume: VolumeRecord) -> bool:
    """Whether the storage certainly does not have the volume under its name here."""
    try:
        return driver.exists(volume) is False
    except errors.CinderlibError:
        return False


@recovers("volume.manage")
def recover_manage(journal: Journal, intent: IntentRecord) -> str:
    """The driver may have renamed the volume: then finish."""
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    if volume is None:
        journal.finish(intent, "No change was made", outcome="undone")
        return "undone"
    driver = journal.driver(intent.backend)
    if driver.exists(volume) is False:
        gone = Remove(VolumeRecord, volume.id)
        journal.finish(intent, "No change was made", gone, outcome="undone")
        return "undone"
    try:
        managed = _manage_again(driver, volume, volume.managed_from or {})
    except (errors.DriverError, errors.InvalidInput, errors.InvalidState):
        journal.fail(intent, volume, replace(volume, status="error_managing"))
        raise
    done = f"Volume {volume.id} is managed"
    journal.finish_with(intent, done, volume, _ready(managed, volume.size))
    return "finished"


def _manage_again(
    driver: Driver, volume: VolumeRecord, reference: Mapping[str, Any]
) -> VolumeRecord:
    """Manage a volume that has its old name or already its new one."""
    try:
        return driver.manage_volume(volume, reference)
    except (errors.DriverError, errors.InvalidInput, errors.InvalidState) as exc:
        if was_interrupted(exc) or not driver.exists(volume):
            raise
    return _take_over(driver, volume, {"source-name": driver.name_in_storage(volume)})


def unmanage(journal: Journal, volume_id: str) -> bool:
    """Remove the record of a volume, and keep the volume with its data on the storage.

    :returns: whether there was one.
    :raises InvalidVolume: it has snapshots or connections, or is encrypted; nothing changed.
    :raises DriverError: the driver failed; the volume stays managed.
    """
    lock = volumes.lock_name(volume_id)
    with journal.locks.hold(lock):
        volume, (connections, snapshots, intents) = volumes.find(
            journal,
            volume_id,
            Query(ConnectionRecord, "volume_id", volume_id, limit=1),
            Query(SnapshotRecord, "volume_id", volume_id, limit=1),
            intents_of(volume_id),
        )
        if volume is None:
            return False
        driver = journal.driver(volume.backend)
        if reason := _why_not(volume, connections, snapshots):
            raise errors.InvalidVolume(
                f"Volume {volume_id} cannot be unmanaged: {reason}", resource=volume_id
            )
        if journal.retry_pending_unmaps(intents):
            raise errors.InvalidVolume(
                f"Volume {volume_id} cannot be unmanaged: a host may still reach it, and the driver"
                " fails to unmap it",
                resource=volume_id,
            )
        intent, unmanaging = journal.begin(
            "volume.unmanage", lock, replace(volume, status="unmanaging"), before=volume
        )
        try:
            _release(driver, unmanaging)
        except BaseException as exc:
            journal.fail(intent, unmanaging, replace(unmanaging, status=volume.status))
            if not was_interrupted(exc):
                exc.add_note(f"Volume {volume_id} is still managed; its data did not change")
            raise
        journal.finish(intent, f"Volume {volume_id} was unmanaged", Remove(VolumeRecord, volume_id))
        return True


def _why_not(
    volume: VolumeRecord, connections: list[ConnectionRecord], snapshots: list[SnapshotRecord]
) -> str:
    if connections:
        return f"it is connected to {host_of(connections[0])}; disconnect it first"
    if snapshots:
        return "it has snapshots; delete or unmanage them first"
    if volume.encryption_key_id is not None:
        return "it is encrypted, and its key would be lost"
    if volume.status not in _UNMANAGEABLE:
        return f"it is '{volume.status}'"
    return ""


def _release(driver: Driver, volume: VolumeRecord) -> None:
    """Remove what the driver added to a volume: its export, and its own marks."""
    if driver.exists(volume) is False:
        return  # a driver that renames unmanaged volumes has done so
    volume = driver.remove_export(volume)
    if capabilities.is_native(driver, "volume.unmanage"):
        driver.unmanage_volume(volume)


@recovers("volume.unmanage")
def recover_unmanage(journal: Journal, intent: IntentRecord) -> str:
    """The driver may have released the volume: finish."""
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    if volume is not None:
        _release(journal.driver(intent.backend), volume)
    journal.finish(
        intent,
        f"Volume {intent.resource_id} was unmanaged",
        Remove(VolumeRecord, intent.resource_id),
    )
    return "finished"
