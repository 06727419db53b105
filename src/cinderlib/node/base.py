"""What a protocol on this host can do; one subclass in a file of its own for each family."""

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
    """How this host does things.

    :ivar root_helper: the command that runs another as root, without its arguments.
    :ivar state: what this host attached.
    """

    root_helper: str
    state: State


class Connector(abc.ABC):
    """One volume's connection on this host.

    Made for a document; checks its protocol's part of it.

    :raises InvalidDocument: a field of the connection data is missing or of the wrong type.
    """

    #: Names of the targets that the connection uses.
    targets: frozenset[str | None] = frozenset()

    def __init__(self, document: ConnectionDocument, settings: HostSettings) -> None:
        self.document = document
        self.settings = settings

    @property
    def key(self) -> str:
        """Tells this attachment from all others on this host."""
        return self.document.key()

    def survey(self) -> dict[str, Any]:
        """What is on this host of the volume before the attach: not ours, to be left alone."""
        return {}

    @abc.abstractmethod
    def attach(self, before: dict[str, Any]) -> dict[str, Any]:
        """Make the device. Asked again, it gives the one that is there.

        :param before: what :meth:`survey` gave.
        :returns: the device, its path as ``'path'``.
        """

    @abc.abstractmethod
    def detach(self, device: dict[str, Any] | None, *, force: bool = False) -> None:
        """Remove the device. Succeeds when it is not there.

        :param device: what the attach gave, when it is known.
        :param force: also when data that was not written yet is lost.
        """

    @abc.abstractmethod
    def extend(self, device: dict[str, Any]) -> int:
        """Let the host see the volume's new size; it is returned in bytes."""

    def protect(self, device: dict[str, Any]) -> None:
        """Make the kernel refuse writes, where the protocol did not and the mode asks for it."""
        path = device["path"]
        if self.document.mode != "ro" or not isinstance(path, str) or not block.is_block(path):
            return
        if not block.is_read_only(path):
            command.run(["blockdev", "--setro", path], root_helper=self.settings.root_helper)

    def outlives_process(self, device: dict[str, Any]) -> bool:
        """Whether the device stays when this process ends, so that others must know of it."""
        return isinstance(device["path"], str)

    def identify(self, device: dict[str, Any]) -> None:
        """Look whether the device is the volume's.

        :raises DeviceUnavailable: it is not there, or it is another's.
        """
        path = device["path"]
        if isinstance(path, str) and not os.path.exists(path):
            raise DeviceUnavailable(f"There is no device {path}.", resource=self.document.id)

    def exists(self, device: dict[str, Any]) -> bool:
        """Whether there is any device under its name."""
        path = device.get("path")
        return isinstance(path, str) and os.path.lexists(path)

    def look(self, device: dict[str, Any]) -> DeviceState:
        """What became of a device that was made earlier."""
        try:
            if not self.exists(device):
                return "gone"
            self.identify(device)
        except DeviceUnavailable:
            return "another"
        except CinderlibError as exc:
            LOG.debug("A device cannot be looked at: %s", exc)
            return "unknown"
        return "ok"

    def size(self, device: dict[str, Any]) -> int | None:
        """The size that the device offers in bytes, ``None`` when it says nothing of the volume."""
        return block.size(device["path"])

    def verify(self, device: dict[str, Any]) -> None:
        """Look whether the device can be handed out: the volume's, whole, and in the mode asked.

        :raises DeviceUnavailable: it cannot.
        """
        self.identify(device)
        path = device["path"]
        name = path if isinstance(path, str) else "The image"
        # An array may make more than was asked, so only less is wrong.
        expected, actual = self.document.size, self.size(device)
        if expected is not None and actual is not None and actual < expected:
            raise DeviceUnavailable(
                f"{name} has {actual} bytes, and the volume {expected}.",
                resource=self.document.id,
            )
        is_device = isinstance(path, str) and block.is_block(path)
        if self.document.mode == "ro" and is_device and not block.is_read_only(path):
            raise DeviceUnavailable(
                f"{name} takes writes, and 'ro' was asked.", resource=self.document.id
            )

    def traces(self, device: dict[str, Any]) -> list[block.Trace]:
        """The block devices that the attach made, to be looked for after the detach."""
        path = device["path"]
        return block.traces(path) if isinstance(path, str) and block.is_block(path) else []

    def users(self, device: dict[str, Any]) -> list[str]:
        """What uses the device, in words; nothing when the device is another's by now."""
        path = device.get("path")
        try:
            self.identify(device)
        except DeviceUnavailable:
            return []
        return block.users(path) if isinstance(path, str) and block.is_block(path) else []

    def remains(self, entry: Entry) -> list[str]:
        """What is still on this host of an attachment, in words."""
        return [f"/dev/{trace.name}" for trace in entry.traces if trace.is_there()]

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
        """The device of an attach that was interrupted before it could be recorded."""
        return entry.device
