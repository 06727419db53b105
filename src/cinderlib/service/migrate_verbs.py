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
