"""The service Node: what happens on the host that uses a volume.

It needs no store and no Cinder. The publish context has the connection, :class:`cinderlib.Node`
records the attachments, and the kernel knows the mounts. Each call compares these with the request,
and completes the missing steps.
"""

from __future__ import annotations

import os
from typing import Any

from cinderlib import errors
from cinderlib.csi import arguments, capabilities, node_identity
from cinderlib.csi.capabilities import Capability
from cinderlib.csi.failures import NotReady
from cinderlib.csi.node import filesystems, mounts, publishing, staging, usage
from cinderlib.csi.node.devices import Device, Devices
from cinderlib.csi.node_context import CONTEXT
from cinderlib.csi.pending import PendingCalls
from cinderlib.csi.settings import Settings
from cinderlib.csi.wire import messages as m
from cinderlib.errors import InvalidDocument, InvalidInput, NotFound, OutOfRange
from cinderlib.node import Node
from cinderlib.value_checks import shown

_RPC = m.NodeServiceCapability.RPC
_CAPABILITIES = (
    _RPC.STAGE_UNSTAGE_VOLUME,
    _RPC.GET_VOLUME_STATS,
    _RPC.EXPAND_VOLUME,
    _RPC.VOLUME_CONDITION,
    _RPC.SINGLE_NODE_MULTI_WRITER,
    _RPC.VOLUME_MOUNT_GROUP,
)


class NodeService:
    """Answers the service Node on this host.

    :param node: this host.
    """

    def __init__(self, settings: Settings, node: Node) -> None:
        self._settings = settings
        self._node = node
        self._devices = Devices(node)
        self._pending = PendingCalls()

    def ready(self) -> bool:
        """Whether volumes can be attached here.

        :raises NodeError: the state folder cannot be used.
        """
        return bool(self._node.identity)

    @property
    def node_id(self) -> str:
        """The ID of this node; only the host's name if the controllers must look up the rest."""
        return node_identity.encode(self.connector())

    def connector(self) -> dict[str, Any]:
        """The connector properties of this host for the protocols of the settings."""
        protocols = self._settings.protocols or (None,)
        found: dict[str, Any] = {}
        for protocol in protocols:
            found |= self._node.connector_properties(protocol)
        return found

    # --- information ----------------------------------------------------------------------------

    def node_get_capabilities(self, request: Any) -> Any:
        """What this service supports."""
        return m.NodeGetCapabilitiesResponse(
            capabilities=[m.NodeServiceCapability(rpc=_RPC(type=each)) for each in _CAPABILITIES]
        )

    def node_get_info(self, request: Any) -> Any:
        """The ID, the limit and the place of this node."""
        response = m.NodeGetInfoResponse(
            node_id=self.node_id, max_volumes_per_node=self._settings.max_volumes
        )
        if self._settings.topology:
            response.accessible_topology.segments.update(self._settings.topology)
        return response

    # --- stage ----------------------------------------------------------------------------------

    def node_stage_volume(self, request: Any) -> Any:
        """Attach a volume; create, check and mount its filesystem."""
        volume_id = arguments.required(request, "volume_id")
        path = arguments.path(request, "staging_target_path")
        capability = capabilities.required(request)
        context = arguments.text_map(request, "publish_context")
        parameters = staging.parameters(arguments.text_map(request, "volume_context"))
        with self._pending.claim(volume_id):
            document = self._document(volume_id, context)
            attachment = self._node.attach(document)
            device = self._devices.remember(volume_id, attachment)
            try:
                staging.stage(device, path, capability, parameters)
            except BaseException as error:
                # A call that attached it and failed leaves nothing; otherwise others may use it.
                if attachment.changed:
                    self._undo(volume_id, path, error)
                raise
        return m.NodeStageVolumeResponse()

    def _undo(self, volume_id: str, path: str, error: BaseException) -> None:
        try:
            device = self._devices.of(volume_id)
            if device is not None:
                staging.unstage(device, path)
            self._devices.detach(volume_id, self._host)
        except errors.CinderlibError as other:
            error.add_note(f"Detaching it again failed too: {other}")

    def _document(self, volume_id: str, context: dict[str, str]) -> dict[str, Any]:
        sealed = context.get(CONTEXT)
        if sealed is None:
            raise InvalidInput(
                f"The publish_context has no {CONTEXT}: the volume must be published with"
                " ControllerPublishVolume, and its answer passed to this call."
            )
        document = self._settings.seal.open(sealed, volume_id, self._host)
        volume = document.get("volume") or {}
        if volume.get("id") != volume_id:
            raise InvalidDocument(f"The publish_context is not for volume {volume_id}")
        return document

    @property
    def _host(self) -> str:
        return str(self._node.connector_properties("local")["host"])

    def node_unstage_volume(self, request: Any) -> Any:
        """Unmount a volume and detach it."""
        volume_id = arguments.required(request, "volume_id")
        path = arguments.path(request, "staging_target_path")
        with self._pending.claim(volume_id):
            mounts.remove_lost(path)
            device = self._devices.of(volume_id)
            if device is not None:
                staging.unstage(device, path)
            elif mounts.at(path) is not None:
                raise NotReady(
                    f"{path} is mounted, but volume {volume_id} is not attached to this node:"
                    " the mount belongs to something else and is not removed."
                )
            self._devices.detach(volume_id, self._host)
        return m.NodeUnstageVolumeResponse()

    # --- publish --------------------------------------------------------------------------------

    def node_publish_volume(self, request: Any) -> Any:
        """Show a staged volume at the target path."""
        volume_id = arguments.required(request, "volume_id")
        target = arguments.path(request, "target_path")
        capability = capabilities.required(request)
        if not request.staging_target_path:
            raise NotReady("The field staging_target_path is missing: call NodeStageVolume first.")
        staged = arguments.path(request, "staging_target_path")
        if staged == target:
            raise InvalidInput("The target_path and the staging_target_path must differ.")
        with self._pending.claim(volume_id):
            device = self._devices.of(volume_id)
            if device is None:
                raise NotReady(
                    f"Volume {volume_id} is not attached to this node: call NodeStageVolume first.",
                    resource=volume_id,
                )
            read_only = request.readonly or capability.read_only
            publishing.publish(device, staged, target, capability, read_only=read_only)
        return m.NodePublishVolumeResponse()

    def node_unpublish_volume(self, request: Any) -> Any:
        """Remove a volume from the target path."""
        volume_id = arguments.required(request, "volume_id")
        target = arguments.path(request, "target_path")
        with self._pending.claim(volume_id):
            publishing.unpublish(self._devices.of(volume_id), volume_id, target)
        return m.NodeUnpublishVolumeResponse()

    # --- while it is used -----------------------------------------------------------------------

    def node_get_volume_stats(self, request: Any) -> Any:
        """Capacity and condition."""
        volume_id = arguments.required(request, "volume_id")
        device, path = self._device_at(volume_id, request)
        return usage.stats(device, path)

    def node_expand_volume(self, request: Any) -> Any:
        """Extend the device and the filesystem to the size of the volume."""
        volume_id = arguments.required(request, "volume_id")
        capability: Capability | None = None
        if request.HasField("volume_capability"):
            capability = capabilities.of(request.volume_capability)
        needed = request.capacity_range.required_bytes
        limit = request.capacity_range.limit_bytes
        if needed < 0 or limit < 0 or (limit and needed > limit):
            raise InvalidInput("The capacity_range is not valid.")
        with self._pending.claim(volume_id):
            device, path = self._device_at(volume_id, request)
            mount = mounts.at(path)
            is_block = mount is None or mount.filesystem in ("devtmpfs", "tmpfs")
            if capability is not None and capability.block != is_block:
                raise InvalidInput(
                    f"{path} has the volume as a {'device' if is_block else 'filesystem'}."
                )
            usable = self._node.extend(device.document)
            size = usable if device.whole == device.path else filesystems.device_size(device.whole)
            if size < needed:
                raise OutOfRange(
                    f"The volume has {size} bytes on this node, and {needed} are required: expand"
                    " it with ControllerExpandVolume first."
                )
            if mount is not None and not is_block and not mount.read_only:
                filesystems.resize(device.path, mount.filesystem, path, usable)
        return m.NodeExpandVolumeResponse(capacity_bytes=size)

    def _device_at(self, volume_id: str, request: Any) -> tuple[Device, str]:
        """The device of a volume that is at the request's path, staged or published, and the path.

        :raises NotFound: it is not at that path.
        """
        given = request.volume_path
        if not given:
            raise InvalidInput("The field volume_path is missing.")
        device = self._devices.of(volume_id)
        if device is None:
            raise NotFound(f"Volume {shown(volume_id)} is not attached to this node.")
        if not given.startswith("/") or not os.path.lexists(given):
            raise NotFound(f"{shown(given)} does not exist on this node.")
        path = arguments.path(request, "volume_path")
        mount = mounts.at(path)
        if mount is None or mounts.device_of(mount) != device.number:
            raise NotFound(f"Volume {volume_id} is not at {path} on this node.")
        return device, path
