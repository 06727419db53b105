"""Rules for the values in records from outside. The decoder checks the types; this module checks
everything else.

Each field that needs more than a type check has a rule. The speed of loading long lists depends on
three groups of fields. Most fields usually have their default value: they are first compared with
their defaults, all at once, and checked one by one only if a value differs. Some have the same
values in many records: the results of their checks are cached, all together. Only the others are
checked in each record.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import itertools
import operator
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from cinderlib import validation as v
from cinderlib import value_checks
from cinderlib.errors import InvalidInput
from cinderlib.records import (
    AppliedStream,
    ConnectionRecord,
    Record,
    Secret,
    SnapshotRecord,
    TypeSpecs,
    VolumeRecord,
)

Check = Callable[[Any, str], Any]


_id = functools.partial(v.check_id, non_uuid_ids=True)
_long_text = functools.partial(value_checks.check_text, longest=v.MAX_VALUE)


def _time(value: datetime.datetime, what: str) -> None:
    if value.tzinfo is not datetime.UTC and value.utcoffset() is None:
        raise InvalidInput(f"The {what} has no time zone.")


def _version(value: int, what: str) -> None:
    if not 0 <= value < 2**63:
        raise InvalidInput(f"The {what} cannot be {value_checks.shown(value)}.")


def _attempts(value: int, what: str) -> None:
    if not 1 <= value <= 10_000:
        raise InvalidInput(f"The {what} must be between 1 and 10000.")


def _one_of(choices: Collection[str]) -> Check:
    return lambda value, what: value_checks.check_choice(value, choices, what)


def _secret_text(secret: Secret, what: str) -> None:
    if not secret:
        return
    if not isinstance(secret.reveal(), str):
        raise InvalidInput(f"The {what} must be text.")
    _long_text(secret.reveal(), what)


def _key(secret: Secret, what: str) -> None:
    if secret and not v.is_key(secret.reveal()):
        raise InvalidInput(f"The {what} must be 64 to 256 hexadecimal digits.")


def _conn_info(secret: Secret, what: str) -> None:
    conn = secret.reveal()
    if not (
        isinstance(conn, dict)
        and isinstance(conn.get("driver_volume_type"), str)
        and isinstance(conn.get("data"), dict)
    ):
        raise InvalidInput(
            f"The {what} must have a 'driver_volume_type', which is text, and 'data', which is a "
            "mapping."
        )
    value_checks.check_json_in_place(conn, what)


def _device(secret: Secret, what: str) -> None:
    if not isinstance(secret.reveal(), dict):
        raise InvalidInput(f"The {what} must be a mapping.")
    value_checks.check_json_in_place(secret.reveal(), what)


def _applied(stream: AppliedStream, what: str) -> None:
    v.check_point(stream.point, f"point of the {what}")
    if stream.since is not None:
        v.check_point(stream.since, f"base of the {what}")
    for id in (stream.applied_by, stream.opened_by):
        if id is not None:
            _id(id, f"connection of the {what}")


def _type_specs(specs: TypeSpecs, what: str) -> None:
    _id(specs.id, f"ID of the {what}")
    value_checks.check_text(specs.name, f"name of the {what}")
    value_checks.check_text(specs.description, f"description of the {what}")
    v.check_specs(specs.extra_specs, f"extra_specs of the {what}")
    v.check_specs(specs.qos_specs, f"qos_specs of the {what}")
    v.check_encryption(specs.encryption, f"encryption of the {what}")


#: Rules of fields with the same meaning in every kind of record.
_RULES: dict[str, Check] = {
    "version": _version,
    "backend": lambda value, what: v.check_backend_name(value),
    **dict.fromkeys(("created_at", "updated_at", "launched_at", "attached_at"), _time),
    **dict.fromkeys(("source_volid", "snapshot_id", "group_id", "group_snapshot_id"), _id),
    **dict.fromkeys(("volume_id", "volume_type_id", "name_id", "encryption_key_id"), _id),
    **dict.fromkeys(
        ("name", "description", "progress", "availability_zone", "type_name"),
        value_checks.check_text,
    ),
    **dict.fromkeys(
        ("cluster_name", "user_id", "project_id", "migration_status"), value_checks.check_text
    ),
    **dict.fromkeys(("replication_status", "replication_extended_status"), value_checks.check_text),
    **dict.fromkeys(("attached_host", "mountpoint"), value_checks.check_text),
    **dict.fromkeys(("instance_uuid", "storage"), value_checks.check_text),
    **dict.fromkeys(("replication_driver_data", "provider_id"), _long_text),
    **dict.fromkeys(("provider_location", "provider_geometry"), _long_text),
    **dict.fromkeys(("metadata", "admin_metadata", "glance_metadata"), v.check_metadata),
    **dict.fromkeys(("extra_specs", "qos_specs"), v.check_specs),
    "host": lambda value, what: v.check_host(value),
    "managed_from": v.check_reference,
    "applied": _applied,
    "retype_target": _type_specs,
    "snapshot_access": _one_of(v.SNAPSHOT_ACCESSES),
    "size": v.check_size,
    "volume_size": v.check_size,
    "attach_status": _one_of(v.ATTACH_STATUSES),
    "attach_mode": _one_of(v.ATTACH_MODES),
    "previous_status": _one_of(v.VOLUME_STATUSES),
    "encryption": v.check_encryption,
    "provider_auth": _secret_text,
    "encryption_key": _key,
    "encryption_key_ref": value_checks.check_text,
    "connector": lambda value, what: v.check_connector(value, copy=False),
    "conn_info": _conn_info,
    "device": _device,
    "scan_attempts": _attempts,
}
#: Rules of fields with a different meaning in each kind.
_OWN_RULES: dict[type[Record], dict[str, Check]] = {
    VolumeRecord: {"id": _id, "status": _one_of(v.VOLUME_STATUSES)},
    SnapshotRecord: {"id": _id, "status": _one_of(v.SNAPSHOT_STATUSES)},
    ConnectionRecord: {"id": _id, "status": _one_of(v.ATTACH_STATUSES)},
}
#: Names of fields in messages, if different from the field's name.
_CALLED = {
    "volume_id": "volume",
    "applied": "applied stream",
    "retype_target": "target of the retype",
    "conn_info": "connection information",
    "device": "device of the connection",
}
#: Fields with a default that most records change. Fields without a default are checked with them.
_OFTEN = frozenset({"version", "created_at", "updated_at", "name", "launched_at", "attached_at"})
#: Fields with the same values in many records.
_COMMON = frozenset(
    {"backend", "host", "size", "volume_size", "status", "attach_status", "attach_mode"}
)


@dataclasses.dataclass(frozen=True, slots=True)
class _Group:
    """Fields of a kind of record.

    :ivar values: returns all their values in a record.
    :ivar checks: the rule of each field.
    :ivar called: the name of each field in messages.
    :ivar defaults: the value of each field that needs no check.
    """

    values: Callable[[Any], tuple[Any, ...]]
    checks: tuple[Check, ...]
    called: tuple[str, ...]
    defaults: tuple[Any, ...]

    @classmethod
    def of(cls, kind: type[Record], group: str) -> _Group:
        names, checks, defaults = [], [], []
        for field in msgspec.structs.fields(kind):
            default = field.default
            if field.default_factory is not msgspec.NODEFAULT:
                default = field.default_factory()
            name = field.name
            check = _OWN_RULES[kind].get(name) or _RULES.get(name)
            often = default is msgspec.NODEFAULT or name in _OFTEN
            own_group = "common" if name in _COMMON else "often" if often else "rarely"
            if check and group == own_group:
                names.append(name)
                checks.append(check)
                defaults.append(default)
        what = tuple(called(kind, name) for name in names)
        return cls(operator.attrgetter(*names), tuple(checks), what, tuple(defaults))


def called(kind: type[Record], field: str) -> str:
    if field == "id":
        return kind.kind
    if field == "status":
        return f"{kind.kind}'s status"
    return _CALLED.get(field, field)


OFTEN, COMMON, RARELY = (
    {kind: _Group.of(kind, group) for kind in _OWN_RULES} for group in ("often", "common", "rarely")
)


def check_record(record: VolumeRecord | SnapshotRecord | ConnectionRecord) -> None:
    """Check the values in the record of a volume, a snapshot or a connection.

    Any safe text is a valid ID here; the controller decides whether IDs must be UUIDs.

    :raises InvalidInput: a value is not valid; the message names the field.
    """
    kind = type(record)
    often, rarely = OFTEN[kind], RARELY[kind]
    _check(often, often.values(record))
    _check_common(kind, COMMON[kind].values(record))
    values = rarely.values(record)
    if values != rarely.defaults:
        _check(rarely, values)


@functools.lru_cache(maxsize=1024)
def _check_common(kind: type[Record], values: tuple[Any, ...]) -> None:
    _check(COMMON[kind], values)


def _check(group: _Group, values: tuple[Any, ...]) -> None:
    for at in itertools.compress(itertools.count(), map(operator.ne, values, group.defaults)):
        group.checks[at](values[at], group.called[at])
