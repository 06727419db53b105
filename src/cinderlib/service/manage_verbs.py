"""What the service does for requests about existing volumes and snapshots; see :mod:`.verbs`."""

from __future__ import annotations

import dataclasses
from typing import Any

from cinderlib import value_checks
from cinderlib.service import lookup, requests
from cinderlib.service.verb_request import Request, removed, shown, whole_number


def list_manageable_volumes(request: Request[requests.Nothing]) -> list[dict[str, Any]]:
    """List the volumes on a backend's storage, with and without a record."""
    found = request.loaded(request.id).manageable_volumes(**_listing(request))
    return [dataclasses.asdict(each) for each in found]


def list_manageable_snapshots(request: Request[requests.Nothing]) -> list[dict[str, Any]]:
    """List the snapshots on a backend's storage, with and without a record."""
    found = request.loaded(request.id).manageable_snapshots(**_listing(request))
    return [dataclasses.asdict(each) for each in found]


def _listing(request: Request[Any]) -> dict[str, Any]:
    """The arguments of a listing of existing resources."""
    query = request.query
    found: dict[str, Any] = {
        name: whole_number(query[name], name) for name in ("limit", "offset") if name in query
    }
    if "marker" in query:
        found["marker"] = value_checks.json_object(query["marker"]) or query["marker"]
    names = ("sort_keys", "sort_dirs")
    return found | {name: query[name].split(",") for name in names if name in query}


def manage_volume(request: Request[requests.ManageVolume]) -> dict[str, Any]:
    """Adopt an existing volume of the storage as a volume of a backend."""
    managed = request.loaded(request.id).manage_volume(**request.body.given())
    return shown(managed.record, changed=managed.changed)


def unmanage_volume(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Remove a volume's record and keep its data; succeeds if it does not exist."""
    return removed(
        request,
        lambda: lookup.loaded_volume(request, request.id),
        lambda volume: volume.unmanage(),
    )


def manage_snapshot(request: Request[requests.ManageSnapshot]) -> dict[str, Any]:
    """Adopt an existing snapshot of a volume as a snapshot of the store."""
    volume = lookup.loaded_volume(request, request.id)
    managed = volume.manage_snapshot(**request.body.given())
    return shown(managed.record, changed=managed.changed)


def unmanage_snapshot(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Remove a snapshot's record and keep its data; succeeds if it does not exist."""
    return removed(
        request,
        lambda: request.of_loaded(lookup.snapshot(request, request.id)),
        lambda snapshot: snapshot.unmanage(),
    )
