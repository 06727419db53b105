"""Describes a new volume: the record of the arguments that a program specified."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cinderlib import errors, operations, validation, value_checks
from cinderlib.objects.arguments import refuse_unknown
from cinderlib.objects.fields import Check
from cinderlib.records import VolumeRecord, new_id

if TYPE_CHECKING:
    from cinderlib.objects.backend import Backend

#: Fields that can be specified for a new volume, and their checks.
_GIVEN: Mapping[str, Check] = {
    "size": validation.check_size,
    "name": validation.check_name,
    "description": validation.check_description,
    "host": validation.check_host,
    "availability_zone": value_checks.check_optional_text,
    "cluster_name": value_checks.check_optional_text,
    "user_id": value_checks.check_optional_text,
    "project_id": value_checks.check_optional_text,
    "bootable": value_checks.check_flag,
    "multiattach": value_checks.check_flag,
    "metadata": validation.check_metadata,
    "admin_metadata": validation.check_metadata,
    "extra_specs": validation.check_specs,
    "qos_specs": validation.check_qos_specs,
    "encryption": validation.check_encryption,
}
_KNOWN = ["id", "pool_name", "unique_name", "type", *_GIVEN]
_NAMES = {"display_name": "name", "display_description": "description"}
#: The fields that a type has.
_OWN = {"extra_specs", "qos_specs", "encryption"}


@dataclasses.dataclass(frozen=True)
class NewVolume:
    """A volume that is not created yet.

    :ivar record: its record.
    :ivar requested: the fields that the program specified, not those of the source or the defaults.
    :ivar unique_name: whether no other volume of the backend may have its name.
    """

    record: VolumeRecord
    requested: Mapping[str, Any]
    unique_name: bool


def describe(
    backend: Backend,
    source: VolumeRecord | None,
    pool_name: str | None,
    named: Mapping[str, Any],
) -> NewVolume:
    """The volume that :class:`cinderlib.Volume` describes with these arguments.

    :param source: the volume whose properties are the defaults.
    :raises InvalidInput: a field is unknown or has an invalid value.
    """
    controller = backend.controller
    fields = {_NAMES.get(name, name): value for name, value in named.items()}
    refuse_unknown("A volume", fields, _KNOWN)
    given = {name: _GIVEN[name](value, name) for name, value in fields.items() if name in _GIVEN}
    value_checks.check_optional_text(pool_name, "pool_name")
    if "size" not in given and source is None:
        raise errors.InvalidInput("A volume needs a size in GiB")
    if pool_name is not None and "host" in given:
        raise errors.InvalidInput("Specify either pool_name or host for a volume, not both")
    if given.get("multiattach"):
        pool = pool_name or given.get("host", "").partition("#")[2]
        refuse_without_multiattach(backend, pool)
    id = fields.get("id")
    id = (
        new_id()
        if id is None
        else validation.check_id(id, "volume", non_uuid_ids=controller.non_uuid_ids)
    )
    where = (
        {"host": place(backend, pool_name, given.get("host"))}
        if (pool_name is not None or "host" in given or source is None)
        else {}
    )
    values: dict[str, Any] = {
        "user_id": controller.user_id,
        "project_id": controller.project_id,
        **({} if source is None else operations.volumes.inherited(source)),
        **given,
        **where,
    }
    requested = given | (where if pool_name is not None else {})
    if (type := fields.get("type")) is not None:
        values |= _of_type(backend, type, given)
        requested["type_name"] = values["type_name"]
    elif _OWN & given.keys() or values.get("type_name") is None:
        values |= operations.volumes.own_type(id, values)
    return NewVolume(
        VolumeRecord(id=id, backend=backend.id, **values),
        requested,
        value_checks.check_flag(fields.get("unique_name", False), "unique_name"),
    )


def _of_type(backend: Backend, type: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a volume that has a shared type."""
    if _OWN & given.keys():
        raise errors.InvalidInput(
            "Specify either a type or extra_specs, qos_specs and encryption for a volume, not both"
        )
    return backend.controller.type_specs(type).fields()


def place(backend: Backend, pool_name: str | None, host: str | None = None) -> str:
    """The ``host`` of a new volume.

    :raises InvalidInput: the backend has no such pool.
    """
    if host is not None:
        if host.partition("#")[0].partition("@")[2] != backend.id:
            raise errors.InvalidInput(
                f"The host {host!r} of a volume on backend {backend.id!r} must be like"
                f" '{_host(backend)}@{backend.id}#pool'"
            )
        return host
    pools = backend.pool_names
    if pool_name is None:
        pool_name = pools[0]
    elif pool_name not in pools:
        raise errors.InvalidInput(
            f"Backend {backend.id!r} has no pool {value_checks.shown(pool_name)}; it has"
            f" {', '.join(pools)}"
        )
    return f"{_host(backend)}@{backend.id}#{pool_name}"


def _host(backend: Backend) -> str:
    """The name before the ``@`` in the ``host`` of new volumes."""
    return backend.driver_info.options.get("backend_host") or backend.controller.host


def refuse_without_multiattach(backend: Backend, pool_name: str) -> None:
    """Drivers report multiattach for each pool or for all pools.

    :raises Unsupported: the pool has no multiattach.
    """
    stats = backend.driver_stats()
    pools = [pool for pool in stats["pools"] if pool["pool_name"] == pool_name]
    pool = pools[0] if pools else stats["pools"][0]
    if not pool.get("multiattach", stats.get("multiattach")):
        raise errors.Unsupported(
            f"Backend {backend.id!r} does not support multiattach volumes: its driver maps a"
            " volume to one host only",
            resource=backend,
        )
