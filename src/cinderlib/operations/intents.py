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
    volume_id = None
    if isinstance(record, VolumeRecord):
        name, volume_id = record.name, record.id
    elif isinstance(record, SnapshotRecord):
        name, volume_id = record.name, record.volume_id
    elif isinstance(record, GroupRecord | GroupSnapshotRecord):
        name = record.name
    elif isinstance(record, ConnectionRecord):
        volume_id = record.volume_id
    return IntentRecord(
        id=id or new_id(),
        operation=operation,
        backend=getattr(record, "backend", "") if backend is None else backend,
        resource_id=getattr(record, "id", "") if resource_id is None else resource_id,
        lock=lock,
        owner=this_process(),
        data=dict(data or {}),
        author=author.current(),
        name=name,
        volume_id=volume_id,
        arguments={k: v for k, v in (arguments or {}).items() if v not in (None, "", {})},
    )


def intents_of(resource_id: str) -> Query:
    """The query for the intents of a resource."""
    return Query(IntentRecord, "resource_id", resource_id)
