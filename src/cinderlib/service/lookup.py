"""The volumes and snapshots of a request, by ID or by name.

Without ``backend`` in the query, IDs identify them. With it, names do: a volume's name on that
backend, and a snapshot's name among those of the volume that ``volume`` in the query names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cinderlib import errors
from cinderlib.records import Record, SnapshotRecord, VolumeRecord
from cinderlib.value_checks import shown

if TYPE_CHECKING:
    from cinderlib.service.verb_request import Request


def loaded_volume(request: Request[Any], given: str) -> Any:
    """The same as :func:`volume`, once its backend is loaded."""
    return request.of_loaded(volume(request, given))


def volume(request: Request[Any], given: str) -> Any:
    """A volume. Its backend may be loaded or not.

    :param given: its ID, or its name on the backend of the query.
    :raises VolumeNotFound: there is none.
    """
    backend = request.query.get("backend")
    if backend is None:
        return request.controller.volume(given)
    request.backends.check_name(backend)
    request.backend = backend
    where = {"backend": backend, "name": given}
    found = _only(request, VolumeRecord, where, f"on backend {shown(backend)}")
    if found is None:
        raise errors.VolumeNotFound(
            f"Volume {shown(given)} does not exist on backend {shown(backend)}", resource=given
        )
    return found


def volume_with_any_name(request: Request[Any]) -> Any:
    """The volume with the ID or the name in the path. A node cannot list volumes to find its ID."""
    if "backend" in request.query:
        return loaded_volume(request, request.id)
    try:
        return loaded_volume(request, request.id)
    except errors.VolumeNotFound:
        found = _only(request, VolumeRecord, {"name": request.id}, "in this service")
        if found is None:
            raise
    return request.of_loaded(found)


def snapshot(request: Request[Any], given: str, of: Any = None) -> Any:
    """A snapshot. Its backend may be loaded or not.

    :param given: its ID, or its name if the query has a backend.
    :param of: the snapshot's volume, if the query does not name it.
    :raises SnapshotNotFound: there is none.
    """
    if "backend" not in request.query:
        return request.controller.snapshot(given)
    if of is None:
        if "volume" not in request.query:
            raise errors.InvalidInput(
                "Specify the volume of a snapshot that is given by name: ?backend=...&volume=..."
            )
        of = volume(request, request.query["volume"])
    where = {"volume_id": of.id, "name": given}
    found = _only(request, SnapshotRecord, where, f"of volume {shown(of.name)}")
    if found is None:
        raise errors.SnapshotNotFound(
            f"Volume {shown(of.name)} has no snapshot {shown(given)}", resource=given
        )
    return found


def _only(request: Request[Any], kind: type[Record], where: dict[str, str], place: str) -> Any:
    """The only object with these fields, or ``None``."""
    found = list(request.controller.store.iterate(kind, where, limit=2))
    if len(found) > 1:
        raise errors.InvalidInput(
            f"Several {kind.kind}s {place} have the name {shown(where['name'])}; use the ID"
        )
    return request.controller.wrap(found[0]) if found else None
