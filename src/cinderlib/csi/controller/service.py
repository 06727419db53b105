"""The service Controller."""

from __future__ import annotations

from typing import Any

from cinderlib.csi.controller import capacity, listing, publishing, snapshots, specs, volumes
from cinderlib.csi.controller.context import Context
from cinderlib.csi.wire import messages as m

_RPC = m.ControllerServiceCapability.RPC
_CAPABILITIES = (
    _RPC.CREATE_DELETE_VOLUME,
    _RPC.PUBLISH_UNPUBLISH_VOLUME,
    _RPC.LIST_VOLUMES,
    _RPC.GET_CAPACITY,
    _RPC.CREATE_DELETE_SNAPSHOT,
    _RPC.LIST_SNAPSHOTS,
    _RPC.CLONE_VOLUME,
    _RPC.PUBLISH_READONLY,
    _RPC.EXPAND_VOLUME,
    _RPC.LIST_VOLUMES_PUBLISHED_NODES,
    _RPC.VOLUME_CONDITION,
    _RPC.GET_VOLUME,
    _RPC.SINGLE_NODE_MULTI_WRITER,
    _RPC.GET_SNAPSHOT,
    _RPC.MODIFY_VOLUME,
)


class ControllerService:
    """Answers the service Controller.

    :param context: the storage.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def controller_get_capabilities(self, request: Any) -> Any:
        """What this service supports."""
        return m.ControllerGetCapabilitiesResponse(
            capabilities=[
                m.ControllerServiceCapability(rpc=_RPC(type=each)) for each in _CAPABILITIES
            ]
        )

    def create_volume(self, request: Any) -> Any:
        """Create a volume, empty or as a copy."""
        return volumes.create(self._context, request)

    def delete_volume(self, request: Any) -> Any:
        """Delete a volume."""
        return volumes.delete(self._context, request)

    def controller_publish_volume(self, request: Any) -> Any:
        """Connect a volume to a node."""
        return publishing.publish(self._context, request)

    def controller_unpublish_volume(self, request: Any) -> Any:
        """Disconnect a volume from a node, or from all nodes."""
        return publishing.unpublish(self._context, request)

    def validate_volume_capabilities(self, request: Any) -> Any:
        """Whether a volume can be used in some ways."""
        return volumes.validate(self._context, request)

    def list_volumes(self, request: Any) -> Any:
        """A page of the volumes."""
        return listing.volumes(self._context, request)

    def controller_get_volume(self, request: Any) -> Any:
        """One volume."""
        return listing.volume(self._context, request)

    def get_capacity(self, request: Any) -> Any:
        """Free capacity."""
        return capacity.get(self._context, request)

    def create_snapshot(self, request: Any) -> Any:
        """Take a snapshot."""
        return snapshots.create(self._context, request)

    def delete_snapshot(self, request: Any) -> Any:
        """Delete a snapshot."""
        return snapshots.delete(self._context, request)

    def list_snapshots(self, request: Any) -> Any:
        """A page of the snapshots."""
        return listing.snapshots(self._context, request)

    def get_snapshot(self, request: Any) -> Any:
        """One snapshot."""
        return snapshots.get(self._context, request)

    def controller_expand_volume(self, request: Any) -> Any:
        """Extend a volume."""
        return volumes.expand(self._context, request)

    def controller_modify_volume(self, request: Any) -> Any:
        """Change the specs of a volume."""
        return specs.modify(self._context, request)
