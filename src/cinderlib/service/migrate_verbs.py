"""What the service does for requests that migrate volumes; see :mod:`.verbs`."""

from __future__ import annotations

from typing import Any

from cinderlib.service import lookup, requests
from cinderlib.service.verb_request import Request, shown


def migrate_volume(request: Request[requests.MigrateVolume]) -> dict[str, Any]:
    """Move a volume to another pool or backend; it keeps its ID."""
    volume = lookup.loaded_volume(request, request.id)
    body = request.body
    backend = request.loaded(body.backend)
    volume.migrate(backend, body.pool, by_copy=body.by_copy)
    return shown(volume.record, changed=volume.changed)


def start_migration(request: Request[requests.StartMigration]) -> dict[str, Any]:
    """Create the copy that a hypervisor mirrors a volume to; the answer is the copy."""
    volume = lookup.loaded_volume(request, request.id)
    copy = volume.start_migration(request.loaded(request.body.backend), request.body.pool)
    return shown(copy.record, changed=volume.changed)


def finish_migration(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Let the copy become the volume, and delete the old data."""
    volume = lookup.loaded_volume(request, request.id)
    _load_copy(request)
    volume.finish_migration()
    return shown(volume.record, changed=volume.changed)


def cancel_migration(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Delete the copy of a volume; the volume stays where it is."""
    volume = lookup.loaded_volume(request, request.id)
    _load_copy(request)
    volume.cancel_migration()
    return shown(volume.record, changed=volume.changed)


def _load_copy(request: Request[Any]) -> None:
    """Load the backend of the copy."""
    copy = lookup.volume(request, request.id).migration_copy
    if copy is not None:
        request.loaded(copy.record.backend)
