"""Converts between records and the rows that Cinder's code expects from its database.

Rows support the access methods that Cinder uses: ``row['x']``, ``row.x``, ``row.get('x')`` and
``vars(row)``. Metadata are lists of keys and values, JSON columns are text, and times have no
timezone.
"""

from __future__ import annotations

import datetime
import json
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cinderlib.records import (
    ConnectionRecord,
    GroupRecord,
    GroupSnapshotRecord,
    Record,
    Secret,
    SnapshotRecord,
    TypeSpecs,
    VolumeRecord,
)

#: Column -> field, if their names differ.
_RENAMED = {"display_name": "name", "display_description": "description", "_name_id": "name_id"}

_COMMON = ("id", "created_at", "updated_at", "user_id", "project_id", "status", "display_name")
_VOLUME = (
    *_COMMON, "display_description", "_name_id", "snapshot_id", "cluster_name", "host", "size",
    "availability_zone", "attach_status", "migration_status", "launched_at", "provider_id",
    "provider_location", "provider_auth", "provider_geometry", "source_volid",
    "encryption_key_id", "group_id", "bootable", "multiattach", "replication_status",
    "replication_extended_status", "replication_driver_data", "previous_status",
    "shared_targets", "metadata", "admin_metadata", "glance_metadata",
)  # fmt: skip
_SNAPSHOT = (
    *_COMMON, "display_description", "volume_id", "group_snapshot_id", "progress", "volume_size",
    "encryption_key_id", "provider_id", "provider_location", "provider_auth", "metadata",
)  # fmt: skip
_CONNECTION = ("id", "created_at", "updated_at", "volume_id", "instance_uuid", "attached_host",
               "mountpoint", "attach_mode")  # fmt: skip
_COLUMNS: dict[type[Record], tuple[str, ...]] = {
    VolumeRecord: _VOLUME,
    SnapshotRecord: _SNAPSHOT,
    ConnectionRecord: _CONNECTION,
}
#: Columns of Cinder's rows that our records do not have.
_UNKEPT: dict[type[Record], dict[str, Any]] = {
    VolumeRecord: {"ec2_id": None, "scheduled_at": None, "terminated_at": None,
                   "consistencygroup_id": None, "service_uuid": None, "use_quota": True},
    SnapshotRecord: {"cgsnapshot_id": None, "use_quota": True},
    ConnectionRecord: {"detach_time": None},
}  # fmt: skip

#: Columns with the same value for all records of a kind.
_CONSTANT: dict[type[Record], dict[str, Any]] = {
    kind: {**unkept, "deleted": False, "deleted_at": None} for kind, unkept in _UNKEPT.items()
}
#: Functions that return a record's values for all columns at once.
_VALUES: dict[type[Record], Callable[[Record], tuple[Any, ...]]] = {
    kind: operator.attrgetter(*(_RENAMED.get(column, column) for column in columns))
    for kind, columns in _COLUMNS.items()
}


#: The owner of volumes whose record has none. Some drivers use it in the names of folders and
#: tenants on the storage, so the names are the same as in cinderlib 5.
DEFAULT_OWNER = {"user_id": "cinderlib", "project_id": "cinderlib"}

#: The ID and the specs of the type of groups without own specs: they require consistent snapshots.
GROUP_TYPE = "d3bd1e0c-3a47-4f0a-9b0e-6a8f6f4f8c11"
GROUP_SPECS = {"consistent_group_snapshot_enabled": "<is> True"}


class Row(dict[str, Any]):
    """A row with its columns as keys and attributes. The repr hides values, which can be secret."""

    def __init__(self, columns: Mapping[str, Any]) -> None:
        super().__init__(columns)
        self.__dict__ = self

    def __repr__(self) -> str:
        return f"<row {self.get('id', '')}>"


def columns(record: Record) -> dict[str, Any]:
    """The plain columns of a record, with Cinder's names, secrets in clear text and unconverted
    times."""
    kind = type(record)
    values = _CONSTANT[kind].copy()
    values.update(zip(_COLUMNS[kind], _VALUES[kind](record), strict=True))
    for column, owner in DEFAULT_OWNER.items():
        if values.get(column, owner) is None:
            values[column] = owner
    if isinstance(auth := values.get("provider_auth"), Secret):
        values["provider_auth"] = auth.reveal()
    return values


def sources(kind: type[Record]) -> dict[str, str]:
    """Column -> the corresponding field of a record."""
    return {column: _RENAMED.get(column, column) for column in _COLUMNS[kind]}


def constants(kind: type[Record]) -> Mapping[str, Any]:
    """The columns that have the same value for all records of a kind."""
    return _CONSTANT[kind]


def fields(kind: type[Record], values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert columns that Cinder's code wrote to the fields of a record.

    Columns without a field are ignored.
    """
    changed: dict[str, Any] = {}
    known = _COLUMNS[kind]
    for column, value in values.items():
        if column not in known or column in ("id", "created_at", "updated_at"):
            continue
        if isinstance(value, datetime.datetime) and value.tzinfo is None:
            value = value.replace(tzinfo=datetime.UTC)
        elif column == "provider_auth" and value is not None:
            value = Secret(value)
        elif column.endswith("metadata"):
            value = metadata(value)
        elif value is None and column in ("display_name", "display_description"):
            value = ""
        changed[_RENAMED.get(column, column)] = value
    return changed


def metadata(value: Any) -> dict[str, str]:
    """Metadata as a dict, from a dict or from a list of keys and values."""
    if isinstance(value, Mapping):
        return {str(key): str(item) for key, item in value.items()}
    return {str(item["key"]): str(item["value"]) for item in value or ()}


def specs(values: Mapping[str, Any]) -> list[Row]:
    return [Row({"key": key, "value": value}) for key, value in values.items()]


def volume(record: VolumeRecord, name: str, connections: Iterable[ConnectionRecord]) -> Row:
    """:param name: the name on the storage, from ``volume_name_template``."""
    values = _naive(columns(record))
    for kind in ("metadata", "admin_metadata", "glance_metadata"):
        values[f"volume_{kind}"] = specs(values.pop(kind))
    return Row(
        {
            **values,
            "name": name,
            "name_id": record.name_id or record.id,
            "volume_type_id": type_id(record),
            "volume_type": volume_type(TypeSpecs.of(record)),
            "volume_attachment": [connection(each) for each in connections],
            "consistencygroup": None,
            "group": None,
            "cluster": None,
        }
    )


def snapshot(record: SnapshotRecord, name: str, type_id: str) -> Row:
    """:param type_id: the ID of the volume's type."""
    values = _naive(columns(record))
    return Row(
        {
            **values,
            "name": name,
            "snapshot_metadata": specs(values.pop("metadata")),
            "volume_type_id": type_id,
        }
    )


def connection(record: ConnectionRecord) -> Row:
    info = dict(record.conn_info.reveal()) if record.conn_info else {}
    info.pop("encryption", None)  # the key of an encrypted volume is not for drivers
    attached_at = record.attached_at.replace(tzinfo=None) if record.attached_at else None
    return Row(
        {
            **_naive(columns(record)),
            "attach_time": attached_at,
            # In Cinder it is never empty: the default is the connector's host.
            "attached_host": record.attached_host or record.connector.get("host"),
            "attach_status": attach_status(record),
            "connector": json.dumps(record.connector) if record.connector else None,
            "connection_info": json.dumps(info) if info else None,
        }
    )


def attach_status(record: ConnectionRecord) -> str:
    """Cinder has no status 'detaching' here: the host is attached until the detachment ends."""
    return "attaching" if record.status == "attaching" else "attached"


def type_id(record: VolumeRecord) -> str:
    """The ID of a volume's type, from which drivers read extra specs and QoS specs. A volume
    without a shared type has its own one, with the volume's ID."""
    return record.id if record.type_name is None else record.volume_type_id or record.id


def volume_type(specs: TypeSpecs) -> Row:
    return Row(
        {
            "id": specs.id,
            "name": specs.name or specs.id,
            "description": specs.description or None,
            "is_public": True,
            "projects": [],
            "extra_specs": dict(specs.extra_specs),
            "qos_specs_id": specs.id if specs.qos_specs else None,
            "created_at": None,
            "updated_at": None,
            "deleted_at": None,
            "deleted": False,
        }
    )


def qos_specs(specs: TypeSpecs) -> Row:
    """The QoS specs of a type, with its ID. By default, the backend enforces them."""
    values = dict(specs.qos_specs)
    consumer = values.pop("consumer", "back-end")
    return Row(
        {
            "id": specs.id,
            "name": specs.name or specs.id,
            "consumer": consumer,
            "specs": values,
            "created_at": None,
            "updated_at": None,
            "deleted_at": None,
            "deleted": False,
        }
    )


def _naive(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value.replace(tzinfo=None) if isinstance(value, datetime.datetime) else value
        for key, value in values.items()
    }


def group_type_id(record: GroupRecord) -> str:
    """The ID of a group's type: a group with own specs has an own type, with the group's ID."""
    return record.id if record.group_specs else GROUP_TYPE


def group_type(id: str, specs: Mapping[str, str]) -> Row:
    return Row(
        {
            "id": id,
            "name": "consistent" if id == GROUP_TYPE else id,
            "description": None,
            "is_public": True,
            "projects": [],
            "group_specs": dict(specs),
            "created_at": None,
            "updated_at": None,
            "deleted_at": None,
            "deleted": False,
        }
    )


def group(record: GroupRecord) -> dict[str, Any]:
    """The columns of a group, with the values of Cinder's object."""
    # Cinder has no status for a failed change of the volumes.
    status = "error" if record.status == "error_updating" else record.status
    return {
        **_of_group(record, group_type_id(record)),
        "status": status,
        "host": record.host,
        "cluster_name": None,
        "availability_zone": None,
        "volume_type_ids": [],
        "group_snapshot_id": record.group_snapshot_id,
        "source_group_id": record.source_group_id,
        "replication_status": record.replication_status,
    }


def group_snapshot(record: GroupSnapshotRecord, type_id: str) -> dict[str, Any]:
    """The columns of a group snapshot, with the values of Cinder's object.

    :param type_id: of the group's type.
    """
    return {**_of_group(record, type_id), "status": record.status, "group_id": record.group_id}


def _of_group(record: GroupRecord | GroupSnapshotRecord, type_id: str) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "description": record.description,
        "user_id": record.user_id or DEFAULT_OWNER["user_id"],
        "project_id": record.project_id or DEFAULT_OWNER["project_id"],
        "group_type_id": type_id,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "deleted_at": None,
        "deleted": False,
    }
