"""Publish and unpublish: the connection of a volume to a node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import cinderlib as cl
from cinderlib import errors, serialization
from cinderlib.csi import arguments, capabilities, ids, node_identity
from cinderlib.csi.controller.context import Context
from cinderlib.csi.failures import Exhausted
from cinderlib.csi.node_context import CONTEXT
from cinderlib.csi.wire import messages as m
from cinderlib.errors import InvalidInput
from cinderlib.objects.keywords import ConnectKeywords
from cinderlib.records import replace


def publish(context: Context, request: Any) -> Any:
    """ControllerPublishVolume."""
    volume_id = arguments.required(request, "volume_id")
    node_id = arguments.required(request, "node_id")
    capability = capabilities.required(request)
    with context.pending.claim(volume_id):
        volume = context.volume(volume_id)
        connector = context.connector(node_id)
        if capability.several_nodes and not volume.multiattach:
            raise InvalidInput(
                f"Volume {volume_id} was created for one node, and cannot be published to several."
            )
        host = str(connector["host"])
        _refuse_a_second_node(volume, host)
        mode: Literal["rw", "ro"] = "ro" if request.readonly or capability.read_only else "rw"
        _refuse_too_many(context, volume_id, host)
        fields = ConnectKeywords(
            id=ids.connection(volume_id, host), attached_host=host, attach_mode=mode
        )
        connection = _connect(volume, connector, fields, node_id)
        # The connect has just read the volume.
        record = replace(context.controller.with_key(connection.record), device=None)
        document = serialization.wire(record, volume.record)
        sealed = context.settings.seal.seal(document, volume_id, host)
    return m.ControllerPublishVolumeResponse(publish_context={CONTEXT: sealed})


def _connect(
    volume: cl.Volume, connector: Mapping[str, Any], fields: ConnectKeywords, node_id: str
) -> cl.Connection:
    """Connect a volume to a node. The mount point of the connection is the ID of the node."""
    first: ConnectKeywords = {**fields, "mountpoint": node_id}
    try:
        return volume.connect(connector, **first)
    except errors.AlreadyExists as exc:
        if set(exc.differences) != {"mountpoint"}:
            raise
    # Since the volume was connected to the node, the node's ID has changed.
    connection = volume.connect(connector, **fields)
    connection.mountpoint = node_id
    connection.save()
    return connection


def _refuse_a_second_node(volume: cl.Volume, host: str) -> None:
    """The option ``live_migration`` of a backend allows a second host. It is for programs that
    migrate virtual machines, and an orchestrator does not."""
    if volume.multiattach or not volume.backend.live_migration:
        return  # The connect refuses it.
    for other in volume.connections:
        if not _is_on(other, host):
            raise errors.InvalidVolume(
                f"Volume {volume.id} is connected to {other.attached_host}. Unpublish it there"
                " first",
                resource=volume.id,
            )


def _refuse_too_many(context: Context, volume_id: str, host: str) -> None:
    limit = context.settings.max_volumes
    if not limit:
        return
    found = context.controller.connections(attached_host=host, limit=limit + 1)
    volumes = {each.volume_id for each in found}
    if volume_id not in volumes and len(volumes) >= limit:
        raise Exhausted(f"Node {host} already has {limit} volumes, the maximum ([csi] max_volumes)")


def unpublish(context: Context, request: Any) -> Any:
    """ControllerUnpublishVolume."""
    volume_id = arguments.required(request, "volume_id")
    host = node_identity.host_of(request.node_id)
    with context.pending.claim(volume_id):
        try:
            volume = context.volume(volume_id)
        except errors.VolumeNotFound:
            # A volume with a connection cannot be deleted.
            return m.ControllerUnpublishVolumeResponse()
        for connection in volume.connections:
            if not request.node_id or _is_on(connection, host):
                connection.disconnect()
    return m.ControllerUnpublishVolumeResponse()


def _is_on(connection: cl.Connection, host: str) -> bool:
    return host == connection.attached_host or host == connection.connector_info.get("host")


def nodes_of(connections: Iterable[cl.Connection]) -> list[str]:
    """The IDs of the nodes that the connections of a volume lead to."""
    return [
        each.mountpoint or each.attached_host or str(each.connector_info.get("host", ""))
        for each in connections
        if each.connected
    ]
