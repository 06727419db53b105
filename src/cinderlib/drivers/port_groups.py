"""The part of the interface to drivers for groups; see :mod:`cinderlib.drivers.port`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cinderlib.records import GroupRecord, GroupSnapshotRecord, SnapshotRecord, VolumeRecord


class GroupingPort(Protocol):
    """Groups on the storage, only for drivers that have them natively."""

    def create_group(self, group: GroupRecord) -> GroupRecord:
        """:returns: the group, whose ``replication_status`` is ``'enabled'`` if the driver already
        replicates it."""

    def update_group(
        self, group: GroupRecord, add: Sequence[VolumeRecord], remove: Sequence[VolumeRecord]
    ) -> list[VolumeRecord]:
        """Add volumes to a group, and remove others from it; their data does not change.

        :returns: the records of all these volumes with the driver's changes, in this order."""

    def delete_group(self, group: GroupRecord, volumes: Sequence[VolumeRecord]) -> None:
        """Delete a group **and these volumes**, which are all volumes that it has."""

    def create_group_from_snapshot(
        self,
        group: GroupRecord,
        volumes: Sequence[VolumeRecord],
        group_snapshot: GroupSnapshotRecord,
        source: GroupRecord,
        snapshots: Sequence[SnapshotRecord],
        source_volumes: Sequence[VolumeRecord],
    ) -> tuple[GroupRecord, list[VolumeRecord]]:
        """Create a group, and its volumes with the data of snapshots.

        :param volumes: the new volumes, in the order of ``snapshots``.
        :param source: the group of the group snapshot.
        :param source_volumes: the volumes of the snapshots.
        :returns: the group as from :meth:`create_group`, and the records of the new volumes with
            the driver's changes, in this order."""

    def create_cloned_group(
        self,
        group: GroupRecord,
        volumes: Sequence[VolumeRecord],
        source: GroupRecord,
        source_volumes: Sequence[VolumeRecord],
    ) -> tuple[GroupRecord, list[VolumeRecord]]:
        """Create a group, and its volumes with the data of another group at one moment.

        :param volumes: the new volumes, in the order of ``source_volumes``.
        :returns: the group as from :meth:`create_group`, and the records of the new volumes with
            the driver's changes, in this order."""

    def create_group_snapshot(
        self,
        group_snapshot: GroupSnapshotRecord,
        group: GroupRecord,
        snapshots: Sequence[SnapshotRecord],
        volumes: Sequence[VolumeRecord],
    ) -> list[SnapshotRecord]:
        """Take snapshots of all volumes of a group at the same moment.

        :returns: the records of the snapshots with the driver's changes, in this order."""

    def delete_group_snapshot(
        self,
        group_snapshot: GroupSnapshotRecord,
        group: GroupRecord,
        snapshots: Sequence[SnapshotRecord],
        volumes: Sequence[VolumeRecord],
    ) -> None:
        """Also succeeds if some of the snapshots do not exist on the storage any more."""
