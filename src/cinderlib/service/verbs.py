"""What the service does for each request, by the public API of the library.

Each function takes a :class:`Request` and returns the answer. They run in threads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cinderlib import errors, records, validation, value_checks
from cinderlib.client.store import of_cursor
from cinderlib.records import ConnectionRecord, Record, SnapshotRecord, VolumeRecord
from cinderlib.service import requests
from cinderlib.service.roles import Peer, Role

if TYPE_CHECKING:
    from cinderlib.objects.backend import Backend
    from cinderlib.objects.resource import Resource
    from cinderlib.service.backends import Backends

B = TypeVar("B", bound=requests.Body)


@dataclasses.dataclass(slots=True)
class Request(Generic[B]):
    """What a verb gets.

    :ivar id: the ID, or the name of a backend or node, in the path.
    :ivar query: the query's parameters.
    :ivar backend: the configured backend that the verb used, for the metrics; empty before, and if
        it needs none. Never the text of a client, which could be any.
    """

    backends: Backends
    peer: Peer
    id: str
    query: Mapping[str, str]
    body: B
    backend: str = ""

    @property
    def controller(self) -> Any:
        """The service's controller."""
        return self.backends.controller

    def loaded(self, name: str) -> Backend:
        """A backend; see :meth:`Backends.loaded`."""
        self.backends.check_name(name)
        self.backend = name
        return self.backends.loaded(name)


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """Records to send in sequence, without secrets."""

    records: Iterator[Record]


def _shown(record: Record, **more: Any) -> dict[str, Any]:
    return {**records.to_builtins(record), **more}


def _with_keys(record: Record, **more: Any) -> dict[str, Any]:
    return {**records.to_builtins(record, secrets=True), **more}


# --- reading ------------------------------------------------------------------------------------


def _page(request: Request[Any], kind: type[Record], *fields: str) -> Listed:
    where = {field: request.query[field] for field in fields if field in request.query}
    limit = request.query.get("limit")
    after = request.query.get("after")
    last = None
    if after is not None:
        last = of_cursor(kind, after) if "," in after else _there(request, kind, after)
    if "backend" in where:
        request.backends.check_name(where["backend"])
        request.backend = where["backend"]
    count = None if limit is None else _count(limit)
    return Listed(request.controller.store.iterate(kind, where, after=last, limit=count))


def _there(request: Request[Any], kind: type[Record], id: str) -> Record:
    found: Record | None = request.controller.store.get(kind, id)
    if found is None:
        raise errors.NotFound(f"There is no {kind.kind} {id!r} to list after", resource=id)
    return found


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise errors.InvalidInput(f"limit must be a whole number, not {value_checks.shown(text)}")
    return int(text)


def list_volumes(request: Request[requests.Nothing]) -> Listed:
    """List volumes in the order of creation."""
    return _page(request, VolumeRecord, "backend", "name")


def list_snapshots(request: Request[requests.Nothing]) -> Listed:
    """List snapshots in the order of creation."""
    return _page(request, SnapshotRecord, "backend", "name", "volume_id")


def list_connections(request: Request[requests.Nothing]) -> Listed:
    """List connections in the order of creation, without keys; a node lists its own."""
    if request.peer.role is Role.NODE:
        request.peer.require(Role.NODE, host=request.query.get("attached_host", ""))
    return _page(request, ConnectionRecord, "backend", "volume_id", "attached_host")


def show_volume(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show a volume."""
    return _shown(_stored(request, request.controller.volume(request.id)).record)


def show_snapshot(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show a snapshot."""
    return _shown(_stored(request, request.controller.snapshot(request.id)).record)


def show_connection(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show a connection; with the keys that its host needs if the client may connect it."""
    record = _stored(request, request.controller.connection(request.id)).record
    request.peer.require(Role.READ if _may_read(request.peer) else Role.NODE)
    if request.peer.role is Role.NODE:
        request.peer.require(Role.NODE, host=_host(record))
    if request.query.get("keys") == "true":
        request.peer.require(Role.NODE, host=_host(record))
        return _with_keys(record)
    return _shown(record)


def _may_read(peer: Peer) -> bool:
    return peer.role is not None and peer.role.includes(Role.READ)


def _host(record: ConnectionRecord) -> str:
    return record.attached_host or str(record.connector.get("host", ""))


def list_backends(request: Request[requests.Nothing]) -> list[dict[str, Any]]:
    """List the configured backends, and whether each is loaded."""
    return request.backends.states()


def show_backend(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show a backend's driver and options, without secrets."""
    info = dataclasses.asdict(request.loaded(request.id).driver_info)
    del info["secrets"]
    return {"name": request.id, "driver": info}


def show_capabilities(request: Request[requests.Nothing]) -> list[dict[str, Any]]:
    """Show what a backend can do, how, and why it cannot do the rest."""
    found = request.loaded(request.id).capabilities()
    return [dataclasses.asdict(each) for each in found.values()]


def validate_connector(request: Request[requests.RegisterNode]) -> dict[str, Any]:
    """Check whether a host's connector is complete for a backend's driver."""
    request.loaded(request.id).validate_connector(request.body.connector)
    return {"valid": True}


def volume_in_storage(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show what a volume is called on the array."""
    return {"name": _volume(request, request.id).name_in_storage}


def snapshot_in_storage(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show what a snapshot is called on the array."""
    return {"name": _loaded(request, request.controller.snapshot(request.id)).name_in_storage}


def show_stats(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show a backend's capabilities and capacity; ``refresh=true`` queries the storage."""
    backend = request.loaded(request.id)
    return dict(backend.stats(refresh=request.query.get("refresh") == "true"))


def list_nodes(request: Request[requests.Nothing]) -> list[dict[str, Any]]:
    """List the registered nodes with their connector properties."""
    return [
        {"name": name, "connector": connector} for name, connector in request.controller.nodes()
    ]


# --- volumes ------------------------------------------------------------------------------------


def create_volume(request: Request[requests.CreateVolume]) -> dict[str, Any]:
    """Create a volume, or a copy of a volume or of a snapshot."""
    body = request.body
    sources = [
        name
        for name in ("backend", "source_volid", "snapshot_id")
        if isinstance(getattr(body, name), str)
    ]
    if len(sources) != 1:
        raise errors.InvalidInput(
            "Specify one of backend, source_volid and snapshot_id, not"
            f" {' and '.join(sources) or 'none of them'}"
        )
    fields = body.given("backend", "source_volid", "snapshot_id")
    if isinstance(body.backend, str):
        created = request.loaded(body.backend).create_volume(**fields)
    elif isinstance(body.source_volid, str):
        created = _volume(request, body.source_volid).clone(**fields)
    else:
        created = _loaded(request, request.controller.snapshot(body.snapshot_id)).create_volume(
            **fields
        )
    return _shown(created.record, changed=created.changed)


def change_volume(request: Request[requests.ChangeVolume]) -> dict[str, Any]:
    """Change a volume's name, description, metadata and flags."""
    return _changed(_stored(request, request.controller.volume(request.id)), request.body)


def _changed(resource: Any, body: requests.Body) -> dict[str, Any]:
    before = resource.record
    for name, value in body.given().items():
        setattr(resource, name, value)
    resource.save()
    return _shown(resource.record, changed=resource.record != before)


def delete_volume(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Delete a volume and its data; succeeds if it does not exist."""
    try:
        volume = _volume(request, request.id)
    except errors.VolumeNotFound:
        return {"id": request.id, "changed": False}
    volume.delete()
    return {"id": request.id, "changed": volume.changed}


def extend_volume(request: Request[requests.ExtendVolume]) -> dict[str, Any]:
    """Extend a volume, and its device if it is attached to the service's host."""
    volume = _volume(request, request.id)
    size_bytes = volume.extend(request.body.size)
    return _shown(volume.record, changed=volume.changed, size_bytes=size_bytes)


def revert_volume(request: Request[requests.RevertVolume]) -> dict[str, Any]:
    """Revert a volume to a snapshot; newer data is lost."""
    volume = _volume(request, request.id)
    volume.revert_to_snapshot(request.controller.snapshot(request.body.snapshot_id))
    return _shown(volume.record, changed=volume.changed)


# --- connections --------------------------------------------------------------------------------


def connect_volume(request: Request[requests.ConnectVolume]) -> dict[str, Any]:
    """Map a volume, given by its ID or name, for a host; the answer has the keys that it needs."""
    body = request.body
    if isinstance(body.connector, dict) == isinstance(body.node, str):
        raise errors.InvalidInput("Specify the host with either connector or node")
    connector = (
        body.connector
        if isinstance(body.connector, dict)
        else request.controller.node(str(body.node))
    )
    host = str(connector.get("host", ""))
    request.peer.require(Role.NODE, host=host)
    if isinstance(body.attached_host, str):
        request.peer.require(Role.NODE, host=body.attached_host)
    fields = body.given("connector", "node")
    volume = _named_volume(request)
    connection = volume.connect(connector, **fields)
    # An existing connection with the same ID or initiator can be another host's.
    request.peer.require(Role.NODE, host=_host(connection.record))
    return _with_keys(
        connection.record,
        changed=connection.changed,
        connection_info=connection.connection_info,
    )


def disconnect(request: Request[requests.Force]) -> dict[str, Any]:
    """Unmap a volume from the host of a connection; the export goes with the last connection."""
    try:
        connection = request.controller.connection(request.id)
    except errors.ConnectionNotFound:
        return {"id": request.id, "changed": False}
    request.peer.require(Role.NODE, host=_host(connection.record))
    _loaded(request, connection).disconnect(force=request.body.force)
    return {"id": request.id, "changed": connection.changed}


def report_device(request: Request[requests.ReportDevice]) -> dict[str, Any]:
    """Record the device that a host attached a connection as, or that it is detached."""
    connection = _stored(request, request.controller.connection(request.id))
    request.peer.require(Role.NODE, host=_host(connection.record))
    before = connection.device
    connection.device = request.body.device
    connection.save()
    return _shown(connection.record, changed=connection.device != before)


def attach_volume(request: Request[requests.AttachVolume]) -> dict[str, Any]:
    """Attach a volume to the host of the service."""
    connection = _volume(request, request.id).attach(migrating=request.body.migrating)
    return _with_keys(connection.record, changed=connection.changed)


def detach_volume(request: Request[requests.Force]) -> dict[str, Any]:
    """Detach a volume from the host of the service and disconnect it."""
    volume = _volume(request, request.id)
    volume.detach(force=request.body.force, ignore_errors=request.body.ignore_errors)
    return _shown(volume.record, changed=volume.changed)


def register_node(request: Request[requests.RegisterNode]) -> dict[str, Any]:
    """Register a node: store its connector properties under its name."""
    request.peer.require(Role.NODE, host=request.id)
    connector = validation.check_connector(request.body.connector)
    request.peer.require(Role.NODE, host=str(connector["host"]))
    changed = request.controller.register_node(request.id, connector)
    return {"name": request.id, "changed": changed}


# --- snapshots ----------------------------------------------------------------------------------


def create_snapshot(request: Request[requests.CreateSnapshot]) -> dict[str, Any]:
    """Create a snapshot of a volume, attached or not."""
    snapshot = _volume(request, request.body.volume_id).create_snapshot(
        **request.body.given("volume_id")
    )
    return _shown(snapshot.record, changed=snapshot.changed)


def change_snapshot(request: Request[requests.ChangeSnapshot]) -> dict[str, Any]:
    """Change a snapshot's name, description and metadata."""
    return _changed(_stored(request, request.controller.snapshot(request.id)), request.body)


def delete_snapshot(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Delete a snapshot; succeeds if it does not exist."""
    try:
        snapshot = _loaded(request, request.controller.snapshot(request.id))
    except errors.SnapshotNotFound:
        return {"id": request.id, "changed": False}
    snapshot.delete()
    return {"id": request.id, "changed": snapshot.changed}


# --- the backend and the store as a whole -------------------------------------------------------


def reconcile(request: Request[requests.Reconcile]) -> list[dict[str, Any]]:
    """Compare the store with a backend's storage; repairs and removes on request."""
    backend = request.loaded(request.id)
    found = backend.reconcile(repair=request.body.repair, remove=request.body.remove)
    return [dataclasses.asdict(each) for each in found]


def restore_exports(request: Request[requests.Nothing]) -> list[str]:
    """Export a backend's connected volumes again after the storage has restarted."""
    return [volume.id for volume in request.loaded(request.id).restore_exports()]


def recover(request: Request[requests.Nothing]) -> list[dict[str, Any]]:
    """Settle the operations that were interrupted."""
    return [dataclasses.asdict(each) for each in request.controller.recover()]


def _named_volume(request: Request[Any]) -> Any:
    """The volume with the ID or the name in the path. A node cannot list volumes to find its ID."""
    try:
        return _volume(request, request.id)
    except errors.VolumeNotFound:
        found = list(request.controller.volumes(name=request.id, limit=2))
        if len(found) > 1:
            raise errors.InvalidInput(
                f"Several volumes have the name {value_checks.shown(request.id)}; use the ID"
            ) from None
        if not found:
            raise
    return _loaded(request, found[0])


def _volume(request: Request[Any], id: str) -> Any:
    return _loaded(request, request.controller.volume(id))


def _stored(request: Request[Any], resource: Resource) -> Any:
    """The resource. Its backend may be loaded or not."""
    request.backend = resource.record.backend
    return resource


def _loaded(request: Request[Any], resource: Resource) -> Any:
    """The resource, once its backend is loaded."""
    request.loaded(resource.record.backend)
    return resource
