"""The devices of volumes on this host, by the ID of the volume."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Mapping
from typing import Any

from cinderlib.csi import ids
from cinderlib.csi.node import mounts
from cinderlib.errors import ConnectionNotFound, DeviceInUse
from cinderlib.node import Attachment, Node

#: How long a device may be in use after it was unmounted, in seconds.
_IN_USE = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """The device of an attached volume.

    :ivar volume_id: of the volume.
    :ivar path: of the block device; for an encrypted volume, of the decrypted one.
    :ivar whole: the path of the device that has the size of the volume. The decrypted device of an
        encrypted volume lacks the header.
    :ivar number: its device number; ``None`` if it does not exist, or is not a block device.
    :ivar read_only: whether it was attached so that nobody can write.
    :ivar healthy: whether it exists and is the volume's.
    :ivar document: the connection document, with keys in clear.
    """

    volume_id: str
    path: str
    whole: str
    number: int | None
    read_only: bool
    healthy: bool
    document: Mapping[str, Any] = dataclasses.field(repr=False)


class Devices:
    """Finds attachments. It remembers their documents, because to search all attachments of a host
    takes long; the record of the node decides."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._guard = threading.Lock()
        self._documents: dict[str, Mapping[str, Any]] = {}

    def remember(self, volume_id: str, attachment: Attachment) -> Device:
        """The device of an attachment, which is found faster from now on."""
        with self._guard:
            self._documents[volume_id] = attachment.connection_info
        return _device(volume_id, attachment)

    def of(self, volume_id: str) -> Device | None:
        """The device of a volume; ``None`` if it is not attached."""
        with self._guard:
            document = self._documents.get(volume_id)
        attachment = None
        if document is not None:
            attachment = self._node.attachment(document)
        if attachment is None:
            attachment = next(
                (
                    each
                    for each in self._node.attachments()
                    if (each.connection_info.get("volume") or {}).get("id") == volume_id
                ),
                None,
            )
        return None if attachment is None else self.remember(volume_id, attachment)

    def detach(self, volume_id: str, host: str) -> None:
        """Detach a volume, including the remains of an attach that was interrupted.

        :param host: the name of this host in connections.
        """
        with self._guard:
            document = self._documents.get(volume_id)
        if document is not None:
            self._detach(document)
        # An interrupted attach has a record, but no attachment.
        with contextlib.suppress(ConnectionNotFound):
            self._detach(ids.connection(volume_id, host))
        with self._guard:
            self._documents.pop(volume_id, None)

    def _detach(self, connection: Mapping[str, Any] | str) -> None:
        """Detach, and wait a moment for the kernel: another process that has a copy of the mounts
        (a container that starts) can use a device for a short time after it was unmounted."""
        deadline = time.monotonic() + _IN_USE
        while True:
            try:
                self._node.detach(connection)
            except DeviceInUse:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return


def _device(volume_id: str, attachment: Attachment) -> Device:
    path = attachment.path if isinstance(attachment.path, str) else ""
    return Device(
        volume_id=volume_id,
        path=path,
        whole=str(attachment.device.get("encrypted_path", path)),
        number=mounts.device_number(path),
        read_only=attachment.connection_info.get("attach_mode") == "ro",
        healthy=attachment.state == "ok",
        document=attachment.connection_info,
    )
