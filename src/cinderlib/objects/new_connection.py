"""Describes a new connection: the record of the arguments that a program specified."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from cinderlib import serialization, validation, value_checks
from cinderlib.objects.arguments import refuse_unknown
from cinderlib.objects.backend import Backend
from cinderlib.objects.fields import Check
from cinderlib.records import ConnectionRecord, Secret, new_id


def check_data(value: Any, what: str) -> dict[str, Any]:
    """Data of a driver or a host: a dict of JSON values."""
    mapping: dict[str, Any] = value_checks.check_json(value_checks.check_mapping(value, what), what)
    return mapping


def check_attempts(value: Any, what: str) -> int:
    """How many times a host checks for the device to appear."""
    return value_checks.check_whole_number(value, what, least=1, most=10_000)


def check_mode(value: Any, what: str) -> str:
    """The access of the host."""
    return value_checks.check_choice(value, validation.ATTACH_MODES, what)


#: Fields that can be specified for a new connection, and their checks.
_GIVEN: Mapping[str, Check] = {
    "attached_host": value_checks.check_optional_text,
    "attach_mode": check_mode,
    "mountpoint": value_checks.check_optional_text,
    "instance_uuid": value_checks.check_optional_text,
    "use_multipath": value_checks.check_flag,
    "device_scan_attempts": check_attempts,
}
_STORED = {"device_scan_attempts": "scan_attempts"}


@dataclasses.dataclass(frozen=True)
class NewConnection:
    """A connection that is not created yet.

    :ivar record: its record.
    :ivar requested: the fields that the program specified.
    """

    record: ConnectionRecord
    requested: Mapping[str, Any]


def check_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a program can specify for any connection, checked.

    :raises InvalidInput: a field is unknown or has an invalid value.
    """
    refuse_unknown("A connection", fields, ["id", "volume_id", "status", *_GIVEN])
    return {name: _GIVEN[name](value, name) for name, value in fields.items() if name in _GIVEN}


def describe(
    backend: Backend,
    connector: Mapping[str, Any] | None,
    connection_info: Mapping[str, Any] | None,
    fields: Mapping[str, Any],
) -> NewConnection:
    """The connection that :class:`cinderlib.Connection` describes with these arguments.

    :raises InvalidInput: a field is unknown or has an invalid value.
    """
    controller = value_checks.check_instance(backend, Backend, "backend").controller
    given = {_STORED.get(name, name): value for name, value in check_fields(fields).items()}
    info = check_data({} if connection_info is None else connection_info, "connection_info")
    connector = validation.check_connector(
        info.get("connector") if connector is None else connector
    )
    id = fields.get("id")
    known = {"use_multipath": bool(connector.get("multipath"))} | given
    known.setdefault("scan_attempts", backend.scan_attempts)
    if "mode" in connector:
        known.setdefault("attach_mode", check_mode(connector["mode"], "mode in the connector"))
    record = ConnectionRecord(
        id=new_id()
        if id is None
        else validation.check_id(id, "connection", non_uuid_ids=controller.non_uuid_ids),
        backend=backend.id,
        volume_id=validation.check_id(
            fields.get("volume_id"), "volume", non_uuid_ids=controller.non_uuid_ids
        ),
        connector=connector,
        conn_info=Secret(info["conn"]) if info.get("conn") else None,
        device=Secret(info["device"]) if info.get("device") else None,
        status=value_checks.check_choice(
            fields.get("status", "attaching"), validation.ATTACH_STATUSES, "status"
        ),
        **known,
    )
    if info:  # All other fields were already checked.
        serialization.check_record(record)
    return NewConnection(record, given)
