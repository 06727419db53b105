"""Existing snapshots: list, manage and unmanage them; see :mod:`.manage`.

Their states are those that Cinder's snapshots can have: a snapshot that is being managed is
``creating``, and one whose manage failed is in ``error``, with its reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinderlib import errors
from cinderlib.drivers.port import Driver, Manageable, Page
from cinderlib.operations import capabilities, snapshots, volumes
from cinderlib.operations.existing import raise_not_found, refuse_differences
from cinderlib.operations.journal import Journal, recovers, was_interrupted
from cinderlib.operations.manage import is_refused, names, reference_lock
from cinderlib.persistence.base import Remove
from cinderlib.records import IntentRecord, SnapshotRecord, VolumeRecord, replace

_FAILURES = (errors.DriverError, errors.InvalidInput, errors.InvalidState)


def manageable_snapshots(journal: Journal, backend: str, page: Page) -> list[Manageable]:
    """The snapshots on the storage of a backend, with and without a record.

    :raises Unsupported: the driver has no list.
    """
    driver = journal.driver(backend)
    capabilities.require(driver, "snapshot.list_manageable", backend)
    known = journal.store.find(SnapshotRecord, {"backend": backend})
    return driver.manageable_snapshots(known, page)


def manage(
    journal: Journal, snapshot: SnapshotRecord, reference: dict[str, Any], asked: Mapping[str, Any]
) -> tuple[SnapshotRecord, bool]:
    """Adopt an existing snapshot of ``snapshot.volume_id`` as a snapshot of the store.

    :param snapshot: the record to create; not stored yet. The driver provides its size.
    :param reference: identifies the existing snapshot for the driver.
    :param asked: the fields that the caller named; an existing snapshot with the same ID must
        have the same values.
    :returns: the stored record, and whether the snapshot was managed by this call.
    :raises AlreadyExists: another snapshot has the ID.
    :raises InvalidInput: the driver does not find the snapshot.
    :raises VolumeNotFound: the volume is not in the store.
    :raises InvalidState: the snapshot already has another record.
    :raises Unsupported: the driver cannot manage existing snapshots.
    """
    driver = journal.driver(snapshot.backend)
    capabilities.require(driver, "snapshot.manage", snapshot.backend, snapshot.id)
    lock = volumes.lock_name(snapshot.volume_id)
    with journal.locks.hold(lock, reference_lock(snapshot.backend, reference)):
        there, volume = snapshots.look(journal, snapshot.id, snapshot.volume_id)
        snapshot = replace(snapshot, managed_from=reference)
        if there is not None:
            fixed = {"volume_id": snapshot.volume_id, "managed_from": reference}
            refuse_differences("Snapshot", there, {**asked, **fixed})
            if there.status != "error":
                return there, False
            snapshot = replace(snapshot, version=there.version, created_at=there.created_at)
        if volume is None:
            raise_not_found(errors.VolumeNotFound, "volume", snapshot.volume_id)
        size = _size(driver, snapshot, volume, reference, there)
        glance = volume.glance_metadata
        managing = replace(snapshot, volume_size=size, status="creating", glance_metadata=glance)
        intent, managing = journal.begin(
            "snapshot.manage", lock, managing, arguments={"reference": dict(reference)}
        )
        try:
            take_over = _take_over if there is None else _manage_again
            managed = take_over(driver, managing, volume, reference)
        except BaseException as exc:
            _clean_up(journal, driver, intent, managing, volume, exc, kept=there is not None)
            raise
        done = f"Snapshot {snapshot.id} is managed"
        return journal.finish_with(intent, done, managing, _ready(managed, size)), True


def _size(
    driver: Driver,
    snapshot: SnapshotRecord,
    volume: VolumeRecord,
    reference: Mapping[str, Any],
    failed: SnapshotRecord | None,
) -> int:
    """The size of the existing snapshot in GiB.

    :param failed: the record of an earlier attempt, which may have renamed the snapshot.
    """
    try:
        return driver.manageable_snapshot_size(snapshot, volume, reference)
    except (errors.DriverError, errors.InvalidInput):
        if failed is None or not driver.snapshot_exists(snapshot, volume):
            raise
        return failed.volume_size


def _take_over(
    driver: Driver, snapshot: SnapshotRecord, volume: VolumeRecord, reference: Mapping[str, Any]
) -> SnapshotRecord:
    try:
        return driver.manage_snapshot(snapshot, volume, reference)
    except (errors.DriverError, errors.InvalidState) as exc:
        if was_interrupted(exc) or not names(reference, snapshot):
            raise
        try:
            driver.manageable_snapshot_size(snapshot, volume, reference)
        except errors.CinderlibError:
            raise exc from None
        return snapshot


def _ready(managed: SnapshotRecord, size: int) -> SnapshotRecord:
    return replace(managed, volume_size=size, status="available", progress="100%")


def _clean_up(
    journal: Journal,
    driver: Driver,
    intent: IntentRecord,
    managing: SnapshotRecord,
    volume: VolumeRecord,
    cause: BaseException,
    *,
    kept: bool,
) -> None:
    """Remove the record, unless the driver may have renamed the snapshot.

    :param kept: whether it is the record of an earlier attempt, which may have done so.
    """
    if was_interrupted(cause):
        return
    try:
        is_absent = driver.snapshot_exists(managing, volume) is False
    except errors.CinderlibError:
        is_absent = False
    if (is_refused(cause) and not kept) or is_absent:
        journal.discard(intent, Remove(SnapshotRecord, managing.id))
        return
    cause.add_note(
        f"Snapshot {managing.id} stays as 'error'. Its data did not change, but the driver may have"
        " renamed it: manage it again with this ID and reference, or unmanage it"
    )
    journal.fail(intent, managing, replace(managing, status="error"))


@recovers("snapshot.manage")
def recover_manage(journal: Journal, intent: IntentRecord) -> str:
    """The driver may have renamed the snapshot: then finish."""
    snapshot = journal.store.get(SnapshotRecord, intent.resource_id)
    if snapshot is None:
        journal.finish(intent, "No change was made", outcome="undone")
        return "undone"
    driver = journal.driver(intent.backend)
    volume = _volume_of(journal, snapshot)
    if driver.snapshot_exists(snapshot, volume) is False:
        gone = Remove(SnapshotRecord, snapshot.id)
        journal.finish(intent, "No change was made", gone, outcome="undone")
        return "undone"
    try:
        managed = _manage_again(driver, snapshot, volume, snapshot.managed_from or {})
    except _FAILURES:
        journal.fail(intent, snapshot, replace(snapshot, status="error"))
        raise
    done = f"Snapshot {snapshot.id} is managed"
    journal.finish_with(intent, done, snapshot, _ready(managed, snapshot.volume_size))
    return "finished"


def _manage_again(
    driver: Driver, snapshot: SnapshotRecord, volume: VolumeRecord, reference: Mapping[str, Any]
) -> SnapshotRecord:
    """Manage a snapshot that has its old name or already its new one."""
    try:
        return driver.manage_snapshot(snapshot, volume, reference)
    except _FAILURES as exc:
        if was_interrupted(exc) or not driver.snapshot_exists(snapshot, volume):
            raise
    own_name = {"source-name": driver.name_in_storage(snapshot)}
    return _take_over(driver, snapshot, volume, own_name)


def unmanage(journal: Journal, snapshot_id: str) -> bool:
    """Remove the record of a snapshot, and keep the snapshot with its data on the storage.

    :returns: whether there was one.
    :raises DriverError: the driver failed; the snapshot stays managed.
    """
    found = journal.store.get(SnapshotRecord, snapshot_id)
    if found is None:
        return False
    lock = volumes.lock_name(found.volume_id)
    with journal.locks.hold(lock):
        snapshot, volume = snapshots.look(journal, snapshot_id, found.volume_id)
        if snapshot is None:
            return False
        driver = journal.driver(snapshot.backend)
        intent, unmanaging = journal.begin(
            "snapshot.unmanage", lock, replace(snapshot, status="unmanaging"), before=snapshot
        )
        try:
            _release(driver, unmanaging, volume or snapshots.stand_in(snapshot))
        except BaseException as exc:
            journal.fail(intent, unmanaging, replace(unmanaging, status=snapshot.status))
            if not was_interrupted(exc):
                exc.add_note(f"Snapshot {snapshot_id} is still managed; its data did not change")
            raise
        journal.finish(
            intent, f"Snapshot {snapshot_id} was unmanaged", Remove(SnapshotRecord, snapshot_id)
        )
        return True


def _release(driver: Driver, snapshot: SnapshotRecord, volume: VolumeRecord) -> None:
    """Remove what the driver added to a snapshot."""
    is_native = capabilities.is_native(driver, "snapshot.unmanage")
    if is_native and driver.snapshot_exists(snapshot, volume) is not False:
        driver.unmanage_snapshot(snapshot, volume)


@recovers("snapshot.unmanage")
def recover_unmanage(journal: Journal, intent: IntentRecord) -> str:
    """The driver may have released the snapshot: finish."""
    snapshot = journal.store.get(SnapshotRecord, intent.resource_id)
    if snapshot is not None:
        _release(journal.driver(intent.backend), snapshot, _volume_of(journal, snapshot))
    journal.finish(
        intent,
        f"Snapshot {intent.resource_id} was unmanaged",
        Remove(SnapshotRecord, intent.resource_id),
    )
    return "finished"


def _volume_of(journal: Journal, snapshot: SnapshotRecord) -> VolumeRecord:
    volume = journal.store.get(VolumeRecord, snapshot.volume_id)
    return volume or snapshots.stand_in(snapshot)
