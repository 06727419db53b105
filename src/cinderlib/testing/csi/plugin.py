"""A client of a CSI plug-in, for tests: sends requests, and removes the created resources."""

from __future__ import annotations

import itertools
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc

from cinderlib.csi.wire import messages as m
from cinderlib.csi.wire.services import BY_NAME, Stub

GIB = 1024**3
MODE = m.VolumeCapability.AccessMode
CODE = grpc.StatusCode


def mount(
    mode: Any = MODE.SINGLE_NODE_WRITER,
    filesystem: str = "",
    flags: tuple[str, ...] = (),
    group: str = "",
) -> Any:
    """The capability of a mounted filesystem."""
    capability = m.VolumeCapability()
    capability.mount.volume_mount_group = group
    capability.mount.fs_type = filesystem
    capability.mount.mount_flags.extend(flags)
    capability.access_mode.mode = mode
    return capability


def block(mode: Any = MODE.SINGLE_NODE_WRITER) -> Any:
    """The capability of a device."""
    capability = m.VolumeCapability()
    capability.block.SetInParent()
    capability.access_mode.mode = mode
    return capability


class Plugin:
    """A plug-in under test.

    :param endpoint: ``unix:///PATH`` of the service Identity, and of the other services unless they
        have their own endpoints.
    :param folder: an empty folder of this host, for staging and target paths.
    :param parameters: of CreateVolume.
    :param mutable_parameters: of ControllerModifyVolume.
    :param size: of volumes, in bytes.
    :param filesystems: that the host of the node can use.
    :param threads: the number of parallel calls.
    :param repeats: how often to repeat a call that must be idempotent.
    :param timeout: seconds for a call.
    """

    def __init__(
        self,
        endpoint: str,
        folder: Path,
        *,
        controller: str | None = None,
        node: str | None = None,
        parameters: Mapping[str, str] | None = None,
        mutable_parameters: Mapping[str, str] | None = None,
        size: int = GIB,
        filesystems: Sequence[str] = ("ext4", "xfs", "btrfs"),
        threads: int = 32,
        repeats: int = 10,
        timeout: float = 120.0,
    ) -> None:
        self.folder = folder
        self.filesystems = tuple(filesystems)
        self.threads = threads
        self.repeats = repeats
        self._timeout = timeout
        self.parameters = dict(parameters or {})
        self.mutable_parameters = dict(mutable_parameters or {})
        self.size = size
        self._channels = {
            each: grpc.insecure_channel(each.replace("unix:///", "unix:/"))
            for each in dict.fromkeys((endpoint, controller or endpoint, node or endpoint))
        }
        self.identity = Stub(self._channels[endpoint], "Identity")
        self.controller = Stub(self._channels[controller or endpoint], "Controller")
        self.groups = Stub(self._channels[controller or endpoint], "GroupController")
        self.node = Stub(self._channels[node or endpoint], "Node")
        self._numbers = itertools.count(1)
        #: Whether to repeat calls that are ABORTED, as orchestrators do.
        self.patient = False
        self._guard = threading.Lock()
        self._run = secrets.token_hex(4)
        self._undo: dict[tuple[str, ...], Callable[[], object]] = {}
        answer = self.identity.get_plugin_capabilities(
            m.GetPluginCapabilitiesRequest(), timeout=timeout
        )
        self.services = {
            m.PluginCapability.Service.Type.Name(each.service.type)
            for each in answer.capabilities
            if each.HasField("service")
        }
        answer = self.controller.controller_get_capabilities(
            m.ControllerGetCapabilitiesRequest(), timeout=timeout
        )
        self.can = {
            m.ControllerServiceCapability.RPC.Type.Name(each.rpc.type)
            for each in answer.capabilities
        }
        answer = self.node.node_get_capabilities(m.NodeGetCapabilitiesRequest(), timeout=timeout)
        self.node_can = {
            m.NodeServiceCapability.RPC.Type.Name(each.rpc.type) for each in answer.capabilities
        }
        info = self.node.node_get_info(m.NodeGetInfoRequest(), timeout=timeout)
        self.node_id = str(info.node_id)

    def name(self, length: int = 0) -> str:
        """A name that no other resource has.

        :param length: of the name, or 0.
        """
        return f"t{self._run}-{next(self._numbers)}".ljust(length, "x")

    def call(self, method: str, request: Any = None, **fields: Any) -> Any:
        """Call a method: ``plugin.call('CreateVolume', name='x')``.

        :param request: or its fields.
        """
        found = BY_NAME[method]
        stub = {
            "Identity": self.identity,
            "Controller": self.controller,
            "GroupController": self.groups,
        }.get(found.service, self.node)
        request = found.request(**fields) if request is None else request
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return getattr(stub, found.attribute)(request, timeout=self._timeout)
            except grpc.RpcError as error:
                is_pending = error.code() == CODE.ABORTED
                if not (self.patient and is_pending and time.monotonic() < deadline):
                    raise
            time.sleep(0.2)

    def wait_until_ready(self) -> None:
        """Probe until the plug-in is ready: it may answer some calls earlier.

        :raises AssertionError: it does not become ready.
        """
        deadline = time.monotonic() + self._timeout
        while not is_ready(self.call("Probe")):
            assert time.monotonic() < deadline, "the plug-in does not become ready"
            time.sleep(0.2)

    def repeat(self, method: str, **fields: Any) -> Any:
        """Call a method several times; all answers must be the same.

        :returns: the answer.
        """
        first, *others = [self.call(method, **fields) for _ in range(self.repeats)]
        for other in others:
            assert other == first, f"{method} answered differently when it was repeated"
        return first

    def refused(self, code: grpc.StatusCode, method: str, **fields: Any) -> str:
        """Call a method that must fail with this status.

        :returns: the message.
        """
        try:
            answer = self.call(method, **fields)
        except grpc.RpcError as error:
            details = f"{method}: {error.code()}: {error.details()}"
            assert error.code() == code, f"expected {code}, got {details}"
            assert error.details(), f"{method} failed without a message"
            return str(error.details())
        raise AssertionError(f"{method} must fail with {code}, but answered: {answer}")

    # --- resources ------------------------------------------------------------------------------

    def volume(self, name: str | None = None, **fields: Any) -> Any:
        """Create a volume, which is deleted at the end."""
        fields.setdefault("capacity_range", m.CapacityRange(required_bytes=self.size))
        fields.setdefault("volume_capabilities", [mount()])
        fields.setdefault("parameters", self.parameters)
        answer = self.call("CreateVolume", name=name or self.name(), **fields).volume
        self.undo("DeleteVolume", answer.volume_id, volume_id=answer.volume_id)
        return answer

    def snapshot(self, volume_id: str, name: str | None = None) -> Any:
        """Take a snapshot, which is deleted at the end."""
        answer = self.call(
            "CreateSnapshot", name=name or self.name(), source_volume_id=volume_id
        ).snapshot
        self.undo("DeleteSnapshot", answer.snapshot_id, snapshot_id=answer.snapshot_id)
        return answer

    def group_snapshot(self, volume_ids: Sequence[str], name: str | None = None) -> Any:
        """Take snapshots of several volumes, which are deleted at the end."""
        answer = self.call(
            "CreateVolumeGroupSnapshot", name=name or self.name(), source_volume_ids=volume_ids
        ).group_snapshot
        id = answer.group_snapshot_id
        self.undo("DeleteVolumeGroupSnapshot", id, group_snapshot_id=id)
        return answer

    def undo(self, method: str, *key: str, **fields: Any) -> None:
        """Call a method at the end; the last one is called first."""
        with self._guard:
            self._undo[(method, *key)] = lambda: self.call(method, **fields)

    def publish(self, volume: Any, capability: Any, *, readonly: bool = False) -> dict[str, str]:
        """Publish a volume to this node.

        :returns: the publish context.
        """
        if "PUBLISH_UNPUBLISH_VOLUME" not in self.can:
            return {}
        fields = {"volume_id": volume.volume_id, "node_id": self.node_id}
        self.undo("ControllerUnpublishVolume", volume.volume_id, **fields)
        answer = self.call(
            "ControllerPublishVolume",
            volume_capability=capability,
            readonly=readonly,
            volume_context=volume.volume_context,
            **fields,
        )
        return dict(answer.publish_context)

    def staging(self, volume: Any) -> str:
        """The staging path of a volume, an existing folder as CSI demands."""
        path = self.folder / f"staging-{volume.volume_id}"
        path.mkdir(exist_ok=True)
        return str(path)

    def target(self, volume: Any, number: int = 1) -> str:
        """A target path of a volume, which the plug-in creates."""
        folder = self.folder / f"pod-{number}"
        folder.mkdir(exist_ok=True)
        return str(folder / volume.volume_id)

    def stage(self, volume: Any, capability: Any, context: Mapping[str, str]) -> dict[str, Any]:
        """Stage a volume.

        :returns: the fields of the request.
        """
        fields = {
            "volume_id": volume.volume_id,
            "publish_context": context,
            "staging_target_path": self.staging(volume),
            "volume_capability": capability,
            "volume_context": volume.volume_context,
        }
        if "STAGE_UNSTAGE_VOLUME" in self.node_can:
            path = fields["staging_target_path"]
            self.undo(
                "NodeUnstageVolume",
                volume.volume_id,
                volume_id=volume.volume_id,
                staging_target_path=path,
            )
            self.call("NodeStageVolume", **fields)
        return fields

    def show(
        self, staged: Mapping[str, Any], target: str, *, readonly: bool = False
    ) -> dict[str, Any]:
        """Publish a staged volume at a target path.

        :param staged: the result of :meth:`stage`.
        :returns: the fields of the request.
        """
        fields = {**staged, "target_path": target, "readonly": readonly}
        id = str(staged["volume_id"])
        self.undo("NodeUnpublishVolume", id, target, volume_id=id, target_path=target)
        self.call("NodePublishVolume", **fields)
        return fields

    def use(
        self, volume: Any, capability: Any | None = None, *, readonly: bool = False
    ) -> dict[str, Any]:
        """Publish a volume to this node, stage it, and show it at a target path.

        :returns: the fields of NodePublishVolume.
        """
        capability = mount() if capability is None else capability
        context = self.publish(volume, capability, readonly=readonly)
        staged = self.stage(volume, capability, context)
        return self.show(staged, self.target(volume), readonly=readonly)

    def clean_node(self, volume: Any) -> None:
        """Remove a volume from this node: unpublish, unstage and unpublish on the controller."""
        methods = ("NodeUnpublishVolume", "NodeUnstageVolume", "ControllerUnpublishVolume")
        for method in methods:
            # Other threads add their own.
            with self._guard:
                own = [each for each in self._undo if each[:2] == (method, volume.volume_id)]
                calls = [self._undo.pop(key) for key in own]
            for call in calls:
                call()

    def clean(self) -> None:
        """Remove everything that was created, in reverse order; nothing may remain.

        :raises AssertionError: a path remains.
        """
        for key in reversed(list(self._undo)):
            self._undo.pop(key)()
        for path in sorted(self.folder.rglob("*")):
            if path.name.startswith(("staging-", "pod-")):
                continue
            assert not os.path.lexists(path), f"{path} remains"

    def close(self) -> None:
        """Close the connections to the plug-in."""
        for channel in self._channels.values():
            channel.close()


def is_ready(answer: Any) -> bool:
    """Whether an answer to Probe reports that. Without the field, the plug-in is ready."""
    return bool(answer.ready.value) if answer.HasField("ready") else True
