"""Create and delete snapshots."""

from __future__ import annotations

from typing import Any

import cinderlib as cl
from cinderlib.csi import arguments, ids
from cinderlib.csi.controller import parameters
from cinderlib.csi.controller.context import Context, snapshot_message
from cinderlib.csi.wire import messages as m
from cinderlib.errors import AlreadyExists, InvalidInput

_UNFINISHED = frozenset({"creating", "error", "deleting"})


def create(context: Context, request: Any) -> Any:
    """CreateSnapshot."""
    name = arguments.name(request)
    volume_id = arguments.required(request, "source_volume_id")
    parameters.of_snapshot(arguments.text_map(request, "parameters"))
    snapshot_id = ids.snapshot(context.settings.name, name)
    with context.pending.claim(snapshot_id):
        snapshot = _existing(context, snapshot_id)
        if snapshot is None:
            volume = context.volume(volume_id)
            snapshot = volume.create_snapshot(name, id=snapshot_id, metadata=context.metadata(name))
        elif snapshot.volume_id != volume_id:
            raise AlreadyExists(
                f"Snapshot {name!r} ({snapshot_id}) already exists, of volume {snapshot.volume_id}",
                resource=snapshot,
            )
    return m.CreateSnapshotResponse(snapshot=snapshot_message(snapshot))


def _existing(context: Context, snapshot_id: str) -> cl.Snapshot | None:
    snapshot = context.find_snapshot(snapshot_id)
    return None if snapshot is None or snapshot.status in _UNFINISHED else snapshot


def delete(context: Context, request: Any) -> Any:
    """DeleteSnapshot."""
    snapshot_id = arguments.required(request, "snapshot_id")
    with context.pending.claim(snapshot_id):
        snapshot = context.find_snapshot(snapshot_id)
        if snapshot is not None:
            _refuse_member(context, snapshot)
            snapshot.delete()
    return m.DeleteSnapshotResponse()


def _refuse_member(context: Context, snapshot: cl.Snapshot) -> None:
    """
    :raises InvalidInput: it belongs to a group snapshot.
    """
    group_snapshot_id = snapshot.group_snapshot_id
    if group_snapshot_id and context.find_group_snapshot(group_snapshot_id) is not None:
        raise InvalidInput(
            f"Snapshot {snapshot.id} belongs to group snapshot {group_snapshot_id}: delete that.",
            resource=snapshot,
        )


def get(context: Context, request: Any) -> Any:
    """GetSnapshot."""
    snapshot = context.controller.snapshot(arguments.required(request, "snapshot_id"))
    return m.GetSnapshotResponse(snapshot=snapshot_message(snapshot))
