"""What the service does for requests about volume types; see :mod:`.verbs`."""

from __future__ import annotations

from typing import Any

import msgspec

from cinderlib.records import TypeSpecs
from cinderlib.service import lookup, requests
from cinderlib.service.verb_request import Request, shown


def list_types(request: Request[requests.Nothing]) -> list[dict[str, Any]]:
    """List the volume types in the order of creation."""
    return [_shown(request, each.name) for each in request.controller.types()]


def show_type(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show a volume type, by its name or ID."""
    return _shown(request, request.id)


def create_type(request: Request[requests.CreateType]) -> dict[str, Any]:
    """Add a volume type; an equal one does not change."""
    body = request.body
    created = request.controller.create_type(
        body.name,
        description=body.description,
        extra_specs=body.extra_specs,
        qos_specs=body.qos_specs,
        encryption=body.encryption,
    )
    return _shown(request, created.name)


def change_type(request: Request[requests.ChangeType]) -> dict[str, Any]:
    """Change a volume type; volumes that have it keep their specs until they are retyped."""
    body = request.body
    changed = request.controller.change_type(
        request.id,
        description=body.description,
        extra_specs=body.extra_specs,
        qos_specs=body.qos_specs,
    )
    return _shown(request, changed.name)


def delete_type(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Delete a volume type that no volume has; succeeds if it does not exist."""
    return {"name": request.id, "changed": request.controller.delete_type(request.id)}


def retype_volume(request: Request[requests.RetypeVolume]) -> dict[str, Any]:
    """Give a volume the specs of another type, or own specs: by its driver, or by a copy."""
    body = request.body
    volume = lookup.loaded_volume(request, request.id)
    volume.retype(
        body.type,
        extra_specs=body.extra_specs,
        qos_specs=body.qos_specs,
        migrate=body.migrate,
        backend=None if body.backend is None else request.loaded(body.backend),
        pool=body.pool,
    )
    return shown(volume.record, changed=volume.changed)


def _shown(request: Request[Any], name: str) -> dict[str, Any]:
    specs: TypeSpecs = request.controller.type_specs(name)
    found: dict[str, Any] = msgspec.to_builtins(specs)
    return found
