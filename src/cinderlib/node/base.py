"""The interface of a protocol on this host. Each family of protocols has a subclass in a module."""

from __future__ import annotations

import abc
import dataclasses
import logging
import os
from typing import Any

from cinderlib.errors import CinderlibError, DeviceUnavailable
from cinderlib.node import block, command
from cinderlib.node.attachment import DeviceState
from cinderlib.node.document import ConnectionDocument
from cinderlib.node.state import Entry, State

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class HostSettings:
    """Settings of this host.

    :ivar root_helper: the command that runs other commands as root, without its arguments.
    :ivar state: the attachments of this host.
    """

    root_helper: str
    state: State


class Connector(abc.ABC):
    """One volume's connection on this host.

    It is created from a document and checks the protocol's part of the document.

    :raises InvalidDocument: a field of the connection data is missing or has the wrong type.
    """

    #: Names of the targets that the connection uses.
    targets: frozenset[str | None] = frozenset()

    def __init__(self, document: ConnectionDocument, settings: HostSettings) -> None:
        self.document = document
        self.settings = settings

    @property
    def key(self) -> str:
        """Identifies this attachment among all attachments on this host."""
        return self.document.key()

    def survey(self) -> dict[str, Any]:
        """Record existing devices of the volume before the attach; they must not be touched."""
        return {}

    @abc.abstractmethod
    def attach(self, before: dict[str, Any]) -> dict[str, Any]:
        """Attach the volume. A repeated call returns the existing device.

        :param before: the result of :meth:`survey`.
        :returns: the device information, with the path as ``'path'``.
        """

    @abc.abstractmethod
    def detach(self, device: dict[str, Any] | None, *, force: bool = False) -> None:
        """Remove the device. If it does not exist, this succeeds.

        :param device: the result of the attach, if it is known.
        :param force: remove it even if unwritten data is lost.
        """

    @abc.abstractmethod
    def extend(self, device: dict[str, Any]) -> int:
        """Update the device to the volume's new size. Returns the size in bytes."""

    def protect(self, device: dict[str, Any]) -> None:
        """Set the device's read-only flag if the mode requires it and the protocol did not."""
        path = device["path"]
        if self.document.mode != "ro" or not isinstance(path, str) or not block.is_block(path):
            return
        if not block.is_read_only(path):
            command.run(["blockdev", "--setro", path], root_helper=self.settings.root_helper)

    def outlives_process(self, device: dict[str, Any]) -> bool:
        """Whether the device continues to exist when this process ends."""
        return isinstance(device["path"], str)

    def identify(self, device: dict[str, Any]) -> None:
        """Check that the device belongs to the volume.

        :raises DeviceUnavailable: it does not exist, or belongs to another volume.
        """
        path = device["path"]
        if isinstance(path, str) and not os.path.exists(path):
            raise DeviceUnavailable(f"The device {path} does not exist.", resource=self.document.id)

    def exists(self, device: dict[str, Any]) -> bool:
        """Whether any device with its name exists."""
        path = device.get("path")
        return isinstance(path, str) and os.path.lexists(path)

    def look(self, device: dict[str, Any]) -> DeviceState:
        """The current state of a device that was attached earlier."""
        try:
            if not self.exists(device):
                return "gone"
            self.identify(device)
        except DeviceUnavailable:
            return "another"
        except CinderlibError as exc:
            LOG.debug("The state of a device cannot be determined: %s", exc)
            return "unknown"
        return "ok"

    def size(self, device: dict[str, Any]) -> int | None:
        """The size of the device in bytes, ``None`` if it does not show the size of the volume."""
        return block.size(device["path"])

    def verify(self, device: dict[str, Any]) -> None:
        """Check that the device belongs to the volume, is large enough and has the requested mode.

        :raises DeviceUnavailable: a check failed.
        """
        self.identify(device)
        path = device["path"]
        name = path if isinstance(path, str) else "The image"
        # An array may create a larger volume than requested, so only a smaller one is an error.
        expected, actual = self.document.size, self.size(device)
        if expected is not None and actual is not None and actual < expected:
            raise DeviceUnavailable(
                f"{name} has {actual} bytes, but the volume has {expected} bytes.",
                resource=self.document.id,
            )
        is_device = isinstance(path, str) and block.is_block(path)
        if self.document.mode == "ro" and is_device and not block.is_read_only(path):
            raise DeviceUnavailable(
                f"{name} is writable, but 'ro' was requested.", resource=self.document.id
            )

    def traces(self, device: dict[str, Any]) -> list[block.Trace]:
        """The block devices of the attach, to check after the detach that they are removed."""
        path = device["path"]
        return block.traces(path) if isinstance(path, str) and block.is_block(path) else []

    def users(self, device: dict[str, Any]) -> list[str]:
        """The users of the device, as texts; empty if the device now belongs to another volume."""
        path = device.get("path")
        try:
            self.identify(device)
        except DeviceUnavailable:
            return []
        return block.users(path) if isinstance(path, str) and block.is_block(path) else []

    def remains(self, entry: Entry) -> list[str]:
        """Devices and other objects of an attachment that are still on this host, as texts."""
        return [f"/dev/{trace.name}" for trace in entry.traces if trace.exists()]

    def is_attaching_from(self, target: str | None, entry: Entry) -> bool:
        """Whether this host is attaching another volume that the same target exports.

        What this attach has connected has no device yet, and is not a leftover of the entry.
        """
        others = (
            ConnectionDocument(other.document)
            for other in self.settings.state.entries()
            if other.status == "attaching" and other.key != entry.key
        )
        return any(
            target in type(self)(document, self.settings).targets
            for document in others
            if document.protocol == self.document.protocol
        )

    def find_interrupted(self, entry: Entry) -> dict[str, Any] | None:
        """The device of an attach that was interrupted before it was recorded."""
        return entry.device
