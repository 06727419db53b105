"""The JSON documents: one resource, optionally with the resources that belong to it.

Format 1::

    {"class": "Volume", "format": 1, "backend": {"volume_backend_name": "lvm"},
     "volume": {...}, "snapshots": [{...}], "connections": [{...}]}

``class`` is ``Backend`` (with ``volumes``, a list of Volume documents), ``Volume``, ``Snapshot`` or
``Connection`` (both with their ``volume``). A list or a related resource that is missing or
``null`` was not requested; it may exist. Records have the fields of :mod:`cinderlib.records`,
without fields that have their default value. Times are ISO 8601 in UTC. Readers ignore unknown
fields, so new fields can be added. A change that an older reader would misinterpret increases
``format``.

**A document is as secret as the store.** It contains the keys that drivers and nodes need (CHAP and
cephx keys) in clear; otherwise it could not be used to move a store. It also contains the options
of a backend if they were requested. Use :func:`to_dict` to display a record.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cinderlib.records import ConnectionRecord, Record, Secret, SnapshotRecord, VolumeRecord

#: The format that is written, and the newest format that can be read.
FORMAT = 1

NAME = "volume_backend_name"


class _Document(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, tag_field="class"):
    """:ivar backend: ``volume_backend_name``, and the backend's options if they were requested."""

    format: int
    backend: dict[str, Any]

    @property
    def backend_name(self) -> str:
        """The name of the backend."""
        return str(self.backend[NAME])

    @property
    def backend_options(self) -> dict[str, Any] | None:
        """The backend's options without its name; ``None`` if the document has none."""
        return {k: v for k, v in self.backend.items() if k != NAME} or None

    def __repr__(self) -> str:  # the options of a backend can contain its password
        return f"{type(self).__name__}(backend={self.backend_name!r}, ...)"


class VolumeDocument(_Document, kw_only=True, frozen=True, omit_defaults=True, tag="Volume"):
    """A volume; ``None`` for lists that were not requested."""

    volume: VolumeRecord
    snapshots: list[SnapshotRecord] | None = None
    connections: list[ConnectionRecord] | None = None

    @property
    def subject(self) -> VolumeRecord:
        """The record that the document describes."""
        return self.volume


class SnapshotDocument(_Document, kw_only=True, frozen=True, omit_defaults=True, tag="Snapshot"):
    """A snapshot and its volume."""

    snapshot: SnapshotRecord
    volume: VolumeRecord | None = None

    @property
    def subject(self) -> SnapshotRecord:
        """The record that the document describes."""
        return self.snapshot


class ConnectionDocument(
    _Document, kw_only=True, frozen=True, omit_defaults=True, tag="Connection"
):
    """A connection and its volume."""

    connection: ConnectionRecord
    volume: VolumeRecord | None = None

    @property
    def subject(self) -> ConnectionRecord:
        """The record that the document describes."""
        return self.connection


class BackendDocument(_Document, kw_only=True, frozen=True, omit_defaults=True, tag="Backend"):
    """A backend and its volumes."""

    volumes: list[VolumeDocument] | None = None


Document = BackendDocument | VolumeDocument | SnapshotDocument | ConnectionDocument


def _backend(name: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**(options or {}), NAME: name}


def volume_document(
    volume: VolumeRecord,
    *,
    snapshots: Sequence[SnapshotRecord] | None = None,
    connections: Sequence[ConnectionRecord] | None = None,
    options: Mapping[str, Any] | None = None,
) -> VolumeDocument:
    """:param options: of the backend, in clear, to include them in the document."""
    return VolumeDocument(
        format=FORMAT,
        backend=_backend(volume.backend, options),
        volume=volume,
        snapshots=None if snapshots is None else list(snapshots),
        connections=None if connections is None else list(connections),
    )


def snapshot_document(
    snapshot: SnapshotRecord,
    *,
    volume: VolumeRecord | None = None,
    options: Mapping[str, Any] | None = None,
) -> SnapshotDocument:
    """:param options: of the backend, in clear, to include them in the document."""
    backend = _backend(snapshot.backend, options)
    return SnapshotDocument(format=FORMAT, backend=backend, snapshot=snapshot, volume=volume)


def connection_document(
    connection: ConnectionRecord,
    *,
    volume: VolumeRecord | None = None,
    options: Mapping[str, Any] | None = None,
) -> ConnectionDocument:
    """:param options: of the backend, in clear, to include them in the document."""
    backend = _backend(connection.backend, options)
    return ConnectionDocument(format=FORMAT, backend=backend, connection=connection, volume=volume)


def backend_document(
    name: str,
    *,
    volumes: Sequence[VolumeDocument] | None = None,
    options: Mapping[str, Any] | None = None,
) -> BackendDocument:
    """:param options: of the backend, in clear, to include them in the document."""
    return BackendDocument(
        format=FORMAT,
        backend=_backend(name, options),
        volumes=None if volumes is None else list(volumes),
    )


def _reveal(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(f"a document cannot contain a {type(value).__name__}")


_encoder = msgspec.json.Encoder(enc_hook=_reveal)


def to_builtins(document: Document | Sequence[Document]) -> Any:
    """The document as plain dicts, lists, texts and numbers, as ``json`` and ``dump`` return it."""
    return msgspec.to_builtins(document, enc_hook=_reveal)


def to_text(document: Document | Sequence[Document]) -> str:
    """The document as JSON text, as ``jsons`` and ``dumps`` return it."""
    return _encoder.encode(document).decode()


def to_line(document: Document) -> bytes:
    """The document as one line of a JSON Lines file."""
    return _encoder.encode(document) + b"\n"


def wire(connection: ConnectionRecord, volume: VolumeRecord | None = None) -> dict[str, Any]:
    """The dict that a controller sends to the node that attaches: ``{'conn', 'connector',
    'device'}`` as in cinderlib 5, and the settings of the connection. **Keys are in clear.**

    :param volume: with it, the node can compare the device's size with the volume's size (in
        bytes).
    """
    document: dict[str, Any] = {
        "conn": connection.conn_info.reveal() if connection.conn_info else None,
        "connector": connection.connector,
        "id": connection.id,
        "use_multipath": connection.use_multipath,
        "scan_attempts": connection.scan_attempts,
        "attach_mode": connection.attach_mode,
        "volume": {"id": connection.volume_id},
    }
    if volume is not None:
        document["volume"]["size"] = volume.size * 2**30
    if connection.device:
        document["device"] = connection.device.reveal()
    return copy.deepcopy(document)


def records_of(document: Document) -> list[Record]:
    """All records in a document, the described record first."""
    if isinstance(document, VolumeDocument):
        return [document.volume, *(document.snapshots or ()), *(document.connections or ())]
    if isinstance(document, BackendDocument):
        return [record for volume in document.volumes or () for record in records_of(volume)]
    return [document.subject, *([] if document.volume is None else [document.volume])]


def to_dict(record: Record) -> dict[str, Any]:
    """All fields of a record to display, including defaults; secrets are ``'***'``."""
    shown = {name: getattr(record, name) for name in record.__struct_fields__}
    plain: dict[str, Any] = msgspec.to_builtins(shown, enc_hook=_hide)
    return plain


def _hide(value: Any) -> Any:
    if isinstance(value, Secret):
        return "***" if value else None
    return _reveal(value)  # raises: a record has no other types that JSON cannot encode
