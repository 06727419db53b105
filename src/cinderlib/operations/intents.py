"""New intents, and the query for those of a resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinderlib import author
from cinderlib.locking.process_identity import this_process
from cinderlib.persistence.base import Query
from cinderlib.records import (
    ConnectionRecord,
    GroupRecord,
    GroupSnapshotRecord,
    IntentRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
    new_id,
)


def new_intent(
    operation: str,
    record: Record | None,
    lock: str,
    *,
    data: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
    name: str = "",
    id: str | None = None,
    resource_id: str | None = None,
    backend: str | None = None,
) -> IntentRecord:
    """An intent of this process, not stored yet.

    :param record: the resource of the operation; ``None`` if it does not exist any more.
    :param lock: the name of the lock that is held for it.
    :param data: what recovery needs.
    :param arguments: for the history, without secrets.
    :param name: of the volume of a connection, for the history.
    :param id: of the intent; by default a new one.
    :param resource_id: by default the record's, as ``backend``.
    """
    own_name, volume_id = name_and_volume(record)
    return IntentRecord(
        id=id or new_id(),
        operation=operation,
        backend=getattr(record, "backend", "") if backend is None else backend,
        resource_id=getattr(record, "id", "") if resource_id is None else resource_id,
        lock=lock,
        owner=this_process(),
        data=dict(data or {}),
        author=author.current(),
        name=own_name or name,
        volume_id=volume_id,
        arguments=recorded(arguments),
    )


def name_and_volume(record: Record | None) -> tuple[str, str | None]:
    """The name of a resource, and the ID of the volume that it is or belongs to, for the
    history."""
    if isinstance(record, VolumeRecord):
        return record.name, record.id
    if isinstance(record, SnapshotRecord):
        return record.name, record.volume_id
    if isinstance(record, GroupRecord | GroupSnapshotRecord):
        return record.name, None
    return "", record.volume_id if isinstance(record, ConnectionRecord) else None


def recorded(arguments: Mapping[str, Any] | None) -> dict[str, Any]:
    """The arguments that the history has: those with a value."""
    if not arguments:
        return {}
    return {k: v for k, v in arguments.items() if v not in (None, "", {})}


def intents_of(resource_id: str) -> Query:
    """The query for the intents of a resource."""
    return Query(IntentRecord, "resource_id", resource_id)
