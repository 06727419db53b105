"""The kinds of records and their fields."""

from __future__ import annotations

import datetime
import os
import time
import typing
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from cinderlib.records.secret import Secret, is_encrypted, undecryptable

#: Returns a changed copy of a record: ``replace(record, status='available')``.
replace = msgspec.structs.replace


class Record(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The fields of every record.

    :ivar id: unique among the records of the same kind.
    :ivar version: the number of writes; 0 means never written. The store refuses to overwrite a
        version that the writer has not read.
    :ivar created_at: when the record was first written.
    """

    kind: ClassVar[str]
    #: Fields that a store must be able to search by equality.
    indexed: ClassVar[tuple[str, ...]] = ()
    #: Text fields with the same value in many records, which can share one string in memory.
    common: ClassVar[tuple[str, ...]] = ()

    id: str
    version: int = 0
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None


class AppliedStream(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The stream that was applied to a volume last. The volume has its content as long as no other
    program wrote to the volume.

    :ivar point: identifies the content after the stream, usually by the ID of a snapshot.
    :ivar since: the point before it; ``None`` if the stream had the whole content.
    :ivar complete: whether the stream was written to its end.
    :ivar resumable: whether an incomplete stream can be applied again.
    :ivar applied_by: the connection for writing it, if it is not complete.
    :ivar opened_by: the last connection that could write after that.
    """

    point: str
    since: str | None = None
    complete: bool = False
    resumable: bool = True
    applied_by: str | None = None
    opened_by: str | None = None


class TypeSpecs(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A volume type as drivers see it: a shared one, or the own specs of one volume.

    :ivar id: of the shared type, or of the volume.
    :ivar name: of the shared type; empty for own specs.
    :ivar qos_specs: the limits, and ``consumer``: ``'front-end'``, ``'back-end'`` (the default) or
        ``'both'``.
    """

    id: str
    name: str = ""
    description: str = ""
    extra_specs: dict[str, str] = {}
    qos_specs: dict[str, str] = {}

    @classmethod
    def of(cls, volume: VolumeRecord) -> TypeSpecs:
        """The specs of a volume."""
        shared = volume.volume_type_id if volume.type_name is not None else None
        return cls(
            id=shared or volume.id,
            name=volume.type_name or "",
            extra_specs=volume.extra_specs,
            qos_specs=volume.qos_specs,
        )

    def fields(self) -> dict[str, Any]:
        """The fields of a volume that has these specs."""
        is_empty = not (self.name or self.extra_specs or self.qos_specs)
        return {
            "type_name": self.name or None,
            "volume_type_id": None if is_empty else self.id,
            "extra_specs": self.extra_specs,
            "qos_specs": self.qos_specs,
        }


class VolumeRecord(Record, kw_only=True, frozen=True, omit_defaults=True):
    """A volume. The fields have the names and meanings of those of Cinder's volume.

    :ivar type_name: the name of the shared type with the ID ``volume_type_id``, from which the
        specs were copied; ``None`` for a volume with own specs, whose type has the volume's ID.
    :ivar retype_target: the type of a retype that runs or failed, so that the storage can have its
        specs already.
    :ivar managed_from: the driver's reference by which an existing volume was taken over; ``None``
        for a volume that was created here.
    :ivar applied: the stream that was applied last, if the volume still has its content or is
        incomplete.
    :ivar snapshot_access: how this temporary volume gives a host access to the snapshot
        ``snapshot_id``: ``'native'`` (the storage maps the snapshot itself) or ``'clone'`` (the
        volume is a copy). It is deleted with its connection. ``None`` for other volumes.
    """

    kind: ClassVar[str] = "volume"
    indexed: ClassVar[tuple[str, ...]] = ("backend", "name")
    common: ClassVar[tuple[str, ...]] = (
        *("backend", "host", "status", "user_id", "project_id", "type_name"),
    )

    backend: str
    size: int
    host: str
    name: str = ""
    description: str = ""
    status: str = "creating"
    attach_status: str = "detached"
    previous_status: str | None = None
    availability_zone: str | None = None
    cluster_name: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    bootable: bool = False
    multiattach: bool = False
    metadata: dict[str, str] = {}
    admin_metadata: dict[str, str] = {}
    glance_metadata: dict[str, str] = {}
    extra_specs: dict[str, str] = {}
    qos_specs: dict[str, str] = {}
    volume_type_id: str | None = None
    type_name: str | None = None
    retype_target: TypeSpecs | None = None
    source_volid: str | None = None
    snapshot_id: str | None = None
    group_id: str | None = None
    name_id: str | None = None
    encryption_key_id: str | None = None
    migration_status: str | None = None
    replication_status: str | None = None
    replication_extended_status: str | None = None
    replication_driver_data: str | None = None
    provider_id: str | None = None
    provider_location: str | None = None
    provider_geometry: str | None = None
    provider_auth: Secret | None = None
    shared_targets: bool = False
    launched_at: datetime.datetime | None = None
    managed_from: dict[str, Any] | None = None
    applied: AppliedStream | None = None
    snapshot_access: str | None = None


class SnapshotRecord(Record, kw_only=True, frozen=True, omit_defaults=True):
    """A snapshot of a volume.

    :ivar managed_from: the driver's reference by which an existing snapshot was taken over.
    """

    kind: ClassVar[str] = "snapshot"
    indexed: ClassVar[tuple[str, ...]] = ("backend", "name", "volume_id")

    backend: str
    volume_id: str
    volume_size: int
    name: str = ""
    description: str = ""
    status: str = "creating"
    progress: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    metadata: dict[str, str] = {}
    glance_metadata: dict[str, str] = {}
    group_snapshot_id: str | None = None
    encryption_key_id: str | None = None
    provider_id: str | None = None
    provider_location: str | None = None
    provider_auth: Secret | None = None
    managed_from: dict[str, Any] | None = None


class ConnectionRecord(Record, kw_only=True, frozen=True, omit_defaults=True):
    """A volume that is exported to one host, and the device on that host.

    :ivar connector: the connector properties of the host (initiator name, NQN, IP, ...).
    :ivar conn_info: the driver's connection information, ``{'driver_volume_type': ..., 'data':
        {...}}``; secret because it can contain CHAP or cephx keys.
    :ivar device: the device information that the host's attach returned (``path``, ...); ``None``
        while it is not attached. Secret because a few connectors put the connection's data into it.
    :ivar status: ``'attaching'``, ``'attached'`` (mapped to the host) or ``'detaching'``.
    :ivar use_multipath: whether it was attached with multipath, so that detach and extend do the
        same.
    :ivar scan_attempts: how many times the host scans for the device.
    """

    kind: ClassVar[str] = "connection"
    indexed: ClassVar[tuple[str, ...]] = ("backend", "volume_id", "attached_host")

    backend: str
    volume_id: str
    connector: dict[str, Any]
    conn_info: Secret | None = None
    device: Secret | None = None
    status: str = "attaching"
    attach_mode: str = "rw"
    attached_host: str | None = None
    mountpoint: str | None = None
    instance_uuid: str | None = None
    use_multipath: bool = False
    scan_attempts: int = 3
    attached_at: datetime.datetime | None = None


class KeyValueRecord(Record, kw_only=True, frozen=True, omit_defaults=True):
    """A text with a key. Nodes and controllers exchange messages in these records, and drivers
    keep their data about initiators in them."""

    kind: ClassVar[str] = "key_value"

    value: str | None = None

    @property
    def key(self) -> str:
        """The key; the same as ``id``."""
        return self.id

    def reveal(self) -> str | None:
        """The text. Do not show it: drivers keep passwords in such texts.

        :raises DecryptionError: it came encrypted from the store, and none of the store's keys
            decrypts it.
        """
        if is_encrypted(self.value):
            raise undecryptable("value", self.kind, self.id)
        return self.value

    def __repr__(self) -> str:
        return f"KeyValueRecord(id={self.id!r}, version={self.version})"


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


AnyRecord = (
    VolumeRecord
    | SnapshotRecord
    | ConnectionRecord
    | KeyValueRecord
    | IntentRecord
    | OperationRecord
)
KINDS: Mapping[str, type[Record]] = {k.kind: k for k in typing.get_args(AnyRecord)}
#: The fields that can hold a secret.
SECRETS: Mapping[type[Record], tuple[str, ...]] = {
    VolumeRecord: ("provider_auth",),
    SnapshotRecord: ("provider_auth",),
    ConnectionRecord: ("conn_info", "device"),
    KeyValueRecord: ("value",),
    IntentRecord: (),
    OperationRecord: (),
}


def new_id() -> str:
    """A new ID for a volume, snapshot, connection or intent: a random UUID.

    This takes half the time of :func:`uuid.uuid4`, and each operation needs one or two.
    """
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def new_id_in_order() -> str:
    """A new ID that is greater than earlier ones (UUID version 7), so that new rows of a table are
    next to each other."""
    digits = f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def now() -> datetime.datetime:
    """The time to write into a record."""
    return datetime.datetime.now(datetime.UTC)
