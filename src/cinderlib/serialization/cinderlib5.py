"""Reads JSON that cinderlib 5 wrote: Cinder's versioned objects in their own serialization.

An object is ``{'versioned_object.name': ..., 'versioned_object.data': {...}}``; a list of objects
is an object with ``objects``. Names are only compared, never imported: the data goes straight into
records. Some data is in other places than in cinderlib 5: specs come from the volume's type, and
the connection information and the device from an attachment's ``connection_info``.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from cinderlib import records
from cinderlib.errors import InvalidDocument
from cinderlib.records import ConnectionRecord, Record, SnapshotRecord, VolumeRecord
from cinderlib.serialization.documents import (
    NAME,
    Document,
    VolumeDocument,
    backend_document,
    connection_document,
    snapshot_document,
    volume_document,
)
from cinderlib.validation import check_backend_name, check_metadata, check_size
from cinderlib.value_checks import shown

R = TypeVar("R", bound=Record)

_COMMON = {"id": "id", "created_at": "created_at", "updated_at": "updated_at"}
_SAME_IN_VOLUME = (
    "host status attach_status previous_status availability_zone cluster_name user_id project_id "
    "bootable multiattach source_volid snapshot_id group_id encryption_key_id migration_status "
    "replication_status replication_extended_status replication_driver_data provider_id "
    "provider_location provider_geometry provider_auth shared_targets launched_at"
)
_SAME_IN_SNAPSHOT = (
    "volume_id status progress user_id project_id group_snapshot_id encryption_key_id provider_id "
    "provider_location provider_auth"
)
_SAME_IN_CONNECTION = "volume_id attach_mode attached_host mountpoint instance_uuid"
#: The type that Cinder's database gives to volumes without one.
_DEFAULT_TYPE = "__DEFAULT__"


def read(document: Any) -> Document:
    """Convert a dict of cinderlib 5 to a document.

    :raises InvalidDocument: it is not a document of cinderlib 5.
    """
    outer = _mapping(document, "document")
    kind = outer.get("class")
    backend = _mapping(outer.get("backend"), "document's 'backend'")
    name = check_backend_name(backend.get(NAME))
    options = {key: value for key, value in backend.items() if key != NAME}
    if kind == "Backend":
        volumes = _list(outer.get("volumes"), "document's 'volumes'")
        return backend_document(
            name, volumes=[_volume_in_backend(item) for item in volumes], options=options
        )
    if kind == "Volume":
        return _volume_document(_data(outer.get("ovo"), "Volume"), name, options)
    if kind == "Snapshot":
        data = _data(outer.get("ovo"), "Snapshot")
        return snapshot_document(
            _snapshot(data, name), volume=_volume_of(data, name), options=options
        )
    if kind == "Connection":
        data = _data(outer.get("ovo"), "VolumeAttachment")
        return connection_document(
            _connection(data, name), volume=_volume_of(data, name), options=options
        )
    raise InvalidDocument(
        "The document is not a cinderlib document: its 'class' must be Backend, Volume, Snapshot "
        f"or Connection, not {shown(kind)}."
    )


def _volume_in_backend(item: Any) -> VolumeDocument:
    document = read(item)
    if not isinstance(document, VolumeDocument):
        raise InvalidDocument("The items of the document's 'volumes' must be volumes.")
    return document


def _volume_document(data: Mapping[str, Any], backend: str, options: Any) -> VolumeDocument:
    return volume_document(
        _volume(data, backend),
        snapshots=_objects(data, "snapshots", "Snapshot", _snapshot, backend),
        connections=_objects(data, "volume_attachment", "VolumeAttachment", _connection, backend),
        options=options,
    )


def _volume_of(data: Mapping[str, Any], backend: str) -> VolumeRecord | None:
    if data.get("volume") is None:
        return None
    return _volume(_data(data["volume"], "Volume"), backend)


def _objects(
    data: Mapping[str, Any], field: str, name: str, make: Any, backend: str
) -> list[Any] | None:
    if data.get(field) is None:
        return None  # the objects were not loaded when the document was written
    objects = _list(_data(data[field], f"{name}List").get("objects"), field)
    return [make(_data(item, name), backend) for item in objects]


def _volume(data: Mapping[str, Any], backend: str) -> VolumeRecord:
    fields = _same(data, _SAME_IN_VOLUME)
    fields.update(_named(data))
    fields["backend"] = backend
    fields["size"] = check_size(data.get("size"))
    if data.get("_name_id") is not None:
        fields["name_id"] = data["_name_id"]
    for field in ("metadata", "admin_metadata", "glance_metadata"):
        fields[field] = check_metadata(data.get(field), field)
    fields.update(_type(data))
    if fields.get("status") == "in-use":
        fields["attach_status"] = "attached"  # cinderlib 5 did not update this field
    return _make(VolumeRecord, fields)


def _type(data: Mapping[str, Any]) -> dict[str, Any]:
    if data.get("volume_type") is None:
        return {"volume_type_id": data.get("volume_type_id")}
    kind = _data(data["volume_type"], "VolumeType")
    extra_specs = check_metadata(kind.get("extra_specs"), "extra_specs")
    qos_specs = {}
    if kind.get("qos_specs") is not None:
        qos = _data(kind["qos_specs"], "QualityOfServiceSpecs")
        qos_specs = check_metadata(qos.get("specs"), "qos_specs")
    empty = kind.get("name") == _DEFAULT_TYPE and not extra_specs and not qos_specs
    return {
        "volume_type_id": None if empty else data.get("volume_type_id"),
        "extra_specs": extra_specs,
        "qos_specs": qos_specs,
    }


def _snapshot(data: Mapping[str, Any], backend: str) -> SnapshotRecord:
    fields = _same(data, _SAME_IN_SNAPSHOT)
    fields.update(_named(data))
    fields["backend"] = backend
    fields["volume_size"] = check_size(data.get("volume_size"), "volume_size")
    fields["metadata"] = check_metadata(data.get("metadata"))
    return _make(SnapshotRecord, fields)


def _connection(data: Mapping[str, Any], backend: str) -> ConnectionRecord:
    fields = _same(data, _SAME_IN_CONNECTION)
    info = _mapping(data.get("connection_info") or {}, "'connection_info'")
    connector = _mapping(data.get("connector") or info.get("connector"), "'connector'")
    fields.update(
        backend=backend,
        connector=connector,
        conn_info=info.get("conn") or None,
        device=info.get("device") or None,
        attached_at=_time(data.get("attach_time")),
        # connect() left no status. The row exists, so the volume is mapped.
        status=data.get("attach_status") or "attached",
        # cinderlib 5 used the connector's setting and did not store it.
        use_multipath=connector.get("multipath") is True,
    )
    if fields["device"] and not fields.get("attached_host"):
        fields["attached_host"] = connector.get("host")
    return _make(ConnectionRecord, fields)


def _named(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": _or_empty(data.get("display_name")),
        "description": _or_empty(data.get("display_description")),
    }


def _or_empty(value: Any) -> Any:
    return "" if value is None else value


def _same(data: Mapping[str, Any], names: str) -> dict[str, Any]:
    fields = {name: data[name] for name in names.split() if data.get(name) is not None}
    fields["id"] = data.get("id")
    for name in ("created_at", "updated_at", "launched_at"):
        if data.get(name) is not None:
            fields[name] = _time(data[name])
    return fields


def _time(value: Any) -> datetime.datetime | None:
    if value is None:
        return None
    try:
        time = datetime.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise InvalidDocument(f"A time in the document cannot be {shown(value)}.") from None
    # Cinder's times are in UTC, with or without a time zone.
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)


def _make(kind: type[R], fields: dict[str, Any]) -> R:
    return records.from_builtins(kind, fields)


def _data(value: Any, name: str) -> Mapping[str, Any]:
    """The fields of a serialized versioned object of that name."""
    outer = _mapping(value, f"serialized {name}")
    if outer.get("versioned_object.name") != name:
        raise InvalidDocument(
            f"The document has {shown(outer.get('versioned_object.name'))} instead of a {name}."
        )
    return _mapping(outer.get("versioned_object.data"), f"data of a {name}")


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidDocument(f"The {what} must be a mapping, not {shown(value)}.")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidDocument(f"The {what} must be a list, not {shown(value)}.")
    return value
