"""What the service does for requests about groups and group snapshots; see :mod:`.verbs`."""

from __future__ import annotations

from typing import Any

from cinderlib import errors
from cinderlib.service import requests
from cinderlib.service.verb_request import Listed, Request, flag, shown


def list_groups(request: Request[requests.Nothing]) -> Listed:
    """List groups in the order of creation."""
    found = request.controller.groups(**_wanted(request))
    return Listed(each.record for each in found)


def list_group_snapshots(request: Request[requests.Nothing]) -> Listed:
    """List group snapshots in the order of creation."""
    found = request.controller.group_snapshots(**_wanted(request))
    return Listed(each.record for each in found)


def _wanted(request: Request[Any]) -> dict[str, str | None]:
    return {field: request.query.get(field) for field in ("backend", "name")}


def show_group(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show a group."""
    return shown(request.stored(request.controller.group(request.id)).record)


def show_group_snapshot(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show a group snapshot."""
    return shown(request.stored(request.controller.group_snapshot(request.id)).record)


_SOURCES = ("backend", "group_snapshot_id", "source_group_id")


def create_group(request: Request[requests.CreateGroup]) -> dict[str, Any]:
    """Create a group of volumes of a backend, or a copy of a group or of a group snapshot."""
    body = request.body
    sources = [name for name in _SOURCES if isinstance(getattr(body, name), str)]
    if len(sources) != 1:
        raise errors.InvalidInput(
            "Specify one of backend, group_snapshot_id and source_group_id, not"
            f" {' and '.join(sources) or 'none of them'}"
        )
    _refuse_others(body, sources[0])
    fields = body.given(*_SOURCES, "name", "volume_ids", "one_after_another")
    if isinstance(body.backend, str):
        volumes = [request.controller.volume(id) for id in body.volume_ids]
        created = request.loaded(body.backend).create_group(body.name, volumes, **fields)
    elif isinstance(body.group_snapshot_id, str):
        snapshot = request.of_loaded(request.controller.group_snapshot(body.group_snapshot_id))
        created = snapshot.create_group(body.name, **fields)
    else:
        source = request.of_loaded(request.controller.group(str(body.source_group_id)))
        flag = body.one_after_another
        created = source.clone(body.name, one_after_another=flag, **fields)
    return shown(created.record, changed=created.changed)


def _refuse_others(body: requests.CreateGroup, source: str) -> None:
    """:raises InvalidInput: the request has a field that does not fit its source."""
    for field, fits in (
        ("volume_ids", "backend"),
        ("group_specs", "backend"),
        ("one_after_another", "source_group_id"),
    ):
        if getattr(body, field) and source != fits:
            raise errors.InvalidInput(f"{field} requires {fits}, not {source}")


def change_group(request: Request[requests.ChangeGroup]) -> dict[str, Any]:
    """Add volumes to a group, or remove others from it; their data does not change."""
    body = request.body
    if bool(body.add) == bool(body.remove):
        raise errors.InvalidInput("Specify the IDs of volumes, either in add or in remove")
    group = request.of_loaded(request.controller.group(request.id))
    volumes = [request.controller.volume(id) for id in (*body.add, *body.remove)]
    change = group.add if body.add else group.remove
    change(*volumes)
    return shown(group.record, changed=group.changed)


def delete_group(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Delete a group, and its volumes with their data on request; succeeds if it does not exist."""
    with_volumes = flag(request, "volumes")
    try:
        group = request.of_loaded(request.controller.group(request.id))
    except errors.GroupNotFound:
        return {"id": request.id, "changed": False}
    group.delete(volumes=with_volumes)
    return {"id": request.id, "changed": group.changed}


def enable_replication(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Replicate a group with all its volumes."""
    group = request.of_loaded(request.controller.group(request.id))
    group.enable_replication()
    return shown(group.record, changed=group.changed)


def disable_replication(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Stop the replication of a group; its volumes keep their data."""
    group = request.of_loaded(request.controller.group(request.id))
    group.disable_replication()
    return shown(group.record, changed=group.changed)


def fail_over_group(request: Request[requests.FailOverGroup]) -> dict[str, Any]:
    """Let the volumes of a group use their replicas, or the backend's own storage again."""
    body = request.body
    group = request.of_loaded(request.controller.group(request.id))
    group.failover(body.to, allow_attached=body.allow_attached)
    return shown(group.record, changed=group.changed)


def create_group_snapshot(request: Request[requests.CreateGroupSnapshot]) -> dict[str, Any]:
    """Take snapshots of all volumes of a group at the same moment."""
    group = request.of_loaded(request.controller.group(request.id))
    taken = group.create_snapshot(**request.body.given())
    return shown(taken.record, changed=taken.changed)


def delete_group_snapshot(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Delete a group snapshot with its snapshots; succeeds if it does not exist."""
    try:
        found = request.of_loaded(request.controller.group_snapshot(request.id))
    except errors.GroupSnapshotNotFound:
        return {"id": request.id, "changed": False}
    found.delete()
    return {"id": request.id, "changed": found.changed}
