"""Volume types: named sets of extra specs and QoS specs that volumes share.

A volume keeps a copy of the specs of the type, so a driver sees what the volume was created with. A
change of a type applies to volumes that are created or retyped later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinderlib import errors
from cinderlib.persistence import volume_types
from cinderlib.persistence.base import Put, Remove, Store
from cinderlib.persistence.volume_types import StoredType
from cinderlib.records import KeyValueRecord, TypeSpecs, VolumeRecord, replace

#: Attempts to write a type that other processes change at the same time.
_ATTEMPTS = 20
_COMPARED = ("description", "extra_specs", "qos_specs", "encryption")
#: How many volumes an error names.
_NAMED = 5


def create(store: Store, wanted: TypeSpecs) -> tuple[TypeSpecs, bool]:
    """Add a type.

    :returns: the type, and whether this call added it.
    :raises AlreadyExists: a type with this name and other specs exists.
    """
    record, there = volume_types.find(store, wanted.id)
    if there is not None:
        _refuse_differences(there.specs, wanted)
        return there.specs, False
    try:
        _write(store, record, StoredType(specs=wanted))
    except errors.StaleRecord:
        return create(store, wanted)  # another process has added it
    return wanted, True


def _refuse_differences(there: TypeSpecs, wanted: TypeSpecs) -> None:
    named = {field: getattr(wanted, field) for field in _COMPARED}
    differ = {f: (getattr(there, f), v) for f, v in named.items() if getattr(there, f) != v}
    if differ:
        texts = ", ".join(f"{f} is {a!r}, requested {b!r}" for f, (a, b) in differ.items())
        raise errors.AlreadyExists(
            f"Volume type {there.name} already exists with different properties: {texts}",
            resource=there.name,
            differences=differ,
        )


def get(store: Store, name: str) -> TypeSpecs:
    """A type by its name or ID.

    :raises VolumeTypeNotFound: it does not exist.
    """
    return _found(store, name)[1].specs


def _found(store: Store, name: str) -> tuple[KeyValueRecord, StoredType]:
    for id in (volume_types.id_of(name), name):
        record, there = volume_types.find(store, id)
        if there is not None:
            return record, there
    raise errors.VolumeTypeNotFound(
        f"Volume type {name!r} does not exist; `cinderlib type list` shows all", resource=name
    )


def change(
    store: Store,
    name: str,
    description: str | None,
    extra_specs: Mapping[str, str | None],
    qos_specs: Mapping[str, str | None],
) -> tuple[TypeSpecs, bool]:
    """Change a type. Volumes that have it keep their specs until they are retyped.

    :param description: the new description; ``None`` keeps it.
    :param extra_specs: values to set; a key with ``None`` is removed.
    :param qos_specs: the same.
    :returns: the type, and whether it changed.
    :raises VolumeTypeNotFound: it does not exist.
    """
    for attempt in range(_ATTEMPTS):
        record, there = _found(store, name)
        before = there.specs
        after = replace(
            before,
            description=before.description if description is None else description,
            extra_specs=_merged(before.extra_specs, extra_specs),
            qos_specs=_merged(before.qos_specs, qos_specs),
        )
        if after == before:
            return before, False
        try:
            _write(store, record, StoredType(specs=after))
        except errors.StaleRecord:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return after, True
    raise AssertionError("unreachable")


def _merged(before: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    merged = {**before, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def delete(store: Store, name: str) -> bool:
    """Delete a type. A type that does not exist is not an error.

    The type is marked first. A volume that is created at the same time either takes the mark away
    after it was recorded, so the removal fails and is repeated, or is found here. The mark has no
    other effect, so the type stays usable if a deletion is interrupted.

    :returns: whether it existed.
    :raises InvalidState: volumes have it. Nothing changed.
    """
    try:
        record, there = _found(store, name)
    except errors.VolumeTypeNotFound:
        return False
    try:
        marked = record
        if not there.deleting:
            marked = _write(store, record, StoredType(specs=there.specs, deleting=True))
        users = _users(store, there.specs.id)
        if not users:
            # Some stores keep no versions, so the removal alone would not find the change.
            _, now = volume_types.find(store, there.specs.id)
            if now is not None and not now.deleting:
                return delete(store, name)  # a new volume has it
            store.apply(Remove(KeyValueRecord, marked.id, marked.version))
            return True
        _write(store, marked, StoredType(specs=there.specs))
    except errors.StaleRecord:
        return delete(store, name)  # another process has changed it
    raise errors.InvalidState(
        f"Volume type {there.specs.name} cannot be deleted: it is the type of {users}. Retype these"
        " volumes, or delete them",
        resource=there.specs.name,
    )


def _users(store: Store, id: str) -> str:
    """The names of volumes that have a type, or will have it after a retype."""
    names: list[str] = []
    for volume in store.iterate(VolumeRecord):
        target = volume.retype_target
        if (volume.type_name and volume.volume_type_id == id) or (target and target.id == id):
            if len(names) == _NAMED:
                return ", ".join([*names, "..."])
            names.append(f"{volume.name} ({volume.id})" if volume.name else volume.id)
    return ", ".join(names)


def assign(store: Store, volume: VolumeRecord, asked: Mapping[str, Any]) -> VolumeRecord:
    """A new volume with the present specs of the type that it was requested with.

    :param asked: the fields that the caller named.
    :raises VolumeTypeNotFound: the type does not exist.
    """
    if asked.get("type_name") is None:
        return volume
    _, there = _found(store, asked["type_name"])
    return replace(volume, **there.specs.fields())


def check_assigned(store: Store, specs: TypeSpecs) -> None:
    """Check after a volume was recorded that its type was not deleted meanwhile. The mark of a
    deletion that runs or was interrupted is taken away.

    :param specs: of the volume.
    :raises InvalidState: the type was deleted.
    """
    if not specs.name:
        return
    record, there = volume_types.find(store, specs.id)
    if there is None:
        raise errors.InvalidState(f"Volume type {specs.name} was deleted", resource=specs.name)
    if there.deleting:
        try:
            _write(store, record, StoredType(specs=there.specs))
        except errors.StaleRecord:
            check_assigned(store, specs)  # another process has changed or deleted it


def _write(store: Store, record: KeyValueRecord, stored: StoredType) -> KeyValueRecord:
    (written,) = store.apply(Put(replace(record, value=volume_types.text(stored))))
    assert isinstance(written, KeyValueRecord)
    return written
