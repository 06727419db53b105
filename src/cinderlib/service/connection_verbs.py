"""What the service does for requests about connections, and about the hosts that use them.

Like :mod:`cinderlib.service.verbs`. Keys go only to clients that may connect the host.
"""

from __future__ import annotations

from typing import Any

from cinderlib import errors, records, validation
from cinderlib.records import ConnectionRecord
from cinderlib.service import lookup, requests
from cinderlib.service.roles import Role
from cinderlib.service.verb_request import Listed, Request, shown


def list_connections(request: Request[requests.Nothing]) -> Listed:
    """List connections in the order of creation; a node lists its own."""
    if request.peer.role is Role.NODE:
        request.query = {"attached_host": request.peer.host, **request.query}
        request.peer.require(Role.NODE, host=request.query["attached_host"])
    found = request.page(ConnectionRecord, "backend", "volume_id", "attached_host")
    return Listed(_connection(request, record) for record in found)


def show_connection(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show a connection."""
    record = request.stored(request.controller.connection(request.id)).record
    if request.peer.role is Role.NODE:
        request.peer.require(Role.NODE, host=_host(record))
    return _connection(request, record)


def _connection(request: Request[Any], record: ConnectionRecord) -> dict[str, Any]:
    keys = request.query.get("keys") == "true"
    if keys and request.peer.may(Role.NODE, host=_host(record)):
        return shown_connection(request.controller.with_key(record), keys=True)
    return shown_connection(record, keys=False)


def shown_connection(record: ConnectionRecord, *, keys: bool, **more: Any) -> dict[str, Any]:
    """A connection for an answer.

    :param keys: whether it is complete. Otherwise it has the parts that cannot be secret.
    """
    answer = shown(record, **more)
    for name, public in (("conn_info", _public_info), ("device", _public_device)):
        secret: records.Secret | None = getattr(record, name)
        if secret is None:
            continue
        value = secret.known()
        if records.is_encrypted(value):
            # The service lacks the key. The client reports that, if it needs the value.
            answer[name] = records.ENCRYPTED
        else:
            answer[name] = value if keys else public(value)
    return answer


def _public_info(info: dict[str, Any]) -> dict[str, Any]:
    return {"driver_volume_type": info.get("driver_volume_type"), "data": records.HIDDEN}


def _public_device(device: dict[str, Any]) -> dict[str, Any]:
    names = ("type", "path", "multipath_id", "scsi_wwn")
    return {name: device[name] for name in names if name in device}


def _host(record: ConnectionRecord) -> str:
    return record.attached_host or str(record.connector.get("host", ""))


def connect_volume(request: Request[requests.ConnectVolume]) -> dict[str, Any]:
    """Map a volume, given by its ID or name, for a host; the answer has the keys that it needs."""
    connector = connector_of(request)
    fields = request.body.given("connector", "node")
    volume = lookup.volume_with_any_name(request)
    if request.peer.role is Role.NODE:
        _refuse_migration(request, volume)
        # An operator has connected it for the migration already, or there is none.
        fields["migrating"] = False
    connection = volume.connect(connector, **fields)
    # An existing connection with the same ID or initiator can be another host's.
    request.peer.require(Role.NODE, host=_host(connection.record))
    return shown_connection(
        request.controller.with_key(connection.record),
        keys=True,
        changed=connection.changed,
        connection_info=connection.connection_info,
    )


def connector_of(
    request: Request[requests.ConnectVolume] | Request[requests.ConnectSnapshot],
) -> dict[str, Any]:
    """The connector properties of the host to connect, which the client may connect.

    :raises InvalidInput: the host is not specified, or twice.
    """
    body = request.body
    if isinstance(body.connector, dict) == isinstance(body.node, str):
        raise errors.InvalidInput("Specify the host with either connector or node")
    connector: dict[str, Any] = (
        body.connector
        if isinstance(body.connector, dict)
        else request.controller.node(str(body.node))
    )
    request.peer.require(Role.NODE, host=str(connector.get("host", "")))
    if isinstance(body.attached_host, str):
        request.peer.require(Role.NODE, host=body.attached_host)
    return connector


def _refuse_migration(request: Request[requests.ConnectVolume], volume: Any) -> None:
    """Refuse a node that would share a volume with another host, on its own decision.

    :raises PermissionDenied: it requests that, and no operator has connected the volume for it.
    """
    body, peer = request.body, request.peer
    if not body.migrating and not isinstance(body.instance_uuid, str):
        return  # the library refuses it under the lock of the volume
    if volume.multiattach or volume.backend.live_migration:
        return
    hosts = {_host(connection.record) for connection in volume.connections}
    if hosts and peer.host not in hosts:
        raise errors.PermissionDenied(
            f"{peer.name} has the role 'node' and may not share volume {volume.id}, which is"
            f" connected to {', '.join(sorted(hosts))}. For a live migration, a client with the"
            f" role 'operate' must connect it for host {peer.host!r} as migrating first",
            resource=volume,
        )


def disconnect(request: Request[requests.Force]) -> dict[str, Any]:
    """Unmap a volume from the host of a connection; the export goes with the last connection."""
    try:
        connection = request.controller.connection(request.id)
    except errors.ConnectionNotFound:
        return {"id": request.id, "changed": False}
    request.peer.require(Role.NODE, host=_host(connection.record))
    request.of_loaded(connection).disconnect(force=request.body.force)
    return {"id": request.id, "changed": connection.changed}


def report_device(request: Request[requests.ReportDevice]) -> dict[str, Any]:
    """Record the device that a host attached a connection as, or that it is detached."""
    connection = request.stored(request.controller.connection(request.id))
    request.peer.require(Role.NODE, host=_host(connection.record))
    before = connection.device
    connection.device = request.body.device
    connection.save()
    return shown_connection(connection.record, keys=False, changed=connection.device != before)


def attach_volume(request: Request[requests.AttachVolume]) -> dict[str, Any]:
    """Attach a volume to the host of the service."""
    body = request.body
    fields: dict[str, Any] = (
        {"link": request.backends.check_link(body.link)} if isinstance(body.link, str) else {}
    )
    if isinstance(body.cgroup, str):
        fields["cgroup"] = body.cgroup
    if isinstance(body.id, str):
        fields["id"] = body.id
    if body.read_only:
        fields["read_only"] = True
    if not body.decrypt:
        fields["decrypt"] = False
    volume = lookup.loaded_volume(request, request.id)
    connection = volume.attach(migrating=body.migrating, persist=body.persist, **fields)
    record = request.controller.with_key(connection.record)
    return shown_connection(record, keys=True, changed=connection.changed)


def detach_volume(request: Request[requests.Force]) -> dict[str, Any]:
    """Detach a volume from the host of the service and disconnect it."""
    volume = lookup.loaded_volume(request, request.id)
    volume.detach(force=request.body.force, ignore_errors=request.body.ignore_errors)
    return shown(volume.record, changed=volume.changed)


def register_node(request: Request[requests.RegisterNode]) -> dict[str, Any]:
    """Register a node: store its connector properties under its name."""
    request.peer.require(Role.NODE, host=request.id)
    connector = validation.check_connector(request.body.connector)
    request.peer.require(Role.NODE, host=str(connector["host"]))
    changed = request.controller.register_node(request.id, connector)
    return {"name": request.id, "changed": changed}
