"""The part of the interface to drivers for replication between storage systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cinderlib.records import GroupRecord, VolumeRecord

#: The target with which drivers return to the backend's own storage.
DEFAULT = "default"

#: A group and its volumes.
GroupWithVolumes = tuple[GroupRecord, list[VolumeRecord]]


class ReplicatingDriver(Protocol):
    """The methods of a driver whose backend has a ``replication_device``."""

    def failover(
        self,
        volumes: Sequence[VolumeRecord],
        target: str | None,
        groups: Sequence[GroupRecord] = (),
    ) -> tuple[str | None, list[VolumeRecord], list[GroupRecord]]:
        """Use the replicas of the volumes, on another storage system. The call can be repeated
        after an interruption.

        :param volumes: the replicated volumes of the backend.
        :param target: the ``backend_id`` of a replication device, or :data:`DEFAULT` to return to
            the backend's own storage; ``None`` lets the driver choose.
        :param groups: the replicated groups of these volumes.
        :returns: the ``backend_id`` of the device that is used now (``None``: the backend's own
            storage), and the records of the volumes and of the groups with the driver's changes, in
            this order. ``replication_status`` is that of each. The status of a volume that could
            not fail over is ``'error'``.
        :raises InvalidState: the driver cannot fail over to this target now; nothing changed.
        """

    def enable_replication(
        self, group: GroupRecord, volumes: Sequence[VolumeRecord]
    ) -> GroupWithVolumes:
        """Replicate a group, with all its volumes.

        This method and the next two can be repeated after an interruption.

        :returns: the group with the new ``replication_status``, which is ``'error'`` if the driver
            reports a failure; and the volumes with the driver's changes, in this order."""

    def disable_replication(
        self, group: GroupRecord, volumes: Sequence[VolumeRecord]
    ) -> GroupWithVolumes:
        """Stop the replication of a group. The volumes keep their data."""

    def failover_replication(
        self, group: GroupRecord, volumes: Sequence[VolumeRecord], target: str
    ) -> GroupWithVolumes:
        """Use the replicas of the volumes of a group.

        :param target: the ``backend_id`` of a replication device, or :data:`DEFAULT`.
        :raises InvalidState: as for :meth:`failover`.
        """

    def freeze(self) -> None:
        """Announce that no operations will follow that create, change or delete resources."""

    def thaw(self) -> None:
        """Announce that such operations can follow again."""
