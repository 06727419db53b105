"""The host half of this process, for connections that are in a store or were loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cinderlib import errors, serialization
from cinderlib.locking.process_identity import boot_id, this_host
from cinderlib.records import ConnectionRecord, VolumeRecord

if TYPE_CHECKING:
    from cinderlib.node import Node
    from cinderlib.node.attachment import DeviceState


class LocalHost:
    """Attaches and detaches connections on this host.

    A device that is a handle of this process (RBD through librbd) is kept here by the connection's
    id; only what can be stored goes into the record.
    """

    def __init__(self, root_helper: str, my_ip: str | None, state_path: str | None) -> None:
        self._root_helper = root_helper
        self._my_ip = my_ip
        self._state_path = state_path
        self._nodes: dict[tuple[bool, bool], Node] = {}
        self._handles: dict[str, Any] = {}

    def node(self, *, multipath: bool = False, enforce_multipath: bool = False) -> Node:
        """The node of this host for attachments made in this way."""
        how = (multipath, enforce_multipath)
        if how not in self._nodes:
            from cinderlib.node import Node

            self._nodes[how] = Node(
                root_helper=self._root_helper,
                my_ip=self._my_ip,
                multipath=multipath,
                enforce_multipath=enforce_multipath,
                state_path=self._state_path,
            )
        return self._nodes[how]

    def identity(self) -> str:
        """Tells apart those who attach under one kernel: each has a state folder of its own, which
        alone knows what they made.

        :raises NodeError: the state folder cannot be used.
        """
        return self.node().identity

    def attach(self, connection: ConnectionRecord, volume: VolumeRecord | None) -> dict[str, Any]:
        """Make a device of a connection.

        :returns: the device document to be stored.
        """
        attachment = self.node().attach(serialization.wire(connection, volume))
        device = dict(attachment.device)
        if not isinstance(attachment.path, str):
            self._handles[connection.id] = attachment.path
            device["path"] = None
        return {**device, "made_by": [boot_id(), self.identity()]}

    def detach(
        self, connection: ConnectionRecord, *, force: bool = False, ignore_errors: bool = False
    ) -> None:
        """Undo :meth:`attach`; also of one that another process made, or that is gone."""
        document = serialization.wire(connection)
        handle = self._handles.get(connection.id)
        device = connection.device.reveal() if connection.device else None
        if handle is not None:
            device = {**(device or {}), "path": handle}
        document.pop("device", None)
        self.node().detach(document, device=device, force=force, ignore_errors=ignore_errors)
        self._handles.pop(connection.id, None)

    def extend(self, connection: ConnectionRecord) -> int:
        """:returns: the device's size in bytes."""
        document = serialization.wire(connection)
        device = document.pop("device", None)
        handle = self._handles.get(connection.id)
        if handle is not None:
            device = {**(device or {}), "path": handle}
        return self.node().extend(document, device=device)

    def has(self, connection: ConnectionRecord) -> bool:
        """Whether the device of a connection was made on this host, whatever that was called."""
        if connection.device is None:
            return False
        if connection.attached_host == this_host():
            return True
        try:
            boot, node = connection.device.reveal()["made_by"]
            # The second needs a state folder, which a host that attaches nothing does not have.
            return bool(boot == boot_id() and node == self.identity())
        except (KeyError, TypeError, ValueError, errors.CinderlibError):
            return False

    def look(self, connection: ConnectionRecord) -> DeviceState | None:
        """What became of the device of a connection; ``None`` if it has none on this host."""
        if connection.device is None or not self.has(connection):
            return None
        try:
            device = connection.device.reveal()
            if device.get("path") is None:
                # A handle goes with the process that has it.
                return "ok" if connection.id in self._handles else "unknown"
            document = serialization.wire(connection)
            document.pop("device", None)
            return self.node().look(document, device)
        except errors.CinderlibError:
            return "unknown"

    def handle(self, connection_id: str) -> Any:
        """The handle of this process for a connection, or ``None``."""
        return self._handles.get(connection_id)
