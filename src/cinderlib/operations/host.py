"""What operations need of the host that attaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from cinderlib.records import AttachOptions, ConnectionRecord, VolumeRecord


class Host(Protocol):
    """The node's side of a connection."""

    def identity(self) -> str:
        """Identifies a node among those that share a kernel."""

    def has(self, connection: ConnectionRecord) -> bool:
        """Whether this host has attached it."""

    def attach(
        self, connection: ConnectionRecord, volume: VolumeRecord | None, options: AttachOptions
    ) -> dict[str, Any]:
        """:returns: the device document."""

    def attached(
        self, connection: ConnectionRecord, volume: VolumeRecord | None, options: AttachOptions
    ) -> bool:
        """Whether the recorded device of a connection is still attached on this host."""

    def detach(
        self, connection: ConnectionRecord, *, force: bool = False, ignore_errors: bool = False
    ) -> None: ...

    def connector(
        self, protocol: str | None, *, multipath: bool, enforce_multipath: bool
    ) -> dict[str, Any]:
        """The connector properties of this host that a protocol needs."""

    def copy(
        self,
        source: ConnectionRecord,
        target: ConnectionRecord,
        report: Callable[[int, int], None],
    ) -> None:
        """Copy the data between two attachments of this host.

        :param report: called with the number of bytes that are done and the total.
        """

    def path(self, connection: ConnectionRecord) -> Any:
        """The path of the device of an attachment, or the handle of one without a device.

        :raises NodeError: it is not attached in this process.
        """

    def wipe(self, target: ConnectionRecord, report: Callable[[int, int], None]) -> None:
        """Overwrite the data of an attachment of this host with zeros.

        :param report: as for :meth:`copy`.
        """

    def extend(self, connection: ConnectionRecord) -> int:
        """:returns: the device's size in bytes."""
