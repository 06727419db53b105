"""Errors of drivers, and refusals: the driver declined an operation and changed nothing on the
storage."""

from __future__ import annotations

from collections.abc import Iterable

from cinderlib import errors
from cinderlib.operations.journal import Journal
from cinderlib.records import SnapshotRecord, VolumeRecord

#: What a driver raises before it changes anything: the resource is in use, the driver has no such
#: operation, or another process works on the backend.
_REFUSALS = (errors.InvalidState, errors.Unsupported, errors.Busy)

#: How many dependent volumes an error names.
_NAMED = 5


def is_refusal(error: BaseException) -> bool:
    """Whether the driver changed nothing, so that the resource keeps its status."""
    return isinstance(error, _REFUSALS)


def is_the_drivers(error: BaseException) -> bool:
    """Whether an error comes from the driver and not from the store."""
    return isinstance(error, errors.CinderlibError) and not isinstance(error, errors.StoreError)


def refuse_half_managed(record: VolumeRecord | SnapshotRecord, task: str) -> None:
    """Refuse to delete or replace data that another program may have created.

    :param task: as a participle, for the message.
    :raises InvalidState: a manage of it failed.
    """
    failed = "error_managing" if isinstance(record, VolumeRecord) else "error"
    if record.managed_from is not None and record.status == failed:
        raise errors.InvalidState(
            f"{record.kind.capitalize()} {record.id} cannot be {task}: managing it from"
            f" {record.managed_from} failed, and its data did not change. Manage it again with this"
            " ID and reference, or unmanage it",
            resource=record.id,
        )


def refuse_temporary(volume: VolumeRecord, task: str) -> None:
    """Refuse to use the temporary volume of an attached snapshot like other volumes.

    :param task: as a participle, for the message.
    :raises InvalidVolume: it is one.
    """
    if volume.snapshot_access is not None:
        raise errors.InvalidVolume(
            f"Volume {volume.id} cannot be {task}: it is a temporary volume, which exists while"
            f" snapshot {volume.snapshot_id} is attached. Create a volume from the snapshot",
            resource=volume.id,
        )


def refuse_migrating(volume: VolumeRecord, task: str) -> None:
    """Refuse to change a volume that is being migrated, or its copy.

    :param task: as a participle, for the message.
    :raises InvalidVolume: it is.
    """
    status = volume.migration_status or ""
    if status == "migrating" or status.startswith("target:"):
        raise errors.InvalidVolume(
            f"Volume {volume.id} cannot be {task} while it is migrated: wait until the migration"
            " ends, or finish or cancel it; if it was interrupted, call recover()",
            resource=volume.id,
        )


def status_after(error: BaseException, before: str, failed: str) -> str:
    """The status of a resource after a driver call that failed.

    :param before: the status before the operation.
    :param failed: the status if the driver may have changed something.
    """
    return before if is_refusal(error) else failed


def note_dependents(
    journal: Journal, error: BaseException, record: VolumeRecord | SnapshotRecord
) -> None:
    """Add to the error of a refused delete which volumes were created from the resource: most
    storage refuses because of them, and drivers rarely name them."""
    if not is_refusal(error):
        return
    field = "snapshot_id" if isinstance(record, SnapshotRecord) else "source_volid"
    try:
        names = _dependents(journal, record.backend, field, record.id)
    except errors.StoreError:
        return  # the refusal is the error to report
    if names:
        error.add_note(f"Volumes created from it: {', '.join(names)}")


def _dependents(journal: Journal, backend: str, field: str, id: str) -> list[str]:
    found: Iterable[VolumeRecord] = journal.store.iterate(VolumeRecord, {"backend": backend})
    names: list[str] = []
    for volume in found:
        if getattr(volume, field) == id:
            if len(names) == _NAMED:
                return [*names, "..."]
            names.append(f"{volume.name} ({volume.id})" if volume.name else volume.id)
    return names
