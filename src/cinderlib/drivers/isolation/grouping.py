"""The calls of an isolated driver for groups and group snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from cinderlib.records import GroupRecord, GroupSnapshotRecord, SnapshotRecord, VolumeRecord


class IsolatedGrouping:
    """The part of :class:`cinderlib.drivers.isolation.driver.IsolatedDriver` for groups."""

    def _call(self, function: str, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def create_group(self, group: GroupRecord) -> GroupRecord:
        return cast("GroupRecord", self._call("create_group", group))

    def update_group(
        self, group: GroupRecord, add: Sequence[VolumeRecord], remove: Sequence[VolumeRecord]
    ) -> list[VolumeRecord]:
        found = self._call("update_group", group, list(add), list(remove))
        return cast("list[VolumeRecord]", found)

    def delete_group(self, group: GroupRecord, volumes: Sequence[VolumeRecord]) -> None:
        self._call("delete_group", group, list(volumes))

    def create_group_from_snapshot(
        self,
        group: GroupRecord,
        volumes: Sequence[VolumeRecord],
        group_snapshot: GroupSnapshotRecord,
        source: GroupRecord,
        snapshots: Sequence[SnapshotRecord],
        source_volumes: Sequence[VolumeRecord],
    ) -> tuple[GroupRecord, list[VolumeRecord]]:
        given = group_snapshot, source, list(snapshots), list(source_volumes)
        found = self._call("create_group_from_snapshot", group, list(volumes), *given)
        return cast("tuple[GroupRecord, list[VolumeRecord]]", found)

    def create_cloned_group(
        self,
        group: GroupRecord,
        volumes: Sequence[VolumeRecord],
        source: GroupRecord,
        source_volumes: Sequence[VolumeRecord],
    ) -> tuple[GroupRecord, list[VolumeRecord]]:
        given = group, list(volumes), source, list(source_volumes)
        found = self._call("create_cloned_group", *given)
        return cast("tuple[GroupRecord, list[VolumeRecord]]", found)

    def create_group_snapshot(
        self,
        group_snapshot: GroupSnapshotRecord,
        group: GroupRecord,
        snapshots: Sequence[SnapshotRecord],
        volumes: Sequence[VolumeRecord],
    ) -> list[SnapshotRecord]:
        given = group_snapshot, group, list(snapshots), list(volumes)
        return cast("list[SnapshotRecord]", self._call("create_group_snapshot", *given))

    def delete_group_snapshot(
        self,
        group_snapshot: GroupSnapshotRecord,
        group: GroupRecord,
        snapshots: Sequence[SnapshotRecord],
        volumes: Sequence[VolumeRecord],
    ) -> None:
        given = group_snapshot, group, list(snapshots), list(volumes)
        self._call("delete_group_snapshot", *given)
