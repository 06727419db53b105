"""Snapshots of several volumes at the same moment.

A snapshot needs a group of the library. It exists from CreateVolumeGroupSnapshot to
DeleteVolumeGroupSnapshot, but has the volumes only while the snapshots are taken: CSI's volumes can
be in several group snapshots, and can be deleted before them. Its ID and the IDs of the snapshots
depend on the name in the request, so a repeated call completes an interrupted one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import cinderlib as cl
from cinderlib import errors
from cinderlib.csi import arguments, ids
from cinderlib.csi.controller import parameters
from cinderlib.csi.controller.context import Context, set_time, snapshot_message
from cinderlib.csi.wire import messages as m
from cinderlib.value_checks import shown

_RPC = m.GroupControllerServiceCapability.RPC


class GroupControllerService:
    """Answers the service GroupController.

    :param context: the storage.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def group_controller_get_capabilities(self, request: Any) -> Any:
        """What this service supports."""
        rpc = _RPC(type=_RPC.CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT)
        return m.GroupControllerGetCapabilitiesResponse(
            capabilities=[m.GroupControllerServiceCapability(rpc=rpc)]
        )

    def create_volume_group_snapshot(self, request: Any) -> Any:
        """Take snapshots of several volumes at the same moment."""
        context = self._context
        name = arguments.name(request)
        parameters.of_snapshot(arguments.text_map(request, "parameters"))
        volume_ids = _ids(request, "source_volume_ids")
        if not volume_ids:
            raise errors.InvalidInput("The field source_volume_ids is missing.")
        taken_id = ids.group_snapshot(context.settings.name, name)
        with context.pending.claim(taken_id, *volume_ids):
            taken = context.find_group_snapshot(taken_id)
            if taken is not None and taken.status == "available":
                _refuse_others(taken, name, volume_ids)
                group = taken.group
            else:
                group = _group(
                    context, ids.group(context.settings.name, taken_id), name, volume_ids
                )
                taken = _take(group, taken_id, name, volume_ids)
            if group.volumes:
                group.remove(*group.volumes)
        return m.CreateVolumeGroupSnapshotResponse(group_snapshot=_message(taken))

    def delete_volume_group_snapshot(self, request: Any) -> Any:
        """Delete the snapshots."""
        context = self._context
        id = arguments.required(request, "group_snapshot_id")
        wanted = _ids(request, "snapshot_ids")
        with context.pending.claim(id):
            taken = context.find_group_snapshot(id)
            if taken is not None:
                _refuse_other_snapshots(taken, wanted)
                taken.delete()
            # A call that was interrupted can have deleted the group snapshot only.
            group = context.find_group(ids.group(context.settings.name, id))
            if group is not None:
                group.delete()
        return m.DeleteVolumeGroupSnapshotResponse()

    def get_volume_group_snapshot(self, request: Any) -> Any:
        """The snapshots."""
        id = arguments.required(request, "group_snapshot_id")
        taken = self._context.controller.group_snapshot(id)
        _refuse_other_snapshots(taken, _ids(request, "snapshot_ids"))
        return m.GetVolumeGroupSnapshotResponse(group_snapshot=_message(taken))


def _ids(request: Any, field: str) -> list[str]:
    """A list of IDs without repetitions."""
    given = list(getattr(request, field))
    if not all(given):
        raise errors.InvalidInput(f"The field {field} has an empty ID.")
    return list(dict.fromkeys(given))


def _group(context: Context, group_id: str, name: str, volume_ids: Sequence[str]) -> cl.Group:
    """The group for a group snapshot, with these volumes.

    :raises InvalidVolume: the volumes are on several backends.
    """
    volumes = [context.volume(each) for each in volume_ids]
    backends = sorted({each.record.backend for each in volumes})
    if len(backends) > 1:
        raise errors.InvalidVolume(
            "Snapshots at the same moment need volumes of one backend. These are on"
            f" {', '.join(map(repr, backends))}.",
            resource=volumes[0],
        )
    # This settles an interrupted call too.
    with contextlib.suppress(errors.AlreadyExists):
        return context.backend(backends[0]).create_group(name, volumes, id=group_id)
    # An interrupted call had other volumes.
    group = context.controller.group(group_id)
    if others := [each for each in group.volumes if each.id not in volume_ids]:
        group.remove(*others)
    group.add(*volumes)
    return group


def _take(group: cl.Group, taken_id: str, name: str, volume_ids: Sequence[str]) -> cl.GroupSnapshot:
    """Take the group snapshot. If that fails, the group does not remain.

    :raises InvalidGroup: the storage cannot take the snapshots at the same moment.
    :raises InvalidVolume: another controller deleted a volume meanwhile.
    """
    try:
        taken = group.create_snapshot(name, id=taken_id)
        if set(taken.record.volume_ids) != set(volume_ids):
            taken.delete()
            raise errors.InvalidVolume(
                f"The volumes of group snapshot {shown(name)} changed meanwhile. Call again.",
                resource=taken_id,
            )
    except errors.Busy:
        raise  # Another controller works on the group.
    except errors.CinderlibError as exc:
        with contextlib.suppress(errors.CinderlibError):
            group.delete()
        if isinstance(exc, errors.Unsupported):
            raise errors.InvalidGroup(str(exc), resource=group) from exc
        raise
    return taken


def release(context: Context, volume: cl.Volume) -> None:
    """Remove a volume from a group that an interrupted call of CreateVolumeGroupSnapshot left, and
    that call was not repeated."""
    group = None if volume.record.group_id is None else context.find_group(volume.record.group_id)
    driver = context.settings.name
    if group is None or group.id != ids.group(driver, ids.group_snapshot(driver, group.name)):
        return
    group.remove(volume)
    if not group.volume_ids and not group.record.snapshot_ids:
        group.delete()


def _refuse_others(taken: cl.GroupSnapshot, name: str, volume_ids: Sequence[str]) -> None:
    """
    :raises AlreadyExists: a group snapshot is of other volumes.
    """
    if set(taken.record.volume_ids) != set(volume_ids):
        raise errors.AlreadyExists(
            f"Group snapshot {name!r} ({taken.id}) already exists, of the volumes"
            f" {', '.join(taken.record.volume_ids)}",
            resource=taken,
        )


def _refuse_other_snapshots(taken: cl.GroupSnapshot, snapshot_ids: Sequence[str]) -> None:
    """
    :raises InvalidInput: the orchestrator names other snapshots than those of a group snapshot. A
        failed deletion can have deleted some of them.
    """
    named, existing = set(snapshot_ids), set(taken.snapshot_ids)
    is_complete = taken.status == "available"
    if named and (existing - named or (is_complete and named != existing)):
        raise errors.InvalidInput(
            f"Group snapshot {taken.id} has the snapshots {', '.join(taken.snapshot_ids)}, not"
            f" {', '.join(map(shown, snapshot_ids))}.",
            resource=taken,
        )


def _message(taken: cl.GroupSnapshot) -> Any:
    """CSI's description of a group snapshot."""
    description = m.VolumeGroupSnapshot(
        group_snapshot_id=taken.id,
        snapshots=[snapshot_message(each) for each in taken.snapshots],
        ready_to_use=taken.status == "available",
    )
    set_time(description.creation_time, taken.created_at)
    return description
