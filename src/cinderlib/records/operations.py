"""The records of operations: intents of those that run or were interrupted, and the history."""

from __future__ import annotations

import datetime
from typing import Any, ClassVar

import msgspec

from cinderlib.records.base import Record


class Owner(msgspec.Struct, kw_only=True, frozen=True):
    """The process that works on an intent, with enough data to check later whether it is alive.

    :ivar start_time: of the process, in clock ticks since boot (``/proc/<pid>/stat``), so that
        another process with the same process ID is not mistaken for the owner.
    :ivar pid_namespace: the namespace of the process ID (``/proc/<pid>/ns/pid``); 0 if unknown.
    """

    host: str
    boot_id: str
    pid: int
    start_time: int
    pid_namespace: int = 0


class Author(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Who executes an operation.

    :ivar user: of the operating system, or of a client of the service.
    :ivar host: the host of the process.
    :ivar pid: the process ID; 0 if unknown.
    :ivar program: the name of the program.
    """

    user: str
    host: str = ""
    pid: int = 0
    program: str = ""


class IntentRecord(Record, kw_only=True, frozen=True, omit_defaults=True):
    """An operation that has started and not ended. The intent is written before the operation
    changes the storage, and removed in the transaction that writes the result. An intent that
    remains belongs to an interrupted operation.

    :ivar operation: a name of ``cinderlib.operations`` (``'volume.create'``).
    :ivar resource_id: the ID of the volume, snapshot or connection.
    :ivar lock: the lock that the operation holds while it runs.
    :ivar data: data that recovery needs in addition to the resource's own record.
    :ivar author: who started it; ``None`` if an earlier version of the library wrote the intent.
    :ivar name: the name of the resource, or of the volume of a connection.
    :ivar volume_id: the ID of the volume that the resource is or belongs to.
    :ivar arguments: the arguments of the operation, for the history.
    """

    kind: ClassVar[str] = "intent"
    indexed: ClassVar[tuple[str, ...]] = ("backend", "resource_id")

    operation: str
    backend: str
    resource_id: str
    lock: str
    owner: Owner
    data: dict[str, Any] = {}
    author: Author | None = None
    name: str = ""
    volume_id: str | None = None
    arguments: dict[str, Any] = {}


class OperationRecord(Record, kw_only=True, frozen=True, omit_defaults=True):
    """An operation that has ended, for the history. It is written in the transaction that removes
    the intent; ``created_at`` is its end.

    :ivar operation: as in the intent, like ``backend``, ``resource_id``, ``volume_id``, ``name``,
        ``author`` and ``arguments``.
    :ivar outcome: ``'done'``, ``'failed'``, or, if it was interrupted, the outcome of the recovery:
        ``'finished'`` or ``'undone'``.
    :ivar error: why it failed.
    :ivar seconds: its duration.
    :ivar driver_seconds: the part of it in which the driver worked.
    :ivar recovered_by: who finished or undid an interrupted operation.
    """

    kind: ClassVar[str] = "operation"
    common: ClassVar[tuple[str, ...]] = ("operation", "backend", "outcome")

    operation: str
    backend: str
    resource_id: str
    author: Author
    started_at: datetime.datetime
    seconds: float
    driver_seconds: float = 0.0
    outcome: str = "done"
    error: str = ""
    volume_id: str | None = None
    name: str = ""
    arguments: dict[str, Any] = {}
    recovered_by: Author | None = None
