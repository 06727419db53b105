"""Attaches and detaches connections of a controller on the host of this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cinderlib import errors, serialization
from cinderlib.locking.process_identity import boot_id, this_host
from cinderlib.records import AttachOptions, ConnectionRecord, VolumeRecord

if TYPE_CHECKING:
    from cinderlib.node import Node
    from cinderlib.node.attachment import DeviceState


class LocalHost:
    """Attaches and detaches connections on this host.

    If a device is a handle in this process (RBD through librbd), this object keeps it by the
    connection's ID. The record contains only data that can be stored.
    """

    def __init__(
        self,
        root_helper: str = "sudo",
        my_ip: str | None = None,
        state_path: str | None = None,
    ) -> None:
        self._root_helper = root_helper
        self._my_ip = my_ip
        self._state_path = state_path
        self._nodes: dict[tuple[bool, bool], Node] = {}
        self._handles: dict[str, Any] = {}

    def node(self, *, multipath: bool = False, enforce_multipath: bool = False) -> Node:
        """The node of this host with these settings."""
        settings = (multipath, enforce_multipath)
        if settings not in self._nodes:
            from cinderlib.node import Node

            self._nodes[settings] = Node(
                root_helper=self._root_helper,
                my_ip=self._my_ip,
                multipath=multipath,
                enforce_multipath=enforce_multipath,
                state_path=self._state_path,
            )
        return self._nodes[settings]

    def identity(self) -> str:
        """Identifies the node among those under the same kernel: each has its own state folder, and
        only that folder has the state of the attachments.

        :raises NodeError: the state folder cannot be used.
        """
        return self.node().identity

    def attach(
        self,
        connection: ConnectionRecord,
        volume: VolumeRecord | None,
        options: AttachOptions,
    ) -> dict[str, Any]:
        """Attach a connection.

        :param options: for the device.
        :returns: the device information to store.
        """
        document = serialization.wire(connection, volume)
        attachment = self.node().attach(document, link=options.link, cgroup=options.cgroup)
        device = dict(attachment.device)
        if not isinstance(attachment.path, str):
            self._handles[connection.id] = attachment.path
            device["path"] = None
        return {**device, "made_by": [boot_id(), self.identity()]}

    def attached(
        self, connection: ConnectionRecord, volume: VolumeRecord | None, options: AttachOptions
    ) -> bool:
        """Whether the recorded device of a connection is still attached; its link and its limits
        are repaired."""
        if connection.device is None or connection.id in self._handles:
            return False
        document = serialization.wire(connection, volume)
        there = self.node().attached(document, link=options.link, cgroup=options.cgroup)
        known = connection.device.reveal()
        return there is not None and {**there.device, "made_by": known.get("made_by")} == known

    def persist(self, connection: ConnectionRecord) -> None:
        """Attach an attached connection again after each boot."""
        self.node().persistent.add(serialization.wire(connection))

    def detach(
        self, connection: ConnectionRecord, *, force: bool = False, ignore_errors: bool = False
    ) -> None:
        """Undo :meth:`attach`, also for a device that another process attached or that was
        removed."""
        document = serialization.wire(connection)
        handle = self._handles.get(connection.id)
        device = connection.device.reveal() if connection.device else None
        if handle is not None:
            device = {**(device or {}), "path": handle}
        document.pop("device", None)
        self.node().detach(document, device=device, force=force, ignore_errors=ignore_errors)
        self._handles.pop(connection.id, None)

    def connector(
        self, protocol: str | None, *, multipath: bool, enforce_multipath: bool
    ) -> dict[str, Any]:
        """The connector properties of this host that a protocol needs."""
        node = self.node(multipath=multipath, enforce_multipath=enforce_multipath)
        return node.connector_properties(protocol)

    def copy(
        self,
        source: ConnectionRecord,
        target: ConnectionRecord,
        report: Callable[[int, int], None],
    ) -> None:
        """Copy the data between two attachments of this host; see :mod:`cinderlib.node.copying`."""
        from cinderlib.node import copying

        copying.copy(self.path(source), self.path(target), report)

    def wipe(self, target: ConnectionRecord, report: Callable[[int, int], None]) -> None:
        """Overwrite the data of an attachment of this host with zeros."""
        from cinderlib.node import copying

        copying.wipe(self.path(target), report)

    def path(self, connection: ConnectionRecord) -> Any:
        """The path or the handle of an attachment."""
        handle = self._handles.get(connection.id)
        path = (self.device(connection) or {}).get("path")
        if handle is None and not isinstance(path, str):
            raise errors.NodeError(
                f"Connection {connection.id} is not attached in this process",
                resource=connection.id,
            )
        return path if handle is None else handle

    def extend(self, connection: ConnectionRecord) -> int:
        """:returns: the device's size in bytes."""
        document = serialization.wire(connection)
        device = document.pop("device", None)
        handle = self._handles.get(connection.id)
        if handle is not None:
            device = {**(device or {}), "path": handle}
        return self.node().extend(document, device=device)

    def has(self, connection: ConnectionRecord) -> bool:
        """Whether the device of a connection was attached on this host, under any host name."""
        if connection.device is None:
            return False
        if connection.attached_host == this_host():
            return True
        try:
            boot, node = connection.device.reveal()["made_by"]
            # identity() needs a state folder, which a host without attachments does not have.
            return bool(boot == boot_id() and node == self.identity())
        except (KeyError, TypeError, ValueError, errors.CinderlibError):
            return False

    def look(self, connection: ConnectionRecord) -> DeviceState | None:
        """The state of the device of a connection; ``None`` if it has none on this host."""
        if connection.device is None or not self.has(connection):
            return None
        try:
            device = self.device(connection) or {}
            if device.get("path") is None:
                # A handle exists only in the process that opened it.
                return "ok" if connection.id in self._handles else "unknown"
            document = serialization.wire(connection)
            document.pop("device", None)
            return self.node().look(document, device)
        except errors.CinderlibError:
            return "unknown"

    def device(self, connection: ConnectionRecord) -> dict[str, Any] | None:
        """The device information of a connection. After a boot, a persistent attachment can have
        another device than the record."""
        if connection.device is None:
            return None
        device: dict[str, Any] = connection.device.reveal()
        of_boot = device.get("made_by", [boot_id()])
        if connection.attached_host != this_host() or of_boot[:1] == [boot_id()]:
            return device
        with contextlib.suppress(errors.CinderlibError):
            attachment = self.node().attachment(serialization.wire(connection))
            if attachment is not None:
                return dict(attachment.device)
        return device

    def handle(self, connection_id: str) -> Any:
        """The handle of this process for a connection, or ``None``."""
        return self._handles.get(connection_id)
