"""Queries of the history."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, Literal, cast

from cinderlib import errors
from cinderlib.locking import process_identity
from cinderlib.operations.history import IDS, PENDING_UNMAPS
from cinderlib.persistence.base import Store
from cinderlib.records import Author, IntentRecord, OperationRecord, now

#: The minimum length of the beginning of an ID that selects operations.
_SHORTEST = 8
#: How much the recorded start of an operation can differ from that of the intent.
_SAME = datetime.timedelta(seconds=1)

#: Behind each ID of a record.
_LAST = "~"

State = Literal["done", "failed", "finished", "undone", "running", "interrupted", "pending"]


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the history.

    :ivar operation: ``'volume.create'``, ``'connection.connect'``, ...
    :ivar resource_id: the ID of the volume, snapshot or connection; empty if there are several:
        their IDs are then the argument ``ids``.
    :ivar volume_id: the ID of the volume that it is or belongs to.
    :ivar name: of the resource at that time, or of the volume of a connection; empty if unknown.
    :ivar user: of the operating system, or a client of the service.
    :ivar host: the host of the process.
    :ivar pid: the process ID; 0 if unknown.
    :ivar program: the name of the program.
    :ivar arguments: without secrets.
    :ivar ended_at: ``None`` if it has not ended.
    :ivar seconds: its duration so far.
    :ivar driver_seconds: the part of it in which the driver worked.
    :ivar outcome: ``'done'``, ``'failed'``, ``'running'``, ``'interrupted'`` (by a crash), or
        ``'pending'`` (retried by the next operation on the volume); or how an interrupted operation
        was recovered: ``'finished'`` or ``'undone'``.
    :ivar error: why it failed.
    :ivar recovered_by: user, host, process ID and program that finished or undid it.
    :ivar id: of the record; empty if it has not ended.
    """

    operation: str
    backend: str
    resource_id: str
    volume_id: str | None
    name: str
    user: str
    host: str
    pid: int
    program: str
    arguments: dict[str, Any]
    started_at: datetime.datetime
    ended_at: datetime.datetime | None
    seconds: float
    driver_seconds: float
    outcome: State
    error: str = ""
    recovered_by: dict[str, Any] | None = None
    id: str = ""


def read(
    store: Store,
    resource: str | None = None,
    *,
    backend: str | None = None,
    since: datetime.datetime | None = None,
    after: str | None = None,
    limit: int | None = None,
    running: bool = True,
) -> list[Operation]:
    """The operations of a store, the earliest end first; those that have not ended come last.

    :param resource: only those of the volume, snapshot or connection with this ID or name, and of
        the snapshots and connections of that volume. The beginning of an ID is accepted from 8
        characters.
    :param since: only those that ended after this time.
    :param after: only those that ended after the operation with this ID.
    :param limit: only that many: the newest.
    :param running: include those that have not ended.
    :raises Unsupported: the store keeps no history.
    """
    if not store.keeps_history:
        raise errors.Unsupported(
            f"The store {store} keeps no history: it has no place for records of operations"
        )
    place = None
    if after is not None:
        place = store.get(OperationRecord, after) or _place(_time_of(after), after)
    elif since is not None:
        place = _place(since, _LAST)
    # In this order: an operation that ends meanwhile is not missed.
    intents = list(store.iterate(IntentRecord)) if running else []
    ended = [_ended(record) for record in store.iterate(OperationRecord, after=place)]
    found = [
        each
        for each in [*ended, *map(_running, _not_ended(intents, ended))]
        if (resource is None or _is_of(each, resource))
        and (backend is None or each.backend == backend)
    ]
    return found[-limit:] if limit else found


def _not_ended(intents: list[IntentRecord], ended: list[Operation]) -> list[IntentRecord]:
    """Without operations that ended while the records were read."""
    latest = {(each.operation, each.resource_id): each.started_at for each in ended}
    left = []
    for intent in intents:
        started = intent.created_at or now()
        end = latest.get((intent.operation, intent.resource_id))
        if end is None or end < started - _SAME:
            left.append(intent)
    return left


def _place(time: datetime.datetime, id: str) -> OperationRecord:
    """A place in the order of the records."""
    return OperationRecord(
        id=id,
        operation="",
        backend="",
        resource_id="",
        author=Author(user=""),
        started_at=time,
        seconds=0.0,
        created_at=time,
    )


def _time_of(id: str) -> datetime.datetime:
    """The time in the ID of a record that was removed since.

    :raises InvalidInput: it is not such an ID.
    """
    try:
        return datetime.datetime.fromtimestamp(int(id[:8] + id[9:13], 16) / 1000, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        raise errors.InvalidInput(f"{id[:80]!r} is not the ID of an operation") from None


def _is_of(operation: Operation, resource: str) -> bool:
    several = operation.arguments.get(IDS)
    ids = [operation.resource_id, operation.volume_id or ""]
    if isinstance(several, list):
        ids += map(str, several)
    if resource in (*ids, operation.name):
        return True
    beginning = resource.lower()
    return len(resource) >= _SHORTEST and any(id.lower().startswith(beginning) for id in ids)


def _ended(record: OperationRecord) -> Operation:
    recovered = record.recovered_by
    return Operation(
        **_described(record, record.author),
        started_at=record.started_at,
        ended_at=record.created_at,
        seconds=record.seconds,
        driver_seconds=record.driver_seconds,
        outcome=cast(State, record.outcome),
        error=record.error,
        recovered_by=None if recovered is None else _plain(recovered),
        id=record.id,
    )


def _described(record: OperationRecord | IntentRecord, by: Author) -> dict[str, Any]:
    return {
        "operation": record.operation,
        "backend": record.backend,
        "resource_id": record.resource_id,
        "volume_id": record.volume_id,
        "name": record.name,
        "arguments": dict(record.arguments),
        **_plain(by),
    }


def _running(intent: IntentRecord) -> Operation:
    owner = intent.owner
    by = intent.author or Author(user="", host=owner.host, pid=owner.pid)
    started = intent.created_at or now()
    return Operation(
        **_described(intent, by),
        started_at=started,
        ended_at=None,
        seconds=max(0.0, (now() - started).total_seconds()),
        driver_seconds=0.0,
        outcome=_state(intent),
    )


def _state(intent: IntentRecord) -> State:
    if intent.operation in PENDING_UNMAPS:
        return "pending"
    return "interrupted" if process_identity.is_dead(intent.owner) else "running"


def _plain(by: Author) -> dict[str, Any]:
    return {"user": by.user, "host": by.host, "pid": by.pid, "program": by.program}
