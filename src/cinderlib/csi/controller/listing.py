"""List volumes and snapshots by pages, and show one."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import cinderlib as cl
from cinderlib import errors
from cinderlib.csi import arguments
from cinderlib.csi.controller.context import Context, snapshot_message
from cinderlib.csi.controller.publishing import nodes_of
from cinderlib.csi.failures import InvalidToken
from cinderlib.csi.wire import messages as m
from cinderlib.errors import InvalidInput
from cinderlib.operations.replication import NO_REPLICA, is_left_behind
from cinderlib.records import SnapshotRecord, VolumeRecord
from cinderlib.validation import check_id

R = TypeVar("R", cl.Volume, cl.Snapshot)

#: The length of a page if the caller does not limit it; its answer must fit into a message of gRPC.
_PAGE = 1000


def volumes(context: Context, request: Any) -> Any:
    """ListVolumes: the volumes of this plug-in, in the order of creation."""
    controller = context.controller
    after = _after(
        request.starting_token,
        lambda last, created: controller.wrap(
            VolumeRecord(id=last, backend="", host="", size=1, created_at=created)
        ),
    )
    found = filter(context.is_own, controller.volumes(after=after))
    page, token = _page(found, request.max_entries)
    response = m.ListVolumesResponse(next_token=token)
    active = _ActiveStorage()
    for volume in page:
        entry = response.entries.add(volume=context.message(volume))
        _describe(entry.status, volume, active)
    return response


def volume(context: Context, request: Any) -> Any:
    """ControllerGetVolume."""
    found = context.controller.volume(arguments.required(request, "volume_id"))
    response = m.ControllerGetVolumeResponse(volume=context.message(found))
    _describe(response.status, found, _ActiveStorage())
    return response


class _ActiveStorage:
    """The storage systems that the loaded backends use now, each read once."""

    def __init__(self) -> None:
        self._found: dict[str, str | None] = {}

    def of(self, backend: cl.Backend) -> str | None:
        """The ``active_backend_id`` of a backend."""
        if backend.id not in self._found:
            self._found[backend.id] = backend.replication.active_backend_id
        return self._found[backend.id]


def _describe(status: Any, volume: cl.Volume, active: _ActiveStorage) -> None:
    connections = volume.connections if volume.attach_status == "attached" else []
    status.published_node_ids.extend(nodes_of(connections))
    condition = status.volume_condition
    condition.abnormal = volume.status.startswith("error")
    condition.message = f"The volume is '{volume.status}'."
    if volume.replication_extended_status == NO_REPLICA:
        condition.message += (
            f" Backend {volume.record.backend!r} has failed over, and the volume has no replica."
        )
    backend = volume.backend
    if not isinstance(backend, cl.Backend):
        return  # Nothing has used it since the start of this process.
    for each in connections:
        if is_left_behind(each.record, volume.record, active.of(backend)):
            condition.abnormal = True
            condition.message += (
                f" {each.attached_host} uses the storage that the volume had before a failover or"
                " failback, where writes are lost. Unpublish it there."
            )


def snapshots(context: Context, request: Any) -> Any:
    """ListSnapshots: all of this plug-in, those of a volume, or one."""
    controller = context.controller
    after = _after(
        request.starting_token,
        lambda last, created: controller.wrap(
            SnapshotRecord(id=last, backend="", volume_id="", volume_size=1, created_at=created)
        ),
    )
    response = m.ListSnapshotsResponse()
    for snapshot in _selected(context, request, after, response):
        response.entries.add(snapshot=snapshot_message(snapshot))
    return response


def _selected(
    context: Context, request: Any, after: cl.Snapshot | None, response: Any
) -> list[cl.Snapshot]:
    controller = context.controller
    if request.snapshot_id:
        try:
            found = [controller.snapshot(request.snapshot_id)]
        except errors.SnapshotNotFound:
            return []
        if request.source_volume_id:
            found = [each for each in found if each.volume_id == request.source_volume_id]
        return found
    if request.source_volume_id:
        try:
            of_volume = controller.volume(request.source_volume_id).snapshots
        except errors.VolumeNotFound:
            return []
        if after is not None:
            key = (after.created_at, after.id)
            of_volume = [each for each in of_volume if (each.created_at, each.id) > key]
        page, response.next_token = _page(iter(of_volume), request.max_entries)
        return page
    own = filter(context.is_own, controller.snapshots(after=after))
    page, response.next_token = _page(own, request.max_entries)
    return page


def _page(found: Iterator[R], most: int) -> tuple[list[R], str]:
    """A page, and the token of the next one."""
    if most < 0:
        raise InvalidInput("The field max_entries must not be negative.")
    length = min(most, _PAGE) if most else _PAGE
    page = list(itertools.islice(found, length + 1))
    if len(page) <= length:
        return page, ""
    page.pop()
    last = page[-1]
    assert last.created_at is not None
    return page, f"{last.created_at.isoformat()}|{last.id}"


def _after(token: str, of: Callable[[str, datetime.datetime], Any]) -> Any:
    """The resource that the page begins after; it may have been deleted.

    :raises InvalidToken: the token is not from this plug-in.
    """
    if not token:
        return None
    created, _, id = token.partition("|")
    try:
        return of(check_id(id, "resource"), datetime.datetime.fromisoformat(created))
    except (errors.InvalidInput, ValueError):
        raise InvalidToken("The starting_token is not valid; list from the start again.") from None
