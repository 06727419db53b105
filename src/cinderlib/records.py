"""The records: what is stored, serialized and sent between hosts.

A record is plain data: immutable, comparable, no reference to a driver, a store or another record
(others are named by id). The objects that users hold wrap one; the store keeps them; the driver
host gets them and gives changed ones back. Times are timezone-aware and in UTC, sizes are GiB as
in Cinder.

Nested dicts are not to be changed in place: make a changed record with :func:`replace`.
"""

from __future__ import annotations

import datetime
import os
import sys
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import msgspec

from cinderlib.errors import DecryptionError

R = TypeVar("R", bound="Record")

#: Makes a changed copy of a record: ``replace(record, status='available')``.
replace = msgspec.structs.replace


#: How a value begins that the store has encrypted (:mod:`cinderlib.persistence.encryption`).
ENCRYPTED = "cinderlib:encrypted:"
_ENCRYPTED = ENCRYPTED.encode()


def is_encrypted(value: Any) -> bool:
    """Whether a stored value is encrypted."""
    return isinstance(value, str) and value.startswith(ENCRYPTED)


def undecryptable(field: str, kind: str = "", id: str = "") -> DecryptionError:
    """The error for a secret that is encrypted and stays so, by whose it is, if that is known."""
    of = f" of {kind.replace('_', '-')} {id!r}" if kind else ""
    return DecryptionError(
        f"The {field}{of} is encrypted, and the store was opened without the key that decrypts it."
        " Give that key in encryption_keys",
        resource=id or None,
    )


class Secret:
    """A JSON value that must not be seen: never in a repr, a log line, an error or a listing.

    Only :meth:`reveal` gives the value, so that every place that handles it in clear can be found.
    """

    __slots__ = ("_of", "_value")

    def __init__(self, value: Any) -> None:
        self._value: Any = value.reveal() if isinstance(value, Secret) else value
        # Whose it is, where it came encrypted from a store.
        self._of: tuple[str, ...] = ("secret",)

    def reveal(self) -> Any:
        """The value, in clear.

        :raises DecryptionError: it came encrypted from the store, and none of the store's keys
            opens it.
        """
        if is_encrypted(self._value):
            raise undecryptable(*self._of)
        return self._value

    def known(self) -> Any:
        """The value as far as it is known: in clear, or encrypted where it cannot be
        decrypted."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')" if self else "Secret(None)"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.known() == other.known()

    def __hash__(self) -> int:
        return hash(repr(self.known()))


class Record(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What all records have.

    :ivar id: identifies the record among those of its kind.
    :ivar version: how often it was written; 0 means never. The store refuses to write over a
        version that the writer has not seen.
    :ivar created_at: when the record was first written.
    """

    kind: ClassVar[str]
    #: Fields that a store must be able to search for equality.
    indexed: ClassVar[tuple[str, ...]] = ()
    #: Texts that many records have in common: a decoder makes each anew, and one in memory will do.
    common: ClassVar[tuple[str, ...]] = ()

    id: str
    version: int = 0
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None


class VolumeRecord(Record, kw_only=True, frozen=True, omit_defaults=True):
    """A volume. The fields have the names and meanings of Cinder's volume."""

    kind: ClassVar[str] = "volume"
    indexed: ClassVar[tuple[str, ...]] = ("backend", "name")
    common: ClassVar[tuple[str, ...]] = ("backend", "host", "status", "user_id", "project_id")

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


class SnapshotRecord(Record, kw_only=True, frozen=True, omit_defaults=True):
    """A snapshot of a volume."""

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


class ConnectionRecord(Record, kw_only=True, frozen=True, omit_defaults=True):
    """A volume made reachable for one host, and what that host made of it.

    :ivar connector: what the host said of itself (initiator name, NQN, IP, ...).
    :ivar conn_info: the driver's answer, ``{'driver_volume_type': ..., 'data': {...}}``; secret
        because it can carry CHAP or cephx keys.
    :ivar device: what the host's attach gave (``path``, ...); secret because a few connectors put
        the connection's data into it; ``None`` while not attached.
    :ivar status: ``'attaching'``, ``'attached'`` (mapped for the host) or ``'detaching'``.
    :ivar use_multipath: how it was made, so that detach and extend do the same.
    :ivar scan_attempts: how often the host looks for the device to appear.
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
    """A text kept under a key; how nodes and controllers leave each other messages, and where
    drivers keep what they know of initiators."""

    kind: ClassVar[str] = "key_value"

    value: str | None = None

    @property
    def key(self) -> str:
        """The key; the same as ``id``."""
        return self.id

    def reveal(self) -> str | None:
        """The text; not to be shown, as drivers keep passwords in theirs.

        :raises DecryptionError: it came encrypted from the store, and none of the store's keys
            opens it.
        """
        if is_encrypted(self.value):
            raise undecryptable("value", self.kind, self.id)
        return self.value

    def __repr__(self) -> str:
        return f"KeyValueRecord(id={self.id!r}, version={self.version})"


class Owner(msgspec.Struct, kw_only=True, frozen=True):
    """The process that works on an intent; enough to tell later whether it is still alive.

    :ivar start_time: of the process, in clock ticks since boot (``/proc/<pid>/stat``), so that a
        reused process id is not taken for the owner.
    :ivar pid_namespace: in which the process has that id (``/proc/<pid>/ns/pid``); 0 if unknown.
    """

    host: str
    boot_id: str
    pid: int
    start_time: int
    pid_namespace: int = 0


class IntentRecord(Record, kw_only=True, frozen=True, omit_defaults=True):
    """An operation that was begun and has not ended: written before storage is touched, removed in
    the same transaction that writes the result. One that is found later was interrupted.

    :ivar operation: a name of ``cinderlib.operations`` (``'volume.create'``).
    :ivar resource_id: the id of the volume, snapshot or connection it works on.
    :ivar lock: the lock that the operation holds while it runs.
    :ivar data: what recovery must know besides the resource's own record.
    """

    kind: ClassVar[str] = "intent"
    indexed: ClassVar[tuple[str, ...]] = ("backend", "resource_id")

    operation: str
    backend: str
    resource_id: str
    lock: str
    owner: Owner
    data: dict[str, Any] = {}


AnyRecord = VolumeRecord | SnapshotRecord | ConnectionRecord | KeyValueRecord | IntentRecord
KINDS: Mapping[str, type[Record]] = {k.kind: k for k in typing.get_args(AnyRecord)}
#: The fields that can hold a secret.
SECRETS: Mapping[type[Record], tuple[str, ...]] = {
    VolumeRecord: ("provider_auth",),
    SnapshotRecord: ("provider_auth",),
    ConnectionRecord: ("conn_info", "device"),
    KeyValueRecord: ("value",),
    IntentRecord: (),
}


def new_id() -> str:
    """A fresh id for a volume, snapshot, connection or intent: a random UUID.

    Put together here, in half the time that ``uuid`` takes by way of an object; each operation
    needs one or two.
    """
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def now() -> datetime.datetime:
    """The time to write into a record."""
    return datetime.datetime.now(datetime.UTC)


def _encode_secret(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.known()
    raise NotImplementedError(f"records hold no {type(value).__name__}")


def _decode_secret(kind: type, value: Any) -> Any:
    return Secret(value)


_encoder = msgspec.json.Encoder(enc_hook=_encode_secret)
# All of them now: msgspec takes a type apart when it is first used, and two threads that do that at
# once crash the process (seen with msgspec 0.22).
_decoders: dict[type, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind, dec_hook=_decode_secret) for kind in KINDS.values()
}


def encode(record: Record) -> bytes:
    """A record as JSON for the store, **secrets in clear** unless it encrypts them."""
    return _encoder.encode(record)


def decode(kind: type[R], document: bytes | str) -> R:
    """A record from its JSON.

    Fields that this version does not know are passed over, so that rows written by a newer version
    can be read.

    :raises msgspec.ValidationError: a field is missing or of the wrong type.
    :raises msgspec.DecodeError: it is not JSON.
    """
    record = typing.cast(R, _decoders[kind].decode(document))
    for field in kind.common:
        text = getattr(record, field)
        if text is not None:
            msgspec.structs.force_setattr(record, field, sys.intern(text))
    if ENCRYPTED in document if isinstance(document, str) else _ENCRYPTED in document:
        for field in SECRETS[kind]:
            secret = getattr(record, field)
            if isinstance(secret, Secret):
                secret._of = (field, kind.kind, record.id)
    return record


def check_types(record: Record) -> None:
    """Whether a record can be read again once it is stored.

    :raises ValueError: a field is not of its type; the message has no value.
    """
    try:
        decode(type(record), encode(record))
    except (msgspec.MsgspecError, UnicodeError, NotImplementedError, TypeError) as exc:
        # An encoder's error shows the text that it cannot encode.
        what = exc if isinstance(exc, msgspec.MsgspecError) else type(exc).__name__
        raise ValueError(f"this cannot be a {record.kind}: {what}") from None


def to_builtins(record: Record, *, secrets: bool = False) -> dict[str, Any]:
    """A record as plain dicts, lists, texts and numbers.

    :param secrets: whether secrets are in it in clear; without, they are ``'***'``.
    """

    def hook(value: Any) -> Any:
        if isinstance(value, Secret):
            return value.reveal() if secrets else "***"
        return _encode_secret(value)

    return typing.cast(dict[str, Any], msgspec.to_builtins(record, enc_hook=hook))


def from_builtins(kind: type[R], data: Mapping[str, Any]) -> R:
    """The opposite of :func:`to_builtins` with secrets.

    :raises msgspec.ValidationError: a field is missing or of the wrong type.
    """
    return msgspec.convert(data, kind, dec_hook=_decode_secret)
