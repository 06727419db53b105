"""Adopts and releases existing volumes and snapshots of a storage: the steps of both kinds.

An interrupted manage is undone if the storage certainly does not have the resource under its new
name, and finished otherwise: so no resource loses its record after the driver renamed it.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.operations.journal import Journal, was_interrupted
from cinderlib.operations.refusals import is_refusal
from cinderlib.persistence.base import Remove
from cinderlib.records import IntentRecord, SnapshotRecord, VolumeRecord, replace

R = TypeVar("R", VolumeRecord, SnapshotRecord)

_FAILURES = (errors.DriverError, errors.InvalidInput, errors.InvalidState)


class Existing(abc.ABC, Generic[R]):
    """The calls of a driver for one kind of existing resource.

    :ivar failed: the status of a record whose manage failed.
    """

    failed: ClassVar[str]

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    @abc.abstractmethod
    def exists(self, record: R) -> bool | None:
        """Whether the storage has it under its name here; ``None`` if that is not known."""

    @abc.abstractmethod
    def size(self, record: R, reference: Mapping[str, Any]) -> int:
        """The size of the resource that the reference identifies, in GiB."""

    @abc.abstractmethod
    def recorded_size(self, record: R) -> int:
        """The size in the record, in GiB."""

    @abc.abstractmethod
    def manage(self, record: R, reference: Mapping[str, Any]) -> R:
        """Adopt it; most drivers rename it."""

    @abc.abstractmethod
    def ready(self, managed: R, size: int) -> R:
        """The record after the manage."""

    @abc.abstractmethod
    def release(self, record: R) -> None:
        """Remove what the driver added to it."""


def reference_lock(backend: str, reference: Mapping[str, Any]) -> str:
    """The lock under which only one record is created for a reference."""
    return f"reference:{backend}:{sorted(reference.items())}"


def size(existing: Existing[R], record: R, reference: Mapping[str, Any], failed: R | None) -> int:
    """The size of the existing resource in GiB.

    :param failed: the record of an earlier attempt, which may have renamed the resource.
    """
    try:
        return existing.size(record, reference)
    except (errors.DriverError, errors.InvalidInput):
        if failed is None or not existing.exists(record):
            raise
        return existing.recorded_size(failed)


def manage(
    journal: Journal,
    existing: Existing[R],
    intent: IntentRecord,
    managing: R,
    reference: Mapping[str, Any],
    *,
    is_retry: bool,
) -> R:
    """Adopt a resource whose record and intent are stored.

    :param is_retry: whether the record is that of an earlier attempt, which may have renamed the
        resource.
    :returns: the stored record.
    """
    try:
        take_over = _manage_again if is_retry else _take_over
        managed = take_over(existing, managing, reference)
    except BaseException as exc:
        _clean_up(journal, existing, intent, managing, exc, kept=is_retry)
        raise
    return _finish_managed(journal, existing, intent, managing, managed)


def _finish_managed(
    journal: Journal, existing: Existing[R], intent: IntentRecord, managing: R, managed: R
) -> R:
    ready = existing.ready(managed, existing.recorded_size(managing))
    return journal.finish_with(intent, f"{_name(managing)} is managed", managing, ready)


def _take_over(existing: Existing[R], record: R, reference: Mapping[str, Any]) -> R:
    try:
        return existing.manage(record, reference)
    except (errors.DriverError, errors.InvalidState) as exc:
        if was_interrupted(exc) or not names(reference, record):
            raise
        try:
            existing.size(record, reference)
        except errors.CinderlibError:
            raise exc from None
        return record  # it has its name already, and the driver refuses a rename to the same name


def _manage_again(existing: Existing[R], record: R, reference: Mapping[str, Any]) -> R:
    """Manage a resource that has its old name or already its new one."""
    try:
        return existing.manage(record, reference)
    except _FAILURES as exc:
        if was_interrupted(exc) or not existing.exists(record):
            raise
    own_name = {"source-name": existing.driver.name_in_storage(record)}
    return _take_over(existing, record, own_name)


def names(reference: Mapping[str, Any], record: VolumeRecord | SnapshotRecord) -> bool:
    """Whether a reference contains the name of a record, because it was unmanaged before."""
    return record.id in str(reference)


def _clean_up(
    journal: Journal,
    existing: Existing[R],
    intent: IntentRecord,
    managing: R,
    cause: BaseException,
    *,
    kept: bool,
) -> None:
    """Remove the record, unless the driver may have renamed the resource.

    :param kept: whether it is the record of an earlier attempt, which may have done so.
    """
    if was_interrupted(cause):
        return
    # The driver changed nothing: it has no such resource, or refuses to manage it.
    refused = is_refusal(cause) or isinstance(cause, errors.InvalidInput)
    if (refused and not kept) or _is_absent(existing, managing):
        journal.discard(intent, Remove(type(managing), managing.id))
        return
    cause.add_note(
        f"{_name(managing)} stays as '{existing.failed}'. Its data did not change, but the driver"
        " may have renamed it: manage it again with this ID and reference, or unmanage it"
    )
    journal.fail(intent, managing, replace(managing, status=existing.failed))


def _is_absent(existing: Existing[R], record: R) -> bool:
    """Whether the storage certainly does not have the resource under its name here."""
    try:
        return existing.exists(record) is False
    except errors.CinderlibError:
        return False


def recover_manage(journal: Journal, existing: Existing[R], intent: IntentRecord, record: R) -> str:
    """The driver may have renamed the resource: then finish."""
    if existing.exists(record) is False:
        gone = Remove(type(record), record.id)
        journal.finish(intent, "No change was made", gone, outcome="undone")
        return "undone"
    try:
        managed = _manage_again(existing, record, record.managed_from or {})
    except _FAILURES:
        journal.fail(intent, record, replace(record, status=existing.failed))
        raise
    _finish_managed(journal, existing, intent, record, managed)
    return "finished"


def unmanage(
    journal: Journal, existing: Existing[R], intent: IntentRecord, unmanaging: R, before: R
) -> None:
    """Release a resource whose intent is stored, and remove its record.

    :param before: its record before the operation.
    """
    try:
        existing.release(unmanaging)
    except BaseException as exc:
        journal.fail(intent, unmanaging, replace(unmanaging, status=before.status))
        if not was_interrupted(exc):
            exc.add_note(f"{_name(before)} is still managed; its data did not change")
        raise
    finish_unmanaged(journal, intent, type(before))


def finish_unmanaged(
    journal: Journal, intent: IntentRecord, kind: type[VolumeRecord | SnapshotRecord]
) -> None:
    """Remove the record of a resource that was released."""
    id = intent.resource_id
    journal.finish(intent, f"{kind.kind.capitalize()} {id} was unmanaged", Remove(kind, id))


def _name(record: VolumeRecord | SnapshotRecord) -> str:
    return f"{record.kind.capitalize()} {record.id}"
