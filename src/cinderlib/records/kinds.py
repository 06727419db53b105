"""The records of resources, and all kinds of records."""

from __future__ import annotations

import datetime
import typing
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from cinderlib.records.base import Record
from cinderlib.records.operations import IntentRecord, OperationRecord
from cinderlib.records.secret import Secret, is_encrypted, undecryptable


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
    :ivar encryption: ``provider`` (``'luks'`` or ``'luks2'``), ``control_location``
        (``'front-end'``: hosts encrypt), and optionally ``cipher`` and ``key_size``; empty if hosts
        do not encrypt the volume.
    """

    id: str
    name: str = ""
    description: str = ""
    extra_specs: dict[str, str] = {}
    qos_specs: dict[str, str] = {}
    encryption: dict[str, str] = {}

    @classmethod
    def of(cls, volume: VolumeRecord) -> TypeSpecs:
        """The specs of a volume."""
        shared = volume.volume_type_id if volume.type_name is not None else None
        return cls(
            id=shared or volume.id,
            name=volume.type_name or "",
            extra_specs=volume.extra_specs,
            qos_specs=volume.qos_specs,
            encryption=volume.encryption,
        )

    def fields(self) -> dict[str, Any]:
        """The fields of a volume that has these specs."""
        is_empty = not (self.name or self.extra_specs or self.qos_specs or self.encryption)
        return {
            "type_name": self.name or None,
            "volume_type_id": None if is_empty else self.id,
            "extra_specs": self.extra_specs,
            "qos_specs": self.qos_specs,
            "encryption": self.encryption,
        }


class VolumeRecord(Record, kw_only=True, frozen=True, omit_defaults=True):
    """A volume. The fields have the names and meanings of those of Cinder's volume.

    :ivar type_name: the name of the shared type with the ID ``volume_type_id``, from which the
        specs were copied; ``None`` for a volume with own specs, whose type has the volume's ID.
    :ivar encryption: as in :class:`TypeSpecs`.
    :ivar encryption_key: in hexadecimal digits, if hosts encrypt the volume and the store keeps the
        key.
    :ivar encryption_key_ref: where the key is, if it is outside the store; see
        ``cinderlib.keys``.
    :ivar encryption_opened: whether a host has opened the encrypted volume, so that it has a
        header.
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
    encryption: dict[str, str] = {}
    encryption_key: Secret | None = None
    encryption_key_ref: str | None = None
    encryption_opened: bool = False
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
        {...}}``, with ``'encryption'`` if the host decrypts the volume; secret because it can
        contain CHAP or cephx keys, and contains the key of an encrypted volume or a reference to
        it.
    :ivar device: the device information that the host's attach returned (``path``, ...); ``None``
        while it is not attached. Secret because a few connectors put the connection's data into it.
    :ivar status: ``'attaching'``, ``'attached'`` (mapped to the host) or ``'detaching'``.
    :ivar use_multipath: whether it was attached with multipath, so that detach and extend do the
        same.
    :ivar scan_attempts: how many times the host scans for the device.
    :ivar storage: the storage system that it leads to: the ``backend_id`` of a replication device
        or ``'replica'``; ``None`` for the backend's own.
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
    storage: str | None = None


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
    VolumeRecord: ("encryption_key", "provider_auth"),
    SnapshotRecord: ("provider_auth",),
    ConnectionRecord: ("conn_info", "device"),
    KeyValueRecord: ("value",),
    IntentRecord: (),
    OperationRecord: (),
}
