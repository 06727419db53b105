"""What the service does for each request, by the public API of the library.

Each function takes a :class:`Request` and returns the answer. They run in threads.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from cinderlib import errors
from cinderlib.records import SnapshotRecord, VolumeRecord
from cinderlib.service import lookup, requests
from cinderlib.service.verb_request import Listed, Request, flag, removed, shown

GIB = 1024**3

# --- reading ------------------------------------------------------------------------------------


def list_volumes(request: Request[requests.Nothing]) -> Listed:
    """List volumes in the order of creation."""
    return Listed(request.page(VolumeRecord, "backend", "name"))


def list_snapshots(request: Request[requests.Nothing]) -> Listed:
    """List snapshots in the order of creation."""
    return Listed(request.page(SnapshotRecord, "backend", "name", "volume_id"))


def show_volume(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show a volume."""
    return shown(request.stored(lookup.volume(request, request.id)).record)


def show_snapshot(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show a snapshot."""
    return shown(request.stored(lookup.snapshot(request, request.id)).record)


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
    return {"name": lookup.loaded_volume(request, request.id).name_in_storage}


def snapshot_in_storage(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show what a snapshot is called on the array."""
    return {"name": request.of_loaded(lookup.snapshot(request, request.id)).name_in_storage}


def show_stats(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show a backend's capabilities and capacity; ``refresh=true`` queries the storage."""
    backend = request.loaded(request.id)
    return dict(backend.stats(refresh=request.query.get("refresh") == "true"))


def show_capacity(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show a backend's last reported capacity, without waiting for the storage."""
    request.backends.check_name(request.id)
    request.backend = request.id
    return request.backends.capacities.show(request.id, request.query.get("pool"))


def list_nodes(request: Request[requests.Nothing]) -> list[dict[str, Any]]:
    """List the registered nodes with their connector properties."""
    return [
        {"name": name, "connector": connector} for name, connector in request.controller.nodes()
    ]


def show_node(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show the connector properties of a registered node."""
    return {"name": request.id, "connector": request.controller.node(request.id)}


# --- volumes ------------------------------------------------------------------------------------


_SOURCES = ("backend", "backends", "source_volid", "snapshot_id")


def create_volume(request: Request[requests.CreateVolume]) -> dict[str, Any]:
    """Create a volume, or a copy of a volume or of a snapshot."""
    body = request.body
    sources = [name for name in _SOURCES if isinstance(getattr(body, name), str | list)]
    if len(sources) != 1:
        raise errors.InvalidInput(
            "Specify one of backend, backends, source_volid and snapshot_id, not"
            f" {' and '.join(sources) or 'none of them'}"
        )
    fields = _with_size(body, body.given(*_SOURCES, "size_bytes"))
    if isinstance(body.backend, str):
        created = request.loaded(body.backend).create_volume(**fields)
    elif isinstance(body.backends, list):
        created = _placed(request, body.backends, fields)
    elif isinstance(body.source_volid, str):
        created = lookup.loaded_volume(request, body.source_volid).clone(**fields)
    else:
        snapshot = lookup.snapshot(request, str(body.snapshot_id))
        created = request.of_loaded(snapshot).create_volume(**fields)
    return shown(created.record, changed=created.changed)


def _placed(
    request: Request[requests.CreateVolume], names: list[str], fields: dict[str, Any]
) -> Any:
    """A volume on the backend that fits best."""
    if not names:
        request.backends.load_all()
    for name in names:
        request.loaded(name)
    return request.controller.create_volume(**fields, backends=names or None)


def _with_size(body: requests.CreateVolume, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with the size in GiB. The metadata keeps a requested size that is not a whole
    number of GiB, because the volume is larger."""
    if not isinstance(body.size_bytes, int):
        return fields
    if "size" in fields:
        raise errors.InvalidInput("Specify either size or size_bytes, not both")
    if body.size_bytes % GIB:
        metadata = {**(fields.get("metadata") or {}), "requested_bytes": str(body.size_bytes)}
        fields["metadata"] = metadata
    return {**fields, "size": body.size_bytes / GIB}


def change_volume(request: Request[requests.ChangeVolume]) -> dict[str, Any]:
    """Change a volume's name, description, metadata and flags."""
    return _changed(request.stored(lookup.volume(request, request.id)), request.body)


def _changed(resource: Any, body: requests.Body) -> dict[str, Any]:
    before = resource.record
    fields = body.given()
    if fields.pop("unique_name", False) and "name" in fields:
        resource.rename(fields.pop("name"))
    for field in ("metadata", "admin_metadata"):
        if (changes := fields.pop(f"{field}_changes", None)) is not None:
            merged = {**fields.get(field, getattr(resource, field)), **changes}
            fields[field] = {key: value for key, value in merged.items() if value is not None}
    for name, value in fields.items():
        setattr(resource, name, value)
    if fields:
        resource.save()
    return shown(resource.record, changed=resource.record != before)


def delete_volume(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Delete a volume and its data; succeeds if it does not exist."""
    snapshots = flag(request, "snapshots")
    return removed(
        request,
        lambda: lookup.loaded_volume(request, request.id),
        lambda volume: volume.delete(snapshots=snapshots),
    )


def extend_volume(request: Request[requests.ExtendVolume]) -> dict[str, Any]:
    """Extend a volume, and its device if it is attached to the service's host."""
    volume = lookup.loaded_volume(request, request.id)
    body = request.body
    if isinstance(body.size, int | float) == isinstance(body.size_bytes, int):
        raise errors.InvalidInput("Specify the new size with either size or size_bytes")
    wanted = body.size_bytes / GIB if isinstance(body.size_bytes, int) else body.size
    size_bytes = volume.extend(wanted)
    return shown(volume.record, changed=volume.changed, size_bytes=size_bytes)


def revert_volume(request: Request[requests.RevertVolume]) -> dict[str, Any]:
    """Revert a volume to a snapshot; newer data is lost."""
    volume = lookup.loaded_volume(request, request.id)
    snapshot = lookup.snapshot(request, request.body.snapshot_id, volume)
    volume.revert_to_snapshot(snapshot, by_copy=request.body.by_copy)
    return shown(volume.record, changed=volume.changed)


def wipe_volume(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Overwrite all data of a volume with zeros, through an attachment of the service's host."""
    volume = lookup.loaded_volume(request, request.id)
    volume.wipe()
    return shown(volume.record, changed=volume.changed)


def revert_blockers(request: Request[requests.Nothing]) -> dict[str, Any]:
    """List the newer snapshots that keep a volume from being reverted to a snapshot."""
    volume = lookup.loaded_volume(request, request.id)
    wanted = request.query.get("snapshot_id")
    if wanted is None:
        raise errors.InvalidInput("Specify the snapshot: ?snapshot_id=...")
    found = volume.revert_blockers(lookup.snapshot(request, wanted, volume))
    return {"snapshots": [shown(each.record) for each in found]}


# --- snapshots ----------------------------------------------------------------------------------


def create_snapshot(request: Request[requests.CreateSnapshot]) -> dict[str, Any]:
    """Create a snapshot of a volume, attached or not."""
    snapshot = lookup.loaded_volume(request, request.body.volume_id).create_snapshot(
        **request.body.given("volume_id")
    )
    return shown(snapshot.record, changed=snapshot.changed)


def change_snapshot(request: Request[requests.ChangeSnapshot]) -> dict[str, Any]:
    """Change a snapshot's name, description and metadata."""
    return _changed(request.stored(lookup.snapshot(request, request.id)), request.body)


def delete_snapshot(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Delete a snapshot; succeeds if it does not exist."""
    return removed(
        request,
        lambda: request.of_loaded(lookup.snapshot(request, request.id)),
        lambda snapshot: snapshot.delete(),
    )


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
    # The service loads a backend on its first use.
    request.backends.load_all()
    return [dataclasses.asdict(each) for each in request.controller.recover()]
