"""Names that no other volume of a backend, or no other snapshot of a volume, has."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from cinderlib import errors
from cinderlib.operations import volumes
from cinderlib.operations.journal import Journal
from cinderlib.persistence.base import Store
from cinderlib.records import SnapshotRecord, VolumeRecord, replace
from cinderlib.value_checks import shown


def lock_name(backend: str, name: str) -> str:
    """The lock under which a volume of a backend gets a name."""
    return f"name:{backend}/{name}"


def refuse(store: Store, record: VolumeRecord | SnapshotRecord, where: Mapping[str, str]) -> None:
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


def rename(journal: Journal, volume_id: str, name: str) -> tuple[VolumeRecord, bool]:
    """Give a volume a name that no other volume of the backend has. The storage does not change.

    :returns: the record, and whether it had another name.
    :raises AlreadyExists: another volume of the backend has the name.
    """
    found = journal.store.get(VolumeRecord, volume_id)
    backend = "" if found is None else found.backend
    with journal.locks.hold(volumes.lock_name(volume_id), lock_name(backend, name)):
        volume = volumes.get(journal, volume_id)
        renamed = replace(volume, name=name)
        if name:
            refuse(journal.store, renamed, {"backend": volume.backend})
        if volume.name == name:
            return volume, False
        note = partial(journal.noted, "volume.set", volume, {"name": name})
        return journal.keep(volume, renamed, note), True
