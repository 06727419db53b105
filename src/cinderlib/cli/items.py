"""The items of the output: volumes, snapshots and connections as plain objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cinderlib.cli import output

if TYPE_CHECKING:
    import cinderlib as cl

_GIB = 1024**3
_LOOKED_AT = ("path", "device_state")


class Volumes:
    """Converts volumes to items, with their hosts.

    :param connections: the connections of the volumes, which can include those of others.
    """

    def __init__(self, connections: Iterable[cl.Connection]) -> None:
        self._of: dict[str, list[dict[str, Any]]] = {}
        for each in connections:
            kept = {"host": host_of(each), **_device(each), "here": each.device_state is not None}
            self._of.setdefault(each.volume_id, []).append(kept)

    def __call__(self, volume: cl.Volume) -> dict[str, Any]:
        """A volume as an item."""
        connections = self._of.get(volume.id, [])
        here: Mapping[str, Any] = next((each for each in connections if each["here"]), {})
        protocols = dict.fromkeys(each["protocol"] for each in connections if each["protocol"])
        return {
            **volume.to_dict(),
            "size_bytes": volume.size * _GIB,
            "pool": volume.host.partition("#")[2] or None,
            "hosts": list(dict.fromkeys(each["host"] for each in connections if each["host"])),
            "protocol": next(iter(protocols), None),
            **{name: here.get(name) for name in _LOOKED_AT},
        }


def volume(found: cl.Volume) -> dict[str, Any]:
    """A volume as an item, with its hosts."""
    return Volumes(found.connections)(found)


def volume_in_full(found: cl.Volume) -> dict[str, Any]:
    """A volume as an item, with its snapshots and connections."""
    connections = found.connections
    name = found.name or found.id
    return {
        **Volumes(connections)(found),
        "snapshots": [snapshot(each, name) for each in found.snapshots],
        "connections": [connection(each, name) for each in connections],
    }


def snapshot(found: cl.Snapshot, volume: str) -> dict[str, Any]:
    """A snapshot as an item.

    :param volume: name or ID of the volume.
    """
    return {
        **found.to_dict(),
        "volume": volume,
        "volume_size_bytes": found.volume_size * _GIB,
    }


def group(found: cl.Group) -> dict[str, Any]:
    """A group as an item, with the names of the volumes."""
    return {
        **found.to_dict(),
        "replication_status": found.replication_status,
        "volumes": [each.name or each.id for each in found.volumes],
    }


def group_snapshot(found: cl.GroupSnapshot) -> dict[str, Any]:
    """A group snapshot as an item."""
    return {**found.to_dict(), "snapshots": len(found.snapshot_ids)}


def connection(found: cl.Connection, volume: str) -> dict[str, Any]:
    """A connection as an item, without its keys.

    :param volume: name or ID of the volume.
    """
    attached = "attached" if found.attached else "mapped" if found.connected else found.status
    return {
        **found.to_dict(),
        "volume": volume,
        "host": host_of(found) or None,
        "state": attached,
        **_device(found),
    }


def _device(connection: cl.Connection) -> dict[str, Any]:
    path = output.attribute(connection, "path")
    specs = output.attribute(connection, "qos_specs")
    return {
        "protocol": output.attribute(connection, "protocol"),
        "qos_specs": specs if isinstance(specs, dict) else None,
        "path": path if path is None or isinstance(path, str) else str(path),
        "file_format": output.attribute(connection, "file_format"),
        "device_state": connection.device_state,
    }


def operation(found: cl.Operation) -> dict[str, Any]:
    """An operation as an item."""
    facts = {**dataclasses.asdict(found), "id": found.id or None}
    return {key: None if value in ("", {}) else value for key, value in facts.items()}


class Names:
    """The names of volumes by their ID; the ID of those that have no name.

    :param volumes: queried at the first use.
    """

    def __init__(self, volumes: Iterable[cl.Volume]) -> None:
        self._volumes = volumes
        self._names: dict[str, str] | None = None

    def __getitem__(self, id: str) -> str:
        if self._names is None:
            self._names = {each.id: each.name for each in self._volumes}
        return self._names.get(id) or id


def host_of(connection: cl.Connection) -> str:
    """The name of the host of a connection."""
    return next(iter(hosts_of(connection)), "")


def hosts_of(connection: cl.Connection) -> list[str]:
    """All names of the host of a connection: from the connector, and from the attachment."""
    names = (connection.connector_info.get("host"), connection.attached_host)
    return list(dict.fromkeys(name for name in names if name))


def changed(
    resources: Iterable[cl.Volume | cl.Snapshot | cl.Connection],
) -> Iterator[dict[str, Any]]:
    """The results of a verb for several resources."""
    for each in resources:
        yield {"id": each.id, "changed": each.changed}
