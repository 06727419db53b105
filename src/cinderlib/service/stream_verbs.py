"""What the service does for requests about extents and streams; see :mod:`.verbs`.

The client writes and reads the data, through an attachment on its host.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from cinderlib.service import lookup, requests
from cinderlib.service.verb_request import Request, shown, whole_number


def volume_extents(request: Request[requests.Nothing]) -> dict[str, Any]:
    """List the extents of a volume, or the changes since a snapshot."""
    volume = lookup.loaded_volume(request, request.id)
    return _extents(request, volume, volume)


def snapshot_extents(request: Request[requests.Nothing]) -> dict[str, Any]:
    """List the extents of a snapshot, or the changes since an older one."""
    snapshot = request.of_loaded(lookup.snapshot(request, request.id))
    return _extents(request, snapshot, snapshot.volume)


def _extents(request: Request[Any], of: Any, volume: Any) -> dict[str, Any]:
    since = request.query.get("since")
    base = None if since is None else lookup.snapshot(request, since, volume)
    offset = whole_number(request.query.get("offset", "0"), "offset")
    return dataclasses.asdict(of.list_extents(base, offset=offset))


def begin_apply(request: Request[requests.BeginApply]) -> dict[str, Any]:
    """Record that a client writes a stream to a volume."""
    volume = lookup.loaded_volume(request, request.id)
    body = request.body
    must_write = volume.begin_apply(
        body.connection_id, point=body.point, since=body.since, size=body.size
    )
    return shown(volume.record, must_write=must_write)


def finish_apply(request: Request[requests.FinishApply]) -> dict[str, Any]:
    """Record that a client wrote a stream to its end."""
    volume = lookup.loaded_volume(request, request.id)
    volume.finish_apply(request.body.connection_id, written=request.body.written)
    return shown(volume.record)
