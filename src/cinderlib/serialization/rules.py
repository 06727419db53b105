"""What a record from outside may hold. Types are checked when it is decoded; this is the rest."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from cinderlib import validation as v
from cinderlib.errors import InvalidInput
from cinderlib.records import ConnectionRecord, Secret, SnapshotRecord, VolumeRecord


def _id(value: Any, what: str) -> str:
    return v.check_id(value, what, non_uuid_ids=True)


def _long_text(value: Any, what: str) -> str:
    return v.check_text(value, what, longest=v.MAX_VALUE)


def _time(value: datetime.datetime, what: str) -> None:
    if value.utcoffset() is None:
        raise InvalidInput(f"The {what} has no time zone.")


_RULES: dict[str, Callable[[Any, str], Any]] = {
    **dict.fromkeys(("created_at", "updated_at", "launched_at", "attached_at"), _time),
    **dict.fromkeys(("source_volid", "snapshot_id", "group_id", "group_snapshot_id"), _id),
    **dict.fromkeys(("volume_type_id", "name_id", "encryption_key_id"), _id),
    **dict.fromkeys(("name", "description", "progress", "availability_zone"), v.check_text),
    **dict.fromkeys(("cluster_name", "user_id", "project_id", "migration_status"), v.check_text),
    **dict.fromkeys(("replication_status", "replication_extended_status"), v.check_text),
    **dict.fromkeys(("attached_host", "mountpoint", "instance_uuid"), v.check_text),
    **dict.fromkeys(("replication_driver_data", "provider_id"), _long_text),
    **dict.fromkeys(("provider_location", "provider_geometry"), _long_text),
    **dict.fromkeys(("metadata", "admin_metadata", "glance_metadata"), v.check_metadata),
    **dict.fromkeys(("extra_specs", "qos_specs"), v.check_specs),
}
_RULES_OF = {
    kind: [(name, check) for name, check in _RULES.items() if name in kind.__struct_fields__]
    for kind in (VolumeRecord, SnapshotRecord, ConnectionRecord)
}


def check_record(record: VolumeRecord | SnapshotRecord | ConnectionRecord) -> None:
    """Whether a volume's, a snapshot's or a connection's record can be stored and worked with.

    Its ids can be any safe text: whether they must be UUIDs is the controller's decision.

    :raises InvalidInput: it cannot; the message names the field.
    """
    _id(record.id, record.kind)
    if not 0 <= record.version < 2**63:
        raise InvalidInput(f"The version cannot be {v.shown(record.version)}.")
    for name, check in _RULES_OF[type(record)]:
        value = getattr(record, name)
        if value or value == "":
            check(value, name)
    if isinstance(record, VolumeRecord):
        _check_volume(record)
    elif isinstance(record, SnapshotRecord):
        v.check_backend_name(record.backend)
        _id(record.volume_id, "volume")
        v.check_size(record.volume_size, "volume_size")
        v.check_choice(record.status, v.SNAPSHOT_STATUSES, "snapshot's status")
        _secret_text(record.provider_auth)
    else:
        _check_connection(record)


def _check_volume(record: VolumeRecord) -> None:
    v.check_backend_name(record.backend)
    v.check_size(record.size)
    v.check_host(record.host)
    v.check_choice(record.status, v.VOLUME_STATUSES, "volume's status")
    v.check_choice(record.attach_status, v.ATTACH_STATUSES, "attach_status")
    if record.previous_status:
        v.check_choice(record.previous_status, v.VOLUME_STATUSES, "previous_status")
    _secret_text(record.provider_auth)


def _check_connection(record: ConnectionRecord) -> None:
    v.check_backend_name(record.backend)
    _id(record.volume_id, "volume")
    v.check_connector(record.connector)
    v.check_choice(record.status, v.ATTACH_STATUSES, "connection's status")
    v.check_choice(record.attach_mode, v.ATTACH_MODES, "attach_mode")
    if not 1 <= record.scan_attempts <= 10_000:
        raise InvalidInput("The scan_attempts must be between 1 and 10000.")
    if record.conn_info is not None:
        conn = record.conn_info.reveal()
        if not (
            isinstance(conn, dict)
            and isinstance(conn.get("driver_volume_type"), str)
            and isinstance(conn.get("data"), dict)
        ):
            raise InvalidInput(
                "The connection information must have a 'driver_volume_type', which is text, and "
                "'data', which is a mapping."
            )
        v.check_json(conn, "connection information")
    if record.device is not None:
        if not isinstance(record.device.reveal(), dict):
            raise InvalidInput("The device of a connection must be a mapping.")
        v.check_json(record.device.reveal(), "device of the connection")


def _secret_text(secret: Secret | None) -> None:
    if not secret:
        return
    if not isinstance(secret.reveal(), str):
        raise InvalidInput("The provider_auth must be text.")
    _long_text(secret.reveal(), "provider_auth")
