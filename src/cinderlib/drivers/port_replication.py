"""The part of the interface to drivers for replication between storage systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cinderlib.records import VolumeRecord

#: The target with which drivers return to the backend's own storage.
DEFAULT = "default"


class ReplicatingDriver(Protocol):
    """The methods of a driver whose backend has a ``replication_device``."""

    def failover(
        self, volumes: Sequence[VolumeRecord], target: str | None
    ) -> tuple[str | None, list[VolumeRecord]]:
        """Use the replicas of the volumes, on another storage system. The call can be repeated
        after an interruption.

        :param volumes: the replicated volumes of the backend.
        :param target: the ``backend_id`` of a replication device, or :data:`DEFAULT` to return to
            the backend's own storage; ``None`` lets the driver choose.
        :returns: the ``backend_id`` of the device that is used now (``None``: the backend's own
            storage), and the records of the volumes with the driver's changes, in this order.
            ``replication_status`` is that of each volume. The status of a volume that could not
            fail over is ``'error'``.
        :raises InvalidState: the driver cannot fail over to this target now; nothing changed.
        """

    def freeze(self) -> None:
        """Announce that no operations will follow that create, change or delete resources."""

    def thaw(self) -> None:
        """Announce that such operations can follow again."""
